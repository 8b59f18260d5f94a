import time
from collections.abc import Callable

import pytest
from sandbox_client import FORM, Client, hashkey_query

Clients = Callable[..., Client]
ORDER = "/api/v1/spot/order"


@pytest.mark.parametrize(("name", "field"), [("orderId", "order_id"), ("clientOrderId", "client_id")])
async def test_cancel_by_either_id_answers_with_the_order(client: Clients, name: str, field: str) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders(quantity="1.50")

    said = await hashkey.signed("DELETE", f"{ORDER}?{name}={order[field]}")

    assert said.status == 200
    assert said.json["orderId"] == order["order_id"]
    assert (said.json["status"], said.json["origQty"], said.json["executedQty"]) == ("CANCELED", "1.5", "0")
    assert said.json["transactTime"].isdigit()
    assert await hashkey.status_of(order["order_id"]) == "cancelled"


async def test_parameters_may_stand_in_a_form(client: Clients) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders()
    body = hashkey_query(hashkey, f"orderId={order['order_id']}").encode()

    said = await hashkey.send(
        "DELETE", ORDER, {"X-HK-APIKEY": hashkey.credential["api_key"], "Content-Type": FORM}, body
    )

    assert said.status == 200


@pytest.mark.parametrize(
    ("status", "filled", "code"),
    [
        ("cancelled", "0", -1142),
        ("cancelled", "0.5", -1138),
        ("filled", "1", -1139),
        ("rejected", "0", -1143),
    ],
)
async def test_final_order_answers_with_its_code(client: Clients, status: str, filled: str, code: int) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders(status=status, filled=filled)

    said = await hashkey.signed("DELETE", f"{ORDER}?orderId={order['order_id']}")

    assert (said.status, said.json["code"]) == (400, code)


@pytest.mark.parametrize("method", ["DELETE", "GET"])
async def test_unknown_order_is_not_found(client: Clients, method: str) -> None:
    said = await client("hashkey").signed(method, f"{ORDER}?orderId=42")

    assert (said.status, said.json["code"]) == (400, "0211")


async def test_batch_lists_failures_only(client: Clients) -> None:
    hashkey = client("hashkey")
    orders = await hashkey.orders(count=3)
    (filled,) = await hashkey.orders(status="filled")
    ids = ",".join([order["order_id"] for order in orders] + [filled["order_id"], "42"])

    said = await hashkey.signed("DELETE", f"/api/v1/spot/cancelOrderByIds?ids={ids}")

    failures = [{"orderId": filled["order_id"], "code": "-1139"}, {"orderId": "42", "code": "0211"}]
    assert said.json == {"code": "0000", "result": failures}
    assert (await hashkey.stats())["cancels"] == 3


async def test_cancel_all_needs_a_symbol_and_takes_a_side(client: Clients) -> None:
    hashkey = client("hashkey")
    await hashkey.orders(count=2, side="buy")
    await hashkey.orders(count=1, side="sell")

    without = await hashkey.signed("DELETE", "/api/v1/spot/openOrders")
    said = await hashkey.signed("DELETE", "/api/v1/spot/openOrders?symbol=ETHUSD&side=BUY")

    assert (without.status, without.json["code"]) == (400, "0001")
    assert said.json == {"success": True}
    assert (await hashkey.stats())["cancels"] == 2


async def test_read_takes_a_client_id_by_its_other_name(client: Clients) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders(status="partial")

    row = (await hashkey.signed("GET", f"{ORDER}?origClientOrderId={order['client_id']}")).json
    wrong = await hashkey.signed("GET", f"{ORDER}?clientOrderId={order['client_id']}")

    assert (row["status"], row["executedQty"], row["orderId"]) == ("PARTIALLY_FILLED", "0.5", order["order_id"])
    assert wrong.status == 400


async def test_open_orders_are_listed_up_to_a_limit(client: Clients) -> None:
    hashkey = client("hashkey")
    await hashkey.orders(count=3)

    said = await hashkey.signed("GET", "/api/v1/spot/openOrders?symbol=ETHUSD&limit=2")

    assert [row["status"] for row in said.json] == ["NEW", "NEW"]


