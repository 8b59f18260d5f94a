"""`serve` whose watching can be turned off and on, for bench/watching.py alone: `python -m bench.unwatched FILE`.

SIGUSR1 turns it: off means no count, no log line and no ring of recent cancels, and all else as it is. Not for service.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.cli.serve import YOUNG_MOST, open_log, run_loop, signalled
from gateway.core.model import VenueId
from gateway.ports import Clock
from gateway.settings import Settings, load
from gateway.venues import ALL
from gateway.web import front as web_front
from gateway.wiring import shared
from gateway.wiring.service import running
from gateway.wiring.traces import Traces

COUNTS = (
    "answered", "phase", "sent", "slot", "retried", "waited", "batch", "terminal", "replayed", "waited_in_vain",
    "unknown_open", "resolved", "gate_shut", "gated", "credential", "redis",
)  # fmt: skip


class Watching:
    """Whether it is on."""

    on = True


def _if_on(does: Callable[..., None]) -> Callable[..., None]:
    def maybe(*given: Any, **named: Any) -> None:  # noqa: ANN401  whatever a count takes
        if Watching.on:
            does(*given, **named)

    return maybe


class SomeMetrics(Metrics):
    """Counts while watching is on."""


for _name in COUNTS:
    setattr(SomeMetrics, _name, _if_on(getattr(Metrics, _name)))


class SomeTraces(Traces):
    """Makes these counts."""

    def metrics(self, venues: Iterable[VenueId], auditor: Auditor, clock: Clock) -> Metrics:
        return SomeMetrics(venues, __version__, auditor, clock.monotonic)


class SomeJournal(web_front.Journal):
    """A cancel leaves its line and its counts while watching is on."""

    done = _if_on(web_front.Journal.done)


def _turn() -> None:
    Watching.on = not Watching.on


async def _serve(settings: Settings) -> int:
    vars(shared)["traces_of"] = lambda *_: SomeTraces()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _turn)
    async with running(settings, open_log("INFO", sys.stdout.fileno())) as service:
        told = service.front.journal
        service.front.journal = SomeJournal(told.meter, told.log, told.recent)
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_MOST, *gc.get_threshold()[1:])
        await signalled()
        await service.drain(asyncio.Event())
    return 0


if __name__ == "__main__":
    found = load(Path(sys.argv[1]), os.environ, ALL)
    assert isinstance(found, Settings), found
    sys.exit(run_loop(_serve(found)))
