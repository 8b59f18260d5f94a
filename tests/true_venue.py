"""A venue with a book of its own: what really became of each order, whatever its replies let anybody believe.

A request that was sent lives on without its sender: it may be lost, be late, be acted on and not answered. Each reply
says the truth or nothing; each order ends once. Tests judge answers and records by the book.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto

from fake_venue import FakeVenue
from virtual_time import FakeClock

from gateway.core.model import Op, OrderRef, Scope
from gateway.core.outcome import (
    AuthRefused,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    Verdict,
)
from gateway.core.wire import Reply, Unconfirmed, WireRequest

PATIENCE_S, BLIND_S = 2.0, 15.0
FAILED = ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)
UNCERTAIN = ReadBack(Outcome.CANCELLED)
GONE_BEFORE = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)

CALLER: ContextVar[int | None] = ContextVar("CALLER", default=None)
"""Whose request the code that runs now works for."""


class Truth(Enum):
    """What an order really is."""

    OPEN = auto()
    CANCELLED = auto()
    FILLED = auto()
    NEVER_WAS = auto()


SHOWS = {
    Truth.OPEN: OrderState.OPEN,
    Truth.CANCELLED: OrderState.CANCELLED,
    Truth.FILLED: OrderState.FILLED,
    Truth.NEVER_WAS: OrderState.MISSING,
}
TRUE_ENDS = {
    Truth.CANCELLED: Settled(Outcome.ALREADY_CANCELLED),
    Truth.FILLED: Settled(Outcome.TOO_LATE_FILLED),
    Truth.NEVER_WAS: Settled(Outcome.NOT_FOUND),
}


class Manner(Enum):
    """How the venue takes a request."""

    HONEST = auto()
    """Acts, and says what came of it."""
    ACKNOWLEDGING = auto()
    """Takes the cancel, says so, and acts later."""
    UNCERTAIN = auto()
    """Says that only the order can tell, and may act later."""
    REFUSING = auto()
    """Says that the cancel failed; only the order can tell why."""
    REJECTING = auto()
    THROTTLING = auto()
    DISTRUSTING = auto()
    """Refuses the credential."""
    GARBLED = auto()
    SILENT = auto()
    UNREACHABLE = auto()
    """No byte leaves."""


UNANSWERED = frozenset({Manner.UNCERTAIN, Manner.GARBLED, Manner.SILENT})
INACTIVE = frozenset({Manner.REFUSING, Manner.REJECTING, Manner.THROTTLING, Manner.DISTRUSTING})


@dataclass(frozen=True, slots=True)
class Conduct:
    """What one request meets: it is acted on after `acts_s`, or never, and answered after `takes_s`."""

    manner: Manner = Manner.HONEST
    acts_s: float | None = 0.0
    takes_s: float = 0.01


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one read meets: it shows the order as it was `stale_s` ago, if it shows it.

    A `blind` venue does not find an order whose cancel it has met and not answered, for some seconds.
    """

    manner: Manner = Manner.HONEST
    takes_s: float = 0.01
    stale_s: float = 0.0
    blind: bool = False


@dataclass(slots=True)
class TrueOrder:
    """An order, and when it ended."""

    truth: Truth = Truth.OPEN
    ended_at: float = 0.0

    def end(self, truth: Truth, now: float) -> bool:
        """Whether it was open until now."""
        if self.truth is not Truth.OPEN:
            return False
        self.truth, self.ended_at = truth, now
        return True

    def seen(self, at: float) -> Truth:
        """What it was then."""
        return Truth.OPEN if self.truth is not Truth.NEVER_WAS and at < self.ended_at else self.truth


@dataclass(slots=True, eq=False)
class Attempt:
    """One order in one request that left: for whom, and what came of it at the venue."""

    ref: str
    callers: frozenset[int]
    at: float
    conduct: Conduct
    acted: bool = False
    took_effect: bool = False
    acknowledged: bool = False
    definite: bool = False
    """Whether the caller's process was told for certain what this request came to."""


