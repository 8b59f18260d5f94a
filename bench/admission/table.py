"""The figures of all scenarios as one table in Markdown, made from admission.json."""

from collections.abc import Mapping, Sequence

from bench.admission.scenarios import Scenario

HEAD = """# Admission: the last figures

Made by `python -m bench.admission`; `admission.json` beside this file has every promise and note. Gateways, Redis,
sandbox and callers share one machine ({machine}). The sandbox counts, in every sliding window, with no guard.

| scenario | what happens | violations | efficiency | longest gap / drain | promises kept | command |
|---|---|---|---|---|---|---|
"""
FOOT = """
Violations count every request that was one too many in some window. `redis-cut-off` and `split-brain` are bounded, not
zero: see [decision 9](../../docs/decisions/0009-split-brain.md). A failover's efficiency is over the whole run, which
has the outage in it.
"""

Found = Mapping[str, object]


def table(machine: Mapping[str, object], found: Mapping[str, Found], scenarios: Sequence[Scenario]) -> str:
    """The page; scenarios that were never played are left out."""
    shown = ", ".join(f"{name} {value}" for name, value in machine.items())
    rows = [_row(scenario, found[scenario.name]) for scenario in scenarios if scenario.name in found]
    return HEAD.format(machine=shown) + "\n".join(rows) + "\n" + FOOT


def _row(scenario: Scenario, found: Found) -> str:
    violations, efficiency = found["violations"], found["efficiency"]
    what = " ".join((scenario.play.__doc__ or "").split()).replace("|", "/")
    cells = (
        scenario.name,
        what,
        "-" if violations is None else str(violations),
        f"{efficiency:.0%}" if isinstance(efficiency, float) else "-",
        _lasted(found),
        f"skipped: {found['skipped']}" if found["skipped"] else _kept(found),
        f"`python -m bench.admission {scenario.name}`",
    )
    return f"| {' | '.join(cells)} |"


def _lasted(found: Found) -> str:
    notes, drain_s = found["notes"], found["drain_s"]
    gap = notes.get("longest gap") if isinstance(notes, dict) else None
    words = [f"gap {gap}"] if gap else []
    return ", ".join([*words, f"drain {drain_s:.1f} s"] if isinstance(drain_s, float) else words) or "-"


def _kept(found: Found) -> str:
    promises = found["promises"]
    assert isinstance(promises, list)
    broken = [f"{one['text']}: {one['measured']}".replace("|", "/") for one in promises if not one["kept"]]
    count = f"{len(promises) - len(broken)} of {len(promises)}"
    return f"{count}; **not** {'; '.join(broken)}" if broken else count
