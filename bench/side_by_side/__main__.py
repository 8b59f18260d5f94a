"""`python -m bench.side_by_side`: all of it, or `--only cost,latency --targets passthrough,gateway-hashkey`.

Takes about eight minutes. Writes bench/results/side_by_side.json, two pictures beside it, and the part of
docs/performance.md between its marks; with --only, --targets or fewer than five rounds it just prints.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.loopring_signing import signing_us
from bench.side_by_side import cost, latency
from bench.side_by_side.cost import Counter, in_process, spread
from bench.side_by_side.neighbours import NEIGHBOUR, SIGNER, neighbours
from bench.side_by_side.page import Figures, page, verdicts, written
from bench.side_by_side.plots import cost_picture, latency_picture
from bench.side_by_side.redis_use import redis_use
from bench.side_by_side.stage import ROOT, Stage, open_stage
from bench.side_by_side.startup import startups
from bench.side_by_side.targets import NAMES, direct, put_up

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = ("startup", "redis", "cost", "saturation", "latency", "neighbours", "signing")
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
ROUNDS = 5
BEGAN = time.monotonic()


@dataclass(slots=True)
class Run:
    """One run: what is to be measured, and what has been."""

    options: argparse.Namespace
    stage: Stage
    numbers: Counter = field(default_factory=Counter)
    result: dict[str, Figures] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)

    def go(self) -> None:
        chosen = self.options.targets
        if self.wants("startup"):
            self.result["startup"] = {"serve": startups(self.stage, self.options.rounds, tell)}
        there = put_up(self.stage, chosen, tell)
        inside = in_process(self.stage, chosen, tell)
        if self.wants("redis"):
            used = redis_use(self.stage, there, self.numbers)
            self.result["redis"] = {
                name: {what: spread([value]) for what, value in own.items()} for name, own in used.items()
            }
            tell(f"Redis, commands per cancel: { {name: own['commands'] for name, own in used.items()} }")
        for part, lanes in (("cost", self.options.lanes), ("saturation", self.options.saturating)):
            if self.wants(part):
                options = (self.options.rounds, self.options.requests, lanes)
                found = cost.rounds(self.stage, there, inside, options, self.numbers, tell)
                self.result[part] = cost.told(found)
        if self.wants("latency"):
            steady = (self.options.rounds, self.options.per_s, self.options.seconds)
            seen = latency.rounds({latency.DIRECT: direct(self.stage), **there}, steady, self.numbers, tell)
            self.result["latency"] = latency.told(seen)
            self.pictures["side-by-side-latency"] = latency_picture(seen)
        if self.wants("neighbours") and {NEIGHBOUR, SIGNER} <= there.keys():
            each = (self.options.rounds, self.options.seconds)
            self.result["neighbours"] = neighbours(there, each, self.numbers, tell)
        if self.wants("signing"):
            self.result["signing"] = {"loopring": {"us": spread([signing_us() for _ in range(self.options.rounds)])}}
        if "cost" in self.result:
            self.pictures["side-by-side-cost"] = cost_picture(self.result["cost"])

    def wants(self, part: str) -> bool:
        return part in self.options.only


def tell(line: str) -> None:
    """On standard error, with the time that has passed: standard output has the tables alone."""
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {line}", file=sys.stderr, flush=True)


def machine(before: tuple[float, float]) -> dict[str, object]:
    """What it was measured on, and how much of that others used meanwhile."""
    busy, whole = (now - then for now, then in zip(jiffies(), before, strict=True))
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "stolen": f"{max(0.0, busy - own_jiffies()) / whole:.0%} of all cores",
    }


def jiffies() -> tuple[float, float]:
    """Busy and passed, over all cores."""
    words = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(words) - words[3] - words[4], sum(words)


def own_jiffies() -> float:
    """What this process and all that it has waited for have used."""
    times = os.times()
    return sum(times[:4]) * os.sysconf("SC_CLK_TCK")


def keep(run: Run, measured_on: dict[str, object]) -> None:
    """Write the figures, the pictures and the page."""
    target = RESULTS / "side_by_side.json"
    options = {name: value for name, value in vars(run.options).items() if name not in {"only", "targets"}}
    target.write_text(json.dumps({"machine": measured_on, "options": options, **run.result}, indent=1) + "\n")
    for name, picture in run.pictures.items():
        (RESULTS / f"{name}.svg").write_text(picture)
    there = written(PAGE, page(run.result, measured_on, options))
    words = [str(path.relative_to(ROOT)) for path in (target, *([PAGE] if there else []))]
    tell(f"wrote {', '.join(words)}, and {', '.join(f'{name}.svg' for name in run.pictures)} beside the figures")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.side_by_side", description=(__doc__ or "").splitlines()[0])
    numbers: list[tuple[str, Callable[[str], float], float]] = [
        ("rounds", int, ROUNDS),
        ("requests", int, 1500),
        ("lanes", int, 16),
        ("saturating", int, 64),
        ("per-s", float, 200.0),
        ("seconds", float, 4.0),
    ]
    for name, kind, default in numbers:
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--only", type=lambda words: words.split(","), default=PARTS, help=f"of {','.join(PARTS)}")
    parser.add_argument("--targets", type=lambda words: words.split(","), default=tuple(NAMES))
    options = parser.parse_args()
    if unknown := {*options.only} - {*PARTS} | {*options.targets} - {*NAMES}:
        parser.error(f"not known: {', '.join(sorted(unknown))}; targets are {', '.join(NAMES)}")
    return options


def main() -> None:
    options, before = parsed(), jiffies()
    whole = options.only == PARTS and options.targets == tuple(NAMES) and options.rounds >= ROUNDS
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="side-by-side-")))
        run = Run(options, open_stage(ends, folder))
        run.go()
    measured_on = machine(before)
    print(page(run.result, measured_on, vars(options)))
    if whole:
        keep(run, measured_on)
    missed = [what for what, _, met in verdicts(run.result) if not met]
    tell(f"targets not met: {'; '.join(missed)}" if missed else "every target is met")


if __name__ == "__main__":
    main()
