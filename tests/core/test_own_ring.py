"""This process's own count: no window holds more than a whole limit, whatever the shared limiter says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Demand
from gateway.core.model import Account, VenueId
from gateway.core.own_ring import Departure, OwnRing, lateness_allowed_s

HOLDER = Account(VenueId("venue"), "desk-a")
THREE = Demand("cancel", HOLDER, tokens=3, window_us=1_020_000, weight=1, keep=3, guard_us=20_000)
WINDOW_S = 1.01


def sent(ring: OwnRing, demands: list[Demand], at: float) -> Departure:
    """One request that was answered at once."""
    departure = ring.depart(demands, at)
    ring.arrive(departure, at)
    return departure


def test_a_whole_limit_may_leave_at_once() -> None:
    ring = OwnRing()

    for _ in range(3):
        assert ring.clear_at([THREE], 5.0) <= 5.0
        sent(ring, [THREE], 5.0)

    assert ring.clear_at([THREE], 5.0) == pytest.approx(5.0 + WINDOW_S)


def test_a_weight_waits_for_as_many_as_it_spends() -> None:
    ring = OwnRing()
    two = replace(THREE, weight=2)
    sent(ring, [THREE], 1.0)
    sent(ring, [THREE], 2.0)

    assert ring.clear_at([THREE], 2.0) == 0.0
    assert ring.clear_at([two], 2.0) == pytest.approx(1.0 + WINDOW_S)


def test_of_linked_limits_the_tightest_decides() -> None:
    ring = OwnRing()
    one = replace(THREE, limit="total", tokens=1, keep=1)

    sent(ring, [THREE, one], 1.0)

    assert ring.clear_at([THREE], 1.0) == 0.0
    assert ring.clear_at([THREE, one], 1.0) == pytest.approx(1.0 + WINDOW_S)


def test_a_limit_that_became_smaller_counts_what_was_sent_before() -> None:
    ring = OwnRing()
    for at in (1.0, 1.1, 1.2):
        sent(ring, [THREE], at)

    assert ring.clear_at([replace(THREE, tokens=1, keep=1)], 1.2) == pytest.approx(1.2 + WINDOW_S)


def test_accounts_do_not_share() -> None:
    ring = OwnRing()
    for _ in range(3):
        sent(ring, [THREE], 1.0)

    assert ring.clear_at([replace(THREE, holder=Account(HOLDER.venue, "desk-b"))], 1.0) == 0.0


def test_a_reply_that_half_the_guard_covers_moves_nothing() -> None:
    ring = OwnRing()
    one = replace(THREE, tokens=1, keep=1)

    ring.arrive(ring.depart([one], 1.0), 1.01)

    assert ring.clear_at([one], 1.5) == pytest.approx(1.0 + WINDOW_S)


def test_a_late_reply_moves_its_request_by_what_the_guard_does_not_cover() -> None:
    ring = OwnRing()
    two = replace(THREE, tokens=2, keep=2)

    slow = ring.depart([two], 1.0)
    sent(ring, [two], 1.1)
    ring.arrive(slow, 1.31)

    assert ring.clear_at([two], 1.4) == pytest.approx(1.1 + WINDOW_S)
    assert ring.clear_at([replace(two, weight=2)], 1.4) == pytest.approx(1.3 + WINDOW_S)


def test_what_is_under_way_counts_from_now_on_less_the_quickest_way() -> None:
    ring = OwnRing()
    one = replace(THREE, tokens=1, keep=1)

    departure = ring.depart([one], 1.0, quickest_s=0.3)

    assert ring.clear_at([one], 1.2) == pytest.approx(1.0 + WINDOW_S)
    assert ring.clear_at([one], 1.91) == pytest.approx(1.6 + WINDOW_S)
    ring.arrive(departure, 2.01)
    assert ring.clear_at([one], 2.4) == pytest.approx(2.0 + WINDOW_S)


def test_one_that_others_pushed_out_comes_back_when_it_was_late() -> None:
    ring = OwnRing()
    one = replace(THREE, tokens=1, keep=1)
    slow = ring.depart([one], 1.0, quickest_s=5.0)
    sent(ring, [one], 2.5)

    ring.arrive(slow, 3.01)

    assert ring.clear_at([one], 3.1) == pytest.approx(3.0 + WINDOW_S)


@given(st.lists(st.tuples(st.floats(0.0, 0.7), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(history: list[tuple[float, int]]) -> None:
    ring = OwnRing()
    now, sends = 0.0, list[float]()

    for gap, weight in history:
        demand = replace(THREE, weight=weight)
        now = max(now + gap, ring.clear_at([demand], now + gap))
        sent(ring, [demand], now)
        sends += [now] * weight

    assert all(later - earlier >= WINDOW_S - 1e-9 for earlier, later in zip(sends, sends[3:], strict=False))


@given(st.lists(st.tuples(st.floats(0.0, 0.7), st.integers(1, 3), st.floats(0.0, 3.0)), max_size=40))
def test_no_window_of_arrivals_holds_more_than_the_limit(history: list[tuple[float, int, float]]) -> None:
    ring = OwnRing()
    now, arrivals = 0.0, list[float]()
    under_way: list[tuple[float, Departure]] = []

    for gap, weight, way_s in history:
        demand = replace(THREE, weight=weight)
        until = now + gap
        while now < until or under_way_blocks(ring, demand, now):
            now += 0.01
            for landed in [each for each in under_way if each[0] <= now]:
                under_way.remove(landed)
                ring.arrive(landed[1], now)
        under_way.append((now + way_s, ring.depart([demand], now)))
        arrivals += [now + way_s] * weight

    arrivals.sort()
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in zip(arrivals, arrivals[3:], strict=False))


def under_way_blocks(ring: OwnRing, demand: Demand, now: float) -> bool:
    return ring.clear_at([demand], now) > now


@pytest.mark.parametrize(("guard_us", "allowed_s"), [(20_000, 0.01), (0, 0.002), (1000, 0.002)])
def test_half_the_guard_may_pass_between_slot_and_wire(guard_us: int, allowed_s: float) -> None:
    assert lateness_allowed_s([replace(THREE, guard_us=guard_us)]) == allowed_s
