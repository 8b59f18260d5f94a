"""`python -m bench.admission [SCENARIO ...]`: play, judge, print, and keep the figures."""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path

import uvloop

from bench.admission import processes
from bench.admission.plot import write_plot
from bench.admission.result import Result, shown
from bench.admission.scenarios import ALL, Scenario
from bench.admission.table import table

TARGET = Path(__file__).parents[1] / "results" / "admission.json"


def chosen(names: list[str]) -> list[Scenario]:
    unknown = set(names) - {scenario.name for scenario in ALL}
    if unknown:
        raise SystemExit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in ALL)}")
    return [scenario for scenario in ALL if not names or scenario.name in names]


async def play(scenario: Scenario) -> Result:
    seconds = float(os.environ.get("SECONDS_SATURATED", scenario.seconds))
    try:
        return await scenario.play(seconds)
    except Exception as error:  # noqa: BLE001  the other scenarios are to be played all the same
        result = Result(scenario.name)
        result.promise("can be played", f"{type(error).__name__}: {str(error)[-600:]}", kept=False)
        return result


def keep(results: list[Result], target: Path) -> None:
    """Write the figures down beside those of scenarios that were not played now."""
    known = json.loads(target.read_text())["scenarios"] if target.exists() else {}
    target.parent.mkdir(exist_ok=True)
    for result in results:
        known[result.name] = asdict(replace(result, series=None)) | {"kept": result.kept}
        del known[result.name]["series"]
        if result.series is not None:
            write_plot(result.series, target.parent)
    order = {scenario.name: index for index, scenario in enumerate(ALL)}
    ordered = dict(sorted(known.items(), key=lambda item: order.get(item[0], len(order))))
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({"machine": machine, "scenarios": ordered}, indent=1, default=str)
    target.write_text(text + "\n")
    target.with_suffix(".md").write_text(table(machine, json.loads(text)["scenarios"], ALL))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.admission")
    parser.add_argument("scenario", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--table", action="store_true", help="play nothing, write the table anew from the figures")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{scenario.name:<24} {scenario.play.__doc__}" for scenario in ALL))
        return
    if options.table:
        keep([], options.output)
        return
    processes.put_first(os.getpid())
    results = []
    for scenario in chosen(options.scenario):
        began = time.monotonic()
        result = uvloop.run(play(scenario))
        result.notes["load of the machine"] = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        results.append(result)
        print(f"{shown(result)}\n          took {time.monotonic() - began:.0f} s", flush=True)
        keep(results, options.output)
    broken = [result.name for result in results if not result.kept]
    print(
        f"\n{len(results) - len(broken)} of {len(results)} kept" + (f"; broken: {', '.join(broken)}" if broken else "")
    )
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
