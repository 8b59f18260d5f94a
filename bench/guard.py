"""Holds the cost of a cancel against the committed one, by counting instead of timing: `make bench-check`.

    python -m bench.guard                compare; exit 1 where something grew by more than a tenth
    python -m bench.guard --write        measure anew, and write bench/results/guard.json
    python -m bench.guard --runs 10      show how far runs lie apart

The gateway runs whole, everything on, in this process, and one cancel at a time is sent to it from another thread. What
is counted is what its loop does for a cancel: bytecodes of the interpreter, and calls of C functions. Neither depends
on the machine or on what else it does; both depend on the Python, so figures are kept for each. See decision 35.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

from bench.admission.setting import toml
from bench.pace import quantile
from bench.shapes import SHAPES, Shape
from bench.side_by_side.stage import ROOT, environment, open_stage, settings
from gateway.cli.serve import run_loop, serve_until_signalled
from gateway.settings import Settings, load
from gateway.venues import ALL

FIGURES = ROOT / "bench" / "results" / "guard.json"
MOST = 1.10
WARM, COUNTED, UNDISTURBED, TRIES_MOST = 20, 60, 0.25, 200
PYTHON = ".".join(platform.python_version_tuple()[:2])
QUIET_S, RUN_S = 0.003, 120
# Counting makes all of it several times slower, and no slot is to go stale for that.
GUARD_MS = 500
Counts = dict[str, dict[str, float]]


@dataclass(slots=True)
class Counting:
    """What the thread that it was started in has executed."""

    bytecodes: int = 0
    c_calls: int = 0

    def start(self) -> None:
        sys.settrace(cast("Any", self._called))
        sys.setprofile(self._profiled)

    def stop(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, arg: object) -> Callable[..., object]:  # noqa: ARG002  their form
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._executed

    def _executed(self, frame: FrameType, event: str, arg: object) -> Callable[..., object]:  # noqa: ARG002  likewise
        if event == "opcode":
            self.bytecodes += 1
        return self._executed

    def _profiled(self, frame: FrameType, event: str, arg: object) -> None:  # noqa: ARG002  likewise
        if event == "c_call":
            self.c_calls += 1


def counted(config: Path, log: Path) -> Counts:
    """Serve with these settings in this thread, and ask from another; per venue the counts of one cancel."""
    found = load(config, {}, ALL)
    assert isinstance(found, Settings), found
    counting, result = Counting(), {}

    async def begin(url: str, admin_url: str) -> None:  # noqa: ARG001  the hook's form
        threading.Thread(target=ask, args=(int(url.rpartition(":")[2]),), daemon=True).start()
        counting.start()

    def ask(port: int) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for shape in SHAPES.values():
                    result[shape.venue] = _asked(connection, shape, counting)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with log.open("w") as lines:
        code = run_loop(serve_until_signalled(found, begin, lines.fileno()))
    counting.stop()
    assert code == 0
    assert result.keys() == SHAPES.keys(), f"only {result}"
    return result


def _asked(connection: socket.socket, shape: Shape, counting: Counting) -> dict[str, float]:
    seen: list[tuple[int, int]] = []
    for number in range(1, TRIES_MOST):
        before = counting.bytecodes, counting.c_calls
        good = _answered(connection, shape.cancel(number))
        _quiet(counting)
        if good:  # a machine that is busy enough lets a few run out of time
            seen.append((counting.bytecodes - before[0], counting.c_calls - before[1]))
        if len(seen) == WARM + COUNTED:
            break
    else:
        raise SystemExit(f"{shape.venue}: of {TRIES_MOST} cancels only {len(seen)} came through; is the machine busy?")
    # What the clock or a busy machine adds (the trail's writes, a slot that went stale) falls into some of them.
    taken = seen[WARM:]
    return {
        "bytecodes": quantile([one[0] for one in taken], UNDISTURBED),
        "c_calls": quantile([one[1] for one in taken], UNDISTURBED),
    }


def _answered(connection: socket.socket, request: bytes) -> bool:
    """Whether the cancel came through."""
    connection.sendall(request)
    said = b""
    while (end := said.find(b"\r\n\r\n")) < 0:
        said += connection.recv(65536)
    length = int(said.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(said) < end + 4 + length:
        said += connection.recv(65536)
    return said[9:12] in {b"200", b"202"}


def _quiet(counting: Counting) -> None:
    """Until the loop has nothing left to do for this cancel."""
    before = -1
    while counting.bytecodes != before:
        before = counting.bytecodes
        time.sleep(QUIET_S)


def measured() -> Counts:
    """One run, in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-m", "bench.guard", "--once"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment() | {"PYTHONHASHSEED": "0"},
        timeout=RUN_S,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    counts: Counts = json.loads(said.stdout)
    return counts


def once() -> Counts:
    """This process is the run."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "gateway.toml"
        config.write_text(toml(settings(open_stage(ends, folder, pinned=False), guard_ms=GUARD_MS)))
        return counted(config, folder / "gateway.log")


def compared(now: Counts, then: Counts) -> list[str]:
    """Each figure beside the committed one; says which have grown too much. Values for people."""
    return [
        f"{venue:9} {what:10} {now[venue][what]:8,.0f}   committed {before:8,.0f}   {now[venue][what] / before:6.3f}"
        for venue, figures in then.items()
        for what, before in figures.items()
    ]


def grown(now: Counts, then: Counts) -> list[str]:
    """What costs more than a tenth more than it did."""
    return [
        f"{venue}: {what} of a cancel went from {before:,.0f} to {now[venue][what]:,.0f}"
        for venue, figures in then.items()
        for what, before in figures.items()
        if now[venue][what] > MOST * before
    ]


def spreads(runs: Sequence[Counts]) -> list[str]:
    """How far the runs lie apart: the widest from the median, in percent."""
    lines = []
    for venue in runs[0]:
        for what in runs[0][venue]:
            values = [run[venue][what] for run in runs]
            middle = statistics.median(values)
            apart = max(abs(value - middle) for value in values) / middle
            lines.append(
                f"{venue:9} {what:10} median {middle:8,.0f}   {min(values):,.0f} to {max(values):,.0f}   {apart:.2%}"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep what is measured now as the committed figures")
    parser.add_argument("--runs", type=int, default=1, help="so many runs, and how far they lie apart")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once()))
        return
    runs = [measured() for _ in range(options.runs)]
    if options.runs > 1:
        print("\n".join(spreads(runs)))
    now = {
        venue: {what: statistics.median(run[venue][what] for run in runs) for what in figures}
        for venue, figures in runs[0].items()
    }
    known: dict[str, Counts] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if options.write:
        FIGURES.write_text(json.dumps(known | {PYTHON: now}, indent=1) + "\n")
        print(f"wrote {FIGURES.relative_to(ROOT)} for Python {PYTHON}")
    elif PYTHON not in known:
        print(f"skipped: there are no committed figures for Python {PYTHON}, only for {', '.join(known) or 'none'}")
    else:
        print("\n".join(compared(now, known[PYTHON])))
        if worse := grown(now, known[PYTHON]):
            print("\n".join(worse), file=sys.stderr)
            raise SystemExit("a cancel costs more than it did; if that is meant: make bench-check WRITE=--write")


if __name__ == "__main__":
    main()
