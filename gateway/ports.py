"""What the pipeline needs from the world, as Protocols. `backends/` answers them; tests bring their own."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.core.access import Denied
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.idempotency import Claim, Claimed, Record, RecordId, Settlement, Step
from gateway.core.model import Account, Lane, Scope, VenueId
from gateway.core.outcome import Outcome, Throttled
from gateway.core.trail import Decision
from gateway.core.wire import SendResult, WireRequest
from gateway.venues.base import Signer


class Unavailable(Exception):  # noqa: N818  a lost dependency is a condition, not a bug
    """A dependency did not answer in time, or refused."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Clock(Protocol):
    """The two clocks."""

    def now_ms(self) -> int:
        """Wall time, for venues and people."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for waiting and measuring."""
        ...


@dataclass(frozen=True, slots=True)
class TooFar:
    """No slot within the patience that was given; nothing was taken."""

    wait_us: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """One limit as it stands: how many tokens are free, and when one request of weight 1 could go."""

    limit: str
    tokens: int
    free: int
    wait_us: int


class Limiter(Protocol):
    """Slots under all linked limits at once, over all replicas."""

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        """Take the slots that are free now, so many at most; where none is, the next one, which lies ahead.

        All linked limits or none. TooFar: it lies beyond the patience, and nothing was taken.
        """
        ...

    async def give_back(self, slot: Slot) -> bool:
        """Return a slot that nobody used; False where later ones build on it already, so that it is wasted."""
        ...

    async def confirm(self, slot: Slot) -> Slot | None:
        """Look once more at a slot that lies ahead, shortly before it matures; another one where it has moved.

        None where it is not known any more, or nobody can be asked: it must not be used then.
        """
        ...

    async def exchange(self, slot: Slot) -> Slot:
        """Another slot for one that was missed; the same one where that can't be done."""
        ...

    async def postpone(self, slot: Slot, until: float) -> Slot:
        """Let a slot that was used rest from `until` on (monotonic seconds, past); the slot as it counts now."""
        ...

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        """Learn a limit that a venue stated, or, with None, that it refused where we were inside; what is in force now.

        Never above the configuration, and relaxed after a quiet time.
        """
        ...

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """Look without taking."""
        ...

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        """Make sure that the epoch marker is there, so that the first cancel does not pay the hold."""
        ...


class Gates(Protocol):
    """What a venue's refusals close, on every replica at once."""

    async def close(self, account: Account, refusal: Throttled) -> int:
        """Shut the scope that the venue named; how many ms from now it may be tried again."""
        ...

    async def reopen(self, account: Account) -> None:
        """A probe was let in: every gate that this account stands behind is open again."""
        ...

    async def standing(self, account: Account) -> Sequence[Gated]:
        """The gates that are closed for this account now."""
        ...


class Continuity(Protocol):
    """Whether the shared state is there; going on without it is `degraded`."""

    @property
    def degraded(self) -> bool:
        """Whether this process works on its own share now."""
        ...

    def lose(self, reason: str) -> None:
        """Somebody found the shared state missing."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """Records taken over, how many ends of this account's are unknown in all, and how many nobody can read."""

    records: tuple[Record, ...] = ()
    unknown: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """A record that only this process has, and the wish that it was made for.

    `in_store`: the store may have it as well, as it stood before; others may go on from that.
    """

    record: Record
    claim: Claim
    in_store: bool = False


class Records(Protocol):
    """What was asked, how far it came, and what came of it."""

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        """Write the wish down unless it is known; where `demands` has a slot at once, take it and mark it sent.

        With empty `demands` nothing is admitted: the caller queues. One round trip.
        """
        ...

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        """Write `sent` before bytes leave; False where the record is no longer ours, Gated where a gate has closed.

        A slot that was reserved before the gate closed does not pass it; a `probe` may. A record that the store lost is
        no reason to refuse.
        """
        ...

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """Write what came of it; `refused` also frees the key and the order. False where the step is illegal.

        What the venue said counts also from a holder whose record was taken over meanwhile, where it is news.
        """
        ...

    async def get(self, record: RecordId) -> Record | None:
        """Read one record."""
        ...


class SteadyStore(Records, Protocol):
    """Records that are there whatever becomes of the store: only `get` is ever unavailable."""

    def doubt(self, record: RecordId, settlement: Settlement) -> bool:
        """Let `unknown` stand in place of a refusal; False where the store was told of that, or has no such record."""
        ...

    async def keep(self, claim: Claim, settlement: Settlement) -> None:
        """Write an answer down that took no work, so that its key answers alike when it comes again."""
        ...


class OpenRecords(Protocol):
    """Records whose end is not known, as the resolver works on them. Nobody else works on what is taken."""

    def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        """Those with records that are not at their end; the same sequence again is the cheapest to ask about."""
        ...

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        """Take over whose turn has come, or the one that is named, under a higher fence and for so long.

        What was never sent is refused instead, and what nobody can read any more is dropped.
        """
        ...

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        """Give a record back: it is looked at again after a pause, or, without one, never by ourselves."""
        ...

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """As in Records."""
        ...

    async def get(self, record: RecordId) -> Record | None:
        """As in Records."""
        ...


@dataclass(frozen=True, slots=True)
class OpenEnds:
    """How many of an account's records are unknown, and the oldest of them with the references of their orders."""

    count: int
    oldest: tuple[tuple[RecordId, str], ...] = ()


class Unknowns(Protocol):
    """The records whose end is not known, only looked at."""

    async def oldest(self, account: Account, most: int) -> OpenEnds:
        """How many there are, and so many at most of the oldest."""
        ...


