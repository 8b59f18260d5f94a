"""Tokens that rest: a spent token comes back one whole window after it was spent.

A bucket holds N tokens at once, and no sliding window ever holds more than N sends, which a refilling bucket can't
say of itself (it lets almost 2N through). The Lua twin in `backends/lua/` decides for real; what stands here is its
reference, and the tests hold both to the same answers.

A ring holds the last N grant instants of one limit, newest first; some may lie ahead, as reserved slots. A request of
weight w may go one window after the (N-w)-th newest, for whatever is older rests by then: at most N-w are left
in any window it falls into. Lanes that may use less than N look at a newer entry of the same ring.

Time is the holder's own: the server's clock plus an offset that grows whenever the server's clock goes back, so that
it goes on from the largest instant seen. A step back therefore neither bursts nor freezes; a step ahead costs one
burst at most. Whose epoch is missing has lost its data: from the moment this is noticed (`armed_us`) its windows
count as full, and `ahead` tokens per limit count as reserved by others and still to be sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.core.model import Account, Scope

HORIZON_US = 600_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit as a venue states it: `tokens` in any `per_ms`, the window stretched by `guard_ms` for jitter."""

    tokens: int
    per_ms: int
    guard_ms: int = 20
    scope: Scope = Scope.ACCOUNT


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs under one named limit."""

    limit: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Demand:
    """One limit as one request meets it: `window_us` has the guard in it.

    `tokens` is what the request's lane may use, `keep` the whole of the limit, which the ring has to remember.
    """

    limit: str
    holder: Account
    tokens: int
    window_us: int
    weight: int
    keep: int
    guard_us: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= self.tokens <= self.keep:
            raise ValueError(f"{self.limit}: needs 1 <= weight <= tokens <= keep, got {self!r}")


@dataclass(frozen=True, slots=True)
class Spending:
    """What one kind of request costs: as normal traffic sees the limits, and as urgent traffic sees them."""

    normal: tuple[Demand, ...]
    urgent: tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Fare:
    """What one kind of request costs alone and in a batch, and when a batch is the better way.

    `key` names the line that such requests wait in. A batch is considered from `batch_from` waiting requests on.
    """

    key: str
    single: Spending
    batch: Spending | None = None
    batch_most: int = 1
    batch_from: int = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to send once, from `matures_at` (monotonic seconds) on. A `probe` tries whether a gate may open."""

    matures_at: float
    granted_us: int
    demands: tuple[Demand, ...] = field(repr=False)
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Gated:
    """A venue has shut us out; nothing was taken. `wait_us` is how long it will be at the least."""

    scope: Scope
    banned: bool
    wait_us: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A holder's time: data from before `armed_us` is lost, `seen_us` is its largest instant."""

    armed_us: int
    seen_us: int
    offset_us: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that is remembered: an epoch per holder, a ring of grant instants per limit."""

    epochs: Mapping[Account, Epoch] = field(default_factory=dict)
    rings: Mapping[tuple[Account, str], tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot `wait_us` from now; `at_us` is its instant in the time of the first demand's holder."""

    at_us: int
    wait_us: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Denied:
    """No slot within the patience. Only a lost epoch was written anew."""

    wait_us: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Prospect:
    """How many tokens of one demand are free, and when a request of weight 1 could go."""

    free: int
    wait_us: int


