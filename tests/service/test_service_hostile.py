"""Bytes that no honest client sends. Nothing may reach a venue or a secret, and the process stays as it was."""

import asyncio
import random
import re
import string
from urllib.parse import quote, urlsplit

import orjson
import pytest
from service_process import token_of
from service_rig import Rig, raw_cancel, spoken_raw, statuses

from gateway.sandbox.config import VENUE_IDS

REF = b"00000000000000000000000000"
GOOD = b"/orders/b2trader/" + REF
TOKEN = token_of("desk")
BAD_REFS = (
    b"%0d%0aX-Evil:%201", b"a%0d%0a%0d%0aDELETE%20/x", b"%00", b"1%00", b"..", b".", b"...", b"%2e%2e", b"%2E%2E",
    b"%2e", b".%2e", b"%2f", b"a%2fb", b"%2F..%2F..", b"..%2fvenues", b"%252f", b"%252e%252e", b"%5c..%5c", b"a%5cb",
    b"%e2%82%ac", b"%EF%BC%91", b"%ff%fe", b"%c0%ae%c0%ae", b"%c0%af", b"%", b"%2", b"%zz", b"%u0041", b"%20", b"%201",
    b"1%20", b"1+1", b"+1", b"1;a=b", b"a%3fb", b"a%23b", b"a%26symbol%3dX", b"a&b", b"a=b", b"a,b", b"1,2",
    b"a@b", b"a:b", b"'or'1'='1", b"%7b%7b7*7%7d%7d", b"$%7bx%7d", b"*", b"%2a", b"<script>", b'a"b', b"%09", b"%7f",
    b"%e2%80%ae", b"1" * 600, b"a" * 7000, b"%61" * 2000,
)  # fmt: skip
RAW_REFS = (
    b"a\x00b",
    b"a\x01b",
    b"a\x7fb",
    "\u20ac".encode(),
    b"a\xff",
    b"a b",
    b"a\tb",
    b"a\rb",
    b"a\nb",
    b"a{b}",
    b"a|b",
)
REFUSED = {400, 404}


async def _untouched(rig: Rig, sent: bytes) -> list[int]:
    """What is answered to these bytes, after which nothing has been touched and the next caller is served."""
    before = await rig.touched()
    said = await spoken_raw(rig.gateway.url, sent, within_s=0.25)
    assert await rig.touched() == before
    assert (await rig.stranger().call("GET", "/healthz")).status == 200
    return statuses(said)


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_escaped_ref_outside_the_alphabet_is_refused_and_nothing_is_touched(rig: Rig, venue: str) -> None:
    before = await rig.touched()

    for by in (b"order_id", b"client_id"):
        for ref in BAD_REFS:
            target = b"/orders/%b/%b?by=%b&symbol=PERP_ETH_USDC" % (venue.encode(), ref, by)
            said = await spoken_raw(rig.gateway.url, raw_cancel(target, token=TOKEN))
            assert statuses(said)[:1] in ([400], [404]), (ref, said)

    assert await rig.touched() == before


@pytest.mark.parametrize("ref", RAW_REFS)
async def test_raw_bytes_in_a_ref_are_refused(rig: Rig, ref: bytes) -> None:
    target = b"/orders/orderly/%b?by=client_id&symbol=PERP_ETH_USDC" % ref

    said = await _untouched(rig, raw_cancel(target, token=TOKEN))

    assert set(said) <= REFUSED
    assert said


@pytest.mark.parametrize(
    "target",
    [
        b"/orders/orderly/", b"/orders//" + REF, b"/orders/", b"/orders/%6frderly/" + REF, b"/orders/b2trader%2f" + REF,
        b"/orders/B2TRADER/" + REF, b"/orders/b2trader%00/" + REF, b"/orders/../venues", b"/orders/b2trader/../" + REF,
        b"/./orders/b2trader/" + REF, b"//orders/b2trader/" + REF, b"/ORDERS/b2trader/" + REF, GOOD + b"/",
        GOOD + b"//", GOOD + b"/%2e", b"/x/../orders/b2trader/" + REF, b"/%2e/orders/b2trader/" + REF,
        b"/orders/*", b"*", b"/%6frders/b2trader/" + REF, b"/orders/b2trader;x=1/" + REF, b"orders/b2trader/" + REF,
        b"", b"?", b"#",
    ],
)  # fmt: skip
async def test_path_that_is_not_written_as_documented_is_no_route(rig: Rig, target: bytes) -> None:
    said = await _untouched(rig, raw_cancel(target, token=TOKEN))

    assert set(said) <= REFUSED | {405}


