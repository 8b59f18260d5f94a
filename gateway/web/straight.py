"""The way of a cancel past the router, which costs a tenth of its time and memory; and its answer, written at once."""

import re
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from gateway.web.codec import Spoken
from gateway.web.front import Front, Trace, Visit
from gateway.web.handlers import single
from gateway.web.listener import SERVER, Handler
from gateway.web.middleware import attempted, id_of, spoken

# As the router reads `/orders/{venue}/{ref}`.
SINGLE = re.compile(r"/orders/[^{}/]+/[^{}/]+")
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Written(web.StreamResponse):
    """An answer with all its bytes, which go out in one write.

    aiohttp's own puts a head together out of a table of headers; here every header is known beforehand.
    """

    def __init__(self, said: Spoken, request_id: str, *, keep_alive: bool) -> None:
        # aiohttp's own beginning makes the table; what it asks an answer for besides stands below.
        self._said = said
        self._request_id = request_id
        self._keep_alive = keep_alive
        self._writer: AbstractStreamWriter | None = None

    @property
    def status(self) -> int:
        """As the caller reads it."""
        return self._said.status

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """It is written when it ends."""
        self._writer = request.writer
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002  there is nothing to add
        """Write it."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.write(self._bytes())

    def _bytes(self) -> bytes:
        said = self._said
        own = "".join([f"{name}: {value}\r\n" for name, value in said.headers.items()])
        head = (
            f"HTTP/1.1 {said.status} {PHRASES[said.status]}\r\n"
            f"Content-Type: {said.content_type}\r\nContent-Length: {len(said.body)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER}\r\nX-Request-ID: {self._request_id}\r\n"
            f"{own}{'' if self._keep_alive else CLOSE}\r\n"
        )
        return head.encode("ascii") + said.body


CLOSE = "Connection: close\r\n"


def straight(front: Front, others: Handler) -> Handler:
    """Take what is a cancel; the rest goes on."""

    async def enter(request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "DELETE" or not SINGLE.fullmatch(request.rel_url.raw_path):
            return await others(request)
        assert isinstance(request, web.Request)  # noqa: S101  the application's factory makes no other
        began, trace, request_id = front.clock.monotonic(), Trace(), id_of(request, front)
        outcome, said = await attempted(_cancelled(request, front, trace, request_id), front, trace, request_id)
        trace.status = said.status
        front.journal.done(trace, request_id, outcome, front.clock.monotonic() - began)
        return answer(request, said, request_id, keep_alive=not front.draining)

    return enter


async def _cancelled(request: web.Request, front: Front, trace: Trace, request_id: str) -> Spoken:
    caller = await front.door.caller(request)
    trace.caller = caller.name
    return await single(request, front, Visit(trace, caller, request_id))


def answer(request: web.Request, said: Spoken, request_id: str, *, keep_alive: bool) -> web.StreamResponse:
    """The answer as it is sent; to those who speak an older HTTP, as aiohttp words it."""
    if request.version == HttpVersion11:
        return Written(said, request_id, keep_alive=keep_alive and request.keep_alive)
    response = spoken(said)
    response.headers.update({"X-Request-ID": request_id, "Server": SERVER})
    if not keep_alive:
        response.force_close()
    return response
