"""What aiohttp would do by itself with bytes that are no HTTP, done in our own words; and what may take how long.

Its own answer repeats the offending line, names its version, has no request id, and costs a log line with a traceback:
anybody who reaches the port could fill the log.
"""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from gateway.core.certificate import NO_CERTIFICATE, Shown, names_in
from gateway.core.outcome import Outcome
from gateway.web.codec import refusal

SERVER = "cancel-gateway"
WHOLE_S, HANDSHAKE_S = 10.0, 5.0
SILENT_S = 75.0
UNREADABLE = "this is no HTTP request that can be read"


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Entrance:
    """Stands before an application, and hands on to it what is not for itself."""

    before: Callable[[Handler], Handler]


ENTRANCE = web.AppKey("entrance", Entrance)


class Connection(web.RequestHandler):
    """One caller's connection, and the certificate that was shown when it was made."""

    __slots__ = ("_is_silent", "_shown", "_too_late", "on_leave", "silent_s", "whole_s")
    _is_silent: bool
    _shown: Shown
    _too_late: asyncio.TimerHandle | None
    whole_s: float
    silent_s: float
    on_leave: Callable[[], None] | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take down who is at the other end. He may have it ready for later, but not for ever."""
        self._shown = _shown(transport.get_extra_info("peercert"))
        self.on_leave = None
        self._is_silent = True
        self._too_late = self._loop.call_later(self.silent_s, self._hang_up)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the time limit. Whoever asked to be told is not broken off, as others are, and sees to the rest."""
        self._is_whole()
        if self.on_leave is not None:
            self.on_leave()
            self._task_handler = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give whoever begins a request a time to end it; aiohttp has one for silence only."""
        super().data_received(data)
        if self._is_silent:
            self._is_silent = False
            self._is_whole()
        if self._messages:
            whole = self._messages[-1][1].is_eof()
        else:
            whole = self._current_request is not None and self._current_request.content.is_eof()
        if whole:
            self._is_whole()
        elif self._too_late is None:
            self._too_late = self._loop.call_later(self.whole_s, self._hang_up)

    def _is_whole(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _hang_up(self) -> None:
        self._too_late = None
        self.force_close()

    def names(self, now_ms: Callable[[], int]) -> tuple[str, ...]:
        """The names in the certificate, while it is valid; none where none was shown."""
        return () if self._shown is NO_CERTIFICATE else self._shown.at(now_ms() / 1000)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what cannot be read and hang up; everything else is a bug, which aiohttp logs."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = secrets.token_hex(12)
        said = refusal(Outcome.INVALID_REQUEST, UNREADABLE, request_id, status=status)
        headers = {"X-Request-ID": request_id, "Server": SERVER}
        answer = web.Response(status=status, body=said.body, content_type=said.content_type, headers=headers)
        answer.force_close()
        return answer


def _shown(certificate: Mapping[str, object] | None) -> Shown:
    """The library gives what the handshake has verified, and nothing where no certificate was asked for."""
    if not certificate:
        return NO_CERTIFICATE
    return Shown(names_in(certificate), ssl.cert_time_to_seconds(str(certificate["notAfter"])))


class Listener(web.Server):
    """Makes our kind of connection.

    `whole_s` is how long a request may take to come in, head and body; `silent_s` how long nobody need say anything on
    a new connection, which callers may open before they need it.
    """

    whole_s, silent_s = WHOLE_S, SILENT_S

    def __call__(self) -> Connection:
        """One more caller."""
        made = Connection(self, loop=self._loop, **self._kwargs)
        made.whole_s, made.silent_s = self.whole_s, self.silent_s
        return made


class Site(web.TCPSite):
    """Where it listens. aiohttp gives a TLS handshake a minute, and names no way to say otherwise."""

    handshake_s = HANDSHAKE_S

    async def start(self) -> None:
        """Listen."""
        await web.BaseSite.start(self)
        if (server := self._runner.server) is None:
            raise RuntimeError("set the runner up first")
        self._server = await asyncio.get_running_loop().create_server(
            server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            reuse_port=self._reuse_port,
            ssl_handshake_timeout=None if self._ssl_context is None else self.handshake_s,
        )


class Runner(web.AppRunner):
    """Runs an application behind our listener. aiohttp has no public place where the connection's class is chosen."""

    __slots__ = ("silent_s", "whole_s")
    whole_s: float
    silent_s: float

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        way_in = self.app[ENTRANCE].before(made.request_handler) if ENTRANCE in self.app else made.request_handler
        ours = Listener(way_in, request_factory=made.request_factory, **self._kwargs)
        ours.whole_s, ours.silent_s = self.whole_s, self.silent_s
        return ours
