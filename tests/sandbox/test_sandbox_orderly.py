import time
from collections.abc import Callable

import pytest
from sandbox_client import FORM, Client, orderly_headers

Clients = Callable[..., Client]
SYMBOL = "PERP_ETH_USDC"


@pytest.mark.parametrize("by", ["order_id", "client_order_id"])
async def test_cancel_by_either_id_closes_the_order(client: Clients, by: str) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders(symbol=SYMBOL)
    path, ref = ("/v1/order", order["order_id"]) if by == "order_id" else ("/v1/client/order", order["client_id"])

    said = await orderly.signed("DELETE", f"{path}?{by}={ref}&symbol={SYMBOL}")

    assert said.status == 200
    assert said.json["success"] is True
    assert said.json["data"] == {"status": "CANCEL_SENT"}
    assert await orderly.status_of(order["order_id"]) == "cancelled"
    assert (await orderly.stats())["cancels_by_order"] == {order["order_id"]: 1}


async def test_standard_padded_signature_is_taken_too(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    target = f"/v1/order?order_id={order['order_id']}&symbol={SYMBOL}"

    said = await orderly.send("DELETE", target, orderly_headers(orderly, "DELETE", target, padded=True))

    assert said.status == 200


@pytest.mark.parametrize("status", ["cancelled", "filled", "rejected"])
async def test_final_order_is_not_found(client: Clients, status: str) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders(status=status)

    said = await orderly.signed("DELETE", f"/v1/order?order_id={order['order_id']}&symbol={SYMBOL}")

    assert (said.status, said.json["code"], said.json["success"]) == (400, -1006, False)


async def test_order_of_another_account_or_symbol_is_not_found(client: Clients) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders()
    target = f"/v1/order?order_id={order['order_id']}&symbol="

    foreign = await client("orderly", "desk-b").signed("DELETE", target + SYMBOL)
    other_symbol = await orderly.signed("DELETE", target + "PERP_BTC_USDC")

    assert (foreign.json["code"], other_symbol.json["code"]) == (-1006, -1006)
    assert await orderly.status_of(order["order_id"]) == "open"


async def test_reused_client_id_means_the_open_order(client: Clients) -> None:
    orderly = client("orderly")
    (done,) = await orderly.orders(client_id="mine", status="cancelled")
    (still_open,) = await orderly.orders(client_id="mine")
    await orderly.orders(client_id="mine", status="filled")

    said = await orderly.signed("DELETE", f"/v1/client/order?client_order_id=mine&symbol={SYMBOL}")

    assert said.status == 200
    assert await orderly.status_of(still_open["order_id"]) == "cancelled"
    assert (await orderly.stats())["cancels_by_order"] == {still_open["order_id"]: 1}
    assert done["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "name", "field"),
    [
        ("/v1/batch-order", "order_ids", "order_id"),
        ("/v1/client/batch-order", "client_order_ids", "client_id"),
    ],
)
async def test_batch_cancels_without_a_result_per_order(client: Clients, path: str, name: str, field: str) -> None:
    orderly = client("orderly")
    orders = await orderly.orders(count=3)
    refs = ",".join([order[field] for order in orders] + ["123"])

    said = await orderly.signed("DELETE", f"{path}?{name}={refs}")
    again = await orderly.signed("DELETE", f"{path}?{name}={refs}")

    assert said.json["data"] == {"status": "CANCEL_ALL_SENT"}
    assert (await orderly.stats())["cancels"] == 3
    assert (again.status, again.json["code"]) == (400, -1006)


@pytest.mark.parametrize(("query", "left"), [("", 0), (f"?symbol={SYMBOL}", 1)])
async def test_cancel_all_takes_an_optional_symbol(client: Clients, query: str, left: int) -> None:
    orderly = client("orderly")
    await orderly.orders(count=2, symbol=SYMBOL)
    await orderly.orders(symbol="PERP_BTC_USDC")

    said = await orderly.signed("DELETE", f"/v1/orders{query}")

    assert said.json["data"] == {"status": "CANCEL_ALL_SENT"}
    assert len((await orderly.control("GET", "orders?status=open"))["orders"]) == left


@pytest.mark.parametrize("by", ["order_id", "client_id"])
async def test_read_shows_numbers_and_words_of_the_venue(client: Clients, by: str) -> None:
    orderly = client("orderly")
    (order,) = await orderly.orders(status="partial", quantity="2", filled="0.5")
    path = "/v1/order/" if by == "order_id" else "/v1/client/order/"

    row = (await orderly.signed("GET", path + order[by])).json["data"]

    assert row["order_id"] == int(order["order_id"])
    assert (row["status"], row["quantity"], row["total_executed_quantity"]) == ("PARTIAL_FILLED", 2, 0.5)


async def test_list_is_paged(client: Clients) -> None:
    orderly = client("orderly")
    orders = await orderly.orders(count=5)

    pages = [(await orderly.signed("GET", f"/v1/orders?status=INCOMPLETE&size=2&page={n}")).json for n in (1, 2, 3)]

    rows = [str(row["order_id"]) for page in pages for row in page["data"]["rows"]]
    assert rows == [order["order_id"] for order in orders]
    assert pages[0]["data"]["meta"] == {"total": 5, "records_per_page": 2, "current_page": 1}


async def test_system_info_needs_no_signature(client: Clients) -> None:
    said = await client("orderly").send("GET", "/v1/public/system_info")

    assert said.json["data"]["status"] == 0


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        ("/v1/order?order_id=1", -1005, "missing_parameter"),
        (f"/v1/order?symbol={SYMBOL}", -1005, "missing_parameter"),
        (f"/v1/order?order_id=1&symbol={SYMBOL}&x=1", -1004, "unknown_parameter"),
        (f"/v1/order?order_id=1&order_id=1&symbol={SYMBOL}", -1005, "duplicate_parameter"),
        (f"/v1/order?order_id=1&symbol={SYMBOL}&", -1005, "malformed_parameter"),
        (f"/v1/order?order_id=&symbol={SYMBOL}", -1005, "malformed_parameter"),
        (f"/v1/order?order_id=a&symbol={SYMBOL}", -1005, "bad_id"),
        ("/v1/order?order_id=1&symbol=ETHUSD", -1005, "bad_symbol"),
        (f"/v1/client/order?client_order_id=-a&symbol={SYMBOL}", -1005, "bad_id"),
        (f"/v1/client/order?client_order_id={'a' * 37}&symbol={SYMBOL}", -1005, "bad_id"),
        (f"/v1/client/order?client_order_id=a+b&symbol={SYMBOL}", -1005, "malformed_parameter"),
        (f"/v1/client/order?client_order_id=a%2&symbol={SYMBOL}", -1005, "malformed_parameter"),
        ("/v1/batch-order?order_ids=" + ",".join("12345678901"), -1005, "too_many_ids"),
        ("/v1/batch-order?order_ids=1,", -1005, "bad_id"),
        ("/v1/client/batch-order", -1005, "missing_parameter"),
        ("/v1/orders?symbol=x", -1005, "bad_symbol"),
        ("/v1/orders?status=INCOMPLETE", -1004, "unknown_parameter"),
    ],
)
async def test_wrong_parameter_is_refused_and_counted(client: Clients, target: str, code: int, reason: str) -> None:
    orderly = client("orderly")

    said = await orderly.signed("DELETE", target)

    assert (said.status, said.json["code"]) == (400, code)
    assert (await orderly.stats())["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize(
    "target",
    [
        "/v1/orders?size=501",
        "/v1/orders?page=0",
        "/v1/orders?status=FILLED",
        "/v1/order/x",
        "/v1/order/1?x=1",
        "/v1/orders?x=1",
    ],
)
async def test_wrong_read_is_refused(client: Clients, target: str) -> None:
    said = await client("orderly").signed("GET", target)

    assert said.status == 400


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("orderly-signature", None, "missing_header"),
        ("orderly-signature", "A" * 86, "bad_signature"),
        ("orderly-signature", "short", "bad_signature"),
        ("orderly-timestamp", "1702989203989", "stale_timestamp"),
        ("orderly-timestamp", "now", "stale_timestamp"),
        ("orderly-account-id", "0x" + "00" * 32, "unknown_key"),
        ("orderly-key", "ed25519:8tm7dnKYkSc3FzgPuJaw1wztr79eeZpN35nHW5pL5XhX", "unknown_key"),
        ("Content-Type", "application/json", "wrong_content_type"),
        ("Content-Type", None, "wrong_content_type"),
    ],
)
async def test_wrong_header_is_refused(client: Clients, header: str, value: str | None, reason: str) -> None:
    orderly = client("orderly")
    target = f"/v1/order?order_id=1&symbol={SYMBOL}"
    headers = orderly_headers(orderly, "DELETE", target)
    if value is None:
        del headers[header]
    else:
        headers[header] = value

    said = await orderly.send("DELETE", target, headers)

    assert said.status == (400 if header == "Content-Type" else 401)
    assert (await orderly.stats())["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize(("off_ms", "status"), [(-299_000, 400), (299_000, 400), (-301_000, 401), (301_000, 401)])
async def test_timestamp_may_be_five_minutes_off(client: Clients, off_ms: int, status: int) -> None:
    orderly = client("orderly")
    target = f"/v1/order?order_id=1&symbol={SYMBOL}"
    headers = orderly_headers(orderly, "DELETE", target, at_ms=time.time_ns() // 1_000_000 + off_ms)

    said = await orderly.send("DELETE", target, headers)

    assert said.status == status


async def test_signature_covers_the_query_as_received(client: Clients) -> None:
    """The same parameters in another order or escaping are another text."""
    orderly = client("orderly")
    headers = orderly_headers(orderly, "DELETE", f"/v1/order?order_id=1&symbol={SYMBOL}")

    swapped = await orderly.send("DELETE", f"/v1/order?symbol={SYMBOL}&order_id=1", headers)
    escaped = await orderly.send("DELETE", f"/v1/order?order_id=%31&symbol={SYMBOL}", headers)

    assert (swapped.status, escaped.status) == (401, 401)


async def test_body_is_refused(client: Clients) -> None:
    orderly = client("orderly")
    target = f"/v1/order?order_id=1&symbol={SYMBOL}"
    headers = orderly_headers(orderly, "DELETE", target + "a=b") | {"Content-Type": FORM}

    said = await orderly.send("DELETE", target, headers, b"a=b")

    assert said.status == 400
    assert (await orderly.stats())["rejected_reasons"] == {"unexpected_body": 1}


@pytest.mark.parametrize("target", ["/v1/order/", "//v1/order", "/v1/orders/..", "/v1/algo/order"])
async def test_unknown_path_is_refused(client: Clients, target: str) -> None:
    orderly = client("orderly")

    said = await orderly.signed("DELETE", target)

    assert said.status == 404
    assert (await orderly.stats())["rejected_reasons"] == {"unknown_path": 1}
