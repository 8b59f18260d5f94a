import asyncio
import gzip
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import aiohttp
import orjson
import pytest
from sandbox_client import Client, cancel_target, lenient, orderly_headers
from yarl import URL

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import running

Clients = Callable[..., Client]
VENUES = ("orderly", "hashkey", "loopring", "etna", "b2trader")


async def _cancel(client: Client, order: dict[str, str]) -> int:
    return (await client.signed("DELETE", cancel_target(client.venue.id, order))).status


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("kind", "fields", "left"),
    [
        ("reset_before_read", {}, "open"),
        ("reset_after_read", {}, "cancelled"),
        ("reset_after_read_untouched", {}, "open"),
    ],
)
async def test_reset_gives_no_answer(
    client: Clients, venue: str, kind: str, fields: dict[str, object], left: str
) -> None:
    to_venue = client(venue)
    (order,) = await to_venue.orders()
    await to_venue.fault(kind, endpoint="cancel", times=1, **fields)

    with pytest.raises(aiohttp.ClientOSError):
        await _cancel(to_venue, order)

    figures = await to_venue.stats()
    assert await to_venue.status_of(order["order_id"]) == left
    assert figures["faults_hit"] == {kind: 1}
    assert figures["requests"].get("cancel_one", figures["requests"].get("cancel_by_id", 0)) == (
        0 if kind == "reset_before_read" else 1
    )


@pytest.mark.parametrize(("applied", "left"), [(False, "open"), (True, "cancelled")])
async def test_hang_never_answers(client: Clients, applied: bool, left: str) -> None:  # noqa: FBT001  parametrized
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("hang", applied=applied)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_cancel(orderly, order), 0.2)

    assert await orderly.status_of(order["order_id"]) == left


async def test_latency_delays_the_answer(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("latency", ms=80, jitter_ms=10)

    started = time.monotonic()
    status = await _cancel(orderly, order)

    assert status == 200
    assert time.monotonic() - started >= 0.08


async def test_abandoned_request_still_takes_effect(client: Clients) -> None:
    """A venue that has the request does not care whether the client waits."""
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("latency", ms=100)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_cancel(orderly, order), 0.05)
    await asyncio.sleep(0.15)

    assert await orderly.status_of(order["order_id"]) == "cancelled"


@pytest.mark.parametrize(
    ("venue", "kind", "status", "code"),
    [
        ("orderly", "rate_limited", 429, -1003),
        ("orderly", "banned", 418, -1003),
        ("orderly", "forbidden", 403, -1002),
        ("orderly", "server_error", 500, -1000),
        ("orderly", "auth_failure", 401, -1002),
        ("orderly", "error_code", 400, -1012),
        ("orderly", "string_codes", 400, "-1011"),
        ("hashkey", "rate_limited", 429, "0003"),
        ("hashkey", "banned", 418, "0003"),
        ("hashkey", "auth_failure", 400, "0002"),
        ("etna", "rate_limited", 429, None),
        ("etna", "auth_failure", 401, None),
        ("b2trader", "rate_limited", 429, None),
        ("b2trader", "server_error", 500, None),
    ],
)
async def test_canned_answer_has_the_shape_of_the_venue(
    client: Clients, venue: str, kind: str, status: int, code: int | str | None
) -> None:
    to_venue = client(venue)
    (order,) = await to_venue.orders()
    await to_venue.fault(kind, endpoint="cancel")

    said = await to_venue.signed("DELETE", cancel_target(venue, order))

    assert (said.status, said.json.get("code")) == (status, code)
    assert "Retry-After" not in said.headers
    assert await to_venue.status_of(order["order_id"]) == "open"


@pytest.mark.parametrize(("kind", "status"), [("rate_limited", 429), ("banned", 418), ("forbidden", 403)])
async def test_loopring_has_no_code_for_refusals_at_the_edge(client: Clients, kind: str, status: int) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders()
    await loopring.fault(kind)

    said = await loopring.signed("DELETE", cancel_target("loopring", order))

    assert (said.status, said.headers["Content-Type"]) == (status, "text/plain")


async def test_error_code_is_as_it_was_asked_for(client: Clients) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders()
    await loopring.fault("error_code", code=104209, message="some failed", status=200)

    said = await loopring.signed("DELETE", cancel_target("loopring", order))

    assert (said.status, said.json) == (200, {"resultInfo": {"code": 104209, "message": "some failed"}})


