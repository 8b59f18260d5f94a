"""Who goes next: cancels wait in line here, per venue, account and limit, until a slot matures.

Slots are anonymous until they mature: a line holds one reserved slot while somebody waits, and gives it to whoever
is first *then*. So nobody polls, and a caller that left costs no slot.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Demand, expected_wait_us
from gateway.core.model import Account, Lane
from gateway.ports import Clock, Limiter, Slot, TooFar, Unavailable

FOREVER_US = 3_600_000_000
SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Seat:
    """What a cancel brings to the line: what it spends, and until when (monotonic seconds) it is of use."""

    account: Account
    demands: tuple[Demand, ...]
    lane: Lane
    caller: str
    deadline: float


@dataclass(frozen=True, slots=True)
class OverDeadline:
    """No slot before the deadline; the next one for this seat is `wait_us` away."""

    wait_us: int


@dataclass(frozen=True, slots=True)
class Full:
    """The line is as long as it may get, in all or for this caller."""

    detail: str


Admission = Slot | OverDeadline | Full


@dataclass(slots=True, eq=False)
class _Waiter:
    seat: Seat
    turn: asyncio.Future[Slot] = field(repr=False)


@dataclass(slots=True, eq=False)
class _Line:
    """Those who wait for the same tokens, in the order they came."""

    demands: tuple[Demand, ...]
    waiters: deque[_Waiter] = field(default_factory=deque)
    next_slot: Slot | None = None
    serving: asyncio.Task[None] | None = None

    def wait_us(self, ahead: int, now: float) -> int:
        """How long somebody with so many ahead of him waits, as far as can be known."""
        first_us = max(0, int((self.next_slot.matures_at - now) * SECOND_US)) if self.next_slot else 0
        return first_us + expected_wait_us(self.demands, ahead)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most cancels that may wait, in all and of one caller."""

    waiting: int = 10_000
    per_caller: int = 2_000


class Dispatcher:
    """The lines of this process."""

    def __init__(self, limiter: Limiter, clock: Clock, bounds: Bounds) -> None:
        self._limiter = limiter
        self._clock = clock
        self._bounds = bounds
        self._lines: dict[tuple[Demand, ...], _Line] = {}
        self._by_caller: dict[str, int] = {}
        self._waiting = 0

    def queued(self, demands: tuple[Demand, ...]) -> bool:
        """Whether somebody waits for these tokens, so that a newcomer must not pass him."""
        return demands in self._lines

    def depth(self, account: Account) -> Mapping[Lane, int]:
        """How many wait for an account, by lane."""
        counts = dict.fromkeys(Lane, 0)
        for line in self._lines.values():
            for waiter in line.waiters:
                if waiter.seat.account == account:
                    counts[waiter.seat.lane] += 1
        return counts

    def wait_us(self, demands: tuple[Demand, ...]) -> int:
        """How long a newcomer would wait behind those who are here; 0 where nobody waits."""
        line = self._lines.get(demands)
        return line.wait_us(len(line.waiters), self._clock.monotonic()) if line else 0

    async def admit(self, seat: Seat) -> Admission:
        """Wait for a slot, or be told at once that none comes in time."""
        if full := self._refusal(seat):
            return full
        line = self._lines.get(seat.demands) or self._open(seat.demands)
        now = self._clock.monotonic()
        wait_us = line.wait_us(len(line.waiters), now)
        if now + wait_us / SECOND_US > seat.deadline:
            self._close_if_idle(line)
            return OverDeadline(wait_us)
        return await self._wait(line, seat)

    def _refusal(self, seat: Seat) -> Full | None:
        if self._waiting >= self._bounds.waiting:
            return Full(f"{self._waiting} cancels wait already")
        if self._by_caller.get(seat.caller, 0) >= self._bounds.per_caller:
            return Full(f"{self._bounds.per_caller} cancels of this caller wait already")
        return None

    def _open(self, demands: tuple[Demand, ...]) -> _Line:
        line = self._lines[demands] = _Line(demands)
        return line

    def _close_if_idle(self, line: _Line) -> None:
        if not line.waiters and line.serving is None:
            self._lines.pop(line.demands, None)

    async def _wait(self, line: _Line, seat: Seat) -> Admission:
        waiter = _Waiter(seat, asyncio.get_running_loop().create_future())
        line.waiters.append(waiter)
        self._count(seat.caller, 1)
        if line.serving is None:
            line.serving = asyncio.create_task(self._serve(line))
        try:
            async with asyncio.timeout(max(0.0, seat.deadline - self._clock.monotonic())):
                return await waiter.turn
        except TimeoutError:
            return OverDeadline(line.wait_us(0, self._clock.monotonic()))
        finally:
            self._count(seat.caller, -1)
            if waiter in line.waiters:
                line.waiters.remove(waiter)

    def _count(self, caller: str, change: int) -> None:
        self._waiting += change
        left = self._by_caller.get(caller, 0) + change
        if left:
            self._by_caller[caller] = left
        else:
            self._by_caller.pop(caller, None)

    async def _serve(self, line: _Line) -> None:
        """Reserve, wait until it matures, hand over; until nobody is left."""
        try:
            while line.waiters:
                await self._serve_one(line)
        except Unavailable as lost:
            for waiter in line.waiters:
                if not waiter.turn.done():
                    waiter.turn.set_exception(lost)
        finally:
            line.serving = None
            self._lines.pop(line.demands, None)

    async def _serve_one(self, line: _Line) -> None:
        slot = await self._limiter.reserve(line.demands, FOREVER_US)
        if isinstance(slot, TooFar):
            await asyncio.sleep(slot.wait_us / SECOND_US)
            return
        line.next_slot = slot
        await asyncio.sleep(max(0.0, slot.matures_at - self._clock.monotonic()))
        line.next_slot = None
        while line.waiters:
            waiter = line.waiters.popleft()
            if not waiter.turn.done():
                waiter.turn.set_result(slot)
                return
        await self._limiter.give_back(slot)
