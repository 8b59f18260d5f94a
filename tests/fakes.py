"""The world of the pipeline by hand: every port as a small honest thing in memory, and one place that joins them.

`World()` inside a test on virtual time has it all. `world.story` tells in which order the ports were called.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_store import FakeGates, FakeLimiter, FakeRecords
from fake_venue import VENUE, FakeSigner, FakeVenue
from virtual_time import FakeClock, loop_clock

from gateway.again import Retries
from gateway.backends.steady_records import SteadyRecords
from gateway.breakers import Breakers, Change
from gateway.core.admission import Demand
from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import RecordId
from gateway.core.listing import Listing
from gateway.core.model import Account, By, Cancel, Lane, Op, OrderRef, Scope, VenueId, Wait
from gateway.core.outcome import (
    OrderState,
    Outcome,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Verdict,
)
from gateway.core.trail import Decision
from gateway.core.wire import HELD_BACK, NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.courier import Courier
from gateway.desk import Desk
from gateway.dispatch import Bounds, Dispatcher
from gateway.errand import Errands
from gateway.follow import Follower
from gateway.gangway import Gangway
from gateway.guard import GuardedSender
from gateway.kill import Killer
from gateway.kill_calls import Hands
from gateway.offsets import Offsets
from gateway.pipeline import Pipeline
from gateway.planner import Planner
from gateway.ports import (
    Condition,
    Continuity,
    Gates,
    Limiter,
    NoSigner,
    RecordStore,
    Sender,
    Unavailable,
    Unlocked,
    always,
)
from gateway.reader import Reader
from gateway.resolve import Resolver
from gateway.settle import Settler
from gateway.survey import Survey
from gateway.voyage import Voyages
from gateway.watchman import Watchman
from gateway.weather import Weather
from gateway.web.codec import answer_body
from gateway.web.kill_codec import kill_body

if TYPE_CHECKING:
    from gateway.venues.base import Shown

GIVE_UP_MS = 3_600_000
DESK_A = Account(VENUE, "desk-a")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that left, and when (monotonic seconds)."""

    at: float
    request: WireRequest

    @property
    def ref(self) -> str:
        return self.request.url.partition(".example/")[2].partition("?")[0]

    @property
    def key(self) -> str:
        return dict(self.request.headers)["x-key"]


class FakeSender:
    """Answers cancels and reads as scripted, the last answer for ever; each takes `takes_s`."""

    def __init__(self, clock: FakeClock, venue: FakeVenue, story: list[str]) -> None:
        self.clock = clock
        self.venue = venue
        self.story = story
        self.on_cancel: list[Verdict | NotSent | Unconfirmed] = [Settled(Outcome.CANCELLED)]
        self.on_read: list[Sighting | NotSent | Unconfirmed] = [Seen(OrderState.CANCELLED)]
        self.takes_s = 0.0
        self.connects_s = 0.0
        self.on_batch: Unconfirmed | None = None
        self.batches: list[list[str]] = []
        self.cancels: list[Sent] = []
        self.reads: list[Sent] = []
        self.urgent: list[bool] = []
        self.wides: list[Sent] = []
        self.on_list: Callable[[WireRequest], Shown | NotSent | Unconfirmed] = lambda _: Listing(())
        self.on_all: Callable[[WireRequest], Verdict | NotSent | Unconfirmed] = lambda _: Settled(Outcome.ACCEPTED)

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        self.urgent.append(urgent)
        assert (venue, timeout_ms) == (VENUE, 2000)
        await asyncio.sleep(self.connects_s)
        if not may_leave():
            return HELD_BACK
        if "/batch/" in request.url:
            return await self._batch(request)
        if "/list/" in request.url or "/all/" in request.url:
            return await self._wide(request)
        reading = request.method == "GET"
        self.story.append("read" if reading else "send")
        (self.reads if reading else self.cancels).append(Sent(self.clock.monotonic(), request))
        if reading:
            seen = self.on_read.pop(0) if len(self.on_read) > 1 else self.on_read[0]
            await asyncio.sleep(self.takes_s)
            return seen if isinstance(seen, NotSent | Unconfirmed) else self.venue.shows(seen)
        said = self.on_cancel.pop(0) if len(self.on_cancel) > 1 else self.on_cancel[0]
        await asyncio.sleep(self.takes_s)
        return said if isinstance(said, NotSent | Unconfirmed) else self.venue.reply(said)

    async def _wide(self, request: WireRequest) -> SendResult:
        """A page of the list, or a cancel-all; `on_all` empties the book that `open` stands for."""
        listing = "/list/" in request.url
        self.story.append("list" if listing else "all")
        self.wides.append(Sent(self.clock.monotonic(), request))
        await asyncio.sleep(self.takes_s)
        said = (self.on_list if listing else self.on_all)(request)
        if isinstance(said, NotSent | Unconfirmed):
            return said
        if isinstance(said, Listing):
            self.venue.lists.append(said)
            return Reply(200, {}, str(len(self.venue.lists) - 1).encode())
        book: list[Any] = self.venue.lists if listing else self.venue.alls
        book.append(said)
        return Reply(200, {}, str(len(book) - 1).encode())

    async def _batch(self, request: WireRequest) -> SendResult:
        self.batches.append(request.url.partition("/batch/")[2].partition("?")[0].split(","))
        await asyncio.sleep(self.takes_s)
        return Reply(200, {}, b"batch") if self.on_batch is None else self.on_batch


