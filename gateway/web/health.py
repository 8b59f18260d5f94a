"""Is the process alive, can it cancel, and what does it count."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that the service leans on. `needed`: without it nothing can be cancelled."""

    ok: bool
    detail: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the listeners learn about the process."""

    components: Callable[[], Awaitable[Mapping[str, Component]]]
    draining: Callable[[], bool]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    version: str


VITALS = web.AppKey("vitals", Vitals)


async def alive(request: web.Request) -> web.Response:
    """`GET /healthz`: the loop turns."""
    return _json(200, {"status": "ok", "version": request.app[VITALS].version})


async def ready(request: web.Request) -> web.Response:
    """`GET /readyz`: each component by name; not ready while draining, or while nothing could be cancelled."""
    vitals = request.app[VITALS]
    components = await vitals.components()
    draining = vitals.draining()
    able = not draining and all(part.ok for part in components.values() if part.needed)
    body = {
        "ready": able,
        "draining": draining,
        "components": {name: {"ok": part.ok, "detail": part.detail} for name, part in components.items()},
    }
    return _json(200 if able else 503, body)


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics` in Prometheus' text form, or as OpenMetrics where that is accepted."""
    body, form = await request.app[VITALS].metrics(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": form, "Vary": "Accept"})


def _json(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
