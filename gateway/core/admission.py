"""The words of admission: limits, what a request costs under them, and what comes back. Decisions: core/ledger.py."""

from dataclasses import dataclass, field

from gateway.core.model import Account, Scope
from gateway.core.value import quick


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


@quick
@dataclass(frozen=True, slots=True)
class Slot:
    """The right to send once, from `matures_at` (monotonic seconds) on. A `probe` tries whether a gate may open.

    `free` is how many tokens the first demand still had after the grant, as far as known; where it had none, the next
    one comes `reset_us` after it. The clocks being what they are, it may have matured `apart_s` sooner. `abroad` is
    what else was taken for it in other slots of a cluster.
    """

    matures_at: float
    granted_us: int
    demands: tuple[Demand, ...] = field(repr=False)
    probe: bool = False
    free: int | None = None
    reset_us: int | None = None
    apart_s: float = 0.0
    abroad: "tuple[Slot, ...]" = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Gated:
    """A venue has shut us out; nothing was taken. `wait_us` is how long it will be at the least."""

    scope: Scope
    banned: bool
    wait_us: int


@dataclass(frozen=True, slots=True)
class Missed:
    """A slot was stale by the time that it could have been used; nothing was sent."""