async def test_time_is_public(client: Clients) -> None:
    said = await client("hashkey").send("GET", "/api/v1/time")

    assert abs(said.json["serverTime"] - time.time_ns() // 1_000_000) < 2000


@pytest.mark.parametrize(
    ("off_ms", "window", "code"),
    [
        (-4900, "", "0211"),
        (-5200, "", -1021),
        (900, "", "0211"),
        (1200, "", -1021),
        (-900, "&recvWindow=1000", "0211"),
        (-1200, "&recvWindow=1000", -1021),
        (-9000, "&recvWindow=10000", "0211"),
    ],
)
async def test_timestamp_must_be_inside_the_window(client: Clients, off_ms: int, window: str, code: int | str) -> None:
    hashkey = client("hashkey")
    query = hashkey_query(hashkey, f"orderId=42{window}", at_ms=time.time_ns() // 1_000_000 + off_ms)

    said = await hashkey.send("DELETE", f"{ORDER}?{query}", {"X-HK-APIKEY": hashkey.credential["api_key"]})

    assert said.json["code"] == code


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "bad_id"),
        ("orderId=1&clientOrderId=a", "bad_id"),
        ("orderId=a", "bad_id"),
        ("orderId=1&symbol=ETHUSD", "unknown_parameter"),
        ("orderId=1&orderId=1", "duplicate_parameter"),
        ("orderId", "malformed_parameter"),
        ("orderId=1&signature=00", "unknown_parameter"),
    ],
)
async def test_wrong_parameter_is_refused_and_counted(client: Clients, query: str, reason: str) -> None:
    hashkey = client("hashkey")

    said = await hashkey.signed("DELETE", f"{ORDER}?{query}")

    assert (said.status, said.json["code"]) == (400, "0001")
    assert (await hashkey.stats())["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("DELETE", "cancelOrderByIds", "missing_parameter"),
        ("GET", "openOrders?limit=1001", "bad_page"),
        ("GET", "openOrders?page=1", "unknown_parameter"),
        ("GET", "order", "bad_id"),
        ("DELETE", "order?orderId=1&recvWindow=x", "bad_timestamp"),
    ],
)
async def test_wrong_call_of_the_others_is_refused(client: Clients, method: str, target: str, reason: str) -> None:
    hashkey = client("hashkey")

    said = await hashkey.signed(method, f"/api/v1/spot/{target}")

    assert (said.status, said.json["code"]) == (400, "0001")
    assert (await hashkey.stats())["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize("ids", ["a", "1,", ",".join("1" * 101)])
async def test_wrong_batch_is_refused(client: Clients, ids: str) -> None:
    said = await client("hashkey").signed("DELETE", f"/api/v1/spot/cancelOrderByIds?ids={ids}")

    assert (said.status, said.json["code"]) == (400, "0001")


@pytest.mark.parametrize(
    ("spoil", "status", "code"),
    [
        (lambda query: query[:-1] + ("0" if query[-1] != "0" else "1"), 400, "0002"),
        (lambda query: query.replace("orderId=1", "orderId=2"), 400, "0002"),
        (lambda query: query.partition("&signature")[0], 400, "0001"),
        (lambda query: "&".join(reversed(query.split("&"))), 400, "0001"),
        (lambda query: query.replace("timestamp=", "time="), 400, "0002"),
        (lambda query: query[:-64] + query[-64:].upper(), 400, "0211"),
    ],
    ids=["wrong-digit", "changed", "missing", "not-last", "renamed", "upper-case-is-fine"],
)
async def test_signature_is_checked(client: Clients, spoil: Callable[[str], str], status: int, code: str) -> None:
    hashkey = client("hashkey")
    query = spoil(hashkey_query(hashkey, "orderId=1"))

    said = await hashkey.send("DELETE", f"{ORDER}?{query}", {"X-HK-APIKEY": hashkey.credential["api_key"]})

    assert (said.status, said.json["code"]) == (status, code)


@pytest.mark.parametrize(("key", "status", "code"), [(None, 401, -1002), ("nobody", 400, "0102")])
async def test_api_key_is_checked(client: Clients, key: str | None, status: int, code: int | str) -> None:
    hashkey = client("hashkey")
    headers = {} if key is None else {"X-HK-APIKEY": key}

    said = await hashkey.send("DELETE", f"{ORDER}?{hashkey_query(hashkey, 'orderId=1')}", headers)

    assert (said.status, said.json["code"]) == (status, code)


async def test_form_of_another_content_type_is_refused(client: Clients) -> None:
    hashkey = client("hashkey")
    body = hashkey_query(hashkey, "orderId=1").encode()
    headers = {"X-HK-APIKEY": hashkey.credential["api_key"], "Content-Type": "application/json"}

    said = await hashkey.send("DELETE", ORDER, headers, body)

    assert said.json["code"] == "0001"
    assert (await hashkey.stats())["rejected_reasons"] == {"wrong_content_type": 1}


async def test_revoked_key_is_refused_until_it_is_given_back(client: Clients) -> None:
    hashkey = client("hashkey")
    (order,) = await hashkey.orders()

    await hashkey.control("POST", "revoked", {"revoked": ["desk-a"]})
    refused = await hashkey.signed("DELETE", f"{ORDER}?orderId={order['order_id']}")
    await hashkey.control("POST", "revoked", {"revoked": []})
    taken = await hashkey.signed("DELETE", f"{ORDER}?orderId={order['order_id']}")

    assert (refused.status, refused.json["code"], taken.status) == (400, "0102", 200)
    assert (await hashkey.stats())["rejected_reasons"] == {"revoked_key": 1}
