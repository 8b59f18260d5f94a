"""The console's live side: `/console/events`, a record to look into, and the kill switch, on the admin listener.

A console never stands in anyone's way. It is not told of a cancel, it comes and looks; it has no queue of its own, so
one that reads slowly misses something and one that does not read at all is dropped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.core.outcome import Outcome
from gateway.core.tally import Kill, Tally
from gateway.lookout import Lookout
from gateway.recent import Recent
from gateway.web import console_codec as codec
from gateway.web.codec import Refused
from gateway.web.console_codec import Viewer
from gateway.web.console_page import show_page, show_part
from gateway.web.front import CALLER, FRONT, KILL, REQUEST_ID, Front
from gateway.web.handlers import show_record
from gateway.web.kill import kill
from gateway.web.listener import SERVER
from gateway.web.middleware import Handler, guard

VIEWERS_MOST = 32
TURN_S = 0.25
# Who has not taken a few kilobytes after this long is gone or stuck.
STUCK_S = 5.0
# A caller that was taken away, or whose token ran out, is shown nothing more after this long.
ASK_AGAIN_S = 5.0
FULL_RETRY_MS = 5000
QUIET_S, SIGN_OF_LIFE = 2.0, b":\n\n"
NO_KILLS = codec.event("kills", {"kills": []})


@dataclass(frozen=True, slots=True)
class Console:
    """What the console looks at, and how patient it is."""

    lookout: Lookout
    recent: Recent
    kills: Callable[[], list[tuple[Kill, Tally]]]
    version: str
    stuck_s: float = STUCK_S
    ask_again_s: float = ASK_AGAIN_S


CONSOLE = web.AppKey("console", Console)


def add_console(app: web.Application, front: Front, console: Console) -> None:
    """Its routes. The page is open to whoever reaches the listener; everything else wants a token."""
    app[FRONT], app[CONSOLE] = front, console
    app.router.add_get("/console", show_page)
    app.router.add_get("/console/events", _behind_the_door(events), allow_head=False)
    app.router.add_get("/console/api/cancels/{id}", _behind_the_door(show_record), allow_head=False)
    app.router.add_delete("/console/api/orders/{venue}", _behind_the_door(kill), name=KILL)
    app.router.add_get("/console/{file}", show_part)


def _behind_the_door(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        return await guard(request, handler)

    return guarded


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /console/events`: how everything stands, until the viewer leaves."""
    front, console, viewer = request.app[FRONT], request.app[CONSOLE], Viewer(request[CALLER])
    if not viewer.may_look():
        raise Refused(Outcome.FORBIDDEN, f"{viewer.caller.name} may not look at the console")
    if console.lookout.watchers >= VIEWERS_MOST:
        raise Refused(Outcome.OVERLOADED, f"{VIEWERS_MOST} consoles are open already", FULL_RETRY_MS)
    stream = Stream(request, front, console, viewer)
    with console.lookout.watched():
        return await stream.run()


class Stream:
    """One viewer, and what it has seen."""

    def __init__(self, request: web.Request, front: Front, console: Console, viewer: Viewer) -> None:
        self._request = request
        self._front = front
        self._console = console
        self._viewer = viewer
        self._response = web.StreamResponse(headers=_headers(request))
        self._looks = -1
        self._read = 0
        self._kills = NO_KILLS
        self._quiet_until = 0.0
        self._known_until = front.clock.monotonic() + console.ask_again_s

    async def run(self) -> web.StreamResponse:
        """Until it leaves, is stuck, or may not look any more."""
        said = codec.hello(self._viewer, self._console.version, self._front.clock.now_ms())
        try:
            await self._response.prepare(self._request)
            while await self._write(said + self._news()) and await self._may_stay():
                said = b""
                await asyncio.sleep(TURN_S)
        except ConnectionError:
            pass  # it left
        return self._response

    async def _write(self, news: bytes) -> bool:
        now = self._front.clock.monotonic()
        if not news and now < self._quiet_until:
            return True
        news, self._quiet_until = news or SIGN_OF_LIFE, now + QUIET_S
        try:
            async with asyncio.timeout(self._console.stuck_s):
                await self._response.write(news)
        except TimeoutError:
            if (transport := self._request.transport) is not None:
                transport.abort()
            return False
        return True

    async def _may_stay(self) -> bool:
        """Whether the token is still good, and for whom: rights may have changed."""
        if (now := self._front.clock.monotonic()) < self._known_until:
            return True
        self._known_until = now + self._console.ask_again_s
        try:
            self._viewer = Viewer(await self._front.door.caller(self._request))
        except Refused as refused:
            return refused.outcome is Outcome.OVERLOADED
        return self._viewer.may_look()

    def _news(self) -> bytes:
        """What is new since the last time."""
        lookout, recent, news = self._console.lookout, self._console.recent, b""
        if lookout.looks != self._looks and lookout.seen is not None:
            self._looks = lookout.looks
            now_ms, draining = self._front.clock.now_ms(), self._front.draining
            news += codec.standing(self._viewer, lookout.seen, lookout.at_ms, now_ms, draining=draining)
        if recent.count != self._read:
            past = recent.since(self._read)
            missed = past[0].number - self._read - 1 if self._read and past else 0
            self._read = recent.count
            news += codec.recent(self._viewer, past, missed)
        if (kills := codec.kills(self._viewer, self._console.kills())) != self._kills:
            self._kills = kills
            news += kills
        return news


def _headers(request: web.Request) -> dict[str, str]:
    return {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",
        "X-Request-ID": request[REQUEST_ID],
        "Server": SERVER,
    }
