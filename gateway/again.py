"""Another attempt, where one is safe: how often, how soon, how much of the traffic. core/retries.py decides."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.model import VenueId
from gateway.core.retries import ATTEMPTS_MOST, Traffic, pause_s
from gateway.course import Course
from gateway.ports import Clock, Meter


@dataclass(frozen=True, slots=True)
class Retries:
    """The budget of every venue, in this process; `roll` gives numbers from 0 to 1."""

    clock: Clock
    meter: Meter
    roll: Callable[[], float]
    _traffic: dict[VenueId, Traffic] = field(default_factory=dict)

    def first(self, venue: VenueId) -> None:
        """A cancel is tried for the first time."""
        if traffic := self._traffic.get(venue):
            self._traffic[venue] = traffic.after(retry=False)

    async def allow(self, course: Course, reason: str) -> bool:
        """Whether there is another attempt; True after the pause before it."""
        venue = course.account.venue
        wait_s = pause_s(course.retries + 1, self.roll())
        if course.retries + 1 >= ATTEMPTS_MOST or course.left_s(self.clock.monotonic()) <= wait_s:
            return False
        traffic = self._traffic.get(venue, Traffic())
        if not traffic.may_retry():
            self.meter.retried(venue, "over_budget")
            return False
        self._traffic[venue] = traffic.after(retry=True)
        course.retries += 1
        self.meter.retried(venue, reason)
        await asyncio.sleep(wait_s)
        return True
