"""A request and its answer as values: what they are when nothing more is said, and what they keep to themselves."""

import dataclasses

import pytest

from gateway.core.answer import Answer, Asked, Planned, remembered
from gateway.core.idempotency import Record, RecordId, Settlement, State, settled_record
from gateway.core.model import Account, By, Cancel, Lane, OrderRef, VenueId, Wait
from gateway.core.outcome import Facts, Outcome, Settled
from gateway.core.wire import Shown

CANCEL = Cancel(Account(VenueId("venue"), "desk-a"), OrderRef(By.ORDER_ID, "1"))
ASKED = Asked(CANCEL, "desk", Lane.NORMAL, "request-1", deadline=5.0)

RECORD = Record(
    RecordId("0" * 26, CANCEL.account), State.SENT, By.ORDER_ID, "1", None, "desk", "request-1", created_ms=1
)
BODY = b'{"outcome":"cancelled","order_id":"7","filled":"2","remaining":null,"venue_status":3,"attempts":1}'


def test_a_request_wants_the_first_answer_and_has_weight_one_and_no_key() -> None:
    assert (ASKED.wait, ASKED.weight, ASKED.key) == (Wait.ACK, 1, None)


def test_an_answer_of_an_outcome_alone_says_that_nothing_was_sent() -> None:
    answer = Answer(Outcome.OVER_DEADLINE)

    assert answer == Answer(Outcome.OVER_DEADLINE, Facts(), attempts=0, batch=0, waited_ms=0.0, degraded=False)
    assert (answer.record, answer.venue_ms, answer.retry_after_ms, answer.body) == (None, None, None, None)


def test_a_replayed_body_stays_out_of_reprs() -> None:
    assert "marker" not in repr(Answer(Outcome.CANCELLED, body=b"marker"))


def test_a_plan_would_send_where_nothing_is_said() -> None:
    assert Planned(Shown("DELETE", "https://venue.example/1", {}), 0.0, {"cancel": 10}).would is None


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        (Outcome.CANCELLED, Outcome.ALREADY_CANCELLED),
        (Outcome.ALREADY_CANCELLED, Outcome.ALREADY_CANCELLED),
        (Outcome.TOO_LATE_FILLED, Outcome.TOO_LATE_FILLED),
        (None, Outcome.UNKNOWN),
    ],
)
def test_an_order_known_to_be_gone_was_gone_before(recorded: Outcome | None, told: Outcome) -> None:
    record = settled_record(RECORD, Settlement(State.TERMINAL, Outcome.CANCELLED, BODY, at_ms=2))

    assert remembered(dataclasses.replace(record, outcome=recorded)) == Settled(told, Facts(order_id="7", filled="2"))


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense"])
def test_a_memory_without_words_tells_the_outcome_alone(body: bytes) -> None:
    record = dataclasses.replace(RECORD, outcome=Outcome.TOO_LATE_FILLED, body=body)

    assert remembered(record) == Settled(Outcome.TOO_LATE_FILLED)
