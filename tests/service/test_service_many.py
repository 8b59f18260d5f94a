"""`POST /cancels` by a real process: a line for each as it finishes, and nothing for a reader who does not read."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from real_valkey import Server
from service_process import LIMITS, Gateway, put_secrets, rested, serving, tree_of
from service_rig import ACKNOWLEDGING, SYMBOL, Rig, caller_session

from gateway.core.model import VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS
from gateway.sandbox.server import Sandbox

Lines = list[dict[str, Any]]


def item(venue: str, order: Mapping[str, Any], **more: object) -> dict[str, object]:
    """An item for an open order."""
    symbol = {"symbol": SYMBOL} if venue == "orderly" else {}
    return {"venue": venue, "ref": order["order_id"], "by": "order_id"} | symbol | more


async def post(rig: Rig, items: list[Any], headers: Mapping[str, str] | None = None, caller: str = "desk") -> Lines:
    said = await rig.desk(caller).call("POST", "/cancels", headers, orjson.dumps({"cancels": items}))
    assert (said.status, said.headers["Content-Type"]) == (200, "application/x-ndjson"), said.body
    return [orjson.loads(line) for line in said.body.splitlines()]


def in_order(lines: Lines) -> Lines:
    return sorted(lines, key=lambda line: int(line["index"]))


async def test_many_on_all_venues_are_each_answered_once(rig: Rig) -> None:
    orders = {venue: await rig.orders(venue, 5) for venue in VENUE_IDS}
    items = [item(venue, order) for venue in VENUE_IDS for order in orders[venue]]

    lines = in_order(await post(rig, items))

    assert [line["index"] for line in lines] == list(range(25))
    for line, asked in zip(lines, items, strict=True):
        assert (line["venue"], line["ref"], line["by"]) == (asked["venue"], asked["ref"], "order_id")
        # To a batch no venue says more than that it took the cancels.
        acknowledged = line["venue"] in ACKNOWLEDGING or line["batch"] > 1
        assert (line["outcome"], line["status"]) == (("accepted", 202) if acknowledged else ("cancelled", 200))
        assert line["record"].startswith("/cancels/")


async def test_a_line_has_the_members_of_the_single_answer(rig: Rig) -> None:
    first, second = await rig.orders("hashkey", 2)

    (line,) = await post(rig, [item("hashkey", first)])
    single = await rig.desk().cancel("hashkey", second["order_id"])

    assert line.keys() - {"index", "status"} == single.json.keys()


async def test_one_bad_item_leaves_the_others_alone(rig: Rig) -> None:
    good = item("hashkey", await rig.order("hashkey"))
    items = [
        good,
        7,
        {"venue": "nasdaq", "ref": "1"},
        {"venue": "etna", "ref": "../1"},
        {"venue": "hashkey", "ref": "1"},
    ]

    lines = in_order(await post(rig, items))

    assert [line["outcome"] for line in lines] == [
        "cancelled", "invalid_request", "unknown_venue", "invalid_request", "ambiguous_ref",
    ]  # fmt: skip
    assert [line["status"] for line in lines] == [200, 400, 404, 400, 400]
    assert lines[3]["ref"] == "../1"
    assert all(line["type"].startswith("urn:") for line in lines[1:])


async def test_permissions_are_held_against_each(rig: Rig) -> None:
    items = [item("hashkey", await rig.order("hashkey")), item("orderly", await rig.order("orderly"))]

    narrow, reader = await post(rig, items, caller="narrow"), await post(rig, items, caller="reader")
    urgent = await post(rig, items, {"Priority": "u=0"}, caller="other")

    assert [line["outcome"] for line in in_order(narrow)] == ["forbidden", "accepted"]
    assert {line["outcome"] for line in reader + urgent} == {"forbidden"}


async def test_the_same_order_twice_in_one_body_is_sent_once(rig: Rig) -> None:
    order = await rig.order("hashkey")
    items = [item("hashkey", order), item("hashkey", order), item("hashkey", order, idempotency_key="other")]

    lines = await post(rig, items)

    assert {line["outcome"] for line in lines} == {"cancelled"}
    assert await rig.cancels_of("hashkey", order["order_id"]) == 1


async def test_a_key_replays_and_may_be_reused_by_mistake(rig: Rig) -> None:
    first, second = await rig.orders("hashkey", 2)
    key = f"many-{time.monotonic_ns()}"

    (once,) = await post(rig, [item("hashkey", first, idempotency_key=key)])
    (again,) = await post(rig, [item("hashkey", first, idempotency_key=key)])
    (wrong,) = await post(rig, [item("hashkey", second, idempotency_key=key)])

    assert again == {"index": 0, "status": 200, "replayed": True} | once
    assert (wrong["outcome"], wrong["status"]) == ("key_reused", 422)


async def test_each_has_its_log_line_and_its_count(rig: Rig) -> None:
    items = [item("hashkey", order) for order in await rig.orders("hashkey", 3)] + [{"venue": "hashkey", "ref": "1"}]
    series = 'requests_total{lane="normal",outcome="cancelled",venue="hashkey"}'
    before = await rig.count(series)

    await post(rig, items, {"X-Request-ID": "many-log"})

    for index in range(4):
        rig.gateway.heard("cancel.done", request_id=f"many-log.{index}")
    assert await rig.count(series) == before + 3


async def test_nothing_is_answered_with_nothing(rig: Rig) -> None:
    assert await post(rig, []) == []


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"{", 400, "line 1, column 2"),
        (b"[]", 400, "cancels"),
        (orjson.dumps({"cancels": [{}] * 1001}), 413, "1000"),
    ],
)
async def test_a_body_that_is_none_is_refused_as_a_whole(rig: Rig, body: bytes, status: int, detail: str) -> None:
    said = await rig.desk().call("POST", "/cancels", None, body)

    assert (said.status, said.outcome, said.json["status"]) == (status, "invalid_request", status)
    assert detail in said.json["detail"]


async def test_a_body_of_unknown_length_is_bounded_as_well(rig: Rig) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    desk = rig.desk()
    headers = {"Authorization": f"Bearer {desk.token}"}
    for data in (chunks(), BytesIO(b" " * (1024 * 1024 + 1))):
        async with rig.http.post(f"{desk.url}/cancels", data=data, headers=headers) as said:
            assert (said.status, (await said.json(content_type=None))["outcome"]) == (413, "invalid_request")


async def test_without_a_token_nothing_is_read(rig: Rig) -> None:
    said = await rig.stranger().call("POST", "/cancels", None, b"{")

    assert (said.status, said.outcome) == (401, "unauthenticated")


# -- where they queue ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def own_rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


@pytest.fixture(scope="module")
def narrow(sandbox: Sandbox, valkey_session: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the venues' own limits."""
    folder = tmp_path_factory.mktemp("narrow")
    tree = tree_of(sandbox, rested(valkey_session), put_secrets(folder / "secrets", DEFAULT_CREDENTIALS))
    for venue, own in tree["venues"].items():
        own["limits"] = {name: {"tokens": 10} for name in LIMITS[VenueId(venue)]}
    with serving(tree, folder) as started:
        yield started


