"""What aiohttp would do by itself with bytes that are no HTTP, done in our own words. No route and no limit here.

Its own answer repeats the offending line, names its version, has no request id, and costs a log line with a traceback:
anybody who reaches the port could fill the log.
"""

import secrets
from http import HTTPStatus

from aiohttp import web

from gateway.core.outcome import Outcome
from gateway.web.codec import refusal

SERVER = "cancel-gateway"
UNREADABLE = "this is no HTTP request that can be read"


class Connection(web.RequestHandler):
    """One caller's connection."""

    __slots__ = ()

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


class Listener(web.Server):
    """Makes our kind of connection."""

    def __call__(self) -> Connection:
        """One more caller."""
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application behind our listener. aiohttp has no public place where the connection's class is chosen."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Listener(made.request_handler, request_factory=made.request_factory, **self._kwargs)
