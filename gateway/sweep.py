"""One kill at work: cancel-all where the venue has it, else each listed order by its id; then the list again.

Rounds go on until the list is empty or the deadline comes. Only an empty list proves that nothing is left, so a venue
without one is never told to be clear.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import assert_never

from gateway.core.admission import Missed
from gateway.core.answer import Asked
from gateway.core.listing import Breadth, Page
from gateway.core.model import By, Cancel, Lane, Op, OrderRef, Wait
from gateway.core.outcome import AuthRefused, Outcome, Settled, Throttled, Untimely
from gateway.core.tally import SHOWN_MOST, Kill, Stop, Tally, called
from gateway.core.wire import NotSent
from gateway.course import Course
from gateway.desk import Desk
from gateway.dispatch import Patience
from gateway.kill_calls import KillCalls, Taken, Unserved
from gateway.line import Boarding
from gateway.party import Party, Told
from gateway.ports import Clock, Unlocked

PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 1.0
# A cancel that was taken may show in the list for a while; what stands there longer is asked to go once more.
AGAIN_S = 1.0
WAVE = 1000  # whole batches of every venue, and few enough for one process


@dataclass(slots=True)
class Sweep:
    """A kill, and how far it came."""

    calls: KillCalls
    rounds: int = 0
    open_before: int | None = None
    left: tuple[OrderRef, ...] | None = None
    stop: Stop | None = None
    taken: bool = False
    _told: dict[str, Outcome] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)
    _swept: dict[str | None, float] = field(default_factory=dict)
    _alone: int = 0
    _parties: set[Party] = field(default_factory=set)
    _all_works: bool = True
    _pause_s: float = PAUSE_FIRST_S

    @property
    def kill(self) -> Kill:
        """What was asked for."""
        return self.calls.kill

    @property
    def desk(self) -> Desk:
        """Where."""
        return self.calls.desk

    @property
    def clock(self) -> Clock:
        """By which time."""
        return self.calls.hands.clock

    async def run(self) -> None:
        """Round after round, each an act and a look."""
        seen = await self._opening()
        while seen != ():
            if isinstance(seen, Stop):
                if not await self._bear(seen):
                    return
            elif not await self._round(seen):
                await self.look()
                return
            if self.kill.wait is Wait.ACK and self.rounds:
                return
            seen = await self.look()
            if seen and not isinstance(seen, Stop) and not await self._pause():
                return

    async def _round(self, seen: tuple[OrderRef, ...] | None) -> bool:
        """Act on what was seen; False where something stands in the way that will not pass in time."""
        self.left = None
        self.stop = await self._act(seen)
        return self.stop is None or await self._bear(self.stop)

    def tally(self) -> Tally:
        """What came of it, as far as it is known."""
        left = None if self.left is None else tuple(order.value for order in self.left)
        gone = set() if left is None else self._told.keys() - set(left)
        told = {ref: _closed(outcome) if ref in gone else outcome for ref, outcome in self._told.items()}
        outcome = called(told, left, self.stop, taken=self.taken)
        stop = None if left == () else self.stop
        return Tally(
            outcome,
            None if stop is None else stop.detail,
            self.open_before,
            None if left is None else len(left),
            (left or ())[:SHOWN_MOST],
            Counter(told.values()),
            self.calls.sent + self._alone + len(self._parties),
            self.rounds,
            left == (),
            self.desk.venue.reach.blind,
            retry_after_ms=None if stop is None else stop.wait_ms,
        )

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _opening(self) -> tuple[OrderRef, ...] | Stop | None:
        """The list, unless a cancel-all can go before anything is known: a kill does not wait to count."""
        if self.blanket() != ():
            return None
        seen = await self.look()
        if not isinstance(seen, Stop):
            self.open_before = len(seen)
        return seen

    async def look(self) -> tuple[OrderRef, ...] | Stop:
        """Everything that is open now, over all pages."""
        if not self.desk.venue.reach.page_most:
            return Stop(Outcome.INVALID_REQUEST, self.desk.venue.reach.blind)
        found: dict[str, OrderRef] = {}
        totals: set[int | None] = set()
        page, more = Page(symbol=self.kill.symbol), True
        while more:
            listing = await self.calls.page(page)
            if isinstance(listing, Stop):
                self.left = None
                return listing
            found |= {order.value: order for order in listing.orders}
            totals.add(listing.total)
            more = listing.more and self.desk.venue.reach.paged
            page = Page(page.number + 1, page.symbol)
        if not found and len(totals) > 1:  # the pages moved while they were read, and may have hidden one
            self.left = None
            return Stop(Outcome.UNKNOWN, "the list changed while it was read")
        self.left = tuple(found.values())
        return self.left

    # -- acting ----------------------------------------------------------------------------------------------------

    def blanket(self, listed: tuple[OrderRef, ...] | None = None) -> tuple[str | None, ...]:
        """The symbols to send a cancel-all for, None for all at once; none where it does not serve.

        Per symbol it serves as long as all of them can go at once: many symbols are sooner cleared by their ids.
        """
        reach = self.desk.venue.reach
        if not (self.desk.cancel_all and self._all_works) or reach.cancel_all is Breadth.NONE:
            return ()
        if self.kill.symbol is not None or reach.cancel_all is Breadth.ACCOUNT:
            return (self.kill.symbol,)
        symbols = tuple(sorted({order.symbol or "" for order in listed or ()}))
        fare = self.desk.fare(self.kill.account, Op.CANCEL_ALL, By.ORDER_ID)
        at_once = min((each.tokens // each.weight for each in fare.single.urgent), default=0)
        return symbols if len(symbols) <= at_once else ()

    async def _act(self, listed: tuple[OrderRef, ...] | None) -> Stop | None:
        due = tuple(order for order in listed or () if self._is_due(order))
        if listed is not None and not due:
            return None
        self.rounds += 1
        if symbols := self.blanket(due):
            stops = await asyncio.gather(*(self._cancel_all(symbol) for symbol in symbols))
            if self._all_works:
                return next((each for each in stops if each is not None), None)
        return await self._drain(due)

    def _is_due(self, order: OrderRef) -> bool:
        asked = (self._asked.get(order.value), self._swept.get(order.symbol), self._swept.get(None))
        latest = max((at for at in asked if at is not None), default=-AGAIN_S)
        return self.clock.monotonic() - latest >= AGAIN_S

    async def _cancel_all(self, symbol: str | None) -> Stop | None:
        said = await self.calls.cancel_all(symbol)
        match said:
            case Taken(left=left):
                self.taken = True
                self._swept[symbol] = left
                return None
            case Unserved():
                self._all_works = False
                return None
            case Stop():
                return said
            case _:
                assert_never(said)

    async def _drain(self, orders: tuple[OrderRef, ...]) -> Stop | None:
        """Each by its id: who waits in one line is carried in full batches, where the venue has them."""
        stop: Stop | None = None
        for start in range(0, len(orders), WAVE):
            stops = await asyncio.gather(*(self._one(order) for order in orders[start : start + WAVE]))
            stop = next((each for each in stops if each is not None), None)
            if stop is not None and stop.wait_ms is not None:
                break
        return stop

    async def _one(self, order: OrderRef) -> Stop | None:
        kill, calls = self.kill, self.calls
        cancel = Cancel(kill.account, order)
        asked = Asked(cancel, kill.caller, Lane.KILL, kill.request_id, kill.deadline, kill.weight)
        course = Course(asked, self.desk, calls.unlocked, Patience())
        while True:
            admitted = await calls.admit(course.seat)
            if isinstance(admitted, Stop):
                return admitted
            course.boarding = admitted
            told = await calls.hands.errands.cancel(course)
            if not isinstance(told, Missed):
                return await self._settle(order, admitted, told, course.unlocked)

    async def _settle(self, order: OrderRef, boarding: Boarding, told: Told, used: Unlocked) -> Stop | None:
        if isinstance(told, NotSent):
            return Stop(Outcome.VENUE_UNAVAILABLE, told.reason)
        if boarding.party is None:
            self._alone += 1
        else:
            self._parties.add(boarding.party)
        self._asked[order.value] = self.clock.monotonic()
        if isinstance(told, Settled):
            self._told[order.value] = told.outcome
            return None
        if isinstance(told, AuthRefused | Throttled | Untimely):
            del self._asked[order.value]
            return await self.calls.stop_of(told, used)
        # What only the order itself could tell, the list tells as well: it is still there or it is not.
        self._told.setdefault(order.value, Outcome.UNKNOWN)
        return None

    # -- time ------------------------------------------------------------------------------------------------------

    async def _bear(self, stop: Stop) -> bool:
        """Wait for what stands in the way, where that can pass before the deadline."""
        self.stop = stop
        return stop.outcome is not Outcome.OVER_DEADLINE and await self._pause(stop.wait_ms)

    async def _pause(self, wait_ms: int | None = None) -> bool:
        pause_s = self._pause_s if wait_ms is None else wait_ms / 1000
        if self.clock.monotonic() + pause_s >= self.kill.deadline:
            return False
        await asyncio.sleep(pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MOST_S)
        return True


def _closed(outcome: Outcome) -> Outcome:
    """An order that is not in the list any more is not open, whatever was not known of it before."""
    return Outcome.CLOSED if outcome in {Outcome.UNKNOWN, Outcome.REJECTED} else outcome
