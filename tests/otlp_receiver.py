"""A collector for tests: takes OTLP over HTTP, and decodes it with the protocol's own classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Receiver:
    """What came so far; while `hangs`, nothing is answered."""

    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)
    status: int = 200

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.path == "/v1/traces"
        if self.status == 200:
            self.raw.append(body)
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource |= {one.key: one.value.string_value for one in each.resource.attributes}
                for scope in each.scope_spans:
                    self.spans.extend(scope.spans)
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def trace(self, trace_id: str) -> dict[str, Span]:
        """The spans of a trace by their names."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}


def attributes(span: Span) -> dict[str, object]:
    """What a span says, as plain values."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A collector on a free port."""
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runs = web.AppRunner(app, access_log=None)
    await runs.setup()
    await web.TCPSite(runs, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runs.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runs.cleanup()
