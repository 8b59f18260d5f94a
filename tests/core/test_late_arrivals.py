"""Whatever way requests take to a venue, no window of its arrivals holds more than the limit."""

import heapq
import itertools
from dataclasses import dataclass, field

import pytest
from admission_histories import HOLDERS, START_US, most_in_any_window
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import ledger
from gateway.core.admission import Demand
from gateway.core.ledger import Epoch, Forgotten, Granted, Ledger

WINDOW_US, KEEP, LARGE_KEEP = 1_000_000, 4, 300
CONFIRM_US = 10_000


@dataclass(slots=True)
class Route:
    """Requests that take their slots from the reference, and what the venue sees of them."""

    demand: Demand
    ledger: Ledger = field(default_factory=lambda: Ledger({holder: Epoch(0, 0) for holder in HOLDERS}))
    arrivals: list[int] = field(default_factory=list)
    events: list[tuple[int, int, str, int, int]] = field(default_factory=list)
    count: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, now_us: int, way_us: int) -> None:
        decided = ledger.decide(self.ledger, (self.demand,), now_us, 8 * WINDOW_US)
        self.ledger = decided.ledger
        if isinstance(decided, Granted):
            self._at(max(now_us, decided.at_us - CONFIRM_US), "look", decided.at_us, way_us)

    def run_until(self, until_us: int) -> None:
        while self.events and self.events[0][0] <= until_us:
            now_us, _, verb, at_us, way_us = heapq.heappop(self.events)
            match verb:
                case "look":
                    self._look(now_us, at_us, way_us)
                case "send":
                    self.arrivals += [now_us + way_us] * self.demand.weight
                    self._at(now_us + min(way_us, WINDOW_US // 2), "late", at_us, way_us - WINDOW_US // 2)
                case _:
                    self.ledger = ledger.postpone(self.ledger, (self.demand,), at_us, now_us, now_us)
                    if way_us > 0:
                        self._at(now_us + min(way_us, WINDOW_US // 2), "late", now_us, way_us - WINDOW_US // 2)

    def _look(self, now_us: int, at_us: int, way_us: int) -> None:
        moved = ledger.confirm(self.ledger, (self.demand,), at_us, now_us)
        assert not isinstance(moved, Forgotten)
        if moved is None:
            self._at(max(now_us, at_us), "send", at_us, way_us)
        else:
            self.ledger = moved.ledger
            self._at(max(now_us, moved.at_us - CONFIRM_US), "look", moved.at_us, way_us)

    def _at(self, moment_us: int, verb: str, at_us: int, way_us: int) -> None:
        heapq.heappush(self.events, (moment_us, next(self.count), verb, at_us, way_us))


WAYS = st.sampled_from((0, 0, 0, 40_000, 300_000, 499_000, 1_700_000))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400_000), WAYS), max_size=60), st.integers(1, 2))
def test_no_window_of_arrivals_holds_more_than_the_limit(asked: list[tuple[int, int]], weight: int) -> None:
    route = Route(Demand("fast", HOLDERS[0], KEEP, WINDOW_US, weight, KEEP))
    now_us = START_US

    for pause_us, way_us in asked:
        now_us += pause_us
        route.run_until(now_us)
        route.ask(now_us, way_us)
    route.run_until(now_us + 10**12)

    assert most_in_any_window(route.arrivals, WINDOW_US) <= KEEP


@pytest.mark.parametrize("way_us", [0, 40_000, 450_000])
@pytest.mark.parametrize("pause_us", [0, 3_000, 9_000])
def test_no_window_of_a_large_limit_holds_more_than_it(way_us: int, pause_us: int) -> None:
    """A burst that came late, and then as many as may."""
    route = Route(Demand("large", HOLDERS[0], LARGE_KEEP, WINDOW_US, 1, LARGE_KEEP))
    now_us = START_US

    for number in range(3 * LARGE_KEEP):
        now_us += pause_us
        route.run_until(now_us)
        decided = ledger.outlook(route.ledger, (route.demand,), now_us)[0]
        now_us += decided.wait_us
        route.run_until(now_us)
        route.ask(now_us, way_us if number % 50 < 25 else 0)
    route.run_until(now_us + 10**12)

    assert most_in_any_window(route.arrivals, WINDOW_US) <= LARGE_KEEP
