"""`serve` without anything that watches it, for bench/watching.py alone: `python -m bench.unwatched FILE`.

No count, no log line, no ring of recent cancels; all else as it is. Not for service: nobody could see what it does.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway import __version__
from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.cli.serve import YOUNG_MOST, run_loop, signalled
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


class SilentMetrics(Metrics):
    """Counts nothing."""


def _nothing(*_: object, **__: object) -> None:
    """Nothing is counted."""


for _name in COUNTS:
    assert callable(getattr(Metrics, _name)), f"{_name} is not counted any more"
    setattr(SilentMetrics, _name, _nothing)


class SilentTraces(Traces):
    """Makes the counts that count nothing."""

    def metrics(self, venues: Iterable[VenueId], auditor: Auditor, clock: Clock) -> Metrics:
        return SilentMetrics(venues, __version__, auditor, clock.monotonic)


class SilentLog:
    """A log that is not written."""

    def done(self, fields: Mapping[str, object]) -> None: ...
    def event(self, name: str, **fields: object) -> None: ...
    def broke(self, request_id: str, error: BaseException) -> None:
        print(request_id, repr(error), file=sys.stderr)

    def lines_lost(self) -> int:
        return 0


class SilentJournal(web_front.Journal):
    """A cancel leaves nothing behind here."""

    def done(self, *_: object) -> None: ...


async def _serve(settings: Settings) -> int:
    vars(shared)["traces_of"] = lambda *_: SilentTraces()
    async with running(settings, SilentLog()) as service:
        loud = service.front.journal
        service.front.journal = SilentJournal(loud.meter, loud.log, loud.recent)
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
