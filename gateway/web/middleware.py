"""What stands around every call: its id, its caller, and the one place where anything unforeseen is caught."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from gateway.core.outcome import Outcome
from gateway.web.codec import Refused, Spoken, put_off, refusal, valid_request_id
from gateway.web.front import CALLER, CANCEL_DONE, EVENTS, FRONT, REQUEST_ID, TRACE, Front, Trace
from gateway.web.listener import SERVER

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Said = TypeVar("Said")


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever the application's router found."""
    if request.method == "DELETE":
        request[TRACE] = Trace(event=EVENTS.get(request.match_info.route.name or "", CANCEL_DONE))
    return await guarded(request, handler, request.app[FRONT])


async def guarded(request: web.Request, handler: Handler, front: Front) -> web.StreamResponse:
    """Give the request its id, find out who calls, and turn whatever happens into an answer."""
    began = front.clock.monotonic()
    request_id = request[REQUEST_ID] = id_of(request, front)
    trace = request.get(TRACE)
    outcome, said = await attempted(_handled(request, handler, front), front, trace or Trace(), request_id)
    response = spoken(said) if isinstance(said, Spoken) else said
    response.headers["X-Request-ID"] = request_id
    response.headers["Server"] = SERVER
    if front.draining:
        response.force_close()
    if trace is not None:
        trace.status = response.status
        front.journal.done(trace, request_id, outcome, front.clock.monotonic() - began)
    return response


def id_of(request: web.Request, front: Front) -> str:
    """The caller's own, where it is valid."""
    return valid_request_id(request.headers.get("X-Request-ID")) or front.new_request_id()


async def _handled(request: web.Request, handler: Handler, front: Front) -> web.StreamResponse:
    if request.path not in OPEN_PATHS:
        caller = request[CALLER] = await front.door.caller(request)
        if trace := request.get(TRACE):
            trace.caller = caller.name
    if _is_disguised(request):
        raise web.HTTPNotFound
    return await handler(request)


async def attempted(
    work: Awaitable[Said], front: Front, trace: Trace, request_id: str
) -> tuple[Outcome, Said | Spoken]:
    """What the work came to, or an answer in its place."""
    try:
        said = await work
    except Refused as refused:
        trace.detail = refused.detail
        spoken_instead = refusal(refused.outcome, refused.detail, request_id, trace.about, refused.status)
        if refused.retry_after_ms is not None:
            spoken_instead = put_off(spoken_instead, refused.retry_after_ms, front.clock.now_ms())
        return refused.outcome, spoken_instead
    except web.HTTPException as stopped:
        return Outcome.INVALID_REQUEST, _no_route(stopped, request_id)
    except Exception as bug:  # noqa: BLE001  the one broad except: a caller gets an answer even to a bug
        front.journal.broke(request_id, bug)
        return Outcome.INTERNAL, refusal(Outcome.INTERNAL, None, request_id)
    return trace.outcome, said


def _is_disguised(request: web.Request) -> bool:
    """Whether the path's first word is escaped: aiohttp would find the route all the same, a proxy's rule would not."""
    return "%" in request.rel_url.raw_path.partition("/")[2].partition("/")[0]


def spoken(answer: Spoken) -> web.Response:
    """The answer as aiohttp sends it."""
    return web.Response(
        status=answer.status, body=answer.body, content_type=answer.content_type, headers=dict(answer.headers)
    )


def _no_route(stopped: web.HTTPException, request_id: str) -> Spoken:
    said = refusal(Outcome.INVALID_REQUEST, stopped.reason, request_id, status=stopped.status)
    allowed = stopped.headers.get("Allow")
    return replace(said, headers={**said.headers, "Allow": allowed}) if allowed else said
