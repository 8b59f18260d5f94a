"""The two listeners' applications: routes, limits, and what stands on which side."""

from collections.abc import Sequence
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.web import handlers, health
from gateway.web.console import Console, add_console
from gateway.web.front import FRONT, KILL, Front
from gateway.web.kill import kill
from gateway.web.listener import ENTRANCE, SILENT_S, WHOLE_S, Entrance, Runner
from gateway.web.many import cancel_many
from gateway.web.middleware import guard
from gateway.web.openapi import show_docs, show_openapi
from gateway.web.straight import straight

BODY_MOST = 64 * 1024
LINE_MOST, HEADER_MOST, HEADERS_MOST = 8190, 8190, 64
SHUTDOWN_S = 0.25  # the drain has been before; what is left then are idle connections


def caller_app(front: Front, vitals: health.Vitals, around: Sequence[Middleware] = ()) -> web.Application:
    """What trading services talk to; what stands `around` it stands around every call."""
    app = web.Application(middlewares=[*around, guard], client_max_size=BODY_MOST)
    app[FRONT] = front
    app[health.VITALS] = vitals
    if not around:
        app[ENTRANCE] = Entrance(partial(straight, front))
    app.router.add_delete("/orders/{venue}/{ref}", partial(handlers.cancel, front=front))
    app.router.add_delete("/orders/{venue}", kill, name=KILL)
    app.router.add_post("/cancels", cancel_many)
    app.router.add_get("/cancels/{id}", handlers.show_record, allow_head=False)
    app.router.add_get("/venues", handlers.show_venues, allow_head=False)
    app.router.add_get("/openapi.json", show_openapi, allow_head=False)
    app.router.add_get("/docs", show_docs, allow_head=False)
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    return app


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
