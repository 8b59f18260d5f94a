"""Whether spans are made, and what of the service is traced then; without `[tracing]` nothing stands around it."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp.typedefs import Middleware

from gateway import __version__
from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.core.model import VenueId
from gateway.ports import Clock, Log, Sender
from gateway.settings.tracing import Tracing
from gateway.web.front import Doorkeeper
from gateway.web.tracing import TracedDoor, traced

if TYPE_CHECKING:
    from gateway.backends.tracing.spans import Spans


@dataclass(frozen=True, slots=True)
class Traces:
    """What each part is wrapped in; nothing where `spans` is None."""

    spans: "Spans | None" = None

    def metrics(self, venues: Iterable[VenueId], auditor: Auditor, clock: Clock) -> Metrics:
        """The counts, which the verbs are told to."""
        if self.spans is None:
            return Metrics(venues, __version__, auditor, clock.monotonic)
        from gateway.backends.tracing.marks import TracedMetrics  # noqa: PLC0415  the extra may not be installed

        return TracedMetrics(venues, __version__, auditor, clock.monotonic, self.spans)

    def sender(self, sender: Sender) -> Sender:
        """What venues are asked through."""
        if self.spans is None:
            return sender
        from gateway.backends.tracing.marks import TracedSender  # noqa: PLC0415  likewise

        return TracedSender(sender)

    def log(self, log: Log) -> Log:
        """Where requests leave their line."""
        if self.spans is None:
            return log
        from gateway.backends.tracing.marks import TracedLog  # noqa: PLC0415  likewise

        return TracedLog(log, self.spans)

    def door(self, door: Doorkeeper, clock: Clock) -> Doorkeeper:
        """Where callers come in."""
        return door if self.spans is None else TracedDoor(door, clock, self.spans)

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """What stands around every call."""
        return () if self.spans is None else (traced(self.spans),)


def traces_of(settings: Tracing | None, log: Log, ends: AsyncExitStack) -> Traces:
    """Begin, where it is wanted."""
    if settings is None:
        return Traces()
    from gateway.backends.tracing.spans import Spans, over_http  # noqa: PLC0415  the extra may not be installed

    loop, endpoint = asyncio.get_running_loop(), settings.endpoint

    def tell(lost: bool) -> None:  # noqa: FBT001  the callback's form
        log.event("tracing.lost" if lost else "tracing.back", endpoint=endpoint)

    def changed(lost: bool) -> None:  # noqa: FBT001  likewise
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, lost)

    spans = Spans(over_http(endpoint, changed), __version__, settings.sample_ratio)
    ends.push_async_callback(spans.aclose)
    return Traces(spans)
