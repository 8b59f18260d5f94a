"""How long a request may take to come in, at a real socket; and how long a TLS handshake may."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web

from gateway.web.app import runner
from gateway.web.listener import Site

WHOLE_S = 0.3
SILENT_S = 1.0
HEAD = b"POST /echo HTTP/1.1\r\nHost: a\r\n"


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(3 * WHOLE_S)
        return web.Response(text="slow")

    app = web.Application()
    app.router.add_post("/echo", echo)
    app.router.add_get("/slow", slow)
    runs = runner(app, WHOLE_S, SILENT_S)
    await runs.setup()
    site = Site(runs, "127.0.0.1", 0, ssl_context=tls)
    site.handshake_s = WHOLE_S
    await site.start()
    try:
        yield runs.addresses[0][1]
    finally:
        await runs.cleanup()


async def fate(port: int, *pieces: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """What is answered to pieces that come one by one, and when the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()

    async def speak() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)

    speaking = asyncio.create_task(speak())
    try:
        async with asyncio.timeout(5):
            said = await reader.read()
    except ConnectionError:
        said = b""
    finally:
        speaking.cancel()
        writer.transport.abort()
    return said, time.monotonic() - began


@pytest.mark.parametrize(
    "pieces",
    [
        (b"\r\n",),
        (b"P",),
        (HEAD, b"X-Slow: "),
        (HEAD, *[b"a: b\r\n"] * 40),
        (HEAD + b"Content-Length: 5\r\n\r\nab",),
        (HEAD + b"Content-Length: 50\r\n\r\n", *[b"a"] * 40),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\na\r\n"] * 40),
    ],
    ids=["blank", "one letter", "half a head", "a dripping head", "half a body", "a dripping body", "chunks"],
)
async def test_a_request_that_does_not_come_in_whole_is_hung_up_on(pieces: tuple[bytes, ...]) -> None:
    async with listening() as port:
        said, took_s = await fate(port, *pieces, pause_s=0.05)

    assert b"HTTP/1.1 200" not in said
    assert WHOLE_S * 0.9 <= took_s < WHOLE_S * 4


async def test_a_connection_may_be_opened_before_it_is_needed_but_not_for_ever() -> None:
    async with listening() as port:
        (said, _), (nothing, took_s) = await asyncio.gather(
            fate(port, b"", HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", pause_s=2 * WHOLE_S), fate(port)
        )

    assert said.endswith(b"x")
    assert (nothing, SILENT_S * 0.9 <= took_s < SILENT_S * 3) == (b"", True)


async def test_a_whole_request_has_all_the_time_its_answer_takes() -> None:
    async with listening() as port:
        said, _ = await fate(port, b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert said.endswith(b"slow")


async def test_a_body_in_pieces_is_read_and_the_connection_kept() -> None:
    closing = HEAD + b"Connection: close\r\nContent-Length: 4\r\n\r\nlast"
    async with listening() as port:
        said, _ = await fate(port, HEAD + b"Content-Length: 4\r\n\r\nab", b"cd", b"", closing, pause_s=0.05)

    assert said.count(b"HTTP/1.1 200") == 2
    assert b"abcd" in said
    assert said.endswith(b"last")


async def test_an_idle_connection_between_requests_is_not_a_slow_one() -> None:
    whole = HEAD + b"Content-Length: 1\r\n\r\nx"
    closing = HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\ny"
    async with listening() as port:
        said, took_s = await fate(port, whole, closing, pause_s=2 * WHOLE_S)

    assert (said.count(b"HTTP/1.1 200"), took_s > 2 * WHOLE_S) == (2, True)


async def test_a_handshake_that_does_not_end_is_given_up() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with listening(context) as port:
        _, took_s = await fate(port, b"\x16\x03\x01")

    assert WHOLE_S * 0.9 <= took_s < WHOLE_S * 4
