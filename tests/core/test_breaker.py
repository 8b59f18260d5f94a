"""Breakers: when they open, for how long, and whom they let in again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import (
    CLOSED,
    FAILURES,
    GAP_S,
    LAST,
    Backoff,
    Breaker,
    depart,
    fail,
    knock,
    shut_s,
    succeed,
)

BACKOFF = Backoff(first_s=1.0, most_s=15.0)
LEASE_S = 3.0


def _after(results: list[bool], now: float = 0.0) -> Breaker:
    breaker = CLOSED
    for good in results:
        breaker = succeed(breaker) if good else fail(breaker, BACKOFF, now, 1.0)
    return breaker


OPEN = _after([False] * FAILURES)


def _probing(breaker: Breaker, now: float) -> Breaker:
    known = knock(breaker, now, LEASE_S)
    assert known is not None
    left = depart(known, now, LEASE_S)
    assert left is not None
    return left


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_exactly_after_five_failures_among_ten(results: list[bool]) -> None:
    first = next(
        (at for at in range(1, len(results) + 1) if results[max(0, at - LAST) : at].count(False) >= FAILURES), None
    )

    assert (_after(results).until is not None) is (first is not None)


def test_good_results_leave_a_clean_breaker_as_it_is() -> None:
    assert succeed(CLOSED) is CLOSED
    assert shut_s(CLOSED, 5.0) == 0.0
    assert knock(CLOSED, 5.0, LEASE_S) is CLOSED
    assert depart(CLOSED, 5.0, LEASE_S) is CLOSED


def test_open_lets_nobody_in_until_its_time_has_come() -> None:
    assert shut_s(OPEN, 0.25) == 0.75
    assert knock(OPEN, 0.9, LEASE_S) is None
    assert depart(OPEN, 0.9, LEASE_S) is None
    assert shut_s(OPEN, 1.0) == 0.0


def test_half_open_lets_one_in_and_the_next_only_when_that_one_came_to_nothing() -> None:
    known = knock(OPEN, 1.0, LEASE_S)

    assert known is not None
    assert knock(known, 1.5, LEASE_S) is None
    assert shut_s(known, 1.5) == LEASE_S - 0.5
    assert knock(known, 1.0 + LEASE_S, LEASE_S) is not None


def test_only_one_probe_is_on_the_wire_at_a_time() -> None:
    left = _probing(OPEN, 1.0)

    assert depart(left, 1.1, LEASE_S) is None
    assert depart(left, 1.0 + LEASE_S, LEASE_S) is not None


def test_a_probe_that_is_answered_closes_it_and_forgets_everything() -> None:
    assert succeed(_probing(OPEN, 1.0)) == CLOSED


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    assert succeed(OPEN) is OPEN
    assert fail(OPEN, BACKOFF, 0.5, 1.0) is OPEN


def test_every_probe_that_fails_doubles_the_pause_up_to_the_cap() -> None:
    breaker, now, pauses = OPEN, 0.0, []
    for _ in range(6):
        now += shut_s(breaker, now)
        breaker = fail(_probing(breaker, now), BACKOFF, now, 1.0)
        pauses.append(shut_s(breaker, now))

    assert pauses == pytest.approx([2.0, 4.0, 8.0, 15.0, 15.0, 15.0])


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 100))
def test_jitter_stays_between_half_and_the_whole_pause(roll: float, openings: int) -> None:
    probing = replace(_probing(OPEN, 1.0), openings=openings)

    pause_s = shut_s(fail(probing, BACKOFF, 1.0, roll), 1.0)

    whole_s = min(BACKOFF.most_s, BACKOFF.first_s * 2.0 ** (openings + 1))
    assert whole_s / 2 <= pause_s + 1e-9
    assert pause_s <= whole_s + 1e-9


def test_whoever_may_come_early_still_leaves_a_gap_after_a_failure() -> None:
    assert knock(OPEN, GAP_S / 2, LEASE_S, early=True) is None
    early = knock(OPEN, GAP_S, LEASE_S, early=True)

    assert early is not None
    assert depart(early, GAP_S, LEASE_S) is not None
    assert knock(early, GAP_S, LEASE_S, early=True) is None