@pytest.mark.parametrize(
    "target",
    [
        b"http://gateway" + GOOD, b"http://evil.example" + GOOD, b"https://evil.example:1" + GOOD, b"ftp://x" + GOOD,
        b"http:///orders", b"http://[::1" + GOOD, b"http://a:b@c" + GOOD, b"gateway:80", b"javascript:alert(1)",
    ],
)  # fmt: skip
async def test_absolute_target_reaches_nothing_but_the_same_order(rig: Rig, target: bytes) -> None:
    """RFC 9112 wants the absolute form taken; it must not be a way around anything."""
    said = await spoken_raw(rig.gateway.url, raw_cancel(target))

    assert set(statuses(said)) <= REFUSED | {401, 405}


@pytest.mark.parametrize(
    "head",
    [
        b"DELETE %b HTTP/1.1\r\n\r\n",  # no Host
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: \x00\r\n\r\n",
        b"DELETE %b HTTP/1.0\r\n\r\n",
        b"DELETE %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"DELETE %b HTTP/0.9\r\n\r\n",
        b"DELETE %b HTTP/2.0\r\n\r\n",
        b"DELETE %b HTTP/9.9\r\n\r\n",
        b"DELETE %b\r\n\r\n",
        b"DELETE  %b  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"delete %b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"DELETE\x00 %b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%b",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"DELETE %b HTTP/1.1\nHost: a\n\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"DELETE %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%b",  # somebody speaks TLS
        b"\x00" * 100 + b"%b",
        b"\r\n\r\n\r\nDELETE %b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_broken_request_without_a_token_gets_nowhere(rig: Rig, head: bytes) -> None:
    said = await _untouched(rig, head.replace(b"%b", GOOD).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))

    assert set(said) <= REFUSED | {401, 405, 505}


@pytest.mark.parametrize("name", [b"Idempotency-Key", b"X-Request-Timeout-Ms", b"Authorization", b"Priority"])
async def test_header_that_stands_there_twice_is_refused_and_never_half_believed(rig: Rig, name: bytes) -> None:
    values = {
        b"Authorization": (b"Bearer wrong", f"Bearer {TOKEN}".encode()),
        b"X-Request-Timeout-Ms": (b"100", b"9000"),
    }
    first, second = values.get(name, (b"one", b"two"))
    token = None if name == b"Authorization" else TOKEN
    headers = (name + b": " + first, name + b": " + second)
    order = (await rig.order("b2trader"))["order_id"]

    said = await spoken_raw(
        rig.gateway.url, raw_cancel(b"/orders/b2trader/" + order.encode() + b"?by=order_id", *headers, token=token)
    )

    refused = {b"Authorization": [401], b"Priority": [200]}.get(name, [400])
    assert statuses(said) == refused
    assert await rig.cancels_of("b2trader", order) == (1 if name == b"Priority" else 0)


@pytest.mark.parametrize(
    "headers",
    [
        (b"X-Big: " + b"a" * 8000,),
        (b"X-Big: " + b"a" * 100_000,),
        (b"X" * 9000 + b": 1",),
        tuple(b"X-%d: 1" % n for n in range(63)),
        tuple(b"X-%d: 1" % n for n in range(2000)),
        (b"Cookie: " + b"a=b; " * 10_000,),
    ],
    ids=["8k", "100k", "long-name", "63", "2000", "cookies"],
)  # fmt: skip
async def test_huge_headers_are_refused(rig: Rig, headers: tuple[bytes, ...]) -> None:
    said = await _untouched(rig, raw_cancel(GOOD + b"?by=order_id&plan=nonsense", *headers, token=TOKEN))

    assert set(said) <= {400, 413, 414, 431}


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 2\r\n\r\n{}",
        b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000,
        b"Content-Length: 999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n0\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    ],
    ids=["2", "100k", "1T", "chunked", "chunked-64k", "gzip", "expect"],
)
async def test_body_is_refused_and_not_waited_for(rig: Rig, body: bytes) -> None:
    sent = raw_cancel(GOOD + b"?by=order_id", token=TOKEN).removesuffix(b"\r\n") + body

    said = await _untouched(rig, sent)

    assert set(said) <= {100, 400, 413, 417}
    assert said


async def test_no_answer_carries_a_header_that_a_caller_made(rig: Rig) -> None:
    evil = ("a%0d%0aX-Evil: 1", "a\tb", "a" * 500, "\u00fc")
    for value in evil:
        for name in (b"X-Request-ID", b"Idempotency-Key", b"traceparent", b"X-Request-Timeout-Ms"):
            said = await spoken_raw(
                rig.gateway.url, raw_cancel(GOOD + b"?by=order_id", name + b": " + value.encode(), token=TOKEN)
            )
            head = said.partition(b"\r\n\r\n")[0].lower()
            assert statuses(said)[0] in {400, 404}, (name, value, said)
            assert b"evil" not in head
            assert value.encode().lower() not in head


