"""What one look makes of a record whose end is not known. Nothing is made up, and nothing is believed too early."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.idempotency import Record, State, Step, record_id
from gateway.core.model import Account, By, Scope, VenueId
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
)
from gateway.core.resolution import (
    ARRIVED_MS,
    DID_NOTHING,
    GRACE_MS,
    PAUSE_LEAST_MS,
    PAUSE_MOST_MS,
    STEPS_KEPT,
    GivenUp,
    Later,
    Next,
    another_order,
    judge,
    pause_ms,
    sent_at_ms,
    with_step,
    worded,
)

SENT_MS, GIVE_UP_MS = 1_790_000_000_000, 3_600_000
UNKNOWN = Record(
    id=record_id(SENT_MS, b"", Account(VenueId("venue"), "desk-a")),
    state=State.UNKNOWN,
    by=By.ORDER_ID,
    ref="1",
    symbol=None,
    caller="desk",
    request_id="r",
    created_ms=SENT_MS - 10,
    sent_ms=SENT_MS,
)
BLIND: tuple[Sighting, ...] = (Unclear("HTML"), AuthRefused(), Throttled(Scope.ACCOUNT))


def judged(sighting: Sighting, age_ms: int, record: Record = UNKNOWN) -> Next:
    return judge(record, sighting, SENT_MS + age_ms, GIVE_UP_MS, 0.5)


@pytest.mark.parametrize("age_ms", [0, GRACE_MS, GIVE_UP_MS, 10 * GIVE_UP_MS])
@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (OrderState.CANCELLED, Outcome.CANCELLED),
        (OrderState.FILLED, Outcome.TOO_LATE_FILLED),
        (OrderState.CLOSED, Outcome.CLOSED),
        (OrderState.PENDING_CANCEL, Outcome.ACCEPTED),
    ],
)
def test_what_is_seen_settles_at_any_age(state: OrderState, outcome: Outcome, age_ms: int) -> None:
    facts = Facts(filled="1")

    assert judged(Seen(state, facts), age_ms) == Settled(outcome, facts)


@pytest.mark.parametrize("sighting", [Seen(OrderState.MISSING), Seen(OrderState.CLOSED, weak=True)])
def test_what_a_venue_may_say_too_early_is_believed_after_a_grace(sighting: Seen) -> None:
    expected = {OrderState.MISSING: Outcome.NOT_FOUND, OrderState.CLOSED: Outcome.CLOSED}[sighting.state]

    assert isinstance(judged(sighting, GRACE_MS - 1), Later)
    assert judged(sighting, GRACE_MS) == Settled(expected)


def test_an_order_that_is_open_when_no_cancel_can_arrive_any_more_says_that_ours_did_not() -> None:
    assert isinstance(judged(Seen(OrderState.OPEN), ARRIVED_MS - 1), Later)
    assert judged(Seen(OrderState.OPEN), ARRIVED_MS) == GivenUp(DID_NOTHING)
    assert isinstance(judged(Seen(OrderState.OPEN, weak=True), ARRIVED_MS), Later)
    acknowledged = replace(UNKNOWN, state=State.ACKNOWLEDGED)
    assert isinstance(judged(Seen(OrderState.OPEN), ARRIVED_MS, acknowledged), Later)


@pytest.mark.parametrize("sighting", BLIND)
def test_what_proves_nothing_is_looked_at_again_until_it_is_too_late(sighting: Sighting) -> None:
    assert isinstance(judged(sighting, GIVE_UP_MS - 1), Later)
    assert judged(sighting, GIVE_UP_MS) == GivenUp(worded(sighting))


@pytest.mark.parametrize(
    ("sighting", "outcome"),
    [
        (Seen(OrderState.CANCELLED), Outcome.CANCELLED),
        (Seen(OrderState.FILLED), Outcome.TOO_LATE_FILLED),
        (Seen(OrderState.CLOSED), Outcome.CLOSED),
    ],
)
def test_what_the_venue_took_is_settled_by_its_end(sighting: Seen, outcome: Outcome) -> None:
    assert judged(sighting, 0, replace(UNKNOWN, state=State.ACKNOWLEDGED)) == Settled(outcome)


@pytest.mark.parametrize(
    ("sighting", "age_ms"),
    list(
        product(
            [Seen(OrderState.OPEN), Seen(OrderState.MISSING), Seen(OrderState.PENDING_CANCEL), *BLIND],
            [0, GRACE_MS, GIVE_UP_MS],
        )
    ),
)
def test_what_the_venue_took_stays_so_while_nothing_is_proven(sighting: Sighting, age_ms: int) -> None:
    assert isinstance(judged(sighting, age_ms, replace(UNKNOWN, state=State.ACKNOWLEDGED)), Later)


def test_a_cancel_left_no_earlier_than_its_record_was_made() -> None:
    assert (sent_at_ms(UNKNOWN), sent_at_ms(replace(UNKNOWN, sent_ms=None))) == (SENT_MS, SENT_MS - 10)


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_pauses_grow_with_age_and_stay_within_bounds(age_ms: int, chance: float) -> None:
    pause = pause_ms(age_ms, chance)

    assert 800 <= pause <= 1.2 * PAUSE_MOST_MS
    assert pause_ms(age_ms, 0.0) <= pause <= pause_ms(age_ms + 1000, 1.0)


def test_looks_are_worded_for_people() -> None:
    assert worded(Seen(OrderState.OPEN)) == "open"
    assert worded(Seen(OrderState.CLOSED, weak=True)) == "closed, not believed yet"
    assert [len(worded(Unclear("x" * 1000))), *map(worded, BLIND)] == [
        160,
        "unclear: HTML",
        "the venue refuses the credential",
        "the venue refuses for now",
    ]


def test_only_the_last_steps_are_kept() -> None:
    record = UNKNOWN
    for at in range(STEPS_KEPT + 5):
        record = replace(record, steps=with_step(record, Step(at, "look", "open")))

    assert [step.at_ms for step in record.steps] == list(range(5, STEPS_KEPT + 5))


@pytest.mark.parametrize(
    ("sighting", "another"),
    [
        (Seen(OrderState.CANCELLED, created_ms=SENT_MS), False),
        (Seen(OrderState.CANCELLED, created_ms=SENT_MS + 1), True),
        (Seen(OrderState.CANCELLED), True),
        (Seen(OrderState.MISSING), False),
        (Unclear("HTML"), False),
    ],
)
def test_an_order_made_after_the_cancel_is_another_one(sighting: Sighting, another: bool) -> None:  # noqa: FBT001  a row
    assert another_order(sighting, SENT_MS) is another


# -- what has no note that it was sent -------------------------------------------------------------------------

UNNOTED = replace(UNKNOWN, state=State.RECEIVED, sent_ms=None)
SEEN_OPEN = replace(UNNOTED, steps=(Step(SENT_MS, "look", "open"),))


def test_what_has_no_note_and_is_open_is_looked_at_once_more() -> None:
    assert judged(Seen(OrderState.OPEN), 0, UNNOTED) == Later(PAUSE_LEAST_MS, "open")


def test_what_has_no_note_and_is_still_open_was_not_sent() -> None:
    assert judged(Seen(OrderState.OPEN), 0, SEEN_OPEN) == Settled(Outcome.VENUE_UNAVAILABLE)


@pytest.mark.parametrize("record", [UNNOTED, SEEN_OPEN])
def test_what_has_no_note_and_is_gone_ends_as_what_was_sent_does(record: Record) -> None:
    assert judged(Seen(OrderState.CANCELLED), 0, record) == Settled(Outcome.CANCELLED)
    assert judged(Seen(OrderState.MISSING), 0, record) == Later(PAUSE_LEAST_MS, "missing")


def test_what_has_no_note_and_can_not_be_seen_is_unknown_from_then_on() -> None:
    assert judged(Unclear("HTML"), 0, UNNOTED) == Settled(Outcome.UNKNOWN)


@pytest.mark.parametrize("sighting", [AuthRefused(), Throttled(Scope.ACCOUNT)])
def test_what_has_no_note_and_may_not_be_looked_at_is_looked_at_later(sighting: Sighting) -> None:
    assert isinstance(judged(sighting, 0, UNNOTED), Later)
