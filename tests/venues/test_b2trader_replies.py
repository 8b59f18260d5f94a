"""B2TRADER's answers to a cancel: a reply per table row, and anything else that could come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import JSON_VALUES, STATUSES, raw, said

from gateway.core.model import By, OrderRef, Scope
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Throttled,
    Unclear,
    Verdict,
)
from gateway.core.wire import Reply
from gateway.venues.b2trader import ASK_AGAIN, B2TRADER
from gateway.venues.b2trader import STATUSES as ROWS

ULID = "01K2PF9XS29WN4JZRHMCTTQYJB"
ORDER = OrderRef(By.ORDER_ID, ULID)
PAGE = b"<html><body>404</body></html>"
SUCCESSES = {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED}


def order(status: object = "Cancelled", **more: object) -> dict[str, object]:
    """The page's example of an answer, with another status."""
    shown = {
        "orderId": ULID,
        "requestedAmount": "0.1",
        "remainingAmount": "0.1",
        "rejectDetails": "",
        "fillFactor": "0",
    }
    return {"order": {**shown, "cancellationDate": None, "status": status, **more}}


# -- replies to a repeated cancel ------------------------------------------------------------------------------

SHOWN = {
    "Started": OrderState.PENDING_CANCEL,
    "Pending": OrderState.PENDING_CANCEL,
    "Working": OrderState.PENDING_CANCEL,
    "Completed": OrderState.FILLED,
    "Cancelled": OrderState.CANCELLED,
    "Expired": OrderState.CLOSED,
    "Rejected": OrderState.CLOSED,
}


@pytest.mark.parametrize("status", SHOWN)
def test_a_repeated_cancel_shows_the_order_by_its_status(status: str) -> None:
    sighting = B2TRADER.interpret_read(said(200, order(status)), ORDER)

    assert sighting == Seen(SHOWN[status], Facts(status, ULID, filled="0", remaining="0.1"))


def test_an_order_that_is_denied_to_a_repeated_cancel_is_missing() -> None:
    assert B2TRADER.interpret_read(said(404, {"title": "Not Found"}), ORDER) == Seen(
        OrderState.MISSING, Facts(venue_message="Not Found")
    )


def test_a_conflict_at_a_repeated_cancel_is_an_end_that_is_not_believed_at_once() -> None:
    facts = Facts(venue_message="The order is Completed.")

    assert B2TRADER.interpret_read(said(409, {"title": facts.venue_message}), ORDER) == Seen(
        OrderState.CLOSED, facts, weak=True
    )


@pytest.mark.parametrize("status", [400, 422])
def test_another_refusal_of_a_repeated_cancel_shows_nothing(status: int) -> None:
    assert isinstance(B2TRADER.interpret_read(said(status, {}), ORDER), Unclear)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(raw(401, b""), AuthRefused), (raw(429, b""), Throttled), (raw(500, b""), Unclear), (raw(404, PAGE), Unclear)],
)
def test_a_repeated_cancel_that_was_not_looked_at_shows_nothing(reply: Reply, kind: type) -> None:
    assert isinstance(B2TRADER.interpret_read(reply, ORDER), kind)


# -- replies to a cancel ---------------------------------------------------------------------------------------

ANSWERS = {
    "Started": Outcome.ACCEPTED,
    "Pending": Outcome.ACCEPTED,
    "Working": Outcome.ACCEPTED,
    "Completed": Outcome.TOO_LATE_FILLED,
    "Cancelled": Outcome.CANCELLED,
    "Expired": Outcome.CLOSED,
    "Rejected": Outcome.CLOSED,
}


@pytest.mark.parametrize("status", ANSWERS)
def test_a_status_means_its_outcome(status: str) -> None:
    verdict = B2TRADER.interpret(said(200, order(status)), ORDER)

    assert verdict == Settled(ANSWERS[status], Facts(status, ULID, filled="0", remaining="0.1"))


def test_every_row_of_the_table_has_a_case() -> None:
    assert ANSWERS.keys() == ROWS.keys()


def test_a_cancelled_order_tells_what_was_filled_before() -> None:
    shown = order("Cancelled", requestedAmount="1.50", remainingAmount="0.25", rejectDetails="late")

    assert B2TRADER.interpret(said(200, shown), ORDER) == Settled(
        Outcome.CANCELLED, Facts("Cancelled", ULID, filled="1.25", remaining="0.25", venue_message="late")
    )


@pytest.mark.parametrize("remaining", [None, "2", "-1", "x", "1e-3", True, []])
def test_amounts_that_make_no_sense_are_left_out(remaining: object) -> None:
    verdict = B2TRADER.interpret(said(200, order(requestedAmount="1", remainingAmount=remaining)), ORDER)

    assert isinstance(verdict, Settled)
    assert verdict.outcome is Outcome.CANCELLED
    assert verdict.facts.filled is None


def test_a_cancellation_date_is_no_proof() -> None:
    shown = order("Working", cancellationDate="2025-08-15T09:00:06.279Z")

    verdict = B2TRADER.interpret(said(200, shown), ORDER)

    assert isinstance(verdict, Settled)
    assert verdict.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("shown", ["01K2PF9XS29WN4JZRHMCTTQYJC", "", None, 1, [ULID], ULID + "0"])
