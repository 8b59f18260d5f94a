"""The two listeners' applications: routes, limits, and what stands on which side."""

import re
from collections.abc import Sequence
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.web import handlers, health
from gateway.web.console import Console, add_console
from gateway.web.front import FRONT, KILL, TRACE, Front, Trace
from gateway.web.kill import kill
from gateway.web.listener import ENTRANCE, SILENT_S, WHOLE_S, Entrance, Handler, Runner
from gateway.web.many import cancel_many
from gateway.web.middleware import Handler as OfApp
from gateway.web.middleware import guard, guarded
from gateway.web.openapi import show_docs, show_openapi

BODY_MOST = 64 * 1024
LINE_MOST, HEADER_MOST, HEADERS_MOST = 8190, 8190, 64
# As the router reads `/orders/{venue}/{ref}`.
SINGLE = re.compile(r"/orders/[^{}/]+/[^{}/]+")
SHUTDOWN_S = 0.25  # the drain has been before; what is left then are idle connections


def caller_app(front: Front, vitals: health.Vitals, around: Sequence[Middleware] = ()) -> web.Application:
    """What trading services talk to; what stands `around` it stands around every call."""
    app = web.Application(middlewares=[*around, guard], client_max_size=BODY_MOST)
    app[FRONT] = front
    app[health.VITALS] = vitals
    single = partial(handlers.cancel, front=front)
    if not around:
        app[ENTRANCE] = Entrance(partial(straight, single, front))
    app.router.add_delete("/orders/{venue}/{ref}", single)
    app.router.add_delete("/orders/{venue}", kill, name=KILL)
    app.router.add_post("/cancels", cancel_many)
    app.router.add_get("/cancels/{id}", handlers.show_record, allow_head=False)
    app.router.add_get("/venues", handlers.show_venues, allow_head=False)
    app.router.add_get("/openapi.json", show_openapi, allow_head=False)
    app.router.add_get("/docs", show_docs, allow_head=False)
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    return app


def straight(single: OfApp, front: Front, others: Handler) -> Handler:
    """The way that a cancel takes past the router, which costs it a tenth of its time and memory; the rest goes on."""

    async def enter(request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "DELETE" or not SINGLE.fullmatch(request.rel_url.raw_path):
            return await others(request)
        assert isinstance(request, web.Request)  # noqa: S101  the application's factory makes no other
        request[TRACE] = Trace()
        return await guarded(request, single, front)

    return enter


def admin_app(front: Front, vitals: health.Vitals, console: Console) -> web.Application:
    """What probes, Prometheus and people on call talk to; it listens on loopback unless configured otherwise."""
    app = web.Application(client_max_size=BODY_MOST)
    app[health.VITALS] = vitals
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.metrics)
    # For people with a browser, who have no header to put a token into; the page tells nothing of anybody.
    app.router.add_get("/openapi.json", show_openapi, allow_head=False)
    app.router.add_get("/docs", show_docs, allow_head=False)
    add_console(app, front, console)
    return app


def runner(app: web.Application, whole_s: float = WHOLE_S, silent_s: float = SILENT_S) -> web.AppRunner:
    """A runner with the limits of our own listener; a handler whose caller left is cancelled, and sees to the rest."""
    made = Runner(
        app,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,
        keepalive_timeout=SILENT_S,
        max_line_size=LINE_MOST,
        max_field_size=HEADER_MOST,
        max_headers=HEADERS_MOST,
        shutdown_timeout=SHUTDOWN_S,
    )
    made.whole_s, made.silent_s = whole_s, silent_s
    return made
