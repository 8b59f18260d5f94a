"""Random histories for the limiter, and the rule that no window may break. For the reference and for its Lua twin."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from hypothesis import strategies as st

from gateway.core import gate, ledger
from gateway.core.admission import Demand
from gateway.core.gate import Closure, Gate
from gateway.core.ledger import Denied, Granted, Ledger, Prospect
from gateway.core.model import Account, VenueId

START_US = 1_790_000_000_000_000
LEASE_US = 2_000_000
HOLDERS = tuple(Account(VenueId("venue"), name) for name in ("a", "b"))
GATES = gate.holders(HOLDERS[0])
KEEP = {"fast": 3, "slow": 5, "large": 300}
WINDOW_US = {"fast": 1_000_000, "slow": 2_500_000, "large": 2_000_000}
HEAVIEST = {"fast": 2, "slow": 2, "large": 80}


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
    """Somebody asks for slots; he expects the server's time wrong by so much, or (None) not at all."""

    demands: tuple[Demand, ...]
    patience_us: int
    most: int = 1
    wrong_us: int | None = 0
    gated: bool = False


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Somebody returns a slot that is still held, so many grants ago."""

    ago: int = 1


@dataclass(frozen=True, slots=True)
class Postpone:
    """A request came late to the venue: its grant, so many ago, counts from so long before now on."""

    ago: int = 1
    before_now_us: int = 0


@dataclass(frozen=True, slots=True)
class Confirm:
    """Somebody looks once more at a slot that is still held, so many grants ago; or has `missed` it."""

    ago: int = 1
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Flush:
    """All data is lost."""


@dataclass(frozen=True, slots=True)
class Learn:
    """A venue's answer teaches something."""

    demand: Demand
    stated: int | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """A venue's refusal closes a gate."""

    place: int
    closure: Closure


@dataclass(frozen=True, slots=True)
class Reopen:
    """A probe was let in."""


Step = Pass | Jump | Reserve | GiveBack | Postpone | Confirm | Flush | Learn | Refuse | Reopen
WithSets = Callable[[st.SearchStrategy[tuple[Demand, ...]]], st.SearchStrategy[Step]]