class FakeCredentials:
    """One signer for every account unless `known` says otherwise; `renewed` is what a renewal brings."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.known: dict[Account, Unlocked | NoSigner] = {}
        self.renewed: Unlocked | NoSigner = Unlocked(FakeSigner("key-2"), "2")
        self.refused: list[Unlocked] = []
        self.renewal_s = 0.0
        self.proofs: list[tuple[Account, str]] = []
        self.names: Sequence[str] = ("desk-b", "desk-a")
        self.down = False

    async def unlock(self, account: Account) -> Unlocked | NoSigner:
        self.story.append("unlock")
        return self.known.get(account, Unlocked(FakeSigner(), "1"))

    async def renew(self, account: Account, refused: Unlocked) -> Unlocked | NoSigner:
        del account
        self.story.append("renew")
        self.refused.append(refused)
        await asyncio.sleep(self.renewal_s)
        return self.renewed

    async def accounts(self, venue: VenueId) -> Sequence[str]:
        del venue
        if self.down:
            raise Unavailable("store", "down")
        return self.names

    def proved(self, account: Account, unlocked: Unlocked) -> None:
        self.proofs.append((account, unlocked.version))

    def condition(self, account: Account) -> Condition:
        known = self.known.get(account)
        return Condition("unavailable", known.detail, None) if isinstance(known, NoSigner) else Condition("ok", "", "1")


@dataclass(slots=True)
class FakeContinuity:
    """Degraded from the first loss on."""

    degraded: bool = False
    losses: list[str] = field(default_factory=list)

    def lose(self, reason: str) -> None:
        self.degraded = True
        self.losses.append(reason)


@dataclass(slots=True)
class RecordingMeter:
    """Keeps what is counted."""

    answers: list[tuple[str | None, Lane, Outcome, float]] = field(default_factory=list)
    replays: list[VenueId] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    sends: list[tuple[float, tuple[Demand, ...]]] = field(default_factory=list)
    slots: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[Lane, float]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    terminals: list[float] = field(default_factory=list)
    in_vain: list[VenueId] = field(default_factory=list)
    resolutions: list[tuple[Outcome, float]] = field(default_factory=list)
    unknown: dict[Account, int] = field(default_factory=dict)
    shut: list[Throttled] = field(default_factory=list)
    gates: list[tuple[Scope, float]] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)

    def retried(self, venue: VenueId, reason: str) -> None:
        del venue
        self.retries[reason] += 1

    def gate_shut(self, venue: VenueId, refusal: Throttled) -> None:
        del venue
        self.shut.append(refusal)

    def gated(self, venue: VenueId, scope: Scope, wait_s: float) -> None:
        del venue
        self.gates.append((scope, wait_s))

    def answered(self, venue: str | None, lane: Lane, outcome: Outcome, seconds: float, request_id: str) -> None:
        del request_id
        self.answers.append((venue, lane, outcome, seconds))

    def phase(self, venue: VenueId, verb: str, seconds: float) -> None:
        del venue
        self.phases.append((verb, seconds))

    def sent(self, demands: tuple[Demand, ...], at: float) -> None:
        self.sends.append((at, demands))

    def slot(self, venue: VenueId, result: str) -> None:
        del venue
        self.slots[result] += 1

    def waited(self, venue: VenueId, lane: Lane, seconds: float) -> None:
        del venue
        self.waits.append((lane, seconds))

    def batch(self, venue: VenueId, orders: int) -> None:
        del venue
        self.batches.append(orders)

    def unknown_open(self, account: Account, records: int) -> None:
        self.unknown[account] = records

    def terminal(self, venue: VenueId, seconds: float, request_id: str) -> None:
        del venue, request_id
        self.terminals.append(seconds)

    def replayed(self, venue: VenueId) -> None:
        self.replays.append(venue)

    def waited_in_vain(self, venue: VenueId) -> None:
        self.in_vain.append(venue)

    def resolved(self, venue: VenueId, outcome: Outcome, age_s: float, request_id: str) -> None:
        del venue, request_id
        self.resolutions.append((outcome, age_s))


@dataclass(slots=True)
class RecordingTrail:
    """Keeps what is decided."""

    decisions: list[Decision] = field(default_factory=list)

    def note(self, what: Decision) -> None:
        self.decisions.append(what)


@dataclass(slots=True)
class RecordingLog:
    """Keeps what is told."""

    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)

    def done(self, fields: Mapping[str, object]) -> None:
        self.events.append(("cancel.done", dict(fields)))

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def lines_lost(self) -> int:
        return 0

    def broke(self, request_id: str, error: BaseException) -> None:
        del request_id
        self.bugs.append(error)


@dataclass(frozen=True, slots=True)
class Ports:
    """What the parts under test see of the shared state and the venue."""

    limiter: Limiter
    records: RecordStore
    sender: Sender
    continuity: Continuity
    gates: Gates


class World:
    """One process with everything in it, on the running loop's virtual time; `beside` it may run another one."""

    def __init__(
        self,
        *,
        reserve: int = 2,
        bounds: Bounds | None = None,
        beside: "World | None" = None,
        batch_most: int = 0,
        clock: FakeClock | None = None,
        desks: dict[VenueId, Desk] | None = None,
    ) -> None:
        self.clock = clock or loop_clock()
        self.served: Sequence[Account] = (DESK_A,)
        self.story: list[str] = beside.story if beside else []
        self.venue: FakeVenue = beside.venue if beside else FakeVenue(batch_most=batch_most)
        self.limiter: FakeLimiter = beside.limiter if beside else FakeLimiter(self.clock, self.story)
        self.records: FakeRecords = beside.records if beside else FakeRecords(self.clock, self.limiter, self.story)
        self.sender: FakeSender = beside.sender if beside else FakeSender(self.clock, self.venue, self.story)
        self.credentials = self._credentials()
        self.continuity = FakeContinuity()
        self.meter = RecordingMeter()
        self.trail = RecordingTrail()
        self.log = RecordingLog()
        self.restored: list[tuple[int, int]] = []
        self.desk = Desk(self.venue, self.venue.quotas, reserve, timeout_ms=2000, default_account="desk-a")
        self.desks = {VENUE: self.desk} if desks is None else desks
        self.noises: Iterator[int] = beside.noises if beside else iter(range(1, 1_000_000))
        self._join(bounds or Bounds(lead_s=0.0))

    def _credentials(self) -> FakeCredentials:
        return FakeCredentials(self.story)

    def _ports(self) -> Ports:
        """The fakes themselves, unless a test puts something between."""
        self.gates = FakeGates(self.limiter)
        return Ports(self.limiter, self.records, self.sender, self.continuity, self.gates)

    def _join(self, bounds: Bounds) -> None:
        """The one place where the parts under test are built."""
        ports = self._ports()
        limiter, continuity = ports.limiter, ports.continuity
        self.dispatcher = Dispatcher(limiter, self.clock, bounds, self.meter.slot)
        self.changes: list[Change] = []
        self.breakers = Breakers(dict.fromkeys(self.desks, 2.0), self.clock, lambda: 1.0, self._changed)
        self.clock_words: list[tuple[str, int]] = []
        rules = {venue: self.venue if venue == VENUE else None for venue in self.desks}
        self.offsets = Offsets(rules, self.clock, lambda _, word, ms: self.clock_words.append((word, ms)))
        self.weather = Weather(self.breakers, self.offsets)
        self.voyages = self._voyages(limiter)
        self.gangway = Gangway()
        self.courier = Courier(
            self.clock,
            limiter,
            ports.gates,
            continuity,
            GuardedSender(ports.sender, self.breakers),
            self.meter,
            self.weather,
            self.voyages,
            self.gangway,
        )
        self.reader = Reader(self.clock, self.dispatcher, self.courier, self.trail)
        self.steady = SteadyRecords(ports.records, self.clock, continuity, self._restored)
        self.resolver = Resolver(
            desks=self.desks,
            clock=self.clock,
            credentials=self.credentials,
            records=self.steady,
            reader=self.reader,
            meter=self.meter,
            log=self.log,
            encode=self.encode,
            chance=lambda: 0.5,
            give_up_ms=GIVE_UP_MS,
            trail=self.trail,
        )
        self.watchman = Watchman(self.clock, self.resolver, continuity, self._accounts, self.log, chance=lambda: 0.5)
        self.follower = Follower(self.clock, self.steady, self.resolver)
        self.records.bells.append(self._hear)
        self.errands = Errands(self.clock, self.courier, self.meter, self.trail)
        self.killer = Killer(
            self.desks,
            Hands(self.clock, self.credentials, self.dispatcher, self.courier, self.errands, self.trail),
            self.steady,
            self.follower,
            self.limiter,
            self.continuity,
            self.noise,
            lambda kill, tally: kill_body(kill, tally, self.clock.now_ms()),
        )
        self.pipeline = Pipeline(
            desks=self.desks,
            clock=self.clock,
            credentials=self.credentials,
            records=self.steady,
            weather=self.weather,
            retries=Retries(self.clock, self.meter, lambda: 1.0),
            gangway=self.gangway,
            dispatcher=self.dispatcher,
            errands=self.errands,
            reader=self.reader,
            follower=self.follower,
            continuity=continuity,
            meter=self.meter,
            noise=self.noise,
            settler=Settler(
                self.clock, self.steady, self.follower.bell, continuity, self.meter, self.encode, self.trail
            ),
            trail=self.trail,
        )
        self.planner = Planner(self.desks, self.clock, self.credentials, limiter, self.dispatcher, self.weather)
        self.survey = Survey(
            self.desks, self.credentials, limiter, self.dispatcher, ports.gates, continuity, self.weather
        )

    def _voyages(self, limiter: Limiter) -> Voyages:
        return Voyages(self.clock, limiter)

    def _changed(self, change: Change) -> None:
        self.changes.append(change)
        if change.shut is not None:
            self.dispatcher.turn_away(change.shut, change.concerns)

    def _restored(self, written: int, dropped: int) -> None:
        self.restored.append((written, dropped))

    async def _accounts(self) -> Sequence[Account]:
        return self.served

    def _hear(self, record: RecordId) -> None:
        if self.follower.bell.heard:
            self.follower.bell.ring_from_afar(record)

    def noise(self, count: int) -> bytes:
        return next(self.noises).to_bytes(count, "big")

    def encode(self, asked: Asked, answer: Answer) -> bytes:
        return answer_body(asked, answer, self.clock.now_ms())

    def ask(
        self,
        ref: str = "1",
        by: By = By.ORDER_ID,
        *,
        caller: str = "desk",
        lane: Lane = Lane.NORMAL,
        within_s: float = 5.0,
        key: str | None = None,
        wait: Wait = Wait.ACK,
        account: Account = DESK_A,
    ) -> Asked:
        """A request that comes now."""
        cancel = Cancel(account, OrderRef(by, ref))
        return Asked(cancel, caller, lane, f"request-{ref}", self.clock.monotonic() + within_s, 1, key, wait)

    def spend(self, times: int, op: Op = Op.CANCEL) -> None:
        """Somebody else has just used so many slots."""
        self.limiter.spend(self.desk.fare(DESK_A, op, By.ORDER_ID).single.urgent, times)
