"""Where a request is traced: what stands around all others, and the door that tells how long it took."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.core.access import Caller
from gateway.ports import Clock, Fact, Tracer
from gateway.web.front import REQUEST_ID, TRACE, Doorkeeper, Trace
from gateway.web.middleware import OPEN_PATHS

PATH_MOST = 256


def traced(tracer: Tracer) -> Middleware:
    """A middleware that begins a trace, or goes on with the caller's, and tells the caller which it is."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        resource, url = request.match_info.route.resource, (request.scheme, request.rel_url.raw_path[:PATH_MOST])
        route = None if resource is None else resource.canonical
        with tracer.serve(request.method, route, url, _once(request)) as journey:
            response = await handler(request)
            if journey is not None:
                journey.answered(response.status, facts(request.get(TRACE), request[REQUEST_ID]))
                if not response.prepared:
                    response.headers["traceparent"] = journey.traceparent
        return response

    return trace


def _once(request: web.Request) -> Mapping[str, str]:
    """The headers, unless they name two traces at once (W3C: then it is as if none were there)."""
    return request.headers if len(request.headers.getall("traceparent", ())) == 1 else {}


def facts(trace: Trace | None, request_id: str) -> dict[str, Fact]:
    """What the log tells of a request, as far as it is plain."""
    said: dict[str, object] = {"request_id": request_id}
    if trace is not None:
        said |= trace.line() | ({"outcome": trace.outcome} if trace.answer or trace.tally else {})
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in said.items()
        if isinstance(value, str | bool | int | float)
    }


@dataclass(frozen=True, slots=True)
class TracedDoor:
    """The door, and how long it took."""

    door: Doorkeeper
    clock: Clock
    tracer: Tracer

    async def caller(self, request: web.Request) -> Caller:
        """Who calls."""
        began = self.clock.monotonic()
        try:
            return await self.door.caller(request)
        finally:
            self.tracer.told("authenticate", self.clock.monotonic() - began)