def test_another_order_in_the_answer_is_unclear(shown: object) -> None:
    assert B2TRADER.interpret(said(200, order(orderId=shown)), ORDER) == Unclear("the answer is not about this order")


def test_the_letter_case_of_an_ulid_is_no_difference() -> None:
    verdict = B2TRADER.interpret(said(200, order()), OrderRef(By.ORDER_ID, ULID.lower()))

    assert isinstance(verdict, Settled)


@pytest.mark.parametrize("status", ["cancelled", "Canceled", "", None, 1, True, ["Cancelled"], {"a": "Cancelled"}])
def test_an_unknown_status_is_unclear(status: object) -> None:
    verdict = B2TRADER.interpret(said(200, order(status)), ORDER)

    assert isinstance(verdict, Unclear)
    assert verdict.facts.order_id == ULID


@pytest.mark.parametrize("status", sorted(ASK_AGAIN))
@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (b'{"title":"Conflict","code":"ORDER_DONE"}', Facts(venue_code="ORDER_DONE", venue_message="Conflict")),
        (b'{"errorCode":12,"error":"done"}', Facts(venue_code="12", venue_message="done")),
        (b"", Facts()),
        (PAGE, Facts()),
    ],
)
def test_a_refusal_without_a_documented_cause_needs_another_look(status: int, body: bytes, facts: Facts) -> None:
    assert B2TRADER.interpret(raw(status, body), ORDER) == ReadBack(
        Outcome.ALREADY_CANCELLED, Outcome.REJECTED, Outcome.NOT_FOUND, facts
    )


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (said(404, {"title": "Not Found"}), Settled(Outcome.NOT_FOUND, Facts(venue_message="Not Found"))),
        (raw(404), Settled(Outcome.NOT_FOUND)),
        (raw(404, PAGE), Unclear("http 404 with no known meaning")),
        (raw(404, b"404 page not found"), Unclear("http 404 with no known meaning")),
        (said(401, {"title": "Unauthorized"}), AuthRefused(Facts(venue_message="Unauthorized"))),
        (raw(401), AuthRefused()),
        (said(403, {"title": "Forbidden"}), AuthRefused(Facts(venue_message="Forbidden"))),
        (raw(403, PAGE, {"retry-after": "60"}), Throttled(Scope.EGRESS, banned=True, retry_after_ms=60_000)),
        (raw(429, PAGE, {"retry-after": "2"}), Throttled(Scope.ACCOUNT, retry_after_ms=2_000)),
        (raw(418), Throttled(Scope.EGRESS, banned=True)),
        (said(500, {"title": "Oops"}), Unclear("http 500", Facts(venue_message="Oops"))),
        (said(500, order()), Unclear("http 500")),
        (raw(200), Unclear("the answer is not about this order")),
        (raw(200, PAGE), Unclear("the answer is not about this order")),
        (said(200, {}), Unclear("the answer is not about this order")),
        (said(200, {"order": [order()]}), Unclear("the answer is not about this order")),
        (said(200, [order()]), Unclear("the answer is not about this order")),
        (raw(204), Unclear("http 204 with no known meaning")),
        (said(201, order()), Unclear("http 201 with no known meaning")),
        (
            said(415, {"title": "Unsupported"}),
            Unclear("http 415 with no known meaning", Facts(venue_message="Unsupported")),
        ),
    ],
)
def test_a_reply_without_the_order_means_this(reply: Reply, verdict: Verdict) -> None:
    assert B2TRADER.interpret(reply, ORDER) == verdict


@given(STATUSES, st.binary(max_size=200))
def test_any_bytes_get_a_verdict_and_never_a_success(status: int, body: bytes) -> None:
    verdict = B2TRADER.interpret(raw(status, body), ORDER)

    assert isinstance(verdict, Verdict)
    assert not (isinstance(verdict, Settled) and verdict.outcome in SUCCESSES)


FIELDS = st.sampled_from(["orderId", "status", "requestedAmount", "remainingAmount", "rejectDetails"])


@given(STATUSES, st.dictionaries(FIELDS, JSON_VALUES) | JSON_VALUES)
def test_any_json_gets_a_verdict(status: int, value: object) -> None:
    verdict = B2TRADER.interpret(said(status, {"order": value, "code": value, "message": value}), ORDER)

    assert isinstance(verdict, Verdict)
    assert not (isinstance(verdict, Settled) and verdict.outcome in SUCCESSES)


@given(STATUSES, st.sampled_from(sorted(ANSWERS)), st.dictionaries(FIELDS, JSON_VALUES))
def test_a_success_is_about_this_order_only(status: int, word: str, more: dict[str, object]) -> None:
    shown = {"orderId": ULID, "status": word, **more}

    verdict = B2TRADER.interpret(said(status, {"order": shown}), ORDER)

    if isinstance(verdict, Settled) and verdict.outcome in SUCCESSES:
        assert (status, shown["orderId"]) == (200, ULID)
        assert ANSWERS[str(shown["status"])] is verdict.outcome
