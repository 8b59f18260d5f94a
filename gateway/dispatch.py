"""Late binding: cancels wait here, per venue, account and limit, until a slot matures; then the best of them goes.

A slot is anonymous until it matures. While somebody waits, a line holds one reserved slot ahead, and one more while
somebody urgent waits (which may come out of the reserve). Whoever is best *then* gets it, so an urgent cancel passes a
thousand waiting ones, nobody polls, and a caller that left costs no slot.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Demand, Spending
from gateway.core.fairness import Ticket, WaitingRoom, drain_us
from gateway.core.model import Account, Lane, VenueId
from gateway.ports import Clock, Limiter, Slot, TooFar, Unavailable

FOREVER_US = 3_600_000_000
US_PER_S = 1_000_000
URGENT_LANES = (Lane.KILL, Lane.URGENT)
PACE_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Seat:
    """What a cancel brings to the line, and until when (monotonic seconds) a slot is of use to it."""

    account: Account
    spending: Spending
    lane: Lane
    caller: str
    weight: int
    deadline: float


@dataclass(frozen=True, slots=True)
class OverDeadline:
    """No slot before the deadline; the next one for this seat is about `wait_us` away."""

    wait_us: int


@dataclass(frozen=True, slots=True)
class Full:
    """As many wait as may, in all or of this caller."""

    detail: str


Admission = Slot | OverDeadline | Full


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most cancels that may wait in this process, in all and of one caller."""

    waiting: int = 10_000
    per_caller: int = 2_000


@dataclass(slots=True, eq=False)
class Line:
    """Those who wait for the same tokens, and the slots that are held for them."""

    account: Account
    spending: Spending
    room: WaitingRoom[asyncio.Future[Slot]] = field(default_factory=WaitingRoom)
    held: list[Slot] = field(default_factory=list)
    holders: dict[bool, asyncio.Task[None]] = field(default_factory=dict)
    deserted: asyncio.Event = field(default_factory=asyncio.Event)
    pace_s: float = 0.0
    last_slot_at: float | None = None

    def wanted(self, *, urgent: bool) -> bool:
        """Whether a slot of this kind would find a taker."""
        return any(self.room.count(lane) for lane in URGENT_LANES) if urgent else len(self.room) > 0

    def wait_us(self, ahead: int, now: float) -> int:
        """How long somebody with so many ahead of him waits, as far as can be known.

        Other replicas take slots too, so the pace that this line has seen counts where it is slower than the limit's.
        """
        first_s = max(0.0, min(slot.matures_at for slot in self.held) - now) if self.held else 0.0
        behind_us = max(drain_us(self.spending.urgent, ahead), int(self.pace_s * ahead * US_PER_S))
        return int(first_s * US_PER_S) + behind_us

    def note_slot(self, slot: Slot) -> None:
        """Learn from a slot how far apart they come."""
        if self.last_slot_at is not None:
            gap_s = max(0.0, slot.matures_at - self.last_slot_at)
            self.pace_s = gap_s * PACE_WEIGHT + self.pace_s * (1 - PACE_WEIGHT)
        self.last_slot_at = slot.matures_at


