"""The page's part between its marks: tables, pictures, and every target with what was reached. Text only."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.side_by_side.targets import BASELINE, NAMES

MARK = "<!-- made by make bench: the part between these marks -->"
OURS = "gateway-hashkey"
Spread = Mapping[str, float]
Figures = Mapping[str, Mapping[str, Spread]]


def written(page: Path, text: str, mark: str = MARK) -> bool:
    """Put the text between the page's marks; False where it has none."""
    before, *rest = page.read_text().split(mark)
    if len(rest) != 2:
        return False
    page.write_text(f"{before}{mark}\n{text}\n{mark}{rest[1]}")
    return True


def page(result: Mapping[str, Figures], machine: Mapping[str, object], options: Mapping[str, object]) -> str:
    """All that is there; a part that was not measured is left out."""
    parts = [_cost(result), _latency(result), _rest(result), _targets(result), _measured(machine, options)]
    return "\n\n".join(part for part in parts if part)


def _cost(result: Mapping[str, Figures]) -> str:
    cost, full, redis = result.get("cost"), result.get("saturation", {}), result.get("redis", {})
    if not cost:
        return ""
    head = "| | CPU of a cancel | times the pass-through | per second and core | memory | Redis: commands, trips, CPU |"
    lines = [head, "|---|---|---|---|---|---|"]
    for name in _known(cost):
        own, most = cost[name], full.get(name, cost[name])
        cells = (
            NAMES[name],
            f"{_ranged(own['cpu_us'], '.0f')} µs",
            _ranged(own["ratio"], ".2f") if "ratio" in own else "-",
            f"{1e6 / most['cpu_us']['median']:,.0f}",
            f"{own['rss_mb']['median']:.0f} MB",
            _redis(redis.get(name), own),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "![CPU per cancel](../bench/results/side-by-side-cost.svg)"])


def _redis(used: Mapping[str, Spread] | None, own: Mapping[str, Spread]) -> str:
    if used is None or not used["commands"]["median"] or "redis_cpu_us" not in own:
        return "-"
    commands, trips = used["commands"]["median"], used["trips"]["median"]
    return f"{commands:.2f}, {trips:.2f}, {own['redis_cpu_us']['median']:.0f} µs"


def _latency(result: Mapping[str, Figures]) -> str:
    latency = result.get("latency")
    if not latency:
        return ""
    words = ("p50", "p99", "p99.9")
    lines = [f"| ms at 200/s | {' | '.join(words)} | {' | '.join(f'added {word}' for word in words)} |"]
    lines.append("|---" * 7 + "|")
    for name in ("direct", *_known(latency)):
        own = latency[name]
        cells = [_ranged(own[word], ".2f") for word in (*words, *(f"added {word}" for word in words))]
        lines.append(f"| {'the venue itself' if name == 'direct' else NAMES[name]} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "![Latency at 200/s](../bench/results/side-by-side-latency.svg)"])


def _rest(result: Mapping[str, Figures]) -> str:
    lines = []
    if start := result.get("startup"):
        figures = start["serve"]
        lines.append(
            f"- From start to ready, Redis up: {_ranged(figures['ready_s'], '.2f')} s, "
            f"of which CPU {figures['cpu_s']['median']:.2f} s."
        )
    if near := result.get("neighbours"):
        told = [
            f"{way} p50 {_ranged(own['p50'], '.2f')}, p99 {_ranged(own['p99'], '.2f')}, "
            f"p99.9 {_ranged(own['p99.9'], '.2f')} ms"
            for way, own in near.items()
        ]
        lines.append(
            f"- HashKey at 150/s, with and without Loopring's 50/s through the same process: {'; '.join(told)}."
        )
    if signing := result.get("signing"):
        own = signing["loopring"]
        lines.append(f"- A Loopring signature, plain Python: {_ranged(own['us'], '.0f')} µs.")
    return "\n".join(lines)


def verdicts(result: Mapping[str, Figures]) -> list[tuple[str, str, bool]]:
    """Each target, the figure reached, and whether that is enough."""
    return [*_cost_verdicts(result), *_latency_verdicts(result), *_other_verdicts(result)]


def _cost_verdicts(result: Mapping[str, Figures]) -> list[tuple[str, str, bool]]:
    cost = result.get("cost", {})
    if OURS not in cost or BASELINE not in cost:
        return []
    ratio = cost[OURS]["ratio"]["median"]
    found = [("CPU of a cancel ≤ 1.7 times the pass-through (HashKey)", f"{ratio:.2f}", ratio <= 1.7)]
    full = result.get("saturation", cost)
    if "fastapi" in full:
        times = full["fastapi"]["cpu_us"]["median"] / full[OURS]["cpu_us"]["median"]
        found.append(("≥ 8 times the FastAPI gateway's throughput per core", f"{times:.1f}", times >= 8))
    for rival, ours in (("ccxt-hashkey", OURS), ("ccxt-woofipro", "gateway-orderly")):
        if rival in cost and ours in cost:
            theirs, mine = cost[rival]["cpu_us"]["median"], cost[ours]["cpu_us"]["median"]
            what = f"CPU below what {rival.replace('-', ' ')} costs its caller"
            found.append((what, f"{mine:.0f} against {theirs:.0f} µs", mine < theirs))
    return found


def _latency_verdicts(result: Mapping[str, Figures]) -> list[tuple[str, str, bool]]:
    latency = result.get("latency", {})
    if OURS not in latency or BASELINE not in latency:
        return []
    found = []
    for word, most in (("p50", 2), ("p99", 3)):
        times = latency[OURS][f"added {word}"]["median"] / latency[BASELINE][f"added {word}"]["median"]
        found.append((f"added {word} ≤ {most} times the pass-through's own", f"{times:.2f}", times <= most))
    return found


def _other_verdicts(result: Mapping[str, Figures]) -> list[tuple[str, str, bool]]:
    found = []
    if start := result.get("startup"):
        ready = start["serve"]["ready_s"]["median"]
        found.append(("start to ready < 1.5 s", f"{ready:.2f} s", ready < 1.5))
    if signing := result.get("signing"):
        took = signing["loopring"]["us"]["median"]
        found.append(("a Loopring signature ≤ 600 µs", f"{took:.0f} µs", took <= 600))
    return found


def _targets(result: Mapping[str, Figures]) -> str:
    rows = [f"| {what} | {reached} | {'yes' if met else '**no**'} |" for what, reached, met in verdicts(result)]
    return "\n".join(["| target | reached | met |", "|---|---|---|", *rows]) if rows else ""


def _measured(machine: Mapping[str, object], options: Mapping[str, object]) -> str:
    return (
        f"Measured by `make bench`: {options['rounds']} rounds of {options['requests']} cancels each, in turns, "
        f"{options['lanes']} at a time, and {options['saturating']} for the throughput; medians with ranges over the "
        f"rounds (p99.9 of all rounds together). {machine['cores']} cores, Python {machine['python']}, other work on "
        f"the machine while it ran: {machine['stolen']}."
    )


def _known(figures: Figures) -> Sequence[str]:
    return [name for name in NAMES if name in figures]


def _ranged(value: Spread, form: str) -> str:
    if value["least"] == value["most"]:
        return f"{value['median']:{form}}"
    return f"{value['median']:{form}} ({value['least']:{form}} to {value['most']:{form}})"
