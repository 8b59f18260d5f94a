"""What stands around the parts of the service where it is traced: each does what the part does, and tells of it."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.backends.tracing.spans import UNDER_WAY, Spans
from gateway.core.model import VenueId
from gateway.core.wire import SendResult, WireRequest
from gateway.ports import Log, Sender, always


class TracedMetrics(Metrics):
    """Counts, and makes a span of each verb."""

    def __init__(
        self, venues: Iterable[VenueId], version: str, auditor: Auditor, now: Callable[[], float], spans: Spans
    ) -> None:
        super().__init__(venues, version, auditor, now)
        self._spans = spans

    def phase(self, venue: VenueId, verb: str, seconds: float) -> None:
        """How long one verb of the path took."""
        super().phase(venue, verb, seconds)
        self._spans.told(verb, seconds, venue)


@dataclass(frozen=True, slots=True)
class TracedSender:
    """Sends as it is told. Nothing of the trace goes to a venue."""

    sender: Sender

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        """Send once, and note it; what nobody asked for just now has no trace."""
        journey = UNDER_WAY.get()
        if journey is None:
            return await self.sender.send(venue, request, timeout_ms, may_leave, urgent=urgent)
        began, result = time.time_ns(), None
        try:
            result = await self.sender.send(venue, request, timeout_ms, may_leave, urgent=urgent)
        finally:
            journey.sent(venue, request, result, began)
        return result


@dataclass(frozen=True, slots=True)
class TracedLog:
    """A log whose line of a request names its trace."""

    log: Log
    spans: Spans

    def done(self, fields: Mapping[str, object]) -> None:
        """The one line of a request."""
        trace_id = self.spans.trace_id()
        self.log.done(fields if trace_id is None else {**fields, "trace_id": trace_id})

    def event(self, name: str, **fields: object) -> None:
        """A change of state, or the line of a kill."""
        trace_id = self.spans.trace_id()
        self.log.event(name, **(fields if trace_id is None else {**fields, "trace_id": trace_id}))

    def lines_lost(self) -> int:
        """How many lines were lost since this was asked last."""
        return self.log.lines_lost()

    def broke(self, request_id: str, error: BaseException) -> None:
        """A bug showed itself."""
        self.log.broke(request_id, error)
