"""CPU per cancel of whoever serves, in rounds taken in turns; and how many a core can carry when it is never idle."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import uvloop

from bench.load import Round, drive
from bench.side_by_side.stage import OTHERS, SERVED, Stage, cpu_us, pin, rss_mb
from bench.side_by_side.targets import BASELINE, Absent, Target, wanted

if TYPE_CHECKING:
    import subprocess

GOOD = frozenset({200, 202})
Figures = dict[str, float]
Spread = dict[str, float]
Tell = Callable[[str], None]
Result = TypeVar("Result")
RETRIES, PAUSE_S = 4, 2.0
BAD_MOST = 0.02


class Disturbed(Exception):  # noqa: N818  the machine was too busy with other things
    """A measurement that says nothing: somebody was refused, because something else took seconds."""


@dataclass(slots=True)
class Counter:
    """Hands out order numbers that nobody had before."""

    next: int = 1

    def take(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first


@dataclass(frozen=True, slots=True)
class InProcess:
    """ccxt in a process of its own, which measures itself: it has no server whose CPU could be watched."""

    process: "subprocess.Popen[str]"

    def measure(self, count: int, lanes: int) -> Figures:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{count} {lanes}\n")
        self.process.stdin.flush()
        cpu, per_s = map(float, self.process.stdout.readline().split())
        return {"cpu_us": cpu, "per_s": per_s, "rss_mb": rss_mb(self.process.pid)}


def in_process(stage: Stage, names: Sequence[str], tell: Tell) -> dict[str, InProcess]:
    """Those of the names that are ccxt's, started."""
    asked = [name for name in names if name.startswith("ccxt-")]
    if asked:
        try:
            wanted("ccxt")
        except Absent as reason:
            tell(f"{', '.join(asked)}: left out, {reason}")
            return {}
    found = {}
    for name in asked:
        venue = name.removeprefix("ccxt-")
        found[name] = InProcess(stage.start(sys.executable, "-m", "bench.rivals", "ccxt", venue, str(stage.upstream)))
        found[name].measure(200, 16)  # it is up, and warm
        pin(found[name].process.pid, SERVED)
    return found


def measure(stage: Stage, target: Target, count: int, lanes: int, first: int) -> Figures:
    """One round of one target."""
    pin(os.getpid(), OTHERS)
    before, redis_before = cpu_us(target.pids), cpu_us([stage.redis_pid])
    seen: Round = uvloop.run(drive(target.port, count, lanes, lambda n: target.cancel(first + n)))
    check(target.name, seen.statuses)
    used = cpu_us(target.pids) - before
    return {
        "cpu_us": used / count,
        "redis_cpu_us": (cpu_us([stage.redis_pid]) - redis_before) / count,
        "per_s": count / seen.wall_s,
        "core_busy": used / 1e6 / seen.wall_s,
        "rss_mb": sum(map(rss_mb, target.pids)),
    }


def rounds(
    stage: Stage,
    targets: Mapping[str, Target],
    inside: Mapping[str, InProcess],
    options: tuple[int, int, int],
    numbers: Counter,
    tell: Tell,
) -> list[dict[str, Figures]]:
    """So many rounds of so many cancels, so many at a time; one more in front, for warming up."""
    turns, count, lanes = options
    found = []
    going = [*targets, *inside]
    for turn in range(turns + 1):
        one: dict[str, Figures] = {}
        for name in sorted(going, reverse=bool(turn % 2)):
            if name in inside:
                one[name] = inside[name].measure(count, lanes)
                continue
            work = partial(measure, stage, targets[name], count, lanes)
            if (figures := undisturbed(lambda: work(numbers.take(count)), tell)) is None:  # noqa: B023  called at once
                going.remove(name)
                tell(f"{name} at {lanes} at a time: left out, it could not be measured")
            else:
                one[name] = figures
        if turn:
            found.append(one)
            tell(f"round {turn} of {turns}, {lanes} at a time: " + ", ".join(_word(name, one) for name in one))
    return [{name: one[name] for name in one if name in going} for one in found]


def check(name: str, statuses: Mapping[int, int]) -> None:
    """Raise Disturbed where more than a few were refused or lost."""
    bad = sum(count for status, count in statuses.items() if status not in GOOD)
    if bad > BAD_MOST * sum(statuses.values()):
        raise Disturbed(f"{name}: not every cancel succeeded: {dict(statuses)}")


def undisturbed(measured: Callable[[], Result], tell: Tell) -> Result | None:
    """Once more where the machine was too busy, but not for ever: None then."""
    for _ in range(RETRIES):
        try:
            return measured()
        except Disturbed as reason:
            tell(f"once more: {reason}")
            time.sleep(PAUSE_S)
    return None


def _word(name: str, one: Mapping[str, Figures]) -> str:
    return f"{name} {one[name]['cpu_us']:.0f} µs"


def told(found: Sequence[Mapping[str, Figures]]) -> dict[str, dict[str, Spread]]:
    """Medians with ranges; the ratio is taken within each round."""
    result: dict[str, dict[str, Spread]] = {}
    for name in found[0]:
        figures = {what: spread([one[name][what] for one in found]) for what in found[0][name]}
        if BASELINE in found[0]:
            figures["ratio"] = spread([one[name]["cpu_us"] / one[BASELINE]["cpu_us"] for one in found])
        result[name] = figures
    return result


def spread(values: Sequence[float]) -> Spread:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
