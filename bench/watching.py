"""What metrics and log cost: CPU per cancel of one gateway with its watching on and off, turn by turn.

    python -m bench.watching [--pairs 120] [--requests 150] [--lanes 16]

One process does both, in short turns that follow each other, so that whatever else the machine does meets both alike.
Linux only; venue, Redis and driver are processes of their own and not counted.
"""

import argparse
import json
import os
import signal
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
from bench.side_by_side.stage import OTHERS, SERVED, Gateway, Stage, cpu_us, environment, open_stage, pin, port_of
from bench.side_by_side.stage import settings as everything_on

HERE = Path(__file__).parent
VENUE = "hashkey"
WARM = 10


def started(stage: Stage) -> Gateway:
    """The gateway of bench/unwatched.py, ready; its watching is on."""
    tree, config = everything_on(stage), stage.folder / "gateway.toml"
    config.write_text(toml(tree))
    log = stage.ends.enter_context((stage.folder / "gateway.log").open("w"))
    process = subprocess.Popen(  # noqa: S603  our own
        [sys.executable, "-m", "bench.unwatched", str(config)], stdout=log, cwd=HERE.parent, env=environment()
    )
    stage.ends.callback(process.wait, 30)
    stage.ends.callback(process.terminate)
    server = tree["server"]
    assert isinstance(server, dict)
    gateway = Gateway(process, port_of(server["listen"]), port_of(server["admin_listen"]))
    pin(process.pid, SERVED)
    gateway.wait_ready()
    return gateway


def turn(gateway: Gateway, first: int, options: argparse.Namespace) -> float:
    """CPU per cancel, in microseconds."""
    before = cpu_us([gateway.pid])
    seen = uvloop.run(drive(gateway.port, options.requests, options.lanes, lambda n: SHAPES[VENUE].cancel(first + n)))
    assert set(seen.statuses) == {200}, f"not every cancel succeeded: {seen.statuses}"
    return (cpu_us([gateway.pid]) - before) / float(options.requests)


def pairs(options: argparse.Namespace) -> list[tuple[float, float]]:
    """On and off, so often; which comes first changes, as the watching is only turned between two turns."""
    found: list[tuple[float, float]] = []
    with ExitStack() as ends:
        gateway = started(open_stage(ends, Path(ends.enter_context(tempfile.TemporaryDirectory()))))
        pin(os.getpid(), OTHERS)
        first, on = 1, True
        for _ in range(WARM + options.pairs):
            one = {}
            one[on] = turn(gateway, first, options)
            on = not on
            gateway.process.send_signal(signal.SIGUSR1)
            one[on] = turn(gateway, first + options.requests, options)
            first += 2 * options.requests
            found.append((one[True], one[False]))
    return found[WARM:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.watching", description=(__doc__ or "").splitlines()[0])
    for name, default in (("pairs", 120), ("requests", 150), ("lanes", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    found = pairs(options)
    shares = sorted(1 - off / on for on, off in found)
    quarter = len(shares) // 4
    result = {
        "on_us": round(statistics.median(on for on, _ in found), 1),
        "off_us": round(statistics.median(off for _, off in found), 1),
        "share": round(statistics.median(shares), 4),
        "share_of_sums": round(1 - sum(off for _, off in found) / sum(on for on, _ in found), 4),
        "half_of_the_pairs": [round(shares[quarter], 4), round(shares[-1 - quarter], 4)],
    }
    print(json.dumps(result, indent=1))
    (HERE / "results" / "watching.json").write_text(json.dumps({"options": vars(options), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
