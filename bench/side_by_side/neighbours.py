"""HashKey's latency at 150/s through a gateway, with and without Loopring's 50/s beside it, in turns.

Loopring signs in plain Python, so long that whoever comes meanwhile waits; this is by how much.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial

from bench.admission.processes import put_first
from bench.pace import due_times, pace, quantile
from bench.side_by_side.cost import Counter, Spread, Tell, check, spread, undisturbed
from bench.side_by_side.latency import PARTS
from bench.side_by_side.targets import Target

NEIGHBOUR, SIGNER = "gateway-hashkey", "gateway-loopring"
PER_S, SIGNED_PER_S = 150.0, 50.0
ALONE, BESIDE = "alone", "beside Loopring"


def neighbours(
    targets: Mapping[str, Target], options: tuple[int, float], numbers: Counter, tell: Tell
) -> dict[str, dict[str, Spread]]:
    """So many rounds of so many seconds each way; milliseconds."""
    turns, seconds = options
    put_first(os.getpid())
    found: dict[str, list[list[float]]] = {ALONE: [], BESIDE: []}
    for turn in range(turns):
        for way in (ALONE, BESIDE) if turn % 2 else (BESIDE, ALONE):
            work = partial(_round, targets, seconds, turn, numbers, signs=way is BESIDE)
            if (latencies := undisturbed(work, tell)) is None:
                tell("neighbours: left out, they could not be measured")
                return {}
            found[way].append(latencies)
        tell(
            f"neighbour round {turn + 1} of {turns}: HashKey p99 "
            + ", ".join(f"{way} {quantile(latencies[-1], 0.99):.2f} ms" for way, latencies in found.items())
        )
    return {way: _told(rounds) for way, rounds in found.items()}


def _round(targets: Mapping[str, Target], seconds: float, turn: int, numbers: Counter, *, signs: bool) -> list[float]:
    streams = [(NEIGHBOUR, PER_S, turn), *([(SIGNER, SIGNED_PER_S, 1000 + turn)] if signs else [])]
    ready = []
    for name, per_s, seed in streams:
        times, target = due_times(per_s, seconds, seed), targets[name]
        ready.append((target.port, times, _from(target, numbers.take(len(times)))))
    seen = pace(*ready)
    for (name, _, _), one in zip(streams, seen, strict=True):
        check(name, one.statuses)
    return seen[0].latencies_ms


def _from(target: Target, first: int) -> Callable[[int], bytes]:
    return lambda n: target.cancel(first + n)


def _told(rounds: list[list[float]]) -> dict[str, Spread]:
    figures = {word: spread([quantile(one, part) for one in rounds]) for word, part in PARTS.items()}
    figures["p99.9"] = spread([quantile([each for one in rounds for each in one], PARTS["p99.9"])])
    return figures
