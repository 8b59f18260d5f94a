"""One line: those who wait for the same tokens, and the slots that are held for them until they mature.

While somebody waits, one reserved slot is held ahead, and one more while somebody urgent waits (which may come out of
the reserve). Whoever is best when it matures goes; where enough wait, a slot for a batch is held instead, and it takes
everybody who fits.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.admission import Demand, Fare, Gated, Slot, Spending
from gateway.core.fairness import Ticket, WaitingRoom, drain_us
from gateway.core.model import Account, Lane
from gateway.core.shut import Shut
from gateway.core.value import quick
from gateway.party import Party
from gateway.ports import Clock, Limiter, TooFar, Unavailable

FOREVER_US = 3_600_000_000
US_PER_S = 1_000_000
URGENT_LANES, OTHER_LANES = (Lane.KILL, Lane.URGENT), (Lane.NORMAL, Lane.RECONCILE)
LOOK_AGAIN_S = 0.5
SLOTS_KEPT = 256
ROUNDING_S = 0.001
# A slot is looked at once more so long before it is handed over: one trip to Redis, generously.
CONFIRM_S = 0.005
# A storm's first cancels must not use up the batch slots half empty. Only those who queue anyway wait so long.
FILL_S = 0.01
BURST_MOST = 16
# How often a line looks whether the kill that it gives way to, in another line of the account, has its slots.
YIELD_S = 0.005


@quick
@dataclass(frozen=True, slots=True)
class Boarding:
    """A mature slot for whoever waited, and the others that it carries where it is a batch's."""

    slot: Slot
    party: Party | None = None
    urgent: bool = False


Turn = asyncio.Future[Boarding | Gated | Shut]


