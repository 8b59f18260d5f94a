from collections.abc import Callable

import pytest
from sandbox_client import Client, loopring_headers

Clients = Callable[..., Client]
ORDER = "/api/v3/order?accountId=10005"


@pytest.mark.parametrize(("name", "field"), [("orderHash", "order_id"), ("clientOrderId", "client_id")])
async def test_cancel_by_either_id_answers_with_the_status(client: Clients, name: str, field: str) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders()

    said = await loopring.signed("DELETE", f"{ORDER}&{name}={order[field]}")

    assert said.status == 200
    assert said.json == {
        "hash": order["order_id"],
        "clientOrderId": order["client_id"],
        "status": "cancelled",
        "isIdempotent": False,
    }
    assert await loopring.status_of(order["order_id"]) == "cancelled"


async def test_client_id_that_needs_escaping_is_signed_escaped_twice(client: Clients) -> None:
    loopring = client("loopring")
    await loopring.orders(client_id="a b,c")
    headers = loopring_headers(loopring, "DELETE", f"{ORDER}&clientOrderId=a b,c")

    said = await loopring.send("DELETE", f"{ORDER}&clientOrderId=a%20b%2Cc", headers)

    assert said.status == 200


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("cancelled", 100001, "order in status CANCELLED can't be cancelled"),
        ("filled", 100001, "order in status PROCESSED can't be cancelled"),
        ("expired", 100001, "order in status EXPIRED can't be cancelled"),
    ],
)
async def test_final_order_tells_its_status_in_the_text(client: Clients, status: str, code: int, text: str) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders(status=status)

    said = await loopring.signed("DELETE", f"{ORDER}&orderHash={order['order_id']}")

    assert (said.status, said.json["resultInfo"]) == (400, {"code": code, "message": text})


async def test_unknown_order_is_not_found(client: Clients) -> None:
    loopring = client("loopring")
    ref = "0x" + "00" * 32

    cancelled = await loopring.signed("DELETE", f"{ORDER}&orderHash={ref}")
    read = await loopring.signed("GET", f"{ORDER}&orderHash={ref}")

    assert (cancelled.json["resultInfo"]["code"], read.json["resultInfo"]["code"]) == (102117, 107003)


@pytest.mark.parametrize(
    ("path", "name", "field", "absent"),
    [
        ("byHash", "orderHash", "order_id", "0x" + "00" * 32),
        ("byClientOrderId", "clientOrderId", "client_id", "nobody"),
    ],
)
async def test_batch_has_a_result_per_id(client: Clients, path: str, name: str, field: str, absent: str) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders()
    (filled,) = await loopring.orders(status="filled")
    refs = [order[field], filled[field], absent]

    said = await loopring.signed("DELETE", f"/api/v3/orders/{path}?accountId=10005&{name}={','.join(refs)}")

    assert [item["id"] for item in said.json] == refs
    assert [item["result"] for item in said.json] == [True, False, False]
    assert [item["error"]["code"] for item in said.json[1:]] == [100001, 102117]


async def test_reads_need_the_key_only_but_a_signature_must_hold(client: Clients) -> None:
    loopring = client("loopring")
    (order,) = await loopring.orders(status="partial")
    target = f"{ORDER}&orderHash={order['order_id']}"
    key = {"X-API-KEY": loopring.credential["api_key"]}

    unsigned = await loopring.send("GET", target, key)
    signed = await loopring.signed("GET", target)
    forged = await loopring.send("GET", target, loopring_headers(loopring, "DELETE", target))

    assert (unsigned.json["status"], unsigned.json["volumes"]["baseFilled"]) == ("processing", "0.5")
    assert signed.status == 200
    assert forged.json["resultInfo"]["code"] == 104005


async def test_list_is_paged_by_offset(client: Clients) -> None:
    loopring = client("loopring")
    orders = await loopring.orders(count=3)
    await loopring.orders(status="filled")

    said = await loopring.signed("GET", "/api/v3/orders?accountId=10005&status=processing&limit=2&offset=2")

    assert said.json["totalNum"] == 3
    assert [row["hash"] for row in said.json["orders"]] == [orders[0]["order_id"]]  # the newest come first


@pytest.mark.parametrize(
    ("method", "target", "code", "reason"),
    [
        ("DELETE", ORDER, 100001, "bad_id"),
        ("DELETE", f"{ORDER}&orderHash=0x{'0' * 64}&clientOrderId=a", 100001, "bad_id"),
        ("DELETE", f"{ORDER}&orderHash=12", 102119, "bad_hash"),
        ("DELETE", f"{ORDER}&clientOrderId={'a' * 121}", 100001, "bad_id"),
        ("DELETE", f"{ORDER}&clientOrderId=a&accountId=10005", 100001, "duplicate_parameter"),
        ("DELETE", f"{ORDER}&clientOrderId=a&x=1", 100001, "unknown_parameter"),
        ("DELETE", "/api/v3/order?clientOrderId=a", 104003, "unknown_account"),
        ("DELETE", "/api/v3/order?accountId=1&clientOrderId=a", 104003, "unknown_account"),
        ("DELETE", "/api/v3/orders/byHash?accountId=10005", 100001, "missing_parameter"),
        (
            "DELETE",
            f"/api/v3/orders/byClientOrderId?accountId=10005&clientOrderId={','.join('a' * 11)}",
            100001,
            "too_many_ids",
        ),
        ("DELETE", "/api/v3/orders/byHash?accountId=10005&orderHash=1", 102119, "bad_hash"),
        ("GET", ORDER, 102119, "bad_hash"),
        ("GET", "/api/v3/orders?accountId=10005&limit=51", 100001, "bad_page"),
    ],
)
async def test_wrong_parameter_is_refused_and_counted(
    client: Clients, method: str, target: str, code: int, reason: str
) -> None:
    loopring = client("loopring")

    said = await loopring.signed(method, target)

    assert (said.status, said.json["resultInfo"]["code"]) == (400, code)
    assert (await loopring.stats())["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("X-API-KEY", None, 104001),
        ("X-API-KEY", "other", 104002),
        ("X-API-SIG", None, 104004),
        ("X-API-SIG", "0x" + "0" * 192, 104005),
        ("Host", "api3.loopring.io", 104005),
    ],
)
async def test_wrong_header_is_refused(client: Clients, header: str, value: str | None, code: int) -> None:
    """The host is part of what is signed, so another host makes another signature."""
    loopring = client("loopring")
    target = f"{ORDER}&clientOrderId=a"
    headers = loopring_headers(loopring, "DELETE", target)
    headers.pop(header, None)
    if value is not None:
        headers[header] = value

    said = await loopring.send("DELETE", target, headers)

    assert said.json["resultInfo"]["code"] == code


async def test_signature_of_another_account_does_not_hold(client: Clients) -> None:
    loopring, other = client("loopring"), client("loopring", "desk-b")
    target = f"{ORDER}&clientOrderId=a"
    headers = loopring_headers(other, "DELETE", target) | {"X-API-KEY": loopring.credential["api_key"]}

    said = await loopring.send("DELETE", target, headers)

    assert said.json["resultInfo"]["code"] == 104005


async def test_body_is_refused(client: Clients) -> None:
    loopring = client("loopring")

    said = await loopring.signed("DELETE", f"{ORDER}&clientOrderId=a", b"{}")

    assert said.status == 400
    assert (await loopring.stats())["rejected_reasons"] == {"unexpected_body": 1}
