"""`python -m bench.soak`: one soak and its verdict; figures and picture in bench/results. Exit code 0: all kept."""

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench.admission.result import Result, shown
from bench.soak.deeds import Doer
from bench.soak.gauges import Gauges, left_in
from bench.soak.load import Load
from bench.soak.picture import Mark, Panel, drawn
from bench.soak.plan import Deed, planned
from bench.soak.scene import TTL_S, Scene, scene
from bench.soak.trails import Trails
from bench.soak.verdict import Run, judged, summary

TARGET = Path(__file__).parents[1] / "results" / "soak.json"
EXPIRY_S, LOOK_S = TTL_S + 60.0, 2.0
AT_REST_S = 5.0
"""By then the trails are written and connections without use are closed."""


async def soaked(options: argparse.Namespace, plan: list[Deed]) -> tuple[Run, Result]:
    """One soak from the first process to the verdict."""
    async with scene() as made:
        run = _run_of(made, options)
        watching = [asyncio.create_task(each) for each in (run.trails.run(), run.gauges.run(), _progress(run))]
        try:
            run.gauges.began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run.doer.run(plan))
                tasks.create_task(run.load.run(options.seconds))
            await asyncio.sleep(AT_REST_S)
            if options.expiry:
                await _expired(made)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        await run.trails.look()
        return run, await judged(run)


def _run_of(made: Scene, options: argparse.Namespace) -> Run:
    load = Load(made, options.rate, random.Random(options.seed))  # noqa: S311  a plan is no secret
    gauges = Gauges(made, answers=load.outcomes.total)
    return Run(made, load, Doer(made), gauges, Trails(made.store), options.seconds, options.expiry)


async def _expired(made: Scene) -> None:
    """Until what was written for single cancels has run out, or should have."""
    until = time.monotonic() + EXPIRY_S
    while time.monotonic() < until:
        kinds, _ = await asyncio.to_thread(left_in, made)
        if not {"rec", "idem"} & kinds.keys():
            return
        await asyncio.sleep(LOOK_S)


async def _progress(run: Run) -> None:
    """A line a minute, for whoever waits."""
    while True:
        await asyncio.sleep(60)
        done, told = len(run.doer.done), run.load.outcomes.total()
        print(f"  {time.monotonic() - run.gauges.began:6.0f} s: {told} answers, {done} faults", flush=True)


def keep(run: Run, result: Result, options: argparse.Namespace, plan: list[Deed]) -> None:
    """The figures and the picture."""
    target: Path = options.output
    target.parent.mkdir(exist_ok=True)
    told = asdict(result) | {"kept": result.kept, "seed": options.seed, "seconds": options.seconds}
    told |= {"rate": options.rate, "planned": len(plan), "machine": _machine()}
    del told["series"]
    target.write_text(json.dumps(told, indent=1, default=str) + "\n")
    target.with_suffix(".svg").write_text(_picture(run, options))


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 1)}


def _picture(run: Run, options: argparse.Namespace) -> str:
    gauges, replicas = run.gauges, range(len(run.scene.gateways))
    samples = {number: [one for one in gauges.samples if one.replica == number] for number in replicas}
    pairs = zip(gauges.sends, gauges.sends[1:], strict=False)
    answers = [(later[0], (later[1] - sooner[1]) / (later[0] - sooner[0])) for sooner, later in pairs]
    names = {number: "never ended" if number == 0 else f"replica {number}" for number in replicas}
    panels = (
        Panel("answers a second", (("all callers", answers),)),
        Panel("memory, MB", tuple((names[n], [(one.at_s, one.rss_mb) for one in samples[n]]) for n in replicas)),
        Panel("file descriptors", tuple((names[n], [(one.at_s, one.fds) for one in samples[n]]) for n in replicas)),
        Panel("keys in the store", (("all", [(one.at_s, one.count) for one in gauges.keys]),)),
    )
    began_ms = run.doer.done[0].began_ms - run.doer.done[0].deed.at_s * 1000 if run.doer.done else 0
    marks = [Mark((done.began_ms - began_ms) / 1000, done.deed.lane, str(done.deed)) for done in run.doer.done]
    title = f"soak, seed {options.seed}: {len(run.load.wishes)} orders to cancel, {len(marks)} faults"
    return drawn(title, panels, marks, max([options.seconds, *(at for at, _ in gauges.sends)]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="how long there is load; default 1800")
    parser.add_argument("--rate", type=float, default=20, help="orders a second that callers want gone; default 20")
    parser.add_argument("--seed", type=int, help="plays the plan of an earlier run again; default: a new one")
    parser.add_argument("--dense", type=float, default=1.0, help="below 1: faults follow each other faster")
    parser.add_argument("--no-expiry", dest="expiry", action="store_false", help="do not wait until records expire")
    parser.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = time.time_ns() // 1_000_000 % 1_000_000
    plan = planned(options.seed, options.seconds, scale=options.dense)
    print(f"seed {options.seed}, {options.seconds:g} s, {options.rate:g}/s, {len(plan)} faults:", flush=True)
    print("\n".join(f"  {deed}" for deed in plan), flush=True)
    if options.plan:
        return
    run, result = uvloop.run(soaked(options, plan))
    keep(run, result, options, plan)
    print(f"{shown(result)}\n{summary(result, options.output)}\nreplay: --seed {options.seed}")
    sys.exit(0 if result.kept else 1)


if __name__ == "__main__":
    main()
