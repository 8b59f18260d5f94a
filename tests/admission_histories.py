"""Random histories for the limiter, and the rule that no window may break. For the reference and for its Lua twin."""

from dataclasses import dataclass, field
from typing import assert_never

from hypothesis import strategies as st

from gateway.core import admission
from gateway.core.admission import Demand, Denied, Granted, Ledger, Prospect
from gateway.core.model import Account, VenueId

START_US = 1_790_000_000_000_000
HOLDERS = tuple(Account(VenueId("venue"), name) for name in ("a", "b"))
KEEP = {"fast": 3, "slow": 5}
WINDOW_US = {"fast": 1_000_000, "slow": 2_500_000}


@dataclass(frozen=True, slots=True)
class Pass:
    """Real time goes by."""

    by_us: int


@dataclass(frozen=True, slots=True)
class Jump:
    """The server's clock jumps, real time does not."""

    by_us: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Somebody asks for a slot."""

    demands: tuple[Demand, ...]
    patience_us: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Somebody returns the latest slot that is still held."""


@dataclass(frozen=True, slots=True)
class Flush:
    """All data is lost."""


Step = Pass | Jump | Reserve | GiveBack | Flush


@st.composite
def demand(draw: st.DrawFn, limit: str, holder: Account) -> Demand:
    keep = KEEP[limit]
    tokens = draw(st.integers(1, keep))
    weight = draw(st.integers(1, min(2, tokens)))
    return Demand(limit, holder, tokens, WINDOW_US[limit], weight, keep)


demand_sets = st.lists(
    st.tuples(st.sampled_from(sorted(KEEP)), st.sampled_from(HOLDERS)), min_size=1, max_size=2, unique=True
).flatmap(lambda pairs: st.tuples(*(demand(limit, holder) for limit, holder in pairs)))
reserves = st.builds(Reserve, demand_sets, st.sampled_from((0, 400_000, 3_000_000, 20_000_000)))
passes = st.builds(Pass, st.integers(0, 700_000))
steps_back = st.builds(Jump, st.integers(-5_000_000, -1))
jumps = st.builds(Jump, st.integers(-5_000_000, 500_000))
give_backs = st.just(GiveBack())
flushes = st.just(Flush())


@dataclass(slots=True)
class World:
    """The reference with a clock, and every send that its slots lead to, in real time."""

    ahead: int = 0
    real_us: int = START_US
    server_us: int = START_US
    ledger: Ledger = field(default_factory=Ledger)
    held: list[tuple[tuple[Demand, ...], int, int]] = field(default_factory=list)

    def walk(self, step: Step) -> object:
        """Do one step; what comes back is what the Lua twin must say, too."""
        match step:
            case Pass(by_us=by_us):
                self.real_us, self.server_us = self.real_us + by_us, self.server_us + by_us
                return None
            case Jump(by_us=by_us):
                self.server_us += by_us
                return None
            case Flush():
                self.ledger = Ledger()
                return None
            case Reserve():
                return self._reserve(step)
            case GiveBack():
                return self._give_back()
            case _:
                assert_never(step)

    def outlook(self, demands: tuple[Demand, ...]) -> tuple[Prospect, ...]:
        return admission.outlook(self.ledger, demands, self.server_us, self.ahead)

    def sends(self) -> dict[tuple[Account, str], list[int]]:
        """Each limit's tokens by the real time at which they are spent."""
        spent: dict[tuple[Account, str], list[int]] = {}
        for demands, _, real_us in self.held:
            for each in demands:
                spent.setdefault((each.holder, each.limit), []).extend([real_us] * each.weight)
        return spent

    def unsent(self) -> int:
        return sum(real_us > self.real_us for _, _, real_us in self.held)

    def _reserve(self, step: Reserve) -> tuple[int, ...]:
        decision = admission.decide(self.ledger, step.demands, self.server_us, step.patience_us, self.ahead)
        self.ledger = decision.ledger
        match decision:
            case Granted(at_us=at_us, wait_us=wait_us):
                self.held.append((step.demands, at_us, self.real_us + wait_us))
                return (1, at_us, wait_us)
            case Denied(wait_us=wait_us):
                return (0, wait_us)
            case _:
                assert_never(decision)

    def _give_back(self) -> bool:
        if not self.held:
            return False
        demands, at_us, _ = self.held[-1]
        left = admission.give_back(self.ledger, demands, at_us, self.server_us)
        if left is None:
            return False
        self.ledger = left
        self.held.pop()
        return True


def most_in_any_window(instants: list[int], window_us: int) -> int:
    """Counted at each send, looking one half-open window ahead, which finds the fullest one."""
    return max((sum(start <= at < start + window_us for at in instants) for start in instants), default=0)