@st.composite
def demand(draw: st.DrawFn, limit: str, holder: Account, shrunk: bool = False) -> Demand:  # noqa: FBT001, FBT002  drawn
    """One limit as one replica has it configured; a rolling update may have made it smaller."""
    keep, window_us = KEEP[limit], WINDOW_US[limit]
    if shrunk:
        keep = draw(st.sampled_from((keep, keep - 1, max(2, keep * 2 // 3))))
        window_us = draw(st.sampled_from((window_us, window_us + 300_000)))
    tokens = draw(st.integers(max(1, keep - 40), keep))
    return Demand(limit, holder, tokens, window_us, draw(st.integers(1, min(HEAVIEST[limit], tokens))), keep)


def sets_of(limits: tuple[str, ...], *, shrunk: bool) -> st.SearchStrategy[tuple[Demand, ...]]:
    """One or two linked limits."""
    pairs = st.lists(st.tuples(st.sampled_from(limits), st.sampled_from(HOLDERS)), min_size=1, max_size=2, unique=True)
    return pairs.flatmap(lambda some: st.tuples(*(demand(limit, holder, shrunk) for limit, holder in some)))


PATIENCES = st.sampled_from((0, 400_000, 3_000_000, 20_000_000))
MOSTS = st.sampled_from((1, 1, 2, 30))
LIMITS = tuple(sorted(KEEP))
demand_sets = sets_of(LIMITS, shrunk=False)


def reserves(sets: st.SearchStrategy[tuple[Demand, ...]]) -> st.SearchStrategy[Reserve]:
    """Whoever asks knows the time well."""
    return st.builds(Reserve, sets, PATIENCES, MOSTS)


def wild_reserves(sets: st.SearchStrategy[tuple[Demand, ...]]) -> st.SearchStrategy[Reserve]:
    """Whoever asks may know the time badly or not at all, and some meet gates."""
    return st.builds(Reserve, sets, PATIENCES, MOSTS, st.sampled_from((0, 0, None, -400_000, 100_000)), st.booleans())


def lessons(sets: st.SearchStrategy[tuple[Demand, ...]]) -> st.SearchStrategy[Learn]:
    """About a limit that is in use."""
    return st.builds(lambda of, stated: Learn(of[0], stated), sets, st.sampled_from((None, 1, 2, 90)))


@st.composite
def histories(draw: st.DrawFn, *, shrunk: bool, with_sets: WithSets) -> list[Step]:
    """Long ones that keep to a few demands, or nothing would ever be full."""
    few = st.sampled_from(draw(st.lists(sets_of(LIMITS, shrunk=shrunk), min_size=1, max_size=3)))
    return draw(st.lists(with_sets(few), min_size=25, max_size=60))


refusals = st.builds(
    Refuse,
    st.sampled_from((0, 0, 1, 2)),
    st.builds(
        Closure,
        st.booleans(),
        st.sampled_from((None, None, 0, 700_000, 5_000_000, 10**13)),
        st.sampled_from((0, 1_500_000)),
    ),
)
reopenings = st.just(Reopen())
passes = st.builds(Pass, st.integers(0, 700_000))
long_passes = st.builds(Pass, st.sampled_from((1_000_000, 2_000_000, 55_000_000, 61_000_000, 601_000_000)))
steps_back = st.builds(Jump, st.integers(-5_000_000, -1))
leaps = st.builds(Jump, st.integers(260_000, 900_000_000))
# Whatever these add up to is no leap that is too small to be noticed, which gains just that much.
coarse_jumps = st.integers(-20, 3000).map(lambda steps: Jump(steps * 300_000))
jumps = st.builds(Jump, st.integers(-5_000_000, 500_000))
give_backs = st.builds(GiveBack, st.integers(1, 8))
postponements = st.builds(Postpone, st.integers(1, 8), st.sampled_from((0, 0, 30_000, 400_000, -50_000)))
confirmations = st.builds(Confirm, st.integers(1, 8), st.booleans())
flushes = st.just(Flush())


@dataclass(slots=True)
class World:
    """The reference with a clock, and every send that its slots lead to, in real time."""

    ahead: int = 0
    real_us: int = START_US
    server_us: int = START_US
    ledger: Ledger = field(default_factory=Ledger)
    gates: dict[Account, Gate] = field(default_factory=dict)
    held: list[tuple[tuple[Demand, ...], int, int]] = field(default_factory=list)
    seen: dict[Account, tuple[int, int]] = field(default_factory=dict)

    def walk(self, step: Step) -> object:  # noqa: C901, PLR0911  one per kind
        """Do one step; what comes back is what the Lua twin must say, too."""
        match step:
            case Pass(by_us=by_us):
                self.real_us, self.server_us = self.real_us + by_us, self.server_us + by_us
                return None
            case Jump(by_us=by_us):
                self.server_us += by_us
                return None
            case Flush():
                self.ledger, self.gates = Ledger(), {}
                return None
            case Reserve():
                return self._reserve(step)
            case GiveBack(ago=ago):
                return self._give_back(ago)
            case Postpone():
                return self._postpone(step)
            case Confirm():
                return self._confirm(step)
            case Learn(demand=of, stated=stated):
                self.ledger, left = ledger.tighten(self.ledger, of, stated, self.server_us)
                return left
            case Refuse(place=place, closure=closure):
                return self._refuse(GATES[place], closure)
            case Reopen():
                self._reopen()
                return None
            case _:
                assert_never(step)

    def expected(self, step: Reserve) -> dict[Account, int]:
        """What whoever asks thinks that each holder's time is, by his own steady clock."""
        known = {each.holder for each in step.demands} & self.seen.keys()
        return {
            holder: self.seen[holder][1] + self.real_us - self.seen[holder][0] + step.wrong_us
            for holder in known
            if step.wrong_us is not None
        }

    def outlook(self, demands: tuple[Demand, ...]) -> tuple[Prospect, ...]:
        return ledger.outlook(self.ledger, demands, self.server_us, self.ahead)

    def sends(self) -> dict[tuple[Account, str], list[int]]:
        """Each limit's tokens by the real time at which they are spent."""
        spent: dict[tuple[Account, str], list[int]] = {}
        for demands, _, real_us in self.held:
            for each in demands:
                spent.setdefault((each.holder, each.limit), []).extend([real_us] * each.weight)
        return spent

    def unsent(self) -> int:
        return sum(real_us > self.real_us for _, _, real_us in self.held)

    def _reserve(self, step: Reserve) -> tuple[object, ...]:
        if step.gated and (refused := self._shut()):
            return refused
        first = self._decide(step, step.patience_us)
        if isinstance(first, Denied):
            return "far", first.wait_us, self._times(step)
        probing = int(step.gated and any(name in self.gates for name in GATES))
        taken, free_now = 1, first.wait_us == 0 and not probing
        while free_now and taken < step.most and isinstance(self._decide(step, 0), Granted):
            taken += 1
        if probing:
            until_us = self.server_us + first.wait_us + LEASE_US
            self.gates |= {name: gate.probe(self.gates[name], until_us) for name in GATES if name in self.gates}
        free, reset_us = self._prospect(step.demands[0])
        return "slots", taken, first.wait_us, self._times(step), probing, free, reset_us

    def _decide(self, step: Reserve, patience_us: int) -> Granted | Denied:
        steady = ledger.synchronise(self.ledger, step.demands, self.server_us, self.expected(step))
        decision = ledger.decide(steady, step.demands, self.server_us, patience_us, self.ahead)
        if isinstance(decision, Granted):
            self.ledger = decision.ledger
            self.held.append((step.demands, decision.at_us, self.real_us + decision.wait_us))
        elif patience_us or step.patience_us == 0:
            self.ledger = decision.ledger
        return decision

    def _prospect(self, first: Demand) -> tuple[int, int]:
        prospect = self.outlook((first,))[0]
        return prospect.free, prospect.wait_us

    def _times(self, step: Reserve) -> list[int]:
        """Each holder's time, which whoever asked remembers."""
        holders = dict.fromkeys(each.holder for each in step.demands)
        epochs = self.ledger.epochs
        times = {name: max(self.server_us + epochs[name].offset_us, epochs[name].seen_us) for name in holders}
        self.seen |= {name: (self.real_us, now_us) for name, now_us in times.items()}
        return list(times.values())

    def _shut(self) -> tuple[object, ...] | None:
        waits = [gate.shut_us(self.gates.get(name), self.server_us, LEASE_US) for name in GATES]
        longest = max(waits)
        place = max(index for index, wait_us in enumerate(waits) if wait_us == longest)
        return ("gated", place, int(self.gates[GATES[place]].banned), longest) if longest else None

    def _refuse(self, name: Account, closure: Closure) -> int:
        self.gates[name] = gate.close(self.gates.get(name), closure, self.server_us)
        return self.gates[name].until_us - self.server_us

    def _reopen(self) -> None:
        left = {name: gate.reopen(self.gates.get(name), self.server_us) for name in GATES}
        self.gates = {name: kept for name, kept in left.items() if kept is not None}

    def now_of(self, demands: tuple[Demand, ...]) -> int:
        """The time of the first demand's holder."""
        epoch = self.ledger.epochs.get(demands[0].holder)
        return self.server_us if epoch is None else max(self.server_us + epoch.offset_us, epoch.seen_us)

    def _postpone(self, step: Postpone) -> int:
        if step.ago > len(self.held):
            return 0
        demands, at_us, _ = self.held[-step.ago]
        now_us = self.now_of(demands)
        late_us = min(now_us - step.before_now_us, now_us)
        self.ledger = ledger.postpone(self.ledger, demands, at_us, now_us - step.before_now_us, self.server_us)
        if late_us <= at_us:
            return 0
        self.held[-step.ago] = (demands, late_us, self.real_us + late_us - now_us)
        return late_us

    def _confirm(self, step: Confirm) -> int | str | None:
        """How far away the slot is that the held one was exchanged for."""
        if (ago := step.ago) > len(self.held):
            return None
        demands, at_us, _ = self.held[-ago]
        look = ledger.exchange if step.missed else ledger.confirm
        moved = look(self.ledger, demands, at_us, self.server_us, self.ahead)
        if not isinstance(moved, Granted):
            return "stays" if moved is None else "forgotten"
        self.ledger = moved.ledger
        self.held[-ago] = (demands, moved.at_us, self.real_us + moved.wait_us)
        return moved.wait_us

    def _give_back(self, ago: int) -> bool:
        if ago > len(self.held):
            return False
        demands, at_us, _ = self.held[-ago]
        left = ledger.give_back(self.ledger, demands, at_us, self.server_us)
        if left is None:
            return False
        self.ledger = left
        del self.held[-ago]
        return True


def most_in_any_window(instants: list[int], window_us: int) -> int:
    """Counted at each send, looking one half-open window ahead, which finds the fullest one."""
    ordered = sorted(instants)
    return max((bisect_left(ordered, start + window_us) - index for index, start in enumerate(ordered)), default=0)


def rested() -> Ledger:
    """Nothing was spent for long."""
    return replace(Ledger(), epochs={holder: ledger.Epoch(0, 0) for holder in HOLDERS})
