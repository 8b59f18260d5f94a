"""Squaring: what is false is found; what a loss may have taken is counted apart, and excuses nothing else."""

from dataclasses import replace
from typing import Any

from bench.soak.accounts import Excuses, Squared, Trail, Truth, squared
from bench.soak.load import NO_ANSWER, Call, Look, Wish
from bench.soak.store import Loss
from gateway.core.idempotency import record_id
from gateway.core.model import Account, VenueId

T = 1_800_000_000_000
ULID = record_id(T, bytes(10), Account(VenueId("orderly"), "desk-a"))
RECORD = f"/cancels/{ULID}"
GONE = Truth("cancelled", T + 50, pending=False, asked=1)
OPEN = Truth("open", T - 1000, pending=False, asked=0)
CALL = Call(0, "key", T, T + 100, "cancelled", 200, RECORD, attempts=1)
LOOK = Look(T + 2000, 200, "terminal", "cancelled", 1)
ENTRIES: list[dict[str, Any]] = [
    {"is": "send", "op": "cancel", "venue": "orderly", "orders": [["order_id", "1", None]], "reply": {"status": 200}},
    {"is": "settle", "record": ULID.ulid, "outcome": "cancelled"},
]
NONE = Excuses((), (), ())
LOST = Excuses((Loss(0, T + 500),), (), ())


def square(
    truth: Truth,
    *calls: Call,
    look: Look | None = LOOK,
    entries: list[dict[str, Any]] | None = None,
    excuses: Excuses = NONE,
    leaves: bool = False,
) -> Squared:
    wish = Wish(1, "orderly", "desk-a", "1", None, leaves, list(calls), {} if look is None else {RECORD: look})
    return squared([wish], {("orderly", "1"): truth}, Trail.of(ENTRIES if entries is None else entries), excuses)


def broken(found: Squared) -> set[str]:
    names = set(Squared.__dataclass_fields__) - {"apart"}
    return {name for name in names if getattr(found, name)}


def test_cancel_that_all_sides_know_of_squares() -> None:
    assert broken(square(GONE, CALL)) == set()


def test_cancelled_told_of_an_open_order_is_false() -> None:
    assert "false_ends" in broken(square(replace(OPEN, asked=1), CALL))


def test_cancelled_told_before_it_was_so_is_false() -> None:
    assert broken(square(replace(GONE, changed_ms=T + 500), CALL)) == {"false_ends"}


def test_refusal_of_what_was_cancelled_meanwhile_is_a_false_failure() -> None:
    refused = replace(CALL, outcome="over_deadline", status=429)

    found = square(GONE, refused, look=Look(T + 2000, 200, "refused", "over_deadline"), leaves=True)

    assert broken(found) == {"false_failures"}


def test_refusal_that_a_later_look_contradicts_was_overtaken() -> None:
    assert broken(square(GONE, replace(CALL, outcome="over_deadline"), leaves=True)) == {"overtaken"}


def test_refusal_before_a_cancel_that_was_asked_for_again_is_true() -> None:
    refused = replace(CALL, outcome="venue_limited", began_ms=T - 200, ended_ms=T - 100, record="")

    assert broken(square(GONE, refused, CALL)) == set()


def test_caller_who_was_never_told_is_found() -> None:
    assert "unanswered" in broken(square(GONE, replace(CALL, outcome=NO_ANSWER, record=""), look=None))


def test_record_that_is_missing_needs_a_loss() -> None:
    missing = Look(T + 2000, 404)

    assert broken(square(GONE, CALL, look=missing)) == {"records_missing"}
    found = square(GONE, CALL, look=missing, excuses=LOST)
    assert broken(found) == set()
    assert found.apart["records that a loss took"] == 1


def test_loss_excuses_no_false_answer() -> None:
    assert "false_ends" in broken(square(replace(OPEN, asked=1), CALL, excuses=LOST))


def test_record_that_says_what_is_not_so_is_found() -> None:
    filled = Look(T + 2000, 200, "terminal", "too_late_filled", 1)

    assert broken(square(GONE, CALL, look=filled)) == {"false_records"}


def test_unknown_of_an_order_that_is_gone_was_never_resolved() -> None:
    unknown = replace(CALL, outcome="unknown", status=504)
    entries = [ENTRIES[0]]

    found = square(GONE, unknown, look=Look(T + 40_000, 200, "unknown", "unknown", 1), entries=entries, leaves=True)

    assert broken(found) == {"unresolved"}


def test_unknown_was_right_where_the_order_went_only_after_the_last_look() -> None:
    unknown = replace(CALL, outcome="unknown", status=504)
    later, look = replace(GONE, changed_ms=T + 60_000), Look(T + 40_000, 200, "unknown", "unknown", 1)

    found = square(later, unknown, look=look, entries=[ENTRIES[0]], leaves=True)

    assert broken(found) == set()


def test_second_request_of_one_call_with_one_attempt_was_blind() -> None:
    twice = [ENTRIES[0], *ENTRIES]

    assert broken(square(replace(GONE, asked=2), CALL, entries=twice)) == {"sent_blindly"}
    assert broken(square(replace(GONE, asked=2), replace(CALL, attempts=2), entries=twice)) == set()


def test_what_stands_in_no_trail_needs_a_loss_or_an_end_at_that_time() -> None:
    assert broken(square(GONE, CALL, entries=[])) == {"outcomes_untold", "sends_untold"}
    assert broken(square(GONE, CALL, entries=[], excuses=Excuses((), (), (T + 300,)))) == set()
    assert broken(square(GONE, CALL, entries=[], excuses=Excuses((), (), (T + 60_000,)))) == {
        "outcomes_untold",
        "sends_untold",
    }