async def test_they_share_requests_and_come_as_they_finish(narrow: Gateway, sandbox: Sandbox) -> None:
    async with own_rig(narrow, sandbox) as rig:
        await rig.venue("orderly").control("POST", "reset", {})
        orders = await rig.orders("orderly", 300)
        quick = item("hashkey", await rig.order("hashkey"))
        items = [item("orderly", order) for order in orders]

        lines = await post(rig, [*items[:200], quick, *items[200:]], {"X-Request-Timeout-Ms": "10000"})

        requests = (await rig.venue("orderly").stats())["requests"]
    assert Counter(line["outcome"] for line in lines) == {"accepted": 300, "cancelled": 1}
    assert sum(requests.values()) <= 10 + 31
    assert [line["index"] for line in lines].index(200) < 200


async def test_what_cannot_make_it_is_told(narrow: Gateway, sandbox: Sandbox) -> None:
    async with own_rig(narrow, sandbox) as rig:
        items = [item("etna", order) for order in await rig.orders("etna", 60)]

        lines = await post(rig, items, {"X-Request-Timeout-Ms": "1500"})

    outcomes = Counter(line["outcome"] for line in lines)
    assert outcomes.keys() == {"accepted", "over_deadline"}
    assert outcomes["accepted"] >= 8


async def spoken(rig: Rig, items: list[Any], timeout_ms: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The request on a connection of its own, with nothing read of the answer and little room for it."""
    where, body = urlsplit(rig.gateway.url), orjson.dumps({"cancels": items})
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, (where.hostname, where.port))
    reader, writer = await asyncio.open_connection(sock=own, limit=1024)
    head = (
        f"POST /cancels HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {rig.desk().token}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Timeout-Ms: {timeout_ms}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def settled(rig: Rig, venue: str) -> int:
    """How many were cancelled, once that stands still."""
    seen, now = -1, 0
    while seen != now:
        seen = now
        await asyncio.sleep(0.4)
        now = int((await rig.venue(venue).stats())["cancels"])
    return now


async def test_whoever_leaves_takes_with_him_what_was_not_sent(narrow: Gateway, sandbox: Sandbox) -> None:
    async with own_rig(narrow, sandbox) as rig:
        await rig.venue("etna").control("POST", "reset", {})
        items = [item("etna", order) for order in await rig.orders("etna", 200)]
        depth = 'queue_depth{lane="normal",venue="etna"}'

        _, writer = await spoken(rig, items, 60_000)
        while await rig.count(depth) < 150:  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.01)
        writer.transport.abort()
        began = time.monotonic()
        while await rig.count(depth):  # noqa: ASYNC110  likewise
            await asyncio.sleep(0.01)

        assert time.monotonic() - began < 1
        assert await settled(rig, "etna") < 40


async def test_a_reader_who_does_not_read_holds_back_what_has_not_begun(rig: Rig) -> None:
    """What fits into the buffers goes, and a window behind it; the rest goes as he reads."""
    await rig.venue("b2trader").control("POST", "reset", {})
    items = [item("b2trader", order) for order in await rig.orders("b2trader", 1000)]

    reader, writer = await spoken(rig, items, 60_000)
    begun = await settled(rig, "b2trader")
    said = b""
    while not said.endswith(b"0\r\n\r\n"):
        said += await reader.read(65536)
    writer.close()

    assert 256 <= begun <= 900, begun
    assert await settled(rig, "b2trader") == 1000
    assert said.count(b'"index":') == 1000


async def test_a_draining_process_ends_what_it_began_and_refuses_the_rest(
    sandbox: Sandbox, valkey_session: Server, tmp_path: Path
) -> None:
    tree = tree_of(sandbox, rested(valkey_session), put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS))
    tree["venues"]["etna"]["limits"] = {name: {"tokens": 100} for name in LIMITS[VenueId("etna")]}
    with serving(tree, tmp_path) as started:
        async with own_rig(started, sandbox) as rig:
            await rig.venue("etna").control("POST", "reset", {})
            items = [item("etna", order) for order in await rig.orders("etna", 500)]
            work = asyncio.create_task(post(rig, items, {"X-Request-Timeout-Ms": "20000"}))
            while await rig.asked("etna") < 50:  # noqa: ASYNC110  it happens in another process
                await asyncio.sleep(0.01)

            code = await asyncio.to_thread(started.stop)
            lines = await work

    outcomes = Counter(line["outcome"] for line in lines)
    assert (code, len(lines)) == (0, 500)
    assert outcomes.keys() <= {"accepted", "draining", "over_deadline"}
    assert outcomes["draining"]
    assert outcomes["accepted"] >= 50
