"""Processes that can die at any await, around one store and one venue with a book of its own (true_venue.py).

A killed process does nothing more to the world: whatever it asks from then on is never asked, and what it was told last
it never learns. No handler of it runs where anybody could see. That is a SIGKILL, as far as others can tell.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeVar

from fake_store import FakeGates, FakeLimiter, FakeRecords
from fake_venue import VENUE
from fakes import Ports, World
from true_venue import CALLER, Book, Manner, TrueVenue, Truth, op_of
from virtual_time import FakeClock

from gateway.backends.fallback import FallbackLimiter, LocalLimiter
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import Claim, Claimed, Record, RecordId, Settlement, State, Step
from gateway.core.model import Account, Op, VenueId, Wait
from gateway.core.outcome import Outcome, Throttled
from gateway.core.wire import HELD_BACK, NotSent, SendResult, WireRequest
from gateway.desk import Desk
from gateway.dispatch import Patience
from gateway.ports import Limiter, LocalRecord, Outlook, Taken, TooFar, Unavailable, always
from gateway.voyage import Voyage, Voyages

T = TypeVar("T")
TRIP_S, STORE_TIMEOUT_S, LATE_S = 0.001, 0.1, 0.3
REPLICAS_MOST, AHEAD = 3, 6


class Store(Enum):
    """How the store answers."""

    UP = auto()
    DOWN = auto()
    DEAF = auto()
    """Does what it is asked, and nobody hears of it."""
    LATE = auto()
    """Does it when nobody waits any more."""


@dataclass(eq=False)
class Shared:
    """What all processes have in common."""

    clock: FakeClock
    book: Book
    venue: TrueVenue
    limiter: FakeLimiter
    records: FakeRecords
    store: Store = Store.UP
    over: bool = False
    departed: list[Slot] = field(default_factory=list)
    wishes: list["Wish"] = field(default_factory=list)
    ends: dict[RecordId, Outcome | None] = field(default_factory=dict)
    taken_back: list[Record] = field(default_factory=list)
    noises: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))
    late: set[asyncio.Task[object]] = field(default_factory=set)

    def watch(self, record: RecordId) -> None:
        """A record that has come to its end never leaves it. Called at every change of one."""
        kept = self.records.kept[record]
        if record in self.ends and self.ends[record] is not kept.outcome:
            self.taken_back.append(kept)
        if kept.state is State.TERMINAL:
            self.ends[record] = kept.outcome

    def flush(self) -> None:
        """The store loses everything, and knows that it did."""
        self.records.forget()
        self.ends.clear()
        self.limiter.hold()


@dataclass(eq=False)
class Life:
    """Between one process and the world."""

    shared: Shared
    dead: bool = False

    async def through(self, call: Coroutine[object, object, T]) -> T:
        """Ask the store, as a process that may die before, meanwhile and after."""
        await self.pause(TRIP_S, call)
        match self.shared.store:
            case Store.UP:
                answer = await call
                await self.pause(TRIP_S)
                return answer
            case Store.DOWN:
                call.close()
            case Store.DEAF:
                await call
            case Store.LATE:
                later = asyncio.ensure_future(_later(call))
                self.shared.late.add(later)
                later.add_done_callback(self.shared.late.discard)
        await self.pause(STORE_TIMEOUT_S)
        raise Unavailable("redis", "no answer in time")

    async def pause(self, seconds: float, call: "Coroutine[object, object, T] | None" = None) -> None:
        """Time passes; who is dead by then never goes on."""
        try:
            await asyncio.sleep(seconds)
            if self.dead:
                await self._for_ever()
        except BaseException:
            if call is not None:
                call.close()
            raise

    async def _for_ever(self) -> None:
        if self.shared.over:
            raise asyncio.CancelledError
        await asyncio.get_running_loop().create_future()


async def _later(call: Coroutine[object, object, object]) -> object:
    await asyncio.sleep(LATE_S)
    return await call


@dataclass(frozen=True, slots=True)
class MortalLimiter:
    """The shared limiter, as a mortal process reaches it."""

    life: Life
    inner: FakeLimiter

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        return await self.life.through(self.inner.reserve(demands, patience_us, most))

    async def give_back(self, slot: Slot) -> bool:
        return await self.life.through(self.inner.give_back(slot))

    async def confirm(self, slot: Slot) -> Slot | None:
        return await self.life.through(self.inner.confirm(slot))

    async def exchange(self, slot: Slot) -> Slot:
        return await self.life.through(self.inner.exchange(slot))

    async def postpone(self, slot: Slot, until: float) -> Slot:
        return await self.life.through(self.inner.postpone(slot, until))

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        return await self.life.through(self.inner.tighten(demand, stated))

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        return await self.life.through(self.inner.outlook(demands))

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        await self.life.through(self.inner.arm(demands))


@dataclass(frozen=True, slots=True)
class MortalRecords:
    """The shared records, likewise."""

    life: Life
    inner: FakeRecords

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        return await self.life.through(self.inner.claim(claim, demands, patience_us))

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        return await self.life.through(self.inner.mark_sent(record, fence, at_ms, probe=probe))

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        return await self.life.through(self.inner.settle(record, fence, settlement))

    async def get(self, record: RecordId) -> Record | None:
        return await self.life.through(self.inner.get(record))

    async def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        async def all_of_them() -> list[Account]:
            return [account async for account in self.inner.awaited(accounts)]

        for account in await self.life.through(all_of_them()):
            yield account

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        return await self.life.through(self.inner.take(account, at_ms, lease_ms, most=most, named=named))

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        return await self.life.through(self.inner.postpone(record, pause_ms, steps))

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        return await self.life.through(self.inner.restore(kept, lease_ms))


@dataclass(frozen=True, slots=True)
class MortalGates:
    """Gates that open again by themselves."""

    life: Life
    inner: FakeGates

    async def close(self, account: Account, refusal: Throttled) -> int:
        return await self.life.through(self._shut(account, refusal))

    async def _shut(self, account: Account, refusal: Throttled) -> int:
        wait_ms = await self.inner.close(account, refusal)
        asyncio.get_running_loop().call_later(wait_ms / 1000, self._open)
        return wait_ms

    def _open(self) -> None:
        self.inner.limiter.gate = None

    async def reopen(self, account: Account) -> None:
        await self.life.through(self.inner.reopen(account))

    async def standing(self, account: Account) -> Sequence[Gated]:
        return await self.life.through(self.inner.standing(account))


@dataclass(frozen=True, slots=True)
class MortalSender:
    """A process's way to the venue. What has left goes on without it."""

    life: Life
    asking: Callable[[str], frozenset[int]]

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        del venue, timeout_ms, urgent
        await self.life.pause(TRIP_S)
        book, op = self.life.shared.book, op_of(request)
        if op is not Op.READ and book.cancels and book.cancels[0].manner is Manner.UNREACHABLE:
            book.cancels.popleft()
            return NotSent("no connection")
        if not may_leave():
            return HELD_BACK
        answering = asyncio.ensure_future(self.life.shared.venue.answer(book, request, self._callers(op)))
        result = await asyncio.shield(answering)
        await self.life.pause(0)
        return result

    def _callers(self, op: Op) -> Callable[[str], frozenset[int]]:
        """For whom it leaves: a batch is sent in the name of the last who boarded, and carries the others, too."""
        if op is Op.BATCH:
            return self.asking
        caller = CALLER.get()
        assert op is Op.READ or caller is not None, "a cancel that nobody asked for"
        return lambda _: frozenset() if caller is None else frozenset({caller})