async def test_server_error_may_come_after_the_cancel(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("server_error", status=503, applied=True)

    status = await _cancel(orderly, order)

    assert status == 503
    assert await orderly.status_of(order["order_id"]) == "cancelled"


async def test_retry_after_comes_in_seconds_or_as_a_date(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    target = cancel_target("orderly", order)

    await orderly.fault("rate_limited", retry_after="2")
    in_seconds = await orderly.signed("DELETE", target)
    await orderly.fault("rate_limited", retry_after="date")
    as_date = await orderly.signed("DELETE", target)

    assert in_seconds.headers["Retry-After"] == "2"
    assert 0 <= parsedate_to_datetime(as_date.headers["Retry-After"]).timestamp() - time.time() <= 3


@pytest.mark.parametrize("venue", VENUES)
async def test_malformed_answer_is_no_json(client: Clients, venue: str) -> None:
    to_venue = client(venue)
    (order,) = await to_venue.orders()
    await to_venue.fault("malformed", endpoint="cancel")

    said = await to_venue.signed("DELETE", cancel_target(venue, order))

    with pytest.raises(orjson.JSONDecodeError):
        _ = said.json
    assert said.headers["Content-Type"] == "application/json"
    assert await to_venue.status_of(order["order_id"]) == "cancelled"


@pytest.mark.parametrize(
    ("kind", "status", "content_type"), [("html", 502, "text/html"), ("wrong_content_type", 200, "text/plain")]
)
async def test_answer_of_another_content_type(client: Clients, kind: str, status: int, content_type: str) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault(kind)

    said = await orderly.signed("DELETE", cancel_target("orderly", order))

    assert (said.status, said.headers["Content-Type"]) == (status, content_type)


async def test_slow_body_trickles(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("slow_body", bytes_per_s=400)

    started = time.monotonic()
    said = await orderly.signed("DELETE", cancel_target("orderly", order))

    assert said.json["success"] is True
    assert time.monotonic() - started >= len(said.body) / 400 * 0.8


async def test_huge_body_has_the_size_that_was_asked_for(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("huge_body", bytes=1 << 20)

    said = await orderly.signed("DELETE", cancel_target("orderly", order))

    assert len(said.body) == 1 << 20


async def test_client_may_leave_in_the_middle_of_a_huge_body(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    target = cancel_target("orderly", order)
    await orderly.fault("huge_body", times=1)

    url = URL(orderly.venue.control_url + target, encoded=True)
    async with orderly.http.delete(url, headers=orderly_headers(orderly, "DELETE", target)) as answer:
        await answer.content.readexactly(1000)
        answer.close()

    assert (await orderly.signed("DELETE", target)).json["code"] == -1006


async def test_sandbox_can_be_stopped_while_a_request_hangs(http: aiohttp.ClientSession) -> None:
    started = time.monotonic()
    async with running(lenient()) as sandbox:
        orderly = Client(sandbox.venues["orderly"], http)
        (order,) = await orderly.orders()
        await orderly.fault("hang")
        hanging = asyncio.create_task(_cancel(orderly, order))
        while not (await orderly.stats())["faults_hit"]:  # noqa: ASYNC110  the far side has no event
            await asyncio.sleep(0.01)

    with pytest.raises(aiohttp.ClientError):
        await hanging
    assert time.monotonic() - started < 2


async def test_gzip_bomb_is_small_until_it_is_unpacked(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    await orderly.fault("gzip_bomb", bytes=4 << 20)

    said = await orderly.signed("DELETE", cancel_target("orderly", order))

    assert said.headers["Content-Encoding"] == "gzip"
    assert len(said.body) < 20_000
    assert len(gzip.decompress(said.body)) == 4 << 20


@pytest.mark.parametrize(
    ("venue", "status", "word", "again"),
    [
        ("orderly", 200, "NEW", 200),
        ("hashkey", 200, "PENDING_CANCEL", 200),
        ("loopring", 200, "cancelling", 400),
        ("etna", 204, "PendingCancel", 204),
        ("b2trader", 200, "Pending", 200),
    ],
)
async def test_delayed_state_leaves_the_order_open_for_a_while(
    client: Clients, venue: str, status: int, word: str, again: int
) -> None:
    to_venue = client(venue)
    (order,) = await to_venue.orders()
    await to_venue.fault("delayed_state", endpoint="cancel", ms=150)

    statuses = [await _cancel(to_venue, order) for _ in range(2)]
    (shown,) = (await to_venue.control("GET", "orders"))["orders"]
    await asyncio.sleep(0.16)

    assert statuses == [status, again]
    assert (shown["status"], shown["pending"], shown["venue_status"]) == ("open", True, word)
    assert await to_venue.status_of(order["order_id"]) == "cancelled"


@pytest.mark.parametrize(
    ("venue", "status"), [("orderly", 200), ("hashkey", 400), ("loopring", 400), ("etna", 204), ("b2trader", 409)]
)
async def test_fill_before_cancel_wins(client: Clients, venue: str, status: int) -> None:
    to_venue = client(venue)
    (order,) = await to_venue.orders()
    await to_venue.fault("fill_before_cancel", endpoint="cancel", quantity="all")

    assert await _cancel(to_venue, order) == status
    assert await to_venue.status_of(order["order_id"]) == "filled"


async def test_partial_fill_before_cancel_leaves_the_rest_cancelled(client: Clients) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders(quantity="2")
    await hashkey.fault("fill_before_cancel", quantity="0.5")

    said = await hashkey.signed("DELETE", cancel_target("hashkey", order))

    assert (said.json["status"], said.json["executedQty"]) == ("PARTIALLY_CANCELED", "0.5")


@pytest.mark.parametrize("venue", ["orderly", "hashkey", "loopring"])
async def test_partial_batch_leaves_the_first_orders_open(client: Clients, venue: str) -> None:
    to_venue = client(venue)
    orders = await to_venue.orders(count=3)
    ids = ",".join(order["order_id"] for order in orders)
    target = {
        "orderly": f"/v1/batch-order?order_ids={ids}",
        "hashkey": f"/api/v1/spot/cancelOrderByIds?ids={ids}",
        "loopring": f"/api/v3/orders/byHash?accountId=10005&orderHash={ids}",
    }[venue]
    await to_venue.fault("partial_batch", fail_ids=2)

    said = await to_venue.signed("DELETE", target)

    listed = (await to_venue.control("GET", "orders"))["orders"]
    assert said.status == 200
    assert [order["status"] for order in listed] == ["open", "open", "cancelled"]


async def test_fault_meets_only_whom_it_is_for(client: Clients) -> None:
    orderly = client("orderly")
    orders = await orderly.orders(count=3)
    (other,) = await orderly.orders(account="desk-b")
    await orderly.fault("rate_limited", endpoint="cancel_by_id", account="desk-a", times=2)

    by_client_id = await orderly.signed(
        "DELETE", f"/v1/client/order?client_order_id={orders[0]['client_id']}&symbol=PERP_ETH_USDC"
    )
    read = await orderly.signed("GET", f"/v1/order/{orders[1]['order_id']}")
    foreign = await _cancel(client("orderly", "desk-b"), other)
    statuses = [await _cancel(orderly, orders[1]) for _ in range(3)]

    assert (by_client_id.status, read.status, foreign) == (200, 200, 200)
    assert statuses == [429, 429, 200]
    assert (await orderly.stats())["faults_hit"] == {"rate_limited": 2}


async def test_token_endpoint_can_fail_alone(client: Clients) -> None:
    etna = client("etna")
    await etna.fault("server_error", endpoint="token", times=1)
    fields = DEFAULT_CREDENTIALS["etna"]["desk-a"]
    headers = {"Et-App-Key": fields["app_key"], "Username": "desk-a", "Password": fields["password"]}

    statuses = [(await etna.send("POST", "/api/token", headers)).status for _ in range(2)]

    assert statuses == [500, 200]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "typo"}, "is no fault"),
        ({"kind": "hang", "endpoint": "typo"}, "is none of"),
        ({"kind": "hang", "ms": 1}, "unknown key"),
        ({"kind": "latency"}, "'ms' is missing"),
        ({"kind": "latency", "ms": "1"}, "whole number"),
        ({"kind": "latency", "ms": -1}, "whole number"),
        ({"kind": "hang", "applied": 1}, "true or false"),
        ({"kind": "fill_before_cancel", "quantity": "much"}, "an amount"),
        ({"kind": "error_code", "code": []}, "a number or a text"),
        ({"endpoint": "*"}, "'kind' is missing"),
        ({"kind": 1}, "a text"),
        ("hang", "an object"),
    ],
)
async def test_wrong_fault_is_refused_and_changes_nothing(client: Clients, fault: object, message: str) -> None:
    orderly = client("orderly")
    await orderly.fault("latency", ms=1)

    refused = await orderly.control("POST", "faults", {"faults": [fault]})

    assert message in refused["error"]
    assert [each["kind"] for each in (await orderly.control("GET", "faults"))["faults"]] == ["latency"]


async def test_faults_are_replaced_shown_and_cleared(client: Clients) -> None:
    orderly = client("orderly")
    await orderly.fault("latency", ms=1, times=3)
    await orderly.fault("hang", endpoint="read")

    shown = await orderly.control("GET", "faults")
    cleared = await orderly.control("DELETE", "faults")

    assert shown["faults"] == [{"kind": "hang", "endpoint": "read", "times": None}]
    assert cleared["faults"] == []
