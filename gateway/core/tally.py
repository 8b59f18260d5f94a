"""A kill as it is asked for, and what came of it: values, and the one decision of what it is called."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.idempotency import RecordId
from gateway.core.model import Account, By, OrderRef, Wait
from gateway.core.outcome import Outcome
from gateway.core.wire import Shown

# No venue's alphabet of references has a colon, so this can be no order's name.
MARK = "kill:"
TAKEN = frozenset({Outcome.ACCEPTED, Outcome.CANCELLED})
SHOWN_MOST = 20


@dataclass(frozen=True, slots=True)
class Kill:
    """Everything open of an account, or of one symbol of it, has to go. `deadline` is in monotonic seconds.

    With `wait` at `ack` one round is enough, and nothing is proven.
    """

    account: Account
    symbol: str | None
    caller: str
    request_id: str
    deadline: float
    weight: int = 1
    key: str | None = None
    wait: Wait = Wait.TERMINAL


def ref_of(kill: Kill, ulid: str) -> OrderRef:
    """What stands in a kill's record for an order: the same for the same key, and nobody else's.

    Kills never share a record unless they share a key: one must not wait for another that may be dead.
    """
    name = ulid if kill.key is None else hashlib.sha256(f"{kill.caller}\x00{kill.key}".encode()).hexdigest()[:26]
    return OrderRef(By.ORDER_ID, MARK + name, kill.symbol)


def is_kill(ref: str) -> bool:
    """Whether a record is a kill's, which names no order that could be read."""
    return ref.startswith(MARK)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a kill could not go on, and after how long it might."""

    outcome: Outcome
    detail: str | None = None
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What a kill did; `open_after` is None where no list tells.

    `outcomes` counts the orders that were named one by one, `left` are some that still show, `body` is a replay.
    """

    outcome: Outcome
    detail: str | None = None
    open_before: int | None = None
    open_after: int | None = None
    left: tuple[str, ...] = ()
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    requests: int = 0
    rounds: int = 0
    proven: bool = False
    note: str | None = None
    record: RecordId | None = None
    retry_after_ms: int | None = None
    degraded: bool = False
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Called:
    """What a kill would send: the first requests as people may see them, and how many there would be in all."""

    strategy: str
    open_orders: tuple[OrderRef, ...] | None
    requests: int
    shown: tuple[Shown, ...]
    wait_ms: float
    takes_ms: float
    free: Mapping[str, int]
    note: str | None = None
    would: Outcome | None = None


def called(told: Mapping[str, Outcome], left: tuple[str, ...] | None, stop: Stop | None, *, taken: bool) -> Outcome:
    """What the whole is called. `told` is each order's last outcome, `left` what the last list still shows.

    An empty list alone makes it `cancelled`; where the venue took something it is `accepted` at most.
    """
    if left == ():
        return Outcome.CANCELLED
    if left and all(told.get(ref) is Outcome.REJECTED for ref in left):
        return Outcome.REJECTED
    if taken or TAKEN & set(told.values()):
        return Outcome.ACCEPTED
    if Outcome.UNKNOWN in told.values():
        return Outcome.UNKNOWN
    return Outcome.OVER_DEADLINE if stop is None else stop.outcome
