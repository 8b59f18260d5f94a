"""Late binding: cancels wait here, per venue, account and limit, until a slot matures; then the best of them goes.

A slot is anonymous until it matures (line.py). So an urgent cancel passes a thousand waiting ones, nobody polls, and a
caller that left costs no slot.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.admission import Fare, Gated
from gateway.core.fairness import Ticket
from gateway.core.model import Account, Lane, VenueId
from gateway.core.shut import Shut
from gateway.line import URGENT_LANES, US_PER_S, Boarding, Line, Turn
from gateway.ports import Clock, Limiter

if TYPE_CHECKING:
    from gateway.core.answer import Answer


class Patience:
    """The caller's end of a wait: whoever is told `leave` is out of the line at once.

    `so_far` says what is certain by now, for a caller who has to be answered before the end.
    """

    def __init__(self) -> None:
        self.left = False
        self.so_far: Callable[[], Answer] | None = None
        self._turn: Turn | None = None

    def leave(self) -> None:
        """The caller has gone; a request that is on its way already goes on."""
        self.left = True
        if self._turn is not None and not self._turn.done():
            self._turn.set_exception(CallerLeft())

    def wait_for(self, turn: Turn | None) -> None:
        """Whom to wake."""
        self._turn = turn
        if self.left:
            self.leave()


class CallerLeft(Exception):  # noqa: N818  what happened, not an error of ours
    """Nobody waits for the answer any more, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What a request brings to the line, and until when (monotonic seconds) a slot is of use to it."""

    account: Account
    fare: Fare
    lane: Lane
    caller: str
    weight: int
    deadline: float
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class OverDeadline:
    """No slot before the deadline; the next one for this seat is about `wait_us` away."""

    wait_us: int


@dataclass(frozen=True, slots=True)
class Full:
    """As many wait as may, in all or of this caller."""

    detail: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most requests that may wait in this process, in all and of one caller.

    Who goes is settled `lead_s` before its slot matures, and its record written meanwhile; the courier waits the rest.
    """

    waiting: int = 10_000
    per_caller: int = 2_000
    lead_s: float = 0.005


Refusal = OverDeadline | Full | Gated | Shut
Admission = Boarding | Refusal