class Dispatcher:
    """The lines of this process."""

    def __init__(self, limiter: Limiter, clock: Clock, bounds: Bounds) -> None:
        self._limiter = limiter
        self._clock = clock
        self._bounds = bounds
        self._lines: dict[tuple[Demand, ...], Line] = {}
        self._by_caller: dict[str, int] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait in all."""
        return self._waiting

    def must_wait(self, spending: Spending, lane: Lane) -> bool:
        """Whether somebody waits whom a newcomer of this lane must not pass."""
        line = self._lines.get(spending.urgent)
        if line is None:
            return False
        return line.wanted(urgent=True) or (lane not in URGENT_LANES and line.wanted(urgent=False))

    def depth(self, account: Account) -> Mapping[Lane, int]:
        """How many wait for an account, by lane."""
        lines = [line for line in self._lines.values() if line.account == account]
        return {lane: sum(line.room.count(lane) for line in lines) for lane in Lane}

    def depths(self, venues: Iterable[VenueId]) -> Mapping[VenueId, Mapping[Lane, int]]:
        """How many wait for each venue, by lane."""
        counts = {venue: dict.fromkeys(Lane, 0) for venue in venues}
        for line in self._lines.values():
            for lane in Lane:
                counts[line.account.venue][lane] += line.room.count(lane)
        return counts

    def wait_us(self, seat: Seat) -> int:
        """How long a newcomer would wait behind those who are here; 0 where nobody waits."""
        line = self._lines.get(seat.spending.urgent)
        if line is None:
            return 0
        return line.wait_us(line.room.ahead_of(seat.lane, seat.caller, seat.weight), self._clock.monotonic())

    async def admit(self, seat: Seat) -> Admission:
        """Wait for a slot, or be told at once that none comes in time."""
        if full := self._full(seat):
            return full
        now = self._clock.monotonic()
        if now + (wait_us := self.wait_us(seat)) / US_PER_S > seat.deadline:
            return OverDeadline(wait_us)
        line = self._lines.get(seat.spending.urgent)
        if line is None:
            line = self._lines[seat.spending.urgent] = Line(seat.account, seat.spending)
        return await self._wait(line, seat)

    async def aclose(self) -> None:
        """Stop holding slots; those who still wait are cancelled with their requests."""
        holders = [holder for line in self._lines.values() for holder in line.holders.values()]
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)

    def _full(self, seat: Seat) -> Full | None:
        if self._waiting >= self._bounds.waiting:
            return Full(f"{self._waiting} cancels wait already")
        if self._by_caller.get(seat.caller, 0) >= self._bounds.per_caller:
            return Full(f"{self._bounds.per_caller} cancels of this caller wait already")
        return None

    async def _wait(self, line: Line, seat: Seat) -> Admission:
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        ticket = Ticket(turn, seat.lane, seat.caller, seat.weight, seat.deadline)
        self._join(line, ticket)
        timer = asyncio.get_running_loop().call_later(max(0.0, seat.deadline - self._clock.monotonic()), _expire, turn)
        try:
            return await turn
        except TimeoutError:
            return OverDeadline(line.wait_us(0, self._clock.monotonic()))
        finally:
            timer.cancel()
            self._leave(line, ticket)

    def _join(self, line: Line, ticket: Ticket[asyncio.Future[Slot]]) -> None:
        line.room.join(ticket)
        line.deserted.clear()
        self._waiting += 1
        self._by_caller[ticket.caller] = self._by_caller.get(ticket.caller, 0) + 1
        for urgent in (False, True):
            if urgent not in line.holders and line.wanted(urgent=urgent):
                line.holders[urgent] = asyncio.create_task(self._hold(line, urgent=urgent))

    def _leave(self, line: Line, ticket: Ticket[asyncio.Future[Slot]]) -> None:
        line.room.leave(ticket)
        self._waiting -= 1
        left = self._by_caller[ticket.caller] - 1
        if left:
            self._by_caller[ticket.caller] = left
        else:
            del self._by_caller[ticket.caller]
        if not line.room:
            line.deserted.set()

    async def _hold(self, line: Line, *, urgent: bool) -> None:
        """Reserve, wait until the slot matures, hand it over; as long as somebody wants one."""
        try:
            while line.wanted(urgent=urgent):
                await self._hold_one(line, line.spending.urgent if urgent else line.spending.normal)
        except Unavailable as lost:
            for ticket in line.room.take_many(len(line.room)):
                _fail(ticket.item, lost)
        finally:
            del line.holders[urgent]
            if not line.holders and not line.room:
                self._lines.pop(line.spending.urgent, None)

    async def _hold_one(self, line: Line, demands: tuple[Demand, ...]) -> None:
        slot = await self._limiter.reserve(demands, FOREVER_US)
        if isinstance(slot, TooFar):
            await asyncio.sleep(slot.wait_us / US_PER_S)
            return
        line.note_slot(slot)
        line.held.append(slot)
        try:
            await self._until_mature(line, slot)
        finally:
            line.held.remove(slot)
        if not _hand_over(line, slot):
            await self._limiter.give_back(slot)

    async def _until_mature(self, line: Line, slot: Slot) -> None:
        """Sleep until the slot may be used, or until nobody is left to use it."""
        left_s = slot.matures_at - self._clock.monotonic()
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(left_s):
                await line.deserted.wait()
        except TimeoutError:
            return


def _hand_over(line: Line, slot: Slot) -> bool:
    """Give a mature slot to the best who waits; False where nobody does."""
    while (ticket := line.room.take()) is not None:
        if not ticket.item.done():
            ticket.item.set_result(slot)
            return True
    return False


def _expire(turn: asyncio.Future[Slot]) -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())


def _fail(turn: asyncio.Future[Slot], lost: Unavailable) -> None:
    if not turn.done():
        turn.set_exception(lost)
