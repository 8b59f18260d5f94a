import base64
from collections.abc import Callable

import aiohttp
import orjson
import pytest
from sandbox_client import Client, b2trader_token, lenient

from gateway.sandbox.server import running

Clients = Callable[..., Client]
ORDERS = "/frontoffice/api/v3/orders"
TOKEN = "/frontoffice/api/v4/access-token"
JSON = {"Content-Type": "application/json"}


async def test_cancel_answers_with_the_final_order(client: Clients) -> None:
    b2trader = client("b2trader")
    (order,) = await b2trader.orders(quantity="0.10", status="partial", filled="0.04")

    said = await b2trader.signed("DELETE", f"{ORDERS}/{order['order_id']}")

    row = said.json["order"]
    assert said.status == 200
    assert (row["orderId"], row["status"], row["cancellationDate"]) == (order["order_id"], "Cancelled", None)
    assert (row["requestedAmount"], row["remainingAmount"], row["fillFactor"]) == ("0.1", "0.06", "0.4")
    assert await b2trader.status_of(order["order_id"]) == "cancelled"


@pytest.mark.parametrize("status", ["cancelled", "filled"])
async def test_final_order_conflicts(client: Clients, status: str) -> None:
    b2trader = client("b2trader")
    (order,) = await b2trader.orders(status=status)

    said = await b2trader.signed("DELETE", f"{ORDERS}/{order['order_id']}")

    assert said.status == 409


@pytest.mark.parametrize(
    ("target", "status", "reasons"),
    [
        (f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB", 404, {}),
        (f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJU", 400, {"bad_id": 1}),
        (f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB?x=1", 400, {"unknown_parameter": 1}),
        (f"{ORDERS}/..", 400, {"bad_id": 1}),
        (ORDERS, 404, {"unknown_path": 1}),
    ],
)
async def test_wrong_order_is_refused(client: Clients, target: str, status: int, reasons: dict[str, int]) -> None:
    b2trader = client("b2trader")

    said = await b2trader.signed("DELETE", target)

    assert said.status == status
    assert (await b2trader.stats())["rejected_reasons"] == reasons


async def test_access_token_is_a_jwt_that_says_when_it_ends(client: Clients) -> None:
    token = await b2trader_token(client("b2trader"))

    head, claims = (orjson.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])

    assert head["alg"] == "HS256"
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (JSON, b'{"token":"nobody"}', 401),
        (JSON, b"[]", 400),
        (JSON, b"{", 400),
        (JSON, b'{"token":1}', 400),
        (JSON, b'{"token":"sandbox-b2trader-offline-desk-a","x":1}', 400),
        ({"Content-Type": "text/plain"}, b'{"token":"sandbox-b2trader-offline-desk-a"}', 415),
        ({"Content-Type": "application/json; x-api-version=4.0"}, b'{"token":"sandbox-b2trader-offline-desk-a"}', 200),
    ],
)
async def test_exchange_is_strict(client: Clients, headers: dict[str, str], body: bytes, status: int) -> None:
    said = await client("b2trader").send("POST", TOKEN, headers, body)

    assert said.status == status


@pytest.mark.parametrize(
    ("header", "value", "status", "reason"),
    [
        ("Authorization", "Bearer a.b.c", 401, "bad_token"),
        ("Authorization", "Basic x", 401, "bad_token"),
        ("accountId", "64b0c0ffee64b0c0ffee0b0b", 403, "foreign_account"),
        ("accountId", None, 400, "missing_header"),
    ],
)
async def test_wrong_header_is_refused(
    client: Clients, header: str, value: str | None, status: int, reason: str
) -> None:
    b2trader = client("b2trader")
    headers = {"Authorization": f"Bearer {await b2trader_token(b2trader)}", "accountId": "64b0c0ffee64b0c0ffee0a0a"}
    del headers[header]
    if value is not None:
        headers[header] = value

    said = await b2trader.send("DELETE", f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB", headers)

    assert said.status == status
    assert (await b2trader.stats())["rejected_reasons"] == {reason: 1}


async def test_tampered_token_is_refused(client: Clients) -> None:
    b2trader = client("b2trader")
    head, _, signature = (await b2trader_token(b2trader)).split(".")
    claims = base64.urlsafe_b64encode(b'{"sub":"desk-b","exp":9999999999}').decode().rstrip("=")
    b2trader.more["token"] = f"{head}.{claims}.{signature}"

    said = await b2trader.signed("DELETE", f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB")

    assert said.status == 401


async def test_body_is_refused(client: Clients) -> None:
    said = await client("b2trader").signed("DELETE", f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB", b"{}")

    assert said.status == 400


async def test_expired_token_is_refused(http: aiohttp.ClientSession) -> None:
    async with running(lenient(b2trader_token_ms=0)) as sandbox:
        b2trader = Client(sandbox.venues["b2trader"], http)

        said = await b2trader.signed("DELETE", f"{ORDERS}/01K2PF9XS29WN4JZRHMCTTQYJB")

        assert said.status == 401
        assert (await b2trader.stats())["rejected_reasons"] == {"expired_token": 1}
