"""This process's own count: no window holds more than a whole limit, whatever the shared limiter says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Demand
from gateway.core.model import Account, VenueId
from gateway.core.own_ring import OwnRing, lateness_allowed_s

HOLDER = Account(VenueId("venue"), "desk-a")
THREE = Demand("cancel", HOLDER, tokens=3, window_us=1_020_000, weight=1, keep=3, guard_us=20_000)
WINDOW_S = 1.01


def test_a_whole_limit_may_leave_at_once() -> None:
    ring = OwnRing()

    for _ in range(3):
        assert ring.clear_at([THREE]) <= 5.0
        ring.depart([THREE], 5.0)

    assert ring.clear_at([THREE]) == pytest.approx(5.0 + WINDOW_S)


def test_a_weight_waits_for_as_many_as_it_spends() -> None:
    ring = OwnRing()
    two = replace(THREE, weight=2)
    ring.depart([THREE], 1.0)
    ring.depart([THREE], 2.0)

    assert ring.clear_at([THREE]) == 0.0
    assert ring.clear_at([two]) == pytest.approx(1.0 + WINDOW_S)


def test_of_linked_limits_the_tightest_decides() -> None:
    ring = OwnRing()
    one = replace(THREE, limit="total", tokens=1, keep=1)

    ring.depart([THREE, one], 1.0)

    assert ring.clear_at([THREE]) == 0.0
    assert ring.clear_at([THREE, one]) == pytest.approx(1.0 + WINDOW_S)


def test_a_limit_that_became_smaller_counts_what_was_sent_before() -> None:
    ring = OwnRing()
    for at in (1.0, 1.1, 1.2):
        ring.depart([THREE], at)

    assert ring.clear_at([replace(THREE, tokens=1, keep=1)]) == pytest.approx(1.2 + WINDOW_S)


def test_accounts_do_not_share() -> None:
    ring = OwnRing()
    for _ in range(3):
        ring.depart([THREE], 1.0)

    assert ring.clear_at([replace(THREE, holder=Account(HOLDER.venue, "desk-b"))]) == 0.0


@given(st.lists(st.tuples(st.floats(0.0, 0.7), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(history: list[tuple[float, int]]) -> None:
    ring = OwnRing()
    now, sends = 0.0, list[float]()

    for gap, weight in history:
        demand = replace(THREE, weight=weight)
        now = max(now + gap, ring.clear_at([demand]))
        ring.depart([demand], now)
        sends += [now] * weight

    assert all(later - earlier >= WINDOW_S - 1e-9 for earlier, later in zip(sends, sends[3:], strict=False))


@pytest.mark.parametrize(("guard_us", "allowed_s"), [(20_000, 0.01), (0, 0.002), (1000, 0.002)])
def test_half_the_guard_may_pass_between_slot_and_wire(guard_us: int, allowed_s: float) -> None:
    assert lateness_allowed_s([replace(THREE, guard_us=guard_us)]) == allowed_s
