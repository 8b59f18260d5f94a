"""How far a send came decides what may be said of it: NotSent only while provably no byte left."""

import asyncio
import socket
import ssl

import pytest
import trustme
from raw_venue import OK, Call, answer_all, raw_venue
from sender_rig import VENUE, Rig

from gateway.backends.sender import Line
from gateway.core.model import VenueId
from gateway.core.wire import NotSent, Reply, Unconfirmed, WireRequest


def a_cancel(base: str, method: str = "DELETE") -> WireRequest:
    return WireRequest(method, base + "/v1/order?id=1", ())


# -- before any byte ------------------------------------------------------------------------------------------------


async def test_nobody_listens_is_not_sent(rig: Rig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    result = await rig.send(Line(f"http://127.0.0.1:{port}"))

    assert result == NotSent("the venue could not be connected")


async def test_unknown_host_name_is_not_sent(rig: Rig) -> None:
    result = await rig.send(Line("http://localhost.invalid"))

    assert result == NotSent("the venue's name could not be resolved")


async def test_untrusted_certificate_is_not_sent(rig: Rig) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server_side)

    async with raw_venue(answer_all, server_side) as venue:
        result = await rig.send(Line(venue.url))

        assert result == NotSent("the venue's certificate is not valid")
        assert venue.requests == []


async def test_plain_text_where_tls_belongs_is_not_sent(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        await call.reader.read(1)
        await call.say(OK)

    async with raw_venue(conduct) as venue:
        result = await rig.send(Line(venue.url.replace("http://", "https://")))

    assert result == NotSent("the TLS handshake failed")


async def test_trusted_certificate_is_sent(rig: Rig) -> None:
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_side)
    authority.configure_trust(client_side)

    async with raw_venue(answer_all, server_side) as venue:
        sender = await rig.sender(Line(venue.url, tls=client_side))
        results = [await sender.send(VENUE, a_cancel(venue.url), 5000) for _ in range(3)]

        assert [type(result) for result in results] == [Reply] * 3
        assert venue.connections == 1


async def test_handshake_that_hangs_is_not_sent_after_the_connect_timeout(rig: Rig) -> None:
    async with raw_venue(Call.gone) as venue:
        line = Line(venue.url.replace("http://", "https://"), connect_timeout_ms=80)

        async with asyncio.timeout(1):
            result = await rig.send(line)

    assert result == NotSent("no connection in time")


async def test_total_timeout_during_the_handshake_is_not_sent(rig: Rig) -> None:
    async with raw_venue(Call.gone) as venue:
        line = Line(venue.url.replace("http://", "https://"))
        sender = await rig.sender(line)

        result = await sender.send(VENUE, a_cancel(line.base_url), 80)

    assert result == NotSent("no connection in time")


async def test_no_free_connection_is_not_sent_and_other_venues_go_on(rig: Rig) -> None:
    busy = asyncio.Event()

    async def hang(call: Call) -> None:
        await call.request()
        busy.set()
        await call.gone()

    async with raw_venue(hang) as stuck, raw_venue(answer_all) as well:
        sender = await rig.sender(Line(stuck.url, connections=1), Line(well.url, connections=1))
        blocking = asyncio.create_task(sender.send(VENUE, a_cancel(stuck.url), 1000))
        await busy.wait()

        waited = await sender.send(VENUE, a_cancel(stuck.url), 100)
        other = await sender.send(VenueId("venue-1"), a_cancel(well.url), 5000)

        assert waited == NotSent("no connection in time")
        assert isinstance(other, Reply)
        assert await blocking == Unconfirmed("no whole reply in time")
        assert len(stuck.requests) == 1


async def test_no_time_left_is_not_sent(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))

        result = await sender.send(VENUE, a_cancel(venue.url), 0)

        assert result == NotSent("no time is left")
        assert venue.connections == 0


# -- once a byte may have left --------------------------------------------------------------------------------------


async def close_unread(call: Call) -> None:
    call.writer.close()


async def read_then_close(call: Call) -> None:
    await call.request()


async def read_then_reset(call: Call) -> None:
    await call.request()
    call.reset()


async def part_of_the_head(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nContent-Le")


async def part_of_the_body(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


async def part_of_a_chunk(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")


async def chunks_without_end(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


@pytest.mark.parametrize(
    "conduct",
    [
        close_unread,
        read_then_close,
        read_then_reset,
        part_of_the_head,
        part_of_the_body,
        part_of_a_chunk,
        chunks_without_end,
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "GET", "POST"])
async def test_connection_that_breaks_is_unconfirmed_and_sent_once(rig: Rig, conduct: object, method: str) -> None:
    assert callable(conduct)
    async with raw_venue(conduct) as venue:
        result = await rig.send(Line(venue.url), method=method)

        assert result == Unconfirmed("the connection broke before a whole reply came")
        assert venue.connections == 1
        assert len(venue.requests) <= 1


async def test_reused_connection_that_breaks_is_not_sent_again(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        await call.request()
        await call.say(OK)
        await call.request()

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        first = await sender.send(VENUE, a_cancel(venue.url), 5000)
        second = await sender.send(VENUE, a_cancel(venue.url), 5000)

        assert isinstance(first, Reply)
        assert second == Unconfirmed("the connection broke before a whole reply came")
        assert (venue.connections, len(venue.requests)) == (1, 2)


async def garbage(call: Call) -> None:
    await call.request()
    await call.say(b"220 smtp.example ESMTP\r\n\r\n")
    await call.gone()


async def bad_chunk(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
    await call.gone()


async def endless_head(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000)
    await call.gone()


async def two_lengths(call: Call) -> None:
    await call.request()
    await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}")
    await call.gone()


@pytest.mark.parametrize("conduct", [garbage, bad_chunk, endless_head, two_lengths])
async def test_reply_that_is_not_http_is_unconfirmed(rig: Rig, conduct: object) -> None:
    assert callable(conduct)
    async with raw_venue(conduct) as venue:
        result = await rig.send(Line(venue.url))

        assert isinstance(result, Unconfirmed)
        assert len(venue.requests) == 1


async def test_silence_is_unconfirmed_at_the_timeout(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        await call.request()
        await call.gone()

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        result = await sender.send(VENUE, a_cancel(venue.url), 120)

        assert result == Unconfirmed("no whole reply in time")
        await venue.all_gone()


async def test_slow_body_is_unconfirmed_at_the_timeout(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        await call.request()
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await call.say(b"x")
            await asyncio.sleep(0.01)

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        result = await sender.send(VENUE, a_cancel(venue.url), 150)

        assert result == Unconfirmed("no whole reply in time")
        await venue.all_gone()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_cancelled_send_closes_its_connection(rig: Rig, head: bytes) -> None:
    started = asyncio.Event()

    async def conduct(call: Call) -> None:
        await call.request()
        await call.say(head)
        started.set()
        await call.gone()

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        sending = asyncio.create_task(sender.send(VENUE, a_cancel(venue.url), 5000))
        await started.wait()
        await asyncio.sleep(0.02)

        sending.cancel()

        with pytest.raises(asyncio.CancelledError):
            await sending
        await venue.all_gone()


async def test_closed_sender_sends_nothing(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))
        await sender.send(VENUE, a_cancel(venue.url), 5000)
        await sender.aclose()

        result = await sender.send(VENUE, a_cancel(venue.url), 5000)

        assert result == NotSent("the request could not be started")
        await venue.all_gone()
        assert len(venue.requests) == 1
