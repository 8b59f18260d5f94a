"""What metrics and log cost: CPU per cancel of the gateway as it is, over the same without anything that watches it.

    python -m bench.watching [--rounds 9] [--requests 2000] [--lanes 16]

Rounds are taken in turns; a third gateway, as it is, tells how far two equal ones come out apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.admission.setting import toml
from bench.load import drive
from bench.shapes import SHAPES
from bench.side_by_side.stage import (
    OTHERS,
    SERVED,
    Gateway,
    Stage,
    cpu_us,
    environment,
    open_stage,
    pin,
    port_of,
    settings,
)

HERE = Path(__file__).parent
VENUE = "hashkey"


def unwatched(stage: Stage) -> Gateway:
    """The gateway of bench/unwatched.py."""
    tree = settings(stage)
    config = stage.folder / "unwatched.toml"
    config.write_text(toml(tree))
    process = subprocess.Popen(  # noqa: S603  our own
        [sys.executable, "-m", "bench.unwatched", str(config)], cwd=HERE.parent, env=environment()
    )
    stage.ends.callback(process.wait, 30)
    stage.ends.callback(process.terminate)
    server = tree["server"]
    assert isinstance(server, dict)
    pin(process.pid, SERVED)
    return Gateway(process, port_of(server["listen"]), port_of(server["admin_listen"]))


def one_round(gateway: Gateway, first: int, options: argparse.Namespace) -> float:
    """CPU per cancel, in microseconds."""
    before = cpu_us([gateway.pid])
    seen = uvloop.run(drive(gateway.port, options.requests, options.lanes, lambda n: SHAPES[VENUE].cancel(first + n)))
    assert set(seen.statuses) == {200}, f"not every cancel succeeded: {seen.statuses}"
    used = cpu_us([gateway.pid]) - before
    return used / int(options.requests)


def measured(options: argparse.Namespace) -> list[dict[str, float]]:
    found = []
    with ExitStack() as ends:
        stage = open_stage(ends, Path(ends.enter_context(tempfile.TemporaryDirectory())))
        gateways = {"watched": stage.serve(settings(stage), "one"), "again": stage.serve(settings(stage), "two")}
        gateways["unwatched"] = unwatched(stage)
        for gateway in gateways.values():
            gateway.wait_ready()
        first = 1
        for turn in range(options.rounds + 1):
            one = {}
            for name in sorted(gateways, reverse=bool(turn % 2)):
                pin(os.getpid(), OTHERS)
                one[name] = one_round(gateways[name], first, options)
                first += options.requests
            if turn:  # the first is for warming up
                found.append(one)
                print({name: round(us) for name, us in one.items()}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 9), ("requests", 2000), ("lanes", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    found = measured(options)
    shares = [1 - one["unwatched"] / one["watched"] for one in found]
    apart = [one["again"] / one["watched"] - 1 for one in found]
    result = {
        "watched_us": statistics.median(one["watched"] for one in found),
        "unwatched_us": statistics.median(one["unwatched"] for one in found),
        "share": statistics.median(shares), "share_least": min(shares), "share_most": max(shares),
        "two_equal_ones_apart": statistics.median(apart),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    (HERE / "results" / "watching.json").write_text(json.dumps({"options": vars(options), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
