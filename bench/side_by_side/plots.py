"""The two pictures of a run: what a cancel costs, and how its latency is spread."""

from collections.abc import Mapping, Sequence

from bench.charts import Axis, Bar, bars, lines
from bench.pace import Paced, quantile
from bench.side_by_side.targets import NAMES

PARTS = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
SHORT = {"direct": "the venue itself", "passthrough": "bare pass-through", "least": "the least (Redis, signature)"}
Spread = Mapping[str, float]


def short(name: str) -> str:
    """A name that fits on a picture."""
    return SHORT.get(name) or name.replace("gateway-", "this gateway, ").replace("ccxt-", "ccxt in process, ")


def cost_picture(cost: Mapping[str, Mapping[str, Spread]]) -> str:
    rows = [
        Bar(short(name), own["median"], own["least"], own["most"], ours=name.startswith("gateway"))
        for name in NAMES
        if name in cost and (own := cost[name]["cpu_us"])
    ]
    told = "microseconds of CPU of whoever serves, median and range over the rounds"
    return bars("What a cancel costs", told, sorted(rows, key=lambda row: row.value))


def latency_picture(found: Mapping[str, Sequence[Paced]]) -> str:
    series = {
        short(name): [(1 / (1 - part), quantile(_all(rounds), part)) for part in PARTS]
        for name, rounds in sorted(found.items(), key=lambda item: quantile(_all(item[1]), 0.5))
    }
    across = Axis("so many cancels of a hundred were answered sooner", log=True, shown=_part)
    told = "200 cancels a second, open loop, counted from when each was due; all rounds together"
    return lines("Latency", told, series, across, Axis("milliseconds", log=True))


def _part(inverse: float) -> str:
    return f"{100 - 100 / inverse:.4g}"


def _all(rounds: Sequence[Paced]) -> list[float]:
    return [latency for one in rounds for latency in one.latencies_ms]
