"""One trace per request: a server span, a span per verb, and a client span for what goes to a venue.

The verbs are timed anyway, for the metrics, so most spans are made afterwards, from how long they took. Which request
it is travels with asyncio's context. What ends is put into a bounded queue that a thread of the SDK's empties; where
the collector hangs, the queue fills and spans are lost, and nothing waits for them.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.core.model import VenueId
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.ports import Fact

QUEUE_MOST, EACH_MS, EXPORT_S, FAREWELL_S = 4096, 1000, 5.0, 1.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
ERROR, SERVER_ERROR = 400, 500
NS_PER_S = 1_000_000_000
OWN = "cancel_gateway."
PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(slots=True)
class Journey:
    """One request on its way: what its spans hang on, and the moments that no verb tells (wall time, ns)."""

    tracer: Tracer
    span: Span
    context: Context
    came_in: int
    let_in: int
    first: int | None = None
    last: int | None = None
    left: int | None = None

    @property
    def traceparent(self) -> str:
        """What the caller can find the trace by."""
        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, self.context)
        return carrier["traceparent"]

    def answered(self, status: int, facts: Mapping[str, Fact]) -> None:
        """What was told to the caller."""
        self.span.set_attribute("http.response.status_code", status)
        self.span.set_attributes({OWN + name: value for name, value in facts.items()})
        if status >= SERVER_ERROR:
            self.span.set_status(StatusCode.ERROR)
            self.span.set_attribute("error.type", str(status))

    def told(self, verb: str, seconds: float, venue: VenueId | None = None) -> None:
        """A verb took so long, until now. Signing ends where sending begins, and sending has a span of its own."""
        end = self.left if verb == "sign" and self.left is not None else time.time_ns()
        began = end - int(seconds * NS_PER_S)
        if verb == "authenticate":
            self.let_in = end
        else:
            self.first, self.last = self.first or began, end
        if verb != "send":
            self.between(verb, began, end, venue)

    def between(self, verb: str, began: int, end: int, venue: VenueId | None = None) -> None:
        """A span of what is over."""
        about = None if venue is None else {OWN + "venue": venue}
        self.tracer.start_span(verb, self.context, attributes=about, start_time=began).end(end)

    def sent(self, venue: VenueId, request: WireRequest, result: SendResult | None, began: int) -> None:
        """What went to a venue, and what came back. What is secret in the address is taken out of it."""
        self.left = began
        shown, where = request.shown(), urlsplit(request.url)
        about: dict[str, Fact] = {
            "http.request.method": shown.method,
            "url.full": shown.url,
            "server.address": where.hostname or "",
            "server.port": where.port or (443 if where.scheme == "https" else 80),
            OWN + "venue": venue,
        }
        span = self.tracer.start_span("send", self.context, SpanKind.CLIENT, attributes=about, start_time=began)
        if isinstance(result, Reply):
            span.set_attribute("http.response.status_code", result.status)
        if (error := _error(result)) is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end(time.time_ns())


def _error(result: SendResult | None) -> str | None:
    match result:
        case Reply(status=status):
            return str(status) if status >= ERROR else None
        case NotSent():
            return "not_sent"
        case Unconfirmed() | None:
            return "unconfirmed"


UNDER_WAY: ContextVar[Journey | None] = ContextVar("journey", default=None)


class Spans:
    """Makes traces (a ports.Tracer), and hands them to an exporter."""

    def __init__(self, exporter: SpanExporter, version: str, sample_ratio: float) -> None:
        resource = Resource.create({"service.name": "cancel-gateway", "service.version": version})
        sampler = ParentBased(TraceIdRatioBased(sample_ratio))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, QUEUE_MOST, EACH_MS))
        self._tracer = self._provider.get_tracer("gateway", version)

    @contextmanager
    def serve(
        self, method: str, route: str | None, url: tuple[str, str], headers: Mapping[str, str]
    ) -> Iterator[Journey | None]:
        """A request, as long as the block runs; None where this trace is not kept."""
        known = method if method in METHODS else "_OTHER"
        about: dict[str, Fact] = {"http.request.method": known, "url.scheme": url[0]}
        if route is not None:
            about |= {"http.route": route, "url.path": url[1]}
        began, name = time.time_ns(), f"{known} {route}" if route else known
        parent = PROPAGATOR.extract({key: headers[key] for key in ("traceparent", "tracestate") if key in headers})
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes=about, start_time=began)
        if not span.is_recording():
            yield None
            return
        journey = Journey(self._tracer, span, set_span_in_context(span, parent), began, began)
        token = UNDER_WAY.set(journey)
        try:
            yield journey
        finally:
            UNDER_WAY.reset(token)
            _frame(journey, known, time.time_ns())

    def told(self, verb: str, seconds: float, venue: VenueId | None = None) -> None:
        """A verb of whatever request this is."""
        if (journey := UNDER_WAY.get()) is not None:
            journey.told(verb, seconds, venue)

    def trace_id(self) -> str | None:
        """By which the trace of this request is found."""
        journey = UNDER_WAY.get()
        return None if journey is None else format_trace_id(journey.span.get_span_context().trace_id)

    async def aclose(self) -> None:
        """Hand over what is left; a collector that hangs is not waited for."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def farewell() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=farewell, name="tracing-farewell", daemon=True).start()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await done.wait()
        except TimeoutError:
            return


def _frame(journey: Journey, method: str, now: int) -> None:
    """`receive` lies before the first verb of the pipeline and `respond` after the last one; many have no one end."""
    if method in {"DELETE", "POST"}:
        journey.between("receive", journey.let_in, journey.first or now)
    if method == "DELETE" and journey.last is not None:
        journey.between("respond", journey.last, now)
    journey.span.end(now)


class Watched(SpanExporter):
    """An exporter of which it is told when it begins to fail and when it works again."""

    def __init__(self, exporter: SpanExporter, changed: Callable[[bool], None]) -> None:
        """`changed` is called in the exporter's own thread, with whether spans are lost now."""
        self._exporter = exporter
        self._changed = changed
        self._lost = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        result = self._exporter.export(spans)
        lost = result is not SpanExportResult.SUCCESS
        if lost != self._lost:
            self._lost = lost
            self._changed(lost)
        return result

    def shutdown(self) -> None:
        """No more will come."""
        self._exporter.shutdown()


def over_http(endpoint: str, changed: Callable[[bool], None]) -> SpanExporter:
    """OTLP over HTTP with protobuf. What the SDK has to say is told by `changed`, not on stderr."""
    quiet = logging.getLogger("opentelemetry")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    return Watched(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_S), changed)
