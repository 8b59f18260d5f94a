"""The whole service, put together: up and listening, drained, and ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from gateway import __version__
from gateway.aftercare import look_after
from gateway.backends.tls import ListenerTls
from gateway.drain import HANDED_OVER, Drain, Times
from gateway.ports import Log
from gateway.reload import Entrance, Reloader, Reread, Told
from gateway.settings import Settings
from gateway.settings.syntax import Listen
from gateway.web.app import admin_app, caller_app, runner
from gateway.web.front import Front
from gateway.web.listener import Site
from gateway.wiring.cancelling import AGENT, cancelling_parts, warm_up
from gateway.wiring.serving import console_of, front_of, watchman_of
from gateway.wiring.shared import shared_parts
from gateway.wiring.vitals import vitals_of

ANSWER_MARGIN_S, MS_PER_S = 0.5, 1000


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it runs, and where it is reached."""

    front: Front
    url: str
    admin_url: str
    times: Times

    async def drain(self, hasten: asyncio.Event) -> bool:
        """Take nothing new, and let what was accepted end; False where the time was too short."""
        front = self.front
        front.draining = True

        def busy() -> bool:
            return front.in_flight > 0 or front.pipeline.busy

        def hand_over() -> None:
            front.pipeline.dispatcher.close(HANDED_OVER)

        return await Drain(front.clock, self.times, busy, hand_over, front.answer_all).run(hasten)


@asynccontextmanager
async def running(settings: Settings, log: Log, reread: Reread | None = None) -> AsyncIterator[Running]:
    """The whole service, up and listening, as long as the block runs."""
    async with AsyncExitStack() as ends:
        shared = await shared_parts(settings, log, ends)
        cancelling = cancelling_parts(settings, shared, ends)
        told = Told(shared.metrics, log)
        entrance = Entrance(settings, shared.clock, told, AGENT)
        ends.push_async_callback(entrance.aclose)
        front = front_of(entrance, shared, cancelling)
        vitals = vitals_of(front, shared, cancelling, entrance)
        app = caller_app(front, vitals, shared.traces.middlewares)
        server = settings.server
        url = await _listen(ends, app, server.listen, entrance.tls, shared=server.reuse_port)
        ends.callback(asyncio.create_task(Reloader(settings, entrance, told, reread).run()).cancel)
        admin = admin_app(front, vitals, console_of(front, shared))
        admin_url = await _listen(ends, admin, server.admin_listen, None)
        ends.callback(asyncio.create_task(warm_up(shared, cancelling)).cancel)
        watchman = watchman_of(front, shared, cancelling)
        look_after(watchman, front.follower.bell, shared.link.subscription, ends)
        log.event("gateway.started", version=__version__, url=url, admin_url=admin_url, venues=[*front.desks])
        yield Running(front, url, admin_url, _times(settings))


def _times(settings: Settings) -> Times:
    server, slowest_ms = settings.server, max(own.timeout_ms for own in settings.venues.values())
    return Times(server.drain_seconds, server.drain_lag_ms / MS_PER_S, slowest_ms / MS_PER_S + ANSWER_MARGIN_S)


async def _listen(
    ends: AsyncExitStack, app: web.Application, where: Listen, tls: ListenerTls | None, *, shared: bool = False
) -> str:
    runs = runner(app)
    await runs.setup()
    ends.push_async_callback(runs.cleanup)
    context = tls.context if tls else None
    await Site(runs, where.host, where.port, ssl_context=context, reuse_port=shared or None).start()
    host, port = runs.addresses[0][:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