@dataclass(slots=True)
class Book:
    """The orders, every attempt on them, and how the venue means to take the next requests."""

    clock: FakeClock
    orders: dict[str, TrueOrder] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    reads: list[tuple[float, str, OrderState | None]] = field(default_factory=list)
    cancels: deque[Conduct] = field(default_factory=deque)
    glimpses: deque[Glimpse] = field(default_factory=deque)

    def of(self, ref: str) -> list[Attempt]:
        """Every attempt on one order."""
        return [attempt for attempt in self.attempts if attempt.ref == ref]

    def fill(self, ref: str) -> None:
        """The market was faster."""
        self.orders[ref].end(Truth.FILLED, self.clock.monotonic())

    def conduct(self) -> Conduct:
        """How the next cancel is taken."""
        return self.cancels.popleft() if self.cancels else Conduct()

    def glimpse(self) -> Glimpse:
        """How the next read is taken."""
        return self.glimpses.popleft() if self.glimpses else Glimpse()

    def still_coming(self, ref: str) -> bool:
        """Whether a cancel is under way that will be acted on."""
        return any(not each.acted and _acts(each.conduct) is not None for each in self.of(ref))

    def receive(self, ref: str, callers: frozenset[int], conduct: Conduct) -> Attempt:
        """A cancel has left; what it does it does without its sender."""
        attempt = Attempt(ref, callers, self.clock.monotonic(), conduct)
        self.attempts.append(attempt)
        acts_s = _acts(conduct)
        if acts_s is not None and acts_s <= 0:
            self._act(attempt)
        elif acts_s is not None:
            asyncio.get_running_loop().call_later(acts_s, self._act, attempt)
        return attempt

    def _act(self, attempt: Attempt) -> None:
        attempt.acted = True
        attempt.took_effect = self.orders[attempt.ref].end(Truth.CANCELLED, self.clock.monotonic())

    def verdict(self, attempt: Attempt) -> Verdict:
        """What the venue says of an attempt, once it comes to that."""
        truth = self.orders[attempt.ref].truth
        said = self._said(attempt, truth)
        attempt.acknowledged = isinstance(said, Settled) and said.outcome is Outcome.ACCEPTED
        attempt.definite = isinstance(said, Settled | Throttled | AuthRefused) and not attempt.acknowledged
        return said

    def _said(self, attempt: Attempt, truth: Truth) -> Verdict:  # noqa: PLR0911  one per manner
        match attempt.conduct.manner:
            case Manner.HONEST:
                return Settled(Outcome.CANCELLED) if attempt.took_effect else TRUE_ENDS[truth]
            case Manner.ACKNOWLEDGING:
                ended = truth is not Truth.OPEN and not attempt.took_effect
                return TRUE_ENDS[truth] if ended else Settled(Outcome.ACCEPTED)
            case Manner.UNCERTAIN:
                return UNCERTAIN
            case Manner.REFUSING:
                return FAILED if truth is Truth.OPEN else GONE_BEFORE
            case Manner.REJECTING:
                return Settled(Outcome.REJECTED) if truth is Truth.OPEN else TRUE_ENDS[truth]
            case Manner.THROTTLING:
                return Throttled(Scope.ACCOUNT, retry_after_ms=300)
            case Manner.DISTRUSTING:
                return AuthRefused()
            case _:
                return Unclear("garbled")

    def sighting(self, ref: str, glimpse: Glimpse) -> Sighting:
        """What a read shows."""
        match glimpse.manner:
            case Manner.GARBLED:
                return Unclear("garbled")
            case Manner.THROTTLING:
                return Throttled(Scope.ACCOUNT, retry_after_ms=300)
            case Manner.DISTRUSTING:
                return AuthRefused()
            case _ if glimpse.blind and self._is_out_of_sight(ref):
                return Seen(OrderState.MISSING)
            case _:
                return Seen(SHOWS[self.orders[ref].seen(self.clock.monotonic() - glimpse.stale_s)])

    def _is_out_of_sight(self, ref: str) -> bool:
        attempts = self.of(ref)
        unanswered = bool(attempts) and all(attempt.conduct.manner in UNANSWERED for attempt in attempts)
        return unanswered and self.clock.monotonic() - attempts[0].at < BLIND_S


def _acts(conduct: Conduct) -> float | None:
    """When a request is acted on: never where it is refused, and before the answer where that tells what came of it."""
    if conduct.manner in INACTIVE:
        return None
    if conduct.manner is Manner.HONEST:
        return min(conduct.acts_s or 0.0, conduct.takes_s / 2)
    return conduct.acts_s


@dataclass(slots=True)
class TrueVenue(FakeVenue):
    """Replies mean what the book said, also in a batch."""

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        del order
        return self.verdicts[int(reply.body)]

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        said = [self.verdicts[int(each)] for each in reply.body.split(b",")]
        assert len(said) == len(orders)
        return tuple(said)

    async def answer(
        self, book: Book, request: WireRequest, callers: Callable[[str], frozenset[int]]
    ) -> Reply | Unconfirmed:
        """Take a request that has left."""
        refs = refs_of(request)
        if request.method == "GET":
            return await self._shown(book, refs[0])
        attempts = [book.receive(ref, callers(ref), book.conduct()) for ref in refs]
        return await self._told(book, attempts)

    async def _shown(self, book: Book, ref: str) -> Reply | Unconfirmed:
        glimpse = book.glimpse()
        silent = glimpse.manner is Manner.SILENT or glimpse.takes_s >= PATIENCE_S
        await asyncio.sleep(PATIENCE_S if silent else glimpse.takes_s)
        sighting = Unclear("silence") if silent else book.sighting(ref, glimpse)
        book.reads.append((book.clock.monotonic(), ref, sighting.state if isinstance(sighting, Seen) else None))
        return Unconfirmed("timeout") if silent else self.shows(sighting)

    async def _told(self, book: Book, attempts: list[Attempt]) -> Reply | Unconfirmed:
        takes_s = max(attempt.conduct.takes_s for attempt in attempts)
        silent = takes_s >= PATIENCE_S or attempts[0].conduct.manner is Manner.SILENT
        await asyncio.sleep(min(takes_s, PATIENCE_S))
        if silent:
            return Unconfirmed("timeout")
        replies = [self.reply(book.verdict(attempt)) for attempt in attempts]
        return Reply(200, self.headers, b",".join(reply.body for reply in replies))


def refs_of(request: WireRequest) -> list[str]:
    """The orders that a request is about."""
    path = request.url.partition(".example/")[2].partition("?")[0]
    return path.removeprefix("batch/").split(",")


def op_of(request: WireRequest) -> Op:
    """What it wants."""
    if request.method == "GET":
        return Op.READ
    return Op.BATCH if "/batch/" in request.url else Op.CANCEL