@dataclass(slots=True, eq=False)
class Line:
    """The waiting room of one fare, and who looks after it."""

    account: Account
    fare: Fare
    limiter: Limiter
    clock: Clock
    closed: Callable[["Line"], None]
    count_slot: Callable[[str], None]
    lead_s: float
    yields: Callable[[], bool] = bool
    room: WaitingRoom[Turn] = field(default_factory=WaitingRoom)
    _held: list[Slot] = field(default_factory=list)
    _holders: dict[bool, asyncio.Task[None]] = field(default_factory=dict)
    _deserted: asyncio.Event = field(default_factory=asyncio.Event)
    _crowded: asyncio.Event = field(default_factory=asyncio.Event)
    _came: deque[float] = field(default_factory=lambda: deque(maxlen=SLOTS_KEPT))

    def wanted(self, *, urgent: bool) -> bool:
        """Whether somebody waits for whom a slot of this kind would have to be held."""
        return any(self.room.count(lane) > 0 for lane in (URGENT_LANES if urgent else OTHER_LANES))

    def join(self, ticket: Ticket[Turn]) -> None:
        """Begin to wait; somebody looks after the line from then on."""
        self.room.join(ticket)
        self._deserted.clear()
        if len(self.room) >= self.fare.batch_most:
            self._crowded.set()
        for urgent in (False, True):
            if urgent not in self._holders and self.wanted(urgent=urgent):
                self._holders[urgent] = asyncio.create_task(self._look_after(urgent=urgent))

    def leave(self, ticket: Ticket[Turn]) -> None:
        """Stop waiting, for whatever reason."""
        self.room.leave(ticket)
        if not self.room:
            self._deserted.set()

    def wait_us(self, seat: Ticket[Turn]) -> int:
        """How long a newcomer would wait, as far as can be known; other replicas may be given a part of the slots."""
        ahead = self.room.ahead_of(seat.lane, seat.caller, seat.weight, seat.deadline)
        first_s = min((slot.matures_at for slot in self._held), default=0.0) - self.clock.monotonic()
        batched = self._batches(ahead + 1)
        spending = self._spending(batched=batched)
        demands = spending.urgent if seat.lane in URGENT_LANES else spending.normal
        requests = ahead // self.fare.batch_most if batched else ahead
        return int(max(0.0, first_s) * US_PER_S + drain_us(demands, requests) / self._part(demands))

    def _part(self, demands: tuple[Demand, ...]) -> float:
        """Which part of the slots came here in the last window; all of them where the line is younger than that."""
        if not self._came:
            return 1.0
        *before, last = self._came
        since = last - max(demand.window_us for demand in demands) / US_PER_S - ROUNDING_S
        if not before or before[0] > since:
            return 1.0
        most = min(demand.tokens // demand.weight for demand in demands)
        return min(1.0, max(1, sum(came >= since for came in before)) / most)

    async def aclose(self) -> None:
        """Stop looking after the line."""
        holders = tuple(self._holders.values())
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)

    def _batches(self, waiting: int) -> bool:
        return self.fare.batch is not None and waiting >= self.fare.batch_from

    def _spending(self, *, batched: bool) -> Spending:
        return self.fare.batch if batched and self.fare.batch is not None else self.fare.single

    async def _look_after(self, *, urgent: bool) -> None:
        """Reserve, wait until the slot matures, hand it over; as long as somebody wants one."""
        try:
            while self.wanted(urgent=urgent):
                await self._hold_one(urgent=urgent)
        except Unavailable as lost:
            self.tell_all(lost)
        finally:
            del self._holders[urgent]
            if not self._holders and not self.room:
                self.closed(self)

    async def _hold_one(self, *, urgent: bool) -> None:
        if self.yields():
            await asyncio.sleep(YIELD_S)
            return
        if self.fare.batch is not None and 1 < len(self.room) < self.fare.batch_most:
            self._crowded.clear()
            await _first_of(self._crowded, FILL_S)
        batched = self._batches(len(self.room))
        spending = self._spending(batched=batched)
        each = self.fare.batch_most if batched else 1
        takers = sum(self.room.count(lane) for lane in URGENT_LANES) if urgent else len(self.room)
        most = min(BURST_MOST, -(-takers // each))
        taken = await self.limiter.reserve(spending.urgent if urgent else spending.normal, FOREVER_US, max(1, most))
        match taken:
            case TooFar(wait_us=wait_us):
                await _first_of(self._deserted, min(wait_us / US_PER_S, LOOK_AGAIN_S))
            case Gated():
                self.tell_all(taken)
            case _:
                await self._hold(taken, each, batched=batched)

    async def _hold(self, slots: tuple[Slot, ...], each: int, *, batched: bool) -> None:
        self._held.extend(slots)
        for slot in slots:
            mature = await self._mature(slot)
            if mature is None:
                self.count_slot("wasted")
                continue
            self._came.append(mature.matures_at)
            self._held.remove(mature)
            await self._hand_over(mature, each, batched=batched)

    async def _mature(self, slot: Slot) -> Slot | None:
        """Wait until it is time to hand it over. It moves where what it was built on came late to the venue.

        None where that can't be told any more: those before it may have come late as well.
        """
        confirmed = slot.matures_at <= self.clock.monotonic()
        while await self._wait_until(slot.matures_at - self.lead_s - (0.0 if confirmed else CONFIRM_S)):
            if confirmed:
                break
            other = await self.limiter.confirm(slot)
            if other is None:
                self._held.remove(slot)
                return None
            confirmed = other is slot
            self._held[self._held.index(slot)] = other
            slot = other
        return slot

    async def _wait_until(self, moment: float) -> bool:
        """Whether anybody still waits by then. Who leaves last and who comes next may do so in one tick."""
        while self.room and (left_s := moment - self.clock.monotonic()) > 0:
            await _first_of(self._deserted, left_s)
        return bool(self.room)

    async def put_back(self, boarding: Boarding) -> None:
        """A slot that was handed over to somebody who could not take it any more."""
        if boarding.party is None:
            await self._hand_over(boarding.slot, 1, batched=False)
        elif boarding.party.stay_away():
            await self._hand_over(boarding.slot, self.fare.batch_most, batched=True)

    async def _hand_over(self, slot: Slot, each: int, *, batched: bool) -> None:
        taken = [ticket for ticket in self.room.take_many(each) if not ticket.item.done()]
        if not taken:
            self.count_slot("returned" if await self.limiter.give_back(slot) else "wasted")
            return
        urgent = any(ticket.lane in URGENT_LANES for ticket in taken)
        boarding = Boarding(slot, Party(len(taken)) if batched else None, urgent)
        for ticket in taken:
            ticket.item.set_result(boarding)
        self.count_slot("used")

    def tell_all(self, news: Gated | Shut | Unavailable) -> None:
        """Turn everybody who waits away, with the same word."""
        for ticket in self.room.take_many(len(self.room)):
            if ticket.item.done():
                continue
            if isinstance(news, Unavailable):
                ticket.item.set_exception(news)
            else:
                ticket.item.set_result(news)


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or so long."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
