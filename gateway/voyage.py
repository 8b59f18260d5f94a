"""Requests on their way to a venue, which counts arrivals, while a slot says when a request may leave.

A reply says how late its request can have arrived: as late as one that left when the reply came back, less the quickest
way there and back. What that is later than the guard covers is made up for: at once in this process's own ring, and
behind the request's back in the shared one, so ordinary traffic asks nothing more of Redis. Without a reply a request
may have arrived as late as it was given up; and until then it is postponed again and again, in steps of half a window,
so that nobody builds on it meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.admission import Demand, Slot
from gateway.core.model import VenueId
from gateway.core.own_ring import Departure, OwnRing, half_guard_s
from gateway.core.quickest import Quickest
from gateway.core.wire import Reply, SendResult
from gateway.ports import Clock, Limiter, Unavailable

US_PER_S = 1_000_000
NO_WINDOW_S = 60.0


@dataclass(slots=True, eq=False)
class Voyage:
    """One request under way, with its slot as it counts by now."""

    slot: Slot
    venue: VenueId
    left: float
    departure: Departure
    timer: asyncio.TimerHandle | None = None
    postponing: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Voyages:
    """Keeps an eye on them."""

    clock: Clock
    limiter: Limiter
    ring: OwnRing = field(default_factory=OwnRing)
    _quickest: dict[VenueId, Quickest] = field(default_factory=dict)
    _postponing: set[asyncio.Task[None]] = field(default_factory=set)

    def clear_at(self, demands: Sequence[Demand], now: float) -> float:
        """From when on one more request fits by this process's own count."""
        return self.ring.clear_at(demands, now)

    def depart(self, venue: VenueId, slot: Slot, now: float) -> Voyage:
        """A request leaves."""
        departure = self.ring.depart(slot.demands, now, self._quick(venue).seconds(now))
        voyage = Voyage(slot, venue, now, departure)
        self._watch(voyage)
        return voyage

    def arrive(self, voyage: Voyage, result: SendResult | None, back: float) -> None:
        """Its reply is there, or it was given up."""
        if voyage.timer is not None:
            voyage.timer.cancel()
        latest = back
        if isinstance(result, Reply):
            quickest = self._quick(voyage.venue)
            quickest.note(back - voyage.left, back)
            latest -= quickest.seconds(back)
        self.ring.arrive(voyage.departure, latest)
        self._postpone(voyage, latest)

    def _quick(self, venue: VenueId) -> Quickest:
        if (known := self._quickest.get(venue)) is None:
            known = self._quickest[venue] = Quickest()
        return known

    def _watch(self, voyage: Voyage) -> None:
        window_s = min((demand.window_us / US_PER_S for demand in voyage.slot.demands), default=NO_WINDOW_S)
        voyage.timer = asyncio.get_running_loop().call_later(window_s / 2, self._still_under_way, voyage)

    def _still_under_way(self, voyage: Voyage) -> None:
        self._postpone(voyage, self.clock.monotonic())
        self._watch(voyage)

    def _postpone(self, voyage: Voyage, latest: float) -> None:
        """Let its slot count from then on, less the guard; after whatever was asked for it before."""
        until = latest - 2 * half_guard_s(voyage.slot.demands)
        if until <= voyage.slot.matures_at - voyage.slot.apart_s:
            return
        task = asyncio.create_task(self._ask(voyage, voyage.postponing, until))
        voyage.postponing = task
        self._postponing.add(task)
        task.add_done_callback(self._postponing.discard)

    async def _ask(self, voyage: Voyage, before: asyncio.Task[None] | None, until: float) -> None:
        if before is not None:
            await before
        with contextlib.suppress(Unavailable):  # lost data is held for a whole window anyway
            voyage.slot = await self.limiter.postpone(voyage.slot, until)
