"""What becomes of a record, as a table: an illegal step is simply absent."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import unique
from functools import lru_cache

from gateway.core.admission import Slot
from gateway.core.model import Account, By, Cancel, OrderRef, VenueId, Word
from gateway.core.outcome import MEANINGS, Outcome
from gateway.core.value import quick


@unique
class State(Word):
    """How far a cancel has come. `sent` is written before any byte leaves."""

    RECEIVED = "received"
    RESERVED = "reserved"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    TERMINAL = "terminal"
    UNKNOWN = "unknown"
    REFUSED = "refused"


ENDS = frozenset({State.ACKNOWLEDGED, State.TERMINAL, State.UNKNOWN, State.REFUSED})
# The note `sent` can be missing where the store was away just then: so whatever follows it may follow without it.
STEPS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.RESERVED, State.SENT}) | ENDS,
    State.RESERVED: frozenset({State.SENT}) | ENDS,
    State.SENT: ENDS,
    State.ACKNOWLEDGED: frozenset({State.TERMINAL, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.ACKNOWLEDGED, State.TERMINAL}),
    State.TERMINAL: frozenset(),
    State.REFUSED: frozenset(),
}


# What a venue said. It is never turned away for coming late: a holder that lost its record to another may still bring
# it, and it counts wherever the step is legal. `unknown` and `refused` are only its word who holds the record.
FACTS = frozenset({State.ACKNOWLEDGED, State.TERMINAL})
# What has no note that it was sent. Only whoever made the record sends for it, so his word that he did not is a fact.
UNNOTED = frozenset({State.RECEIVED, State.RESERVED})
IN_FLIGHT = UNNOTED | {State.SENT}
OPEN = IN_FLIGHT | {State.UNKNOWN}


def may_settle(state: State, fence: int, wish: State, held: int) -> bool:
    """Whether somebody who holds the fence `held` may bring a record that stands so, under `fence`, to `wish`."""
    known_all_the_same = wish in FACTS or (wish is State.REFUSED and state in UNNOTED)
    return wish in STEPS[state] and (held == fence or (held < fence and known_all_the_same))


def may_restore(state: State, fence: int, wish: State, held: int) -> bool:
    """Whether news of what was done without the store may be written over a record that stands so.

    Who found no note, or took it that nothing was sent, is put right by whoever did the work.
    """
    nobody_knew = state in UNNOTED or state is State.REFUSED
    return (nobody_knew and wish not in {state, State.REFUSED}) or may_settle(state, fence, wish, held)


# Orders that are gone stay gone, and are not asked for again for a while. A denial is no proof of that, nor is "not
# open": an order may not be visible yet, or be at rest until tomorrow.
GONE = frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.TOO_LATE_FILLED})

SETTLED_AS: dict[Outcome, State] = {
    outcome: State.TERMINAL if meaning.final else State.REFUSED for outcome, meaning in MEANINGS.items()
} | {Outcome.ACCEPTED: State.ACKNOWLEDGED, Outcome.UNKNOWN: State.UNKNOWN}


@quick
@dataclass(frozen=True, slots=True)
class RecordId:
    """Names a record and says where it lies: `ULID.venue.account`, so that ids sort by time and need no index."""

    ulid: str
    account: Account

    def __str__(self) -> str:
        return f"{self.ulid}.{self.account.venue}.{self.account.name}"


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_LENGTH = 26
TIME_BITS, NOISE_BITS = 48, 80
TIME_DIGITS = 10
# Two digits at a time.
PAIRS = tuple(first + second for first in CROCKFORD for second in CROCKFORD)
SHIFTS = range(NOISE_BITS - 10, -1, -10)


def record_id(at_ms: int, noise: bytes, account: Account) -> RecordId:
    """Make an id from a time and ten random bytes."""
    number = int.from_bytes(noise[:10], "big")
    digits = "".join([PAIRS[(number >> shift) & 1023] for shift in SHIFTS])
    return RecordId(f"{_second_digits(at_ms >> 10)}{PAIRS[at_ms & 1023]}{digits}", account)


@lru_cache(maxsize=16)
def _second_digits(at_s: int) -> str:
    """All digits of a time but the last two, which change about once a second."""
    return "".join([CROCKFORD[(at_s >> shift) & 31] for shift in range((TIME_DIGITS - 3) * 5, -1, -5)])


def made_ms(ulid: str) -> int:
    """When an id was made."""
    number = 0
    for digit in ulid[:TIME_DIGITS]:
        number = number * len(CROCKFORD) + CROCKFORD.index(digit)
    return number


def parse_record_id(text: str) -> RecordId | None:
    """Read an id back; None where it cannot be one of ours."""
    ulid, _, rest = text.partition(".")
    venue, _, name = rest.partition(".")
    if len(ulid) != ULID_LENGTH or not set(ulid) <= set(CROCKFORD) or not venue or not name:
        return None
    return RecordId(ulid, Account(VenueId(venue), name))


def fingerprint(cancel: Cancel) -> str:
    """What must be equal for two requests under one Idempotency-Key to be the same request."""
    order = cancel.order
    parts = (cancel.account.venue, cancel.account.name, order.by, order.value, order.symbol or "")
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


@quick
@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to work on a cancel, as it is written down first."""

    id: RecordId
    cancel: Cancel
    caller: str
    key: str | None
    request_id: str
    at_ms: int
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """What was done about a record whose end was not known, and what came of it."""

    at_ms: int
    what: str
    result: str


@dataclass(frozen=True, slots=True)
class Record:
    """A cancel as it stands in the store; `body` is the answer that was given, byte for byte."""

    id: RecordId
    state: State
    by: By
    ref: str
    symbol: str | None
    caller: str
    request_id: str
    created_ms: int
    fence: int = 0
    attempts: int = 0
    lease_until_ms: int = 0
    sent_ms: int | None = None
    settled_ms: int | None = None
    outcome: Outcome | None = None
    body: bytes = field(default=b"", repr=False)
    steps: tuple[Step, ...] = ()

    @property
    def order(self) -> OrderRef:
        """The order that this record is about."""
        return OrderRef(self.by, self.ref, self.symbol)


@quick
@dataclass(frozen=True, slots=True)
class Settlement:
    """How a record ends, or what is known of it so far."""

    state: State
    outcome: Outcome
    body: bytes = field(repr=False)
    at_ms: int
    attempts: int = 1
    steps: tuple[Step, ...] = ()
    gone: OrderRef | None = None
    """The order by a name that no other one will ever have, where the venue confirmed that it is gone."""


def settled_record(record: Record, settlement: Settlement) -> Record:
    """The record with what came of it."""
    return replace(
        record,
        state=settlement.state,
        outcome=settlement.outcome,
        body=settlement.body,
        settled_ms=settlement.at_ms,
        attempts=settlement.attempts,
        steps=settlement.steps or record.steps,
    )


@quick
@dataclass(frozen=True, slots=True)
class Fresh:
    """Ours to work on. With a slot the record already says `sent`; without one it waits, about `wait_us`.

    Degraded, it is written down in this process alone.
    """

    fence: int
    slot: Slot | None = None
    wait_us: int = 0
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Late:
    """No slot within the caller's patience; nothing was written. The next one is `wait_us` away."""

    wait_us: int


@dataclass(frozen=True, slots=True)
class Known:
    """The same key, or the same order in flight, came before."""

    record: Record


@dataclass(frozen=True, slots=True)
class Gone:
    """A venue has confirmed not long ago that the order is gone; the record says how."""

    record: Record


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key came before with another request."""


Claimed = Fresh | Late | Known | Gone | Mismatch