class Dispatcher:
    """The lines of this process. `count_slot` is told what became of each slot."""

    def __init__(
        self, limiter: Limiter, clock: Clock, bounds: Bounds, count_slot: Callable[[VenueId, str], None]
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._bounds = bounds
        self._count_slot = count_slot
        self._lines: dict[str, Line] = {}
        self._by_caller: dict[str, int] = {}
        self._waiting = 0
        self._returning: set[asyncio.Future[None]] = set()
        self._closed: Shut | None = None

    @property
    def waiting(self) -> int:
        """How many wait in all."""
        return self._waiting

    def must_wait(self, fare: Fare, lane: Lane) -> bool:
        """Whether somebody waits whom a newcomer of this lane must not pass."""
        line = self._lines.get(fare.key)
        if line is None:
            return False
        return line.wanted(urgent=True) or (lane not in URGENT_LANES and line.wanted(urgent=False))

    def depths(self, venues: Iterable[VenueId]) -> Mapping[VenueId, Mapping[Lane, int]]:
        """How many wait for each venue, by lane."""
        return {
            venue: self._count([line for line in self._lines.values() if line.account.venue == venue])
            for venue in venues
        }

    def depth(self, account: Account) -> Mapping[Lane, int]:
        """How many wait for an account, by lane."""
        return self._count([line for line in self._lines.values() if line.account == account])

    @staticmethod
    def _count(lines: list[Line]) -> dict[Lane, int]:
        return {lane: sum(line.room.count(lane) for line in lines) for lane in Lane}

    def wait_us(self, seat: Seat) -> int:
        """How long a newcomer would wait behind those who are here; 0 where nobody waits."""
        line = self._lines.get(seat.fare.key)
        return 0 if line is None else line.wait_us(_ticket(seat))

    async def admit(self, seat: Seat) -> Admission:
        """Wait for a slot, or be told at once that none comes in time; raises CallerLeft, and Unavailable."""
        if (refused := self._closed or self._full(seat)) is not None:
            return refused
        if self._clock.monotonic() + (wait_us := self.wait_us(seat)) / US_PER_S > seat.deadline:
            return OverDeadline(wait_us)
        return await self._wait(self._lines.get(seat.fare.key) or self._open(seat), seat)

    def turn_away(self, news: Shut, whom: Callable[[Account], bool]) -> None:
        """Tell all who wait for these accounts that nothing comes, so that they can go elsewhere at once."""
        for line in tuple(self._lines.values()):
            if whom(line.account):
                line.tell_all(news)

    def close(self, news: Shut) -> None:
        """Turn all away who wait, and everybody who comes from now on."""
        self._closed = news
        self.turn_away(news, lambda _: True)

    async def aclose(self) -> None:
        """Stop holding slots."""
        await asyncio.gather(*(line.aclose() for line in tuple(self._lines.values())))

    def _full(self, seat: Seat) -> Full | None:
        """A kill is never turned away for those that it makes needless."""
        if seat.lane is Lane.KILL:
            return None
        if self._waiting >= self._bounds.waiting:
            return Full(f"{self._waiting} cancels wait already")
        if self._by_caller.get(seat.caller, 0) >= self._bounds.per_caller:
            return Full(f"{self._bounds.per_caller} cancels of this caller wait already")
        return None

    def _open(self, seat: Seat) -> Line:
        venue = seat.account.venue
        line = self._lines[seat.fare.key] = Line(
            seat.account,
            seat.fare,
            self._limiter,
            self._clock,
            closed=self._close,
            count_slot=lambda result: self._count_slot(venue, result),
            lead_s=self._bounds.lead_s,
            yields=lambda: self._kill_elsewhere(line),
        )
        return line

    def _kill_elsewhere(self, line: Line) -> bool:
        """Whether a kill of the same account waits in another line, for what may be the same tokens."""
        others = (other for other in self._lines.values() if other.account == line.account and other is not line)
        return not line.room.count(Lane.KILL) and any(other.room.count(Lane.KILL) for other in others)

    def _close(self, line: Line) -> None:
        self._lines.pop(line.fare.key, None)

    async def _wait(self, line: Line, seat: Seat) -> Admission:
        loop = asyncio.get_running_loop()
        ticket = _ticket(seat)
        turn = ticket.item
        line.join(ticket)
        self._bump(seat.caller, 1)
        timer = loop.call_later(max(0.0, seat.deadline - self._clock.monotonic()), _expire, turn)
        seat.patience.wait_for(turn)
        try:
            return await turn
        except TimeoutError:
            return OverDeadline(line.wait_us(ticket))
        except asyncio.CancelledError:
            self._return(line, turn)
            raise
        finally:
            seat.patience.wait_for(None)
            timer.cancel()
            line.leave(ticket)
            self._bump(seat.caller, -1)

    def _return(self, line: Line, turn: Turn) -> None:
        """Whoever is cancelled in the tick of the hand-over leaves the slot to the next."""
        if not turn.done() or turn.cancelled() or turn.exception() is not None:
            return
        if isinstance(boarding := turn.result(), Boarding):
            returning = asyncio.ensure_future(line.put_back(boarding))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)

    def _bump(self, caller: str, change: int) -> None:
        self._waiting += change
        left = self._by_caller.get(caller, 0) + change
        if left:
            self._by_caller[caller] = left
        else:
            del self._by_caller[caller]


def _ticket(seat: Seat) -> Ticket[Turn]:
    turn: Turn = asyncio.get_running_loop().create_future()
    return Ticket(turn, seat.lane, seat.caller, seat.weight, seat.deadline)


def _expire(turn: Turn) -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())