def distinct(demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """The demands as they are; raises where one limit is charged twice, which would be counted once."""
    if len({(demand.holder, demand.limit) for demand in demands}) < len(demands):
        raise ValueError("a limit is demanded twice in one request")
    return demands


def decide(
    ledger: Ledger, demands: tuple[Demand, ...], server_us: int, patience_us: int, ahead: int = 0
) -> Granted | Denied:
    """Take the next slot that all demands allow, if it lies within the patience; or take nothing."""
    armed = arm(ledger, distinct(demands), server_us)
    wait_us = max(_wait(armed, demand, demand.weight, server_us, ahead) for demand in demands)
    if wait_us > min(patience_us, HORIZON_US):
        return Denied(wait_us, armed)
    at_us = _now(armed, demands[0].holder, server_us) + wait_us
    return Granted(at_us, wait_us, _spend(armed, demands, server_us, wait_us))


def arm(ledger: Ledger, demands: tuple[Demand, ...], server_us: int) -> Ledger:
    """Begin a new epoch for each holder that lost its own, or whose rings hold what can't be a grant."""
    lost = {demand.holder for demand in demands if not _sound(ledger, demand, server_us)}
    epochs, rings = dict(ledger.epochs), dict(ledger.rings)
    for holder in lost:
        now_us = _now(ledger, holder, server_us)
        epochs[holder] = Epoch(now_us, now_us, now_us - server_us)
    for demand in demands:
        if demand.holder in lost:
            rings.pop((demand.holder, demand.limit), None)
    return Ledger(epochs, rings)


def outlook(ledger: Ledger, demands: tuple[Demand, ...], server_us: int, ahead: int = 0) -> tuple[Prospect, ...]:
    """Look at each demand by itself, without taking."""
    armed = arm(ledger, demands, server_us)
    return tuple(_prospect(armed, demand, server_us, ahead) for demand in demands)


def give_back(ledger: Ledger, demands: tuple[Demand, ...], at_us: int, server_us: int) -> Ledger | None:
    """Undo a grant that was not used; None where it is no longer the newest of every ring.

    A full ring has pushed out older entries that may not have rested yet; they can't have been granted later than
    one window before this grant, nor than the oldest entry that is left, so that bound takes their place.
    """
    if any(not _sound(ledger, demand, server_us) for demand in demands):
        return None
    first_us = _now(ledger, demands[0].holder, server_us)
    rings = dict(ledger.rings)
    for demand in demands:
        instant_us = at_us - first_us + _now(ledger, demand.holder, server_us)
        ring = _ring(ledger, demand)
        if ring[: demand.weight] != (instant_us,) * demand.weight:
            return None
        left = ring[demand.weight :]
        if len(ring) >= demand.keep:
            bound_us = min((instant_us - demand.window_us, *left[-1:]))
            left += (bound_us,) * demand.weight
        rings[demand.holder, demand.limit] = left
    return replace(ledger, rings=rings)


def _ring(ledger: Ledger, demand: Demand) -> tuple[int, ...]:
    return ledger.rings.get((demand.holder, demand.limit), ())


def _now(ledger: Ledger, holder: Account, server_us: int) -> int:
    epoch = ledger.epochs.get(holder)
    return server_us if epoch is None else max(server_us + epoch.offset_us, epoch.seen_us)


def _sound(ledger: Ledger, demand: Demand, server_us: int) -> bool:
    latest_us = _now(ledger, demand.holder, server_us) + HORIZON_US
    return demand.holder in ledger.epochs and all(entry <= latest_us for entry in _ring(ledger, demand)[:1])


def _entry(ledger: Ledger, demand: Demand, index: int, ahead: int) -> int:
    """The index-th newest grant, known or assumed."""
    armed_us = ledger.epochs[demand.holder].armed_us
    ring = _ring(ledger, demand)
    if index < len(ring):
        return max(ring[index], armed_us)
    unsent = max(0, ahead - (index - len(ring)))
    windows = -(-unsent // demand.keep)
    return armed_us + windows * demand.window_us


def _wait(ledger: Ledger, demand: Demand, weight: int, server_us: int, ahead: int) -> int:
    rested_us = _entry(ledger, demand, demand.tokens - weight, ahead) + demand.window_us
    return max(0, rested_us - _now(ledger, demand.holder, server_us))


def _spend(ledger: Ledger, demands: tuple[Demand, ...], server_us: int, wait_us: int) -> Ledger:
    epochs, rings = dict(ledger.epochs), dict(ledger.rings)
    for demand in demands:
        now_us = _now(ledger, demand.holder, server_us)
        epochs[demand.holder] = replace(ledger.epochs[demand.holder], seen_us=now_us, offset_us=now_us - server_us)
        grown = (*_ring(ledger, demand), *(now_us + wait_us,) * demand.weight)
        rings[demand.holder, demand.limit] = tuple(sorted(grown, reverse=True)[: demand.keep])
    return Ledger(epochs, rings)


def _prospect(ledger: Ledger, demand: Demand, server_us: int, ahead: int) -> Prospect:
    now_us = _now(ledger, demand.holder, server_us)
    unit = replace(demand, weight=1)
    resting = sum(_entry(ledger, unit, index, ahead) + demand.window_us > now_us for index in range(demand.tokens))
    return Prospect(demand.tokens - resting, _wait(ledger, unit, 1, server_us, ahead))