async def test_line_break_in_a_header_starts_no_answer_of_its_own(rig: Rig) -> None:
    for injected in (b"a\rX-Evil: 1", b"a\nX-Evil: 1", b"a\r\n X-Evil: 1", b"a\x00X-Evil: 1"):
        said = await spoken_raw(rig.gateway.url, raw_cancel(GOOD + b"?by=x", b"X-Request-ID: " + injected, token=TOKEN))
        assert set(statuses(said)) == {400}
        assert b"X-Evil" not in said.partition(b"\r\n\r\n")[0]


async def test_pipelined_requests_are_answered_in_order_each_for_itself(rig: Rig) -> None:
    orders = [order["order_id"].encode() for order in await rig.orders("b2trader", 3)]
    auth = b"\r\nHost: a\r\nAuthorization: Bearer " + TOKEN.encode()
    ids = [b"\r\nX-Request-ID: pipe-%d" % n for n in range(3)]
    sent = b"".join(
        b"DELETE /orders/b2trader/" + order + b"?by=order_id HTTP/1.1" + auth + request_id + b"\r\n\r\n"
        for order, request_id in zip(orders, ids, strict=True)
    )

    said = await spoken_raw(rig.gateway.url, sent + b"GET /venues HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert statuses(said) == [200, 200, 200, 401]
    assert re.findall(rb"X-Request-ID: (pipe-\d)", said) == [b"pipe-0", b"pipe-1", b"pipe-2"]
    assert [await rig.cancels_of("b2trader", order.decode()) for order in orders] == [1, 1, 1]


async def test_token_of_one_request_is_not_the_next_ones(rig: Rig) -> None:
    first = b"GET /venues HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"

    said = await spoken_raw(rig.gateway.url, first + raw_cancel(GOOD))

    assert statuses(said) == [200, 401]


async def test_half_requests_cost_nobody_else_anything(rig: Rig) -> None:
    where = urlsplit(rig.gateway.url)
    half = [await asyncio.open_connection(where.hostname, where.port) for _ in range(200)]
    for _, writer in half:
        writer.write(b"DELETE " + GOOD + b" HTTP/1.1\r\nHost: a\r\nX-Slow: ")

    said = await rig.desk().cancel("b2trader", (await rig.order("b2trader"))["order_id"])

    for _, writer in half:
        writer.transport.abort()
    assert (said.outcome, said.took_s < 0.5) == ("cancelled", True)


async def test_bytes_that_are_no_http_are_refused_without_an_echo_or_a_log_line(rig: Rig) -> None:
    before = len(rig.gateway.lines())

    said = await spoken_raw(rig.gateway.url, raw_cancel(GOOD, b"Authorization: Bearer s3cret\x00marker"))

    head, _, body = said.partition(b"\r\n\r\n")
    assert statuses(said) == [400]
    assert b"marker" not in said
    assert b"aiohttp" not in said
    assert b"application/problem+json" in head
    assert orjson.loads(body)["request_id"].encode() in head
    await asyncio.sleep(0.05)  # the writer gathers lines for a moment
    # What the trail and other tests' cancels say meanwhile has nothing to do with it.
    assert {line["event"] for line in rig.gateway.lines()[before:]} <= {"cancel.done", "trail.head"}


async def test_two_thousand_random_requests_add_no_series_and_break_no_log_line(rig: Rig) -> None:
    chance = random.Random(7)  # noqa: S311  a test that can be repeated
    letters = string.printable + '\u20ac\u0000\u202e\\"'
    names = {name.partition(" ")[0] for name in await rig.metrics()}
    before, broke = await rig.touched(), len(rig.gateway.lines("request.broke"))

    def junk(most: int) -> str:
        return "".join(chance.choices(letters, k=chance.randint(1, most)))

    for _ in range(2000):
        venue = chance.choice([*VENUE_IDS, quote(junk(20), safe="")])
        query = chance.choice([f"?by={quote(junk(9))}", f"?{quote(junk(30), safe='=&')}", "?plan=x", ""])
        headers = {"X-Request-ID": junk(150).translate(dict.fromkeys(range(32), "?"))}
        said = await rig.desk().call("DELETE", f"/orders/{venue}/!{quote(junk(60), safe='')}{query}", headers)
        assert said.status in REFUSED, said.body

    assert await rig.touched() == before
    assert {name.partition(" ")[0] for name in await rig.metrics()} == names
    for line in rig.gateway.raw_log.rpartition(b"\n")[0].split(b"\n"):
        told = orjson.loads(line)
        assert {"timestamp", "level", "event"} <= set(told)
    assert len(rig.gateway.lines("request.broke")) == broke == 0
