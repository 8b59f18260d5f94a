"""A cancel's CPU here, at the least that the job needs, and at what a user would pick instead; all in one run.

    python -m bench.compare [--rounds 5] [--requests 2000] [--lanes 16]     wants requirements/bench.txt; Linux only

Rounds are taken in turns, so that a noisy machine is noisy for all; what counts is the ratio within a round. Redis and
the venue are processes of their own and not counted. Writes bench/results/compare.json and docs/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.passthrough import HERE, children, measure, pin, port_told_by, running, spread, start_gateway

PAGE = HERE.parent / "docs" / "performance.md"
MARK = "<!-- made by python -m bench.compare: the part between these marks -->"
NAMES = {
    "passthrough": "bare aiohttp pass-through: takes the request, passes it on, gives back the answer",
    "least": "the same with one Redis round trip and one signature: no record, no metric, no log",
    "gateway": "**this gateway**, everything on: records, limits, signing, metrics, log, audit trail",
    "fastapi": "FastAPI, httpx and redis-py, as a good team writes it in a week",
    "ccxt": "no gateway: `cancel_order` of ccxt (async) in the trading process itself",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, whose CPU counts."""

    port: int
    pid: int


def targets(stack: ExitStack, folder: Path, upstream: int, tokens: int) -> dict[str, Target]:
    port, gateway = start_gateway(stack, folder, upstream, tokens)
    (redis,) = children(gateway.pid)
    socket = _socket(redis)
    found = {"gateway": Target(port, gateway.pid)}
    for name, command in {
        "passthrough": ("bench.roles", "forward", str(upstream)),
        "least": ("bench.rivals", "least", str(upstream), socket),
        "fastapi": ("bench.rivals", "fastapi", str(upstream), socket),
    }.items():
        process = stack.enter_context(running(sys.executable, "-m", *command))
        found[name] = Target(port_told_by(process), process.pid)
    for target in found.values():
        pin(target.pid, 0)
    pin(redis, 1)
    return found


def _socket(redis: int) -> str:
    """The embedded server's own socket: the one in the kernel's list that it listens at."""
    links = {str(link.readlink()) for link in Path(f"/proc/{redis}/fd").iterdir()}
    inodes = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[6] in inodes and fields[5] == "01":
            return fields[7]
    raise SystemExit("the embedded Redis has no socket that can be found")


def ccxt(upstream: int, options: argparse.Namespace) -> dict[str, float]:
    command = (sys.executable, "-m", "bench.rivals", "ccxt", str(upstream), str(options.requests), str(options.lanes))
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent, timeout=120)  # noqa: S603
    return {"cpu_us": float(said.stdout)}


def run(options: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    rounds = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        venue = stack.enter_context(running(sys.executable, "-m", "bench.roles", "upstream"))
        upstream = port_told_by(venue)
        there = targets(stack, folder, upstream, options.tokens)
        pin(venue.pid, 1)
        pin(os.getpid(), 1)
        first = 1
        for turn in range(options.rounds + 1):
            one = {}
            for name in sorted(there, reverse=bool(turn % 2)):
                one[name] = measure(there[name].port, [there[name].pid], [], first, options)
                first += options.requests
            one["ccxt"] = ccxt(upstream, options)
            if turn:  # the first is for warming up
                rounds.append(one)
    return rounds


def told(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    result = {}
    for name in NAMES:
        figures = {what: spread([one[name][what] for one in rounds]) for what in rounds[0][name]}
        figures["ratio"] = spread([one[name]["cpu_us"] / one["passthrough"]["cpu_us"] for one in rounds])
        result[name] = figures
    return result


def table(result: dict[str, dict[str, dict[str, float]]], options: argparse.Namespace) -> str:
    lines = ["| | CPU of a cancel | times the pass-through | cancels per second and core |", "|---|---|---|---|"]
    for name, words in NAMES.items():
        cpu, ratio = result[name]["cpu_us"], result[name]["ratio"]
        core = 1e6 / cpu["median"]
        lines.append(
            f"| {words} | {cpu['median']:.0f} µs ({cpu['least']:.0f} to {cpu['most']:.0f}) "
            f"| {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f}) | {core:,.0f} |"
        )
    said = (
        f"{options.rounds} rounds of {options.requests} cancels each, {options.lanes} at a time, medians with ranges."
    )
    return "\n".join([*lines, "", f"Measured by `python -m bench.compare`: {said}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 5), ("requests", 2000), ("lanes", 16), ("tokens", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    result = told(run(options))
    (HERE / "results" / "compare.json").write_text(json.dumps({"options": vars(options), **result}, indent=1) + "\n")
    text = table(result, options)
    print(text)
    if PAGE.exists() and PAGE.read_text().count(MARK) == 2:
        before, _, after = PAGE.read_text().split(MARK)
        PAGE.write_text(f"{before}{MARK}\n{text}\n{MARK}{after}")


if __name__ == "__main__":
    main()
