"""What each target adds to the venue's own latency at a steady 200 cancels a second, by the open-loop driver."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

from bench.admission.processes import put_first
from bench.pace import Paced, due_times, pace, quantile
from bench.side_by_side.cost import Counter, Spread, Tell, check, spread, undisturbed
from bench.side_by_side.targets import Target

PARTS = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
DIRECT = "direct"


def rounds(
    targets: Mapping[str, Target], options: tuple[int, float, float], numbers: Counter, tell: Tell
) -> dict[str, list[Paced]]:
    """So many rounds of each target in turns, so many cancels a second for so many seconds."""
    turns, per_s, seconds = options
    put_first(os.getpid())
    found: dict[str, list[Paced]] = {name: [] for name in targets}
    for turn in range(turns):
        times = due_times(per_s, seconds, seed=turn)
        for name in sorted(found, reverse=bool(turn % 2)):
            work = partial(_one, targets[name], times)
            if (seen := undisturbed(lambda: work(numbers.take(len(times))), tell)) is None:  # noqa: B023  called at once
                del found[name]
                tell(f"{name}: left out, its latency could not be measured")
            else:
                found[name].append(seen)
        tell(f"latency round {turn + 1} of {turns}: p50 " + ", ".join(_word(name, one) for name, one in found.items()))
    return found


def _word(name: str, rounds_of: Sequence[Paced]) -> str:
    return f"{name} {quantile(rounds_of[-1].latencies_ms, 0.5):.2f} ms"


def _one(target: Target, times: Sequence[float], first: int) -> Paced:
    (seen,) = pace((target.port, times, lambda n: target.cancel(first + n)))
    check(target.name, seen.statuses)
    return seen


def told(found: Mapping[str, list[Paced]]) -> dict[str, dict[str, Spread]]:
    """Per target: its own quantiles, and what it adds to the venue's in the same round.

    Ranges are over rounds; p99.9 is of all rounds together, for one has too few.
    """
    direct = found[DIRECT]
    result: dict[str, dict[str, Spread]] = {}
    for name, rounds_of in found.items():
        figures: dict[str, Spread] = {}
        for word, part in PARTS.items():
            own = [quantile(one.latencies_ms, part) for one in rounds_of]
            base = [quantile(one.latencies_ms, part) for one in direct]
            if part > 0.99:
                own, base = [_all(rounds_of, part)], [_all(direct, part)]
            figures[word] = spread(own)
            figures[f"added {word}"] = spread([mine - theirs for mine, theirs in zip(own, base, strict=True)])
        figures["driver late p99"] = spread([quantile(one.late_ms, 0.99) for one in rounds_of])
        result[name] = figures
    return result


def _all(rounds_of: Sequence[Paced], part: float) -> float:
    return quantile(list(chain.from_iterable(one.latencies_ms for one in rounds_of)), part)
