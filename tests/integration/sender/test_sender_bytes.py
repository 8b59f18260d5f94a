"""The bytes that were signed are the bytes that arrive, and nothing else does."""

import asyncio

import pytest
from raw_venue import OK, Call, answer_all, raw_venue, reply
from sender_rig import VENUE, Rig

from gateway.backends.sender import Line
from gateway.core.wire import NotSent, Reply, WireRequest


@pytest.mark.parametrize(
    "target",
    [
        "/v1/order?ids=a%2Cb%2cc",
        "/v1/order?id=~'()*!$+%2B%20%7E%27",
        "/v1/order?sig=a/b+c==&x=%252C",
        "/v1/../%2e%2e/order",
        "/v1//order/%41?a=1&a=2&=&b",
        '/v1/order?x=[1]&y=a:b@c|d^e`{}\\<>"',
        "/v1/order",
        "/v1/order?",
        "/",
    ],
)
async def test_url_arrives_byte_for_byte(rig: Rig, target: str) -> None:
    async with raw_venue(answer_all) as venue:
        result = await rig.send(Line(venue.url), target)

        assert isinstance(result, Reply)
        assert venue.requests[0].split(b"\r\n")[0] == f"DELETE {target} HTTP/1.1".encode()


async def test_headers_and_body_arrive_as_they_were_made(rig: Rig) -> None:
    headers = (
        ("orderly-timestamp", "1700000000000"),
        ("X-API-Sig", "0xAb+/=="),
        ("Authorization", "Bearer a.b-c_d"),
        ("Content-Type", "application/json"),
    )
    body = b'{"order_id": 1, "b":"\xc3\xa4"}'
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))
        await sender.send(VENUE, WireRequest("POST", venue.url + "/token", headers, body), 5000)

        head, _, arrived = venue.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")[1:]
        assert arrived == body
        assert [line for line in lines if line.split(b":")[0].lower() not in AUTOMATIC] == [
            f"{name}: {value}".encode() for name, value in headers
        ]


AUTOMATIC = {b"host", b"user-agent", b"accept", b"accept-encoding", b"content-length"}


async def test_request_without_body_carries_only_the_known_headers(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        await rig.send(Line(venue.url))

        lines = venue.requests[0].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        assert sorted(lines) == [
            b"Accept-Encoding: identity",
            b"Accept: */*",
            b"Content-Length: 0",
            b"Host: " + venue.url.removeprefix("http://").encode(),
            b"User-Agent: cancel-gateway/test",
        ]


@pytest.mark.parametrize(
    "request_",
    [
        WireRequest("DELETE", "{base}/a b", ()),
        WireRequest("DELETE", "{base}/a\r\nX: 1", ()),
        WireRequest("DELETE", "{base}/ä", ()),
        WireRequest("DELETE", "{base}/a#fragment", ()),
        WireRequest("DEL ETE", "{base}/a", ()),
        WireRequest("DELETE", "{base}/a", (("X-Sig", "a\r\nX-Evil: 1"),)),
        WireRequest("DELETE", "{base}/a", (("X-Sig", "a\x00"),)),
        WireRequest("DELETE", "{base}/a", (("X Sig", "a"),)),
        WireRequest("DELETE", "{base}/a", (("", "a"),)),
    ],
)
async def test_request_that_could_not_arrive_as_signed_is_not_sent(rig: Rig, request_: WireRequest) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))
        url = request_.url.replace("{base}", venue.url)

        result = await sender.send(VENUE, WireRequest(request_.method, url, request_.headers), 5000)

        assert isinstance(result, NotSent)
        assert venue.connections == 0


@pytest.mark.parametrize("url", ["{base}.evil.example/a", "{base}@evil.example/a", "https://evil.example/a", "{base}"])
async def test_url_outside_the_venues_address_is_not_sent(rig: Rig, url: str) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))

        result = await sender.send(VENUE, WireRequest("DELETE", url.replace("{base}", venue.url), ()), 5000)

        assert result == NotSent("the request is not for this venue")


async def test_body_without_content_type_gets_none(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))
        await sender.send(VENUE, WireRequest("POST", venue.url + "/token", (), b"{}"), 5000)

        assert b"content-type" not in venue.requests[0].lower()


async def test_second_address_of_a_venue_may_be_dialled(rig: Rig) -> None:
    async with raw_venue(answer_all) as trading, raw_venue(answer_all) as tokens:
        sender = await rig.sender(Line(trading.url, also=(tokens.url,)))

        result = await sender.send(VENUE, WireRequest("POST", tokens.url + "/refresh", ()), 5000)

        assert isinstance(result, Reply)
        assert len(tokens.requests) == 1


async def test_cookies_are_not_sent_back(rig: Rig) -> None:
    async def conduct(call: Call) -> None:
        while True:
            await call.request()
            await call.say(reply(b"{}", b"Set-Cookie: session=1; Path=/"))

    async with raw_venue(conduct) as venue:
        sender = await rig.sender(Line(venue.url))
        for _ in range(2):
            await sender.send(VENUE, WireRequest("DELETE", venue.url + "/a", ()), 5000)

        assert b"cookie" not in venue.requests[1].lower()


async def test_redirect_is_a_reply_and_not_followed(rig: Rig) -> None:
    async with raw_venue(answer_all) as elsewhere:

        async def conduct(call: Call) -> None:
            await call.request()
            await call.say(reply(b"", b"Location: " + elsewhere.url.encode(), status=b"307 Temporary Redirect"))

        async with raw_venue(conduct) as venue:
            result = await rig.send(Line(venue.url))

            assert isinstance(result, Reply)
            assert (result.status, result.headers["location"]) == (307, elsewhere.url)
            assert elsewhere.connections == 0


async def test_proxy_variables_are_ignored(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_venue(answer_all) as proxy, raw_venue(answer_all) as venue:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        result = await rig.send(Line(venue.url))

        assert isinstance(result, Reply)
        assert (proxy.connections, venue.connections) == (0, 1)


async def test_connection_is_kept_for_the_next_send(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url))
        for _ in range(5):
            await sender.send(VENUE, WireRequest("DELETE", venue.url + "/a", ()), 5000)

        assert (venue.connections, len(venue.requests)) == (1, 5)


async def test_connection_closed_by_the_venue_while_idle_costs_no_request(rig: Rig) -> None:
    async def one_each(call: Call) -> None:
        await call.request()
        await call.say(OK)

    async with raw_venue(one_each) as venue:
        sender = await rig.sender(Line(venue.url))
        results = []
        for _ in range(5):
            results.append(await sender.send(VENUE, WireRequest("DELETE", venue.url + "/a", ()), 5000))
            await venue.all_gone()

        assert [type(result) for result in results] == [Reply] * 5


async def test_what_goes_out_without_leave_is_told(rig: Rig) -> None:
    """The tripwire under HiddenResend, with the invariant broken by hand: something in here sends by itself."""
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url), Line(venue.url))
        request = WireRequest("DELETE", f"{venue.url}/order", ())
        for _ in range(3):
            await sender.send(VENUE, request, 5000)
        await sender.send(VENUE, request, 5000, lambda: False)
        before = dict(sender.unasked())

        pool = sender._ways[VENUE][0].pool
        connection = await pool.take()
        await connection.ask(b"DELETE /order HTTP/1.1\r\nHost: a\r\n\r\n", asyncio.get_running_loop().time() + 5)
        pool.give_back(connection)
        while_open = dict(sender.unasked())
        await sender.aclose()

        assert set(before.values()) == {0}
        assert [while_open[VENUE], sender.unasked()[VENUE]] == [1, 1]
        assert len(venue.requests) == 4