class RecordStore(Records, OpenRecords, Protocol):
    """Everything that the store does for records."""

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        """Write down what was done while the store was away; False where it is no news."""
        ...


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A signer and the version of the material it was made from.

    `on_trial`: that version is new, and nobody has seen a venue take it yet; whoever does says so with `proved`.
    """

    signer: Signer
    version: str
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class NoSigner:
    """Why nobody can sign: unknown_account, secret_unavailable or venue_auth, and a detail without secrets."""

    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Condition:
    """How a credential stands, in a word and in a sentence for people; the version that serves, where one does."""

    word: str
    detail: str
    version: str | None


class Credentials(Protocol):
    """Stored credentials as signers: cached, refreshed, renewed once when a venue refuses."""

    async def unlock(self, account: Account) -> Unlocked | NoSigner:
        """The signer of an account; no I/O where it is cached and fresh."""
        ...

    async def renew(self, account: Account, refused: Unlocked) -> Unlocked | NoSigner:
        """After the venue refused: a newer signer, or the one before it, single flight; NoSigner without either."""
        ...

    async def accounts(self, venue: VenueId) -> Sequence[str]:
        """The names that the store knows for a venue."""
        ...

    def proved(self, account: Account, unlocked: Unlocked) -> None:
        """A venue took what this signer signed."""
        ...

    def condition(self, account: Account) -> Condition:
        """How it stands; the word is `ok`, `stale`, `fallback`, `unavailable`, `refused` or `unread`."""
        ...


def always() -> bool:
    """Nothing stands against it."""
    return True


class Sender(Protocol):
    """Exact bytes onto the wire, once."""

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        """Send, and say provably what happened.

        `may_leave` is asked last, when a connection is there; if it says no, nothing is sent and HELD_BACK comes back.
        What is urgent has connections of its own.
        """
        ...


class Meter(Protocol):
    """What is counted on the way. Labels come from closed sets; nothing here may block or raise."""

    def answered(self, venue: str | None, lane: Lane, outcome: Outcome, seconds: float, request_id: str) -> None:
        """A cancel was answered; `venue` may be anything that a caller wrote."""
        ...

    def phase(self, venue: VenueId, verb: str, seconds: float) -> None:
        """How long one verb of the path took."""
        ...

    def sent(self, demands: tuple[Demand, ...], at: float) -> None:
        """A request leaves now (monotonic seconds): what the window auditor counts."""
        ...

    def slot(self, venue: VenueId, result: str) -> None:
        """What became of a slot: used, returned or wasted."""
        ...

    def retried(self, venue: VenueId, reason: str) -> None:
        """Another attempt was made, for one of series.RETRIES; or refused, `over_budget`."""
        ...

    def waited(self, venue: VenueId, lane: Lane, seconds: float) -> None:
        """A cancel waited so long for its slot."""
        ...

    def batch(self, venue: VenueId, orders: int) -> None:
        """One request asks for so many orders."""
        ...

    def gate_shut(self, venue: VenueId, refusal: Throttled) -> None:
        """A venue shut us out, in an answer to this process."""
        ...

    def gated(self, venue: VenueId, scope: Scope, wait_s: float) -> None:
        """A gate is closed for so long, whoever closed it."""
        ...

    def terminal(self, venue: VenueId, seconds: float, request_id: str) -> None:
        """An order was proven gone, so long after it was asked for."""
        ...

    def replayed(self, venue: VenueId) -> None:
        """An answer repeats a stored one."""
        ...

    def waited_in_vain(self, venue: VenueId) -> None:
        """The venue took a cancel, and the order was not seen to end while its caller waited for that."""
        ...

    def unknown_open(self, account: Account, records: int) -> None:
        """So many of an account's records are unknown, over all replicas."""
        ...

    def resolved(self, venue: VenueId, outcome: Outcome, age_s: float, request_id: str) -> None:
        """An unknown was settled, or given up, so long after it was asked for."""
        ...


class Tokens(Protocol):
    """Tokens of an issuer, beside the static ones."""

    async def subject(self, token: str, digest: str) -> str | Denied:
        """Whom a token means; it is known by its digest once it has been verified."""
        ...


class Log(Protocol):
    """Lines for people and machines. Nothing here may block or raise, and no secret may come here."""

    def done(self, fields: Mapping[str, object]) -> None:
        """The one line of a request."""
        ...

    def event(self, name: str, **fields: object) -> None:
        """A change of state of this process."""
        ...

    def lines_lost(self) -> int:
        """How many lines were lost since this was asked last."""
        ...

    def broke(self, request_id: str, error: BaseException) -> None:
        """A bug showed itself; its words may hold anything, so only its kind and place are told."""
        ...


Fact: TypeAlias = str | bool | int | float


class Journey(Protocol):
    """The trace of one request."""

    @property
    def traceparent(self) -> str:
        """What the caller can find it by (W3C trace context)."""
        ...

    def answered(self, status: int, facts: Mapping[str, Fact]) -> None:
        """What was told to the caller; no secret may come here."""
        ...


class Tracer(Protocol):
    """Where traces are made. Nothing here may block or raise."""

    def serve(
        self, method: str, route: str | None, url: tuple[str, str], headers: Mapping[str, str]
    ) -> AbstractContextManager[Journey | None]:
        """A request to a scheme and path, as long as the block runs; None where its trace is not kept."""
        ...

    def told(self, verb: str, seconds: float) -> None:
        """A verb of the request that this is took so long, until now."""
        ...


class Trail(Protocol):
    """The audit trail: every decision, in the order in which they were made. Nothing here may block or raise."""

    def note(self, what: Decision) -> None:
        """Take one decision; it is written later, elsewhere."""
        ...


class NoTrail:
    """Where no trail is kept."""

    def note(self, what: Decision) -> None:
        """Forget it."""


NO_TRAIL = NoTrail()
