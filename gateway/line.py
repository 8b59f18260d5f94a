"""One line: those who wait for the same tokens, and the slots that are held for them until they mature.

While somebody waits, one reserved slot is held ahead, and one more while somebody urgent waits (which may come out of
the reserve). Whoever is best when it matures goes; where enough wait, a slot for a batch is held instead, and it takes
everybody who fits.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.admission import Fare, Gated, Slot, Spending
from gateway.core.fairness import Ticket, WaitingRoom, drain_us
from gateway.core.model import Account, Lane
from gateway.party import Party
from gateway.ports import Clock, Limiter, TooFar, Unavailable

FOREVER_US = 3_600_000_000
US_PER_S = 1_000_000
URGENT_LANES = (Lane.KILL, Lane.URGENT)
PACE_WEIGHT = 0.1
# A storm's first cancels must not use up the batch slots half empty. Only those who queue anyway wait so long.
FILL_S = 0.01
BURST_MOST = 16


@dataclass(frozen=True, slots=True)
class Boarding:
    """A mature slot for whoever waited, and the others that it carries where it is a batch's."""

    slot: Slot
    party: Party | None = None


Turn = asyncio.Future[Boarding | Gated]


@dataclass(slots=True, eq=False)
class Line:
    """The waiting room of one fare, and who looks after it."""

    account: Account
    fare: Fare
    limiter: Limiter
    clock: Clock
    closed: Callable[["Line"], None]
    count_slot: Callable[[str], None]
    room: WaitingRoom[Turn] = field(default_factory=WaitingRoom)
    _held: list[Slot] = field(default_factory=list)
    _holders: dict[bool, asyncio.Task[None]] = field(default_factory=dict)
    _deserted: asyncio.Event = field(default_factory=asyncio.Event)
    _crowded: asyncio.Event = field(default_factory=asyncio.Event)
    _pace_s: float = 0.0
    _last_slot_at: float | None = None

    def wanted(self, *, urgent: bool) -> bool:
        """Whether a slot of this kind would find a taker."""
        return any(self.room.count(lane) for lane in URGENT_LANES) if urgent else len(self.room) > 0

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

    def wait_us(self, ahead: int) -> int:
        """How long somebody with so many ahead of him waits, as far as can be known.

        Other replicas take slots too, so the pace that this line has seen counts where it is slower than the limit's.
        """
        now = self.clock.monotonic()
        first_s = max(0.0, min(slot.matures_at for slot in self._held) - now) if self._held else 0.0
        requests = ahead // self.fare.batch_most if self._batches(ahead) else ahead
        by_limit_us = drain_us(self._spending(batched=self._batches(ahead)).urgent, requests)
        return int(first_s * US_PER_S) + max(by_limit_us, int(self._pace_s * requests * US_PER_S))

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
            self._tell_all(lost)
        finally:
            del self._holders[urgent]
            if not self._holders and not self.room:
                self.closed(self)

    async def _hold_one(self, *, urgent: bool) -> None:
        batched = self._batches(len(self.room))
        if batched and len(self.room) < self.fare.batch_most:
            self._crowded.clear()
            await _first_of(self._crowded, FILL_S)
        spending = self._spending(batched=batched)
        each = self.fare.batch_most if batched else 1
        most = min(BURST_MOST, -(-len(self.room) // each))
        taken = await self.limiter.reserve(spending.urgent if urgent else spending.normal, FOREVER_US, max(1, most))
        match taken:
            case TooFar(wait_us=wait_us):
                await asyncio.sleep(wait_us / US_PER_S)
            case Gated():
                self._tell_all(taken)
            case _:
                await self._hold(taken, each, batched=batched)

    async def _hold(self, slots: tuple[Slot, ...], each: int, *, batched: bool) -> None:
        self._held.extend(slots)
        for slot in slots:
            self._note(slot)
            await _first_of(self._deserted, slot.matures_at - self.clock.monotonic())
            self._held.remove(slot)
            await self._hand_over(slot, each, batched=batched)

    async def _hand_over(self, slot: Slot, each: int, *, batched: bool) -> None:
        turns = [ticket.item for ticket in self.room.take_many(each) if not ticket.item.done()]
        if not turns:
            self.count_slot("returned" if await self.limiter.give_back(slot) else "wasted")
            return
        boarding = Boarding(slot, Party(len(turns)) if batched else None)
        for turn in turns:
            turn.set_result(boarding)
        self.count_slot("used")

    def _note(self, slot: Slot) -> None:
        """Learn from a slot how far apart they come."""
        if self._last_slot_at is not None:
            gap_s = max(0.0, slot.matures_at - self._last_slot_at)
            self._pace_s = gap_s * PACE_WEIGHT + self._pace_s * (1 - PACE_WEIGHT)
        self._last_slot_at = slot.matures_at

    def _tell_all(self, news: Gated | Unavailable) -> None:
        for ticket in self.room.take_many(len(self.room)):
            if ticket.item.done():
                continue
            if isinstance(news, Gated):
                ticket.item.set_result(news)
            else:
                ticket.item.set_exception(news)


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or so long."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
