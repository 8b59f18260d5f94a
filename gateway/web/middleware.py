"""What stands around every call: its id, its caller, and the one place where anything unforeseen is caught."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.core.outcome import Outcome
from gateway.web.codec import Refused, Spoken, put_off, refusal, valid_request_id
from gateway.web.front import CALLER, CANCEL_DONE, EVENTS, FRONT, REQUEST_ID, TRACE, Front, Trace
from gateway.web.listener import SERVER

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever the application's router found."""
    if request.method == "DELETE":
        request[TRACE] = Trace(event=EVENTS.get(request.match_info.route.name or "", CANCEL_DONE))
    return await guarded(request, handler, request.app[FRONT])


async def guarded(request: web.Request, handler: Handler, front: Front) -> web.StreamResponse:
    """Give the request its id, find out who calls, and turn whatever happens into an answer."""
    began = front.clock.monotonic()
    request_id = request[REQUEST_ID] = valid_request_id(request.headers.get("X-Request-ID")) or front.new_request_id()
    outcome, response = await _answer(request, handler, front)
    response.headers["X-Request-ID"] = request_id
    response.headers["Server"] = SERVER
    if front.draining:
        response.force_close()
    if trace := request.get(TRACE):
        trace.status = response.status
        front.journal.done(trace, request_id, outcome, front.clock.monotonic() - began)
    return response


async def _answer(request: web.Request, handler: Handler, front: Front) -> tuple[Outcome, web.StreamResponse]:
    request_id = request[REQUEST_ID]
    try:
        if request.path not in OPEN_PATHS:
            caller = request[CALLER] = await front.door.caller(request)
            if trace := request.get(TRACE):
                trace.caller = caller.name
        if _is_disguised(request):
            raise web.HTTPNotFound  # noqa: TRY301  it ends as the refusal of any path that is none
        response = await handler(request)
    except Refused as refused:
        trace = request.get(TRACE) or Trace()
        trace.detail = refused.detail
        said = refusal(refused.outcome, refused.detail, request_id, trace.about, refused.status)
        if refused.retry_after_ms is not None:
            said = put_off(said, refused.retry_after_ms, front.clock.now_ms())
        return refused.outcome, spoken(said)
    except web.HTTPException as stopped:
        return Outcome.INVALID_REQUEST, _no_route(stopped, request_id)
    except Exception as bug:  # noqa: BLE001  the one broad except: a caller gets an answer even to a bug
        front.journal.broke(request_id, bug)
        return Outcome.INTERNAL, spoken(refusal(Outcome.INTERNAL, None, request_id))
    trace = request.get(TRACE)
    return (trace.outcome if trace else Outcome.ACCEPTED), response


def _is_disguised(request: web.Request) -> bool:
    """Whether the path's first word is escaped: aiohttp would find the route all the same, a proxy's rule would not."""
    return "%" in request.rel_url.raw_path.partition("/")[2].partition("/")[0]


def spoken(answer: Spoken) -> web.Response:
    """The answer as aiohttp sends it."""
    return web.Response(
        status=answer.status, body=answer.body, content_type=answer.content_type, headers=dict(answer.headers)
    )


def _no_route(stopped: web.HTTPException, request_id: str) -> web.Response:
    response = spoken(refusal(Outcome.INVALID_REQUEST, stopped.reason, request_id, status=stopped.status))
    if allowed := stopped.headers.get("Allow"):
        response.headers["Allow"] = allowed
    return response
