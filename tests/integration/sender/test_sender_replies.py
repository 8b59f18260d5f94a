"""A reply is taken whole or not at all, and only as the answer to the request before it."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest
from raw_venue import Call, raw_venue, reply
from sender_rig import VENUE, Rig

from gateway.backends.body import BODY_MOST, decoded
from gateway.backends.sender import Line
from gateway.core.wire import Reply, SendResult, Unconfirmed, WireRequest

TOO_LARGE = Unconfirmed("the reply's body is too large")


async def answered(rig: Rig, *parts: bytes) -> SendResult:
    """What becomes of these bytes as an answer."""

    async def conduct(call: Call) -> None:
        await call.request()
        for part in parts:
            await call.say(part)
            await asyncio.sleep(0.005)

    async with raw_venue(conduct) as venue:
        result = await rig.send(Line(venue.url))
        await venue.all_gone()
        return result


@pytest.mark.parametrize(
    ("parts", "status", "body"),
    [
        ((reply(b'{"a":1}'),), 200, b'{"a":1}'),
        ((reply(b"<html>", status=b"502 Bad Gateway"),), 502, b"<html>"),
        ((b"HTTP/1.0 200 OK\r\n\r\n", b"until ", b"the end"), 200, b"until the end"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{", b"}\r\n0\r\n\r\n"), 200, b"{}"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), 204, b""),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", reply(b"{}")), 200, b"{}"),
        ((reply(b"x" * BODY_MOST),), 200, b"x" * BODY_MOST),
        ((reply(gzip.compress(b"{}"), b"Content-Encoding: gzip"),), 200, b"{}"),
        ((reply(zlib.compress(b"{}"), b"Content-Encoding: deflate"),), 200, b"{}"),
    ],
)
async def test_whole_reply_is_returned(rig: Rig, parts: tuple[bytes, ...], status: int, body: bytes) -> None:
    result = await answered(rig, *parts)

    assert isinstance(result, Reply)
    assert (result.status, result.body) == (status, body)


async def test_header_names_are_lower_case_and_repeated_ones_joined(rig: Rig) -> None:
    result = await answered(rig, reply(b"{}", b"X-Limit: 1", b"Retry-After: 3", b"x-limit: 2"))

    assert isinstance(result, Reply)
    assert result.headers == {"content-length": "2", "x-limit": "1, 2", "retry-after": "3"}


async def test_reply_says_when_it_was_complete(rig: Rig) -> None:
    result = await answered(rig, reply(b"{}"))

    assert isinstance(result, Reply)
    assert result.at_ms > 1_700_000_000_000


@pytest.mark.parametrize(
    "parts",
    [
        (reply(b"x" * (BODY_MOST + 1)),),
        (reply(b"x" * 10_000_000),),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", *(b"x" * 65536 for _ in range(6))),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *(b"10000\r\n" + b"x" * 65536 + b"\r\n",) * 6),
        (reply(gzip.compress(b"0" * 50_000_000), b"Content-Encoding: gzip"),),
        (reply(zlib.compress(b"0" * 50_000_000), b"Content-Encoding: deflate"),),
    ],
)
async def test_body_over_the_cap_is_unconfirmed_and_the_connection_dropped(rig: Rig, parts: tuple[bytes, ...]) -> None:
    assert await answered(rig, *parts) == TOO_LARGE


def test_bomb_is_never_unpacked_beyond_the_cap() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    tracemalloc.start()

    result = decoded(bomb, "gzip")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result == TOO_LARGE
    assert peak < 4 * BODY_MOST


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"{}", b"Content-Encoding: br"),
        reply(b"{}", b"Content-Encoding: gzip"),
        reply(gzip.compress(b"{}")[:-4], b"Content-Encoding: gzip"),
        reply(gzip.compress(gzip.compress(b"{}")), b"Content-Encoding: gzip, gzip"),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_reply_that_cannot_be_read_is_unconfirmed(rig: Rig, answer: bytes) -> None:
    assert isinstance(await answered(rig, answer), Unconfirmed)


async def test_early_reply_then_reset_is_never_called_not_sent(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        await call.say(reply(b"{}"))
        call.reset()

    async with raw_venue(conduct) as venue:
        result = await rig.send(Line(venue.url))

    assert isinstance(result, Reply | Unconfirmed)


@pytest.mark.parametrize("seen_by_the_loop", [True, False])
async def test_second_reply_to_one_request_never_answers_the_next(rig: Rig, *, seen_by_the_loop: bool) -> None:
    """A stale `CANCELED` taken for the next order's answer would be a false cancelled."""
    stale_said = asyncio.Event()

    async def conduct(call: Call) -> None:
        while b"id=1" in await call.request():
            await call.say(reply(b"first"))
            await asyncio.sleep(0.02)
            await call.say(reply(b"stale"))
            stale_said.set()
        await call.say(reply(b"second"))

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        first = await sender.send(VENUE, WireRequest("DELETE", f"{venue.url}/o?id=1", ()), 5000)
        await stale_said.wait()
        await asyncio.sleep(0.02 if seen_by_the_loop else 0)
        second = await sender.send(VENUE, WireRequest("DELETE", f"{venue.url}/o?id=2", ()), 5000)

        assert [result.body for result in (first, second) if isinstance(result, Reply)] == [b"first", b"second"]


async def test_two_replies_at_once_spoil_the_connection(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        while b"id=1" in await call.request():
            await call.say(reply(b"first") + reply(b"stale"))
        await call.say(reply(b"second"))

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        first = await sender.send(VENUE, WireRequest("DELETE", f"{venue.url}/o?id=1", ()), 5000)
        second = await sender.send(VENUE, WireRequest("DELETE", f"{venue.url}/o?id=2", ()), 5000)

        assert [result.body for result in (first, second) if isinstance(result, Reply)] == [b"first", b"second"]
