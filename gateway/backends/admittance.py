"""What limiter and records have in common: how slots are asked for in Redis, and how the replies are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.backends.redis.link import Argument, Reply
from gateway.backends.redis.scripts import (
    SERVER_TIME,
    Lost,
    demand_arguments,
    gate_keys,
    holder_keys,
    holders_of,
    ignore_loss,
    report,
)
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.gate import SCOPES
from gateway.core.model import Account
from gateway.core.server_clock import ServerClock
from gateway.ports import Clock, Unavailable

PROBE_US = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What stays the same of each question about the same demands: `keys` are the gates and the holders."""

    demands: tuple[Demand, ...]
    keys: tuple[str, ...]
    clocks: tuple[ServerClock, ...]
    before: tuple[Argument, ...]
    after: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Admittance:
    """How this replica asks for slots.

    `ahead` is how many tokens of a limit the replicas together may hold reserved for later: so many count as still to
    be sent after the data was lost, since nobody can tell any more. `probe_us` is how long a probe's answer is waited
    for; `gates_seen` how many gates lie where an account's limits do (see gate.lua).
    """

    clock: Clock
    ahead: int
    lost: Lost = ignore_loss
    probe_us: int = PROBE_US
    gates_seen: int = len(SCOPES)
    _clocks: dict[Account, ServerClock] = field(default_factory=dict, repr=False)
    _forms: dict[tuple[Account | None, tuple[Demand, ...]], Form] = field(default_factory=dict, repr=False)

    def form(self, account: Account | None, demands: tuple[Demand, ...]) -> Form:
        """The form for these demands, behind the gates of this account."""
        which = (account, demands)
        if (known := self._forms.get(which)) is None:
            known = self._forms[which] = self._form(account, demands)
        return known

    def _form(self, account: Account | None, demands: tuple[Demand, ...]) -> Form:
        gates = () if account is None else gate_keys(account, self.gates_seen)
        clocks = tuple(self._clocks.setdefault(holder, ServerClock()) for holder in holders_of(demands))
        before = (SERVER_TIME, self.ahead, len(gates), self.probe_us, len(clocks))
        return Form(demands, (*gates, *holder_keys(demands)), clocks, before, demand_arguments(demands))

    def arguments(self, form: Form) -> tuple[Argument, ...]:
        """What admit.lua reads, with what is expected of each holder's time now."""
        return (*form.before, *self.expected_us(form, self.clock.monotonic()), *form.after)

    def expected_us(self, form: Form, now: float) -> list[int]:
        """What is expected of each holder's time."""
        return [clock.expected_us(now) for clock in form.clocks]

    def told(self, asked: float, form: Form, times: Sequence[Reply], lost: Sequence[Reply]) -> float:
        """Take in each holder's time, and pass on what was lost; by our clock, the latest moment of the first time."""
        if lost:
            report(lost, self.lost)
        answered = self.clock.monotonic()
        moments = [
            clock.learn(asked, answered, then_us)
            for clock, then_us in zip(form.clocks, times, strict=False)
            if isinstance(then_us, int)
        ]
        return moments[0] if moments else answered


def account_of(demands: tuple[Demand, ...]) -> Account | None:
    """Whose gates these demands stand behind: an account's own, where one of them is; else those of our address."""
    own = [demand.holder for demand in demands if not demand.holder.name.startswith("@")]
    return own[0] if own else next((demand.holder for demand in demands), None)


def slot(matures_at: float, granted_us: int, form: Form, rest: Sequence[Reply]) -> Slot:
    """A slot, with what a grant says besides: whether it is a probe, and what is left of the first limit."""
    match rest:
        case [int(probe), int(free), int(reset_us)]:
            reset = None if free else reset_us
            return Slot(matures_at, granted_us, form.demands, probe == 1, free, reset, form.clocks[0].apart_s())
        case _:
            raise odd()


def gated(place: int, banned: int, wait_us: int) -> Gated:
    """Which gate it was."""
    if not 0 <= place < len(SCOPES):
        raise odd()
    return Gated(SCOPES[place], banned == 1, wait_us)


def odd() -> Unavailable:
    """A script answered what it never answers."""
    return Unavailable("redis", "an answer of another shape")