class SlotsSeen(Voyages):
    """Voyages that tell of each slot under which something left."""

    seen: list[Slot]

    def depart(self, venue: VenueId, slot: Slot, now: float) -> Voyage:
        """A request leaves."""
        self.seen.append(slot)
        return super().depart(venue, slot, now)


def request_id(number: int) -> str:
    """By which a record tells whose it is."""
    return f"wish-{number}"


@dataclass(eq=False)
class Wish:
    """A caller's request, and what he was told when, with the truth of that moment; nothing where his process died."""

    number: int
    asked: Asked
    process: "Mortal"
    patience: Patience = field(default_factory=Patience)
    task: "asyncio.Task[None] | None" = None
    answer: Answer | None = None
    truth_then: Truth | None = None

    @property
    def ref(self) -> str:
        return self.asked.cancel.order.value


class Mortal(World):
    """One process on shared ground; `desks` and everything else are as in World."""

    def __init__(self, shared: Shared, *, hears: bool = True) -> None:
        self.shared = shared
        self.life = Life(shared)
        desk = Desk(shared.venue, shared.venue.quotas, reserve=2, timeout_ms=2000, default_account="desk-a")
        super().__init__(clock=shared.clock, desks={VENUE: desk})
        self.follower.bell.heard = hears
        self.walking = asyncio.ensure_future(self.watchman.walk())

    def _ports(self) -> Ports:
        shared, life = self.shared, self.life
        self.venue, self.limiter, self.records = shared.venue, shared.limiter, shared.records
        self.gates = FakeGates(self.limiter)
        local = LocalLimiter(self.clock, REPLICAS_MOST, AHEAD)
        steady = FallbackLimiter(MortalLimiter(life, self.limiter), local, self._probe, lambda *_: None)
        self.fallback = steady
        gates = MortalGates(life, self.gates)
        return Ports(steady, MortalRecords(life, self.records), MortalSender(life, self._asking), steady, gates)

    def noise(self, count: int) -> bytes:
        """No two records have one name."""
        return next(self.shared.noises).to_bytes(count, "big")

    async def _probe(self, holders: Iterable[Account]) -> None:
        del holders
        await self.life.through(_nothing())

    def _voyages(self, limiter: Limiter) -> Voyages:
        voyages = SlotsSeen(self.clock, limiter)
        object.__setattr__(voyages, "seen", self.shared.departed)
        return voyages

    def _asking(self, ref: str) -> frozenset[int]:
        """Who of this process waits for an answer about an order."""
        return frozenset(
            wish.number
            for wish in self.shared.wishes
            if wish.process is self and wish.ref == ref and wish.answer is None
        )

    def kill(self) -> None:
        """SIGKILL."""
        self.life.dead = True
        self.walking.cancel()

    def ref_asked(self, ref: str, within_s: float, wait: Wait) -> Asked:
        """A request under a key that is the order's own."""
        return self.ask(ref, key=f"key-{ref}", within_s=within_s, wait=wait)

    def wish(self, asked: Asked) -> Wish:
        """Somebody asks here."""
        number = len(self.shared.wishes)
        wish = Wish(number, replace(asked, request_id=request_id(number)), self)
        self.shared.wishes.append(wish)
        wish.task = asyncio.ensure_future(self._told(wish))
        return wish

    async def _told(self, wish: Wish) -> None:
        CALLER.set(wish.number)
        answer = await self.pipeline.cancel(wish.asked, wish.patience)
        if not self.life.dead:
            wish.answer, wish.truth_then = answer, self.shared.book.orders[wish.ref].truth


async def _nothing() -> None:
    return


def shared_ground(clock: FakeClock, batch_most: int = 0) -> Shared:
    """A store and a venue, before anybody came."""
    story: list[str] = []
    venue = TrueVenue(id=VENUE, batch_most=batch_most)
    limiter = FakeLimiter(clock, story)
    shared = Shared(clock, Book(clock), venue, limiter, FakeRecords(clock, limiter, story))
    shared.records.bells.append(shared.watch)
    return shared
