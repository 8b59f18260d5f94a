"""One kill at work: cancel-all where the venue has it, else each listed order by its id; then the list again.

Rounds go on until the list is empty or the deadline comes. Only an empty list proves that nothing is left, so a venue
without one is never told to be clear.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from gateway.core.admission import Gated, Missed
from gateway.core.answer import Asked
from gateway.core.listing import Breadth, Listing, Page
from gateway.core.model import By, Cancel, Lane, Op, OrderRef, Wait
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear, Untimely, Verdict
from gateway.core.shut import Shut
from gateway.core.tally import SHOWN_MOST, TAKEN, Kill, Stop, Tally, called
from gateway.core.trail import Exchanged
from gateway.core.wire import NotSent, Reply, Unconfirmed, WireRequest
from gateway.courier import Carried, Courier, Parcel
from gateway.course import Course
from gateway.desk import Desk
from gateway.dispatch import Dispatcher, Full, OverDeadline, Patience, Refusal, Seat
from gateway.errand import Errands
from gateway.line import Boarding
from gateway.party import Party, Told
from gateway.ports import NO_TRAIL, Clock, Credentials, NoSigner, Trail, Unavailable, Unlocked

PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 1.0
# A cancel that was taken may show in the list for a while; what stands there longer is asked to go once more.
AGAIN_S = 1.0
FOREVER_MS = 3_600_000
WAVE = 1000  # whole batches of every venue, and few enough for one process
LOST = "no slot can be had: "


@dataclass(frozen=True, slots=True)
class Hands:
    """What a sweep works with."""

    clock: Clock
    credentials: Credentials
    dispatcher: Dispatcher
    courier: Courier
    errands: Errands
    trail: Trail = NO_TRAIL


@dataclass(slots=True)
class Sweep:
    """A kill, and how far it came."""

    kill: Kill
    desk: Desk
    unlocked: Unlocked
    hands: Hands
    name: OrderRef
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
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _renewed: bool = False
    _pause_s: float = PAUSE_FIRST_S

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
            self._alone + len(self._parties),
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
            listing = await self._page(page)
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

    async def _page(self, page: Page) -> Listing | Stop:
        used = self.unlocked

        def make(at_ms: int) -> WireRequest:
            return _there(used.signer.listing(page, at_ms))

        carried = await self._carry(Op.LIST, make)
        if isinstance(carried, Stop):
            return carried
        result = carried.result
        shown = self.desk.venue.interpret_listing(result, page) if isinstance(result, Reply) else result
        if isinstance(shown, Listing):
            await self._heed(carried, Settled(Outcome.ACCEPTED), used)
            return shown
        return await self._stop_of(await self._heed(carried, shown, used), used)

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
        return self.hands.clock.monotonic() - latest >= AGAIN_S

    async def _cancel_all(self, symbol: str | None) -> Stop | None:
        used = self.unlocked

        def make(at_ms: int) -> WireRequest:
            return _there(used.signer.cancel_all(symbol, at_ms))

        carried = await self._carry(Op.CANCEL_ALL, make)
        if isinstance(carried, Stop):
            return carried
        result = carried.result
        verdict = self.desk.venue.interpret_cancel_all(result) if isinstance(result, Reply) else result
        self._note(carried, verdict)
        heeded = await self._heed(carried, verdict, used)
        if isinstance(verdict, Settled | ReadBack):
            if isinstance(verdict, Settled) and verdict.outcome in TAKEN:
                self.taken = True
                self._swept[symbol] = carried.left
            else:
                self._all_works = False
            return None
        return await self._stop_of(heeded, used)

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
        kill, hands = self.kill, self.hands
        cancel = Cancel(kill.account, order)
        asked = Asked(cancel, kill.caller, Lane.KILL, kill.request_id, kill.deadline, kill.weight)
        course = Course(asked, self.desk, self.unlocked, Patience())
        while True:
            try:
                admitted = await hands.dispatcher.admit(course.seat)
            except Unavailable as lost:
                return Stop(Outcome.UNKNOWN, LOST + str(lost))
            if not isinstance(admitted, Boarding):
                return _refused(admitted)
            course.boarding = admitted
            told = await hands.errands.cancel(course)
            if not isinstance(told, Missed):
                return await self._settle(order, admitted, told, course.unlocked)

    async def _settle(self, order: OrderRef, boarding: Boarding, told: Told, used: Unlocked) -> Stop | None:
        if isinstance(told, NotSent):
            return Stop(Outcome.VENUE_UNAVAILABLE, told.reason)
        if boarding.party is None:
            self._alone += 1
        else:
            self._parties.add(boarding.party)
        self._asked[order.value] = self.hands.clock.monotonic()
        if isinstance(told, Settled):
            self._told[order.value] = told.outcome
            return None
        if isinstance(told, AuthRefused | Throttled | Untimely):
            del self._asked[order.value]
            return await self._stop_of(told, used)
        # What only the order itself could tell, the list tells as well: it is still there or it is not.
        self._told.setdefault(order.value, Outcome.UNKNOWN)
        return None

    # -- the wire --------------------------------------------------------------------------------------------------

    async def _carry(self, op: Op, make: Callable[[int], WireRequest]) -> Carried | Stop:
        """One request of its own, in the lane before all others."""
        kill, hands = self.kill, self.hands
        fare = self.desk.fare(kill.account, op, By.ORDER_ID)
        while True:
            seat = Seat(kill.account, fare, Lane.KILL, kill.caller, kill.weight, kill.deadline)
            try:
                admitted = await hands.dispatcher.admit(seat)
            except Unavailable as lost:
                return Stop(Outcome.UNKNOWN, LOST + str(lost))
            if not isinstance(admitted, Boarding):
                return _refused(admitted)
            parcel = Parcel(kill.account, self.desk, admitted.slot, 1, make, urgent=True)
            carried = await hands.courier.carry(parcel)
            if isinstance(carried, NotSent):
                return Stop(Outcome.VENUE_UNAVAILABLE, carried.reason)
            if isinstance(carried, Carried):
                self._alone += not isinstance(carried.result, NotSent)
                return carried

    async def _heed(
        self, carried: Carried, verdict: Verdict | NotSent | Unconfirmed, used: Unlocked
    ) -> Verdict | NotSent | Unconfirmed:
        """What an answer means for gates, breakers and clocks."""
        courier, account = self.hands.courier, self.kill.account
        if not isinstance(verdict, NotSent | Unconfirmed):
            courier.weather.judged(account, used.version, verdict, carried.result, carried.left)
        refusal = verdict if isinstance(verdict, Throttled) else None
        return await courier.heed(account, carried, refusal) or verdict

    def _note(self, carried: Carried, verdict: Verdict | NotSent | Unconfirmed) -> None:
        """A cancel-all stands in the trail under the kill's own name, since it names no order."""
        read_as = Unclear(verdict.reason) if isinstance(verdict, Unconfirmed) else verdict
        account, request = self.kill.account, carried.request
        self.hands.trail.note(
            Exchanged(Op.CANCEL_ALL, account, (self.name,), request, carried.slot, carried.result, (read_as,))
        )

    async def _stop_of(self, verdict: Verdict | NotSent | Unconfirmed, used: Unlocked) -> Stop:
        match verdict:
            case Throttled(banned=banned, retry_after_ms=wait_ms, facts=facts):
                limited = Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED
                return Stop(limited, facts.venue_message, wait_ms)
            case Untimely(facts=facts):
                return Stop(Outcome.VENUE_UNAVAILABLE, facts.venue_message)
            case AuthRefused(facts=facts):
                return await self._renew(facts.venue_message, used)
            case NotSent(reason=reason):
                return Stop(Outcome.VENUE_UNAVAILABLE, reason)
            case Unclear(reason=reason) | Unconfirmed(reason=reason):
                return Stop(Outcome.UNKNOWN, reason)
            case Settled() | ReadBack():
                return Stop(Outcome.UNKNOWN, verdict.facts.venue_message)
            case _:
                assert_never(verdict)

    async def _renew(self, said: str | None, used: Unlocked) -> Stop:
        """A newer credential, once; the next round then signs with it."""
        refused = Stop(Outcome.VENUE_AUTH, said or "the venue refuses our credential", FOREVER_MS)
        async with self._renewing:
            if used is not self.unlocked:
                return Stop(Outcome.VENUE_AUTH, said)
            if self._renewed:
                return refused
            self._renewed = True
            renewed = await self.hands.credentials.renew(self.kill.account, used)
            if isinstance(renewed, NoSigner):
                return refused
            self.unlocked = renewed
        return Stop(Outcome.VENUE_AUTH, said)

    # -- time ------------------------------------------------------------------------------------------------------

    async def _bear(self, stop: Stop) -> bool:
        """Wait for what stands in the way, where that can pass before the deadline."""
        self.stop = stop
        return stop.outcome is not Outcome.OVER_DEADLINE and await self._pause(stop.wait_ms)

    async def _pause(self, wait_ms: int | None = None) -> bool:
        pause_s = self._pause_s if wait_ms is None else wait_ms / 1000
        if self.hands.clock.monotonic() + pause_s >= self.kill.deadline:
            return False
        await asyncio.sleep(pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_MOST_S)
        return True


def _refused(refusal: Refusal) -> Stop:
    match refusal:
        case OverDeadline(wait_us=wait_us):
            return Stop(Outcome.OVER_DEADLINE, None, -(-wait_us // 1000))
        case Gated(banned=banned, wait_us=wait_us):
            shut = Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED
            return Stop(shut, None, -(-wait_us // 1000))
        case Shut(outcome=outcome, detail=detail, wait_us=wait_us):
            return Stop(outcome, detail, -(-wait_us // 1000))
        case Full(detail=detail):
            return Stop(Outcome.OVERLOADED, detail)
        case _:
            assert_never(refusal)


def _closed(outcome: Outcome) -> Outcome:
    """An order that is not in the list any more is not open, whatever was not known of it before."""
    return Outcome.CLOSED if outcome in {Outcome.UNKNOWN, Outcome.REJECTED} else outcome


def _there(request: WireRequest | None) -> WireRequest:
    assert request is not None  # noqa: S101  a venue's reach says so
    return request
