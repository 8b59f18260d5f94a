from collections.abc import Callable

import aiohttp
import pytest
from sandbox_client import Client, etna_token, lenient

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import running

Clients = Callable[..., Client]
ACCOUNT = "/api/v1.0/accounts/6303"


@pytest.mark.parametrize("form", ["orders", "syncorders"])
async def test_cancel_answers_without_a_body(client: Clients, form: str) -> None:
    etna = client("etna")
    (order,) = await etna.orders()

    said = await etna.signed("DELETE", f"{ACCOUNT}/{form}/{order['order_id']}")

    assert (said.status, said.body) == (204, b"")
    assert await etna.status_of(order["order_id"]) == "cancelled"


@pytest.mark.parametrize(("status", "http_status"), [("filled", 422), ("cancelled", 409), ("expired", 409)])
async def test_final_order_is_refused(client: Clients, status: str, http_status: int) -> None:
    etna = client("etna")
    (order,) = await etna.orders(status=status)

    said = await etna.signed("DELETE", f"{ACCOUNT}/orders/{order['order_id']}")

    assert said.status == http_status


@pytest.mark.parametrize(("form", "status"), [("orders", 204), ("syncorders", 422)])
async def test_race_with_a_fill_shows_only_where_the_market_is_asked(client: Clients, form: str, status: int) -> None:
    etna = client("etna")
    (order,) = await etna.orders()
    await etna.fault("fill_before_cancel")

    said = await etna.signed("DELETE", f"{ACCOUNT}/{form}/{order['order_id']}")
    row = (await etna.signed("GET", f"{ACCOUNT}/orders/{order['order_id']}")).json

    assert said.status == status
    assert (row["Status"], row["ExecutionStatus"]) == ("Filled", "Rejected")


@pytest.mark.parametrize("method", ["DELETE", "GET"])
async def test_unknown_order_is_not_found(client: Clients, method: str) -> None:
    said = await client("etna").signed(method, f"{ACCOUNT}/orders/1")

    assert said.status == 404


async def test_list_is_paged_and_filtered(client: Clients) -> None:
    etna = client("etna")
    orders = await etna.orders(count=3)
    await etna.orders(status="filled")
    target = f"{ACCOUNT}/orders?pageSize=2&filter=Status%20in%20(0,1)&pageNumber="

    first, second = (await etna.signed("GET", target + "0")).json, (await etna.signed("GET", target + "1")).json

    assert [str(row["Id"]) for row in first["Result"] + second["Result"]] == [order["order_id"] for order in orders]
    assert (first["TotalCount"], bool(first["NextPageLink"]), second["NextPageLink"]) == (3, True, "")


async def test_token_needs_every_header_unchanged(client: Clients) -> None:
    etna = client("etna")
    good = {"Et-App-Key": "sandbox-etna-app-key", "Username": "desk-a", "Password": "sandbox-etna-password-desk-a"}

    tokens = [await etna.send("POST", "/api/token", good | bad) for bad in ({}, {"Password": "x"}, {"Et-App-Key": "x"})]

    assert [said.status for said in tokens] == [200, 401, 403]
    assert tokens[0].json["State"] == "Succeeded"
    assert {"+", "/", "="} <= set(tokens[0].json["Token"])
    assert tokens[1].json == {"State": "Failed", "Step": "BaseAuthentication", "Reason": "Invalid credentials"}
    assert tokens[2].json == {"error": "Application key is not defined or does not exist"}


@pytest.mark.parametrize(
    ("header", "value", "status", "reason"),
    [
        ("Authorization", "Bearer nonsense", 401, "bad_token"),
        ("Authorization", "", 401, "bad_token"),
        ("Et-App-Key", "nonsense", 403, "unknown_app_key"),
    ],
)
async def test_wrong_header_is_refused(client: Clients, header: str, value: str, status: int, reason: str) -> None:
    etna = client("etna")
    headers = {"Et-App-Key": "sandbox-etna-app-key", "Authorization": f"Bearer {await etna_token(etna)}"}

    said = await etna.send("DELETE", f"{ACCOUNT}/orders/1", headers | {header: value})

    assert said.status == status
    assert (await etna.stats())["rejected_reasons"] == {reason: 1}


async def test_order_of_another_account_is_denied(client: Clients) -> None:
    etna = client("etna")
    (order,) = await etna.orders()

    said = await client("etna", "desk-b").signed("DELETE", f"{ACCOUNT}/orders/{order['order_id']}")

    assert (said.status, said.json) == (401, {"Message": "Authorization has been denied for this request."})


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("DELETE", "/orders/abc", "bad_id"),
        ("DELETE", "/orders/2147483648", "bad_id"),
        ("DELETE", "/orders/1?x=1", "unknown_parameter"),
        ("GET", "/orders", "missing_parameter"),
        ("GET", "/orders?pageNumber=0&pageSize=101", "bad_page"),
        ("GET", "/orders?pageNumber=0&pageSize=1&filter=Id%20=%201", "bad_filter"),
    ],
)
async def test_wrong_parameter_is_refused_and_counted(client: Clients, method: str, target: str, reason: str) -> None:
    etna = client("etna")

    said = await etna.signed(method, ACCOUNT + target)

    assert said.status == 400
    assert (await etna.stats())["rejected_reasons"] == {reason: 1}


async def test_dot_segments_reach_the_venue_and_are_no_path(client: Clients) -> None:
    etna = client("etna")

    climbing = await etna.signed("DELETE", f"{ACCOUNT}/orders/%2e%2e")
    plain = await etna.signed("DELETE", f"{ACCOUNT}/orders/../orders/1")

    assert (climbing.status, plain.status) == (400, 404)


async def test_body_is_refused(client: Clients) -> None:
    said = await client("etna").signed("DELETE", f"{ACCOUNT}/orders/1", b"{}")

    assert said.status == 400


async def test_expired_token_is_denied(http: aiohttp.ClientSession) -> None:
    async with running(lenient(etna_token_ms=0)) as sandbox:
        etna = Client(sandbox.venues["etna"], http)

        said = await etna.signed("DELETE", f"{ACCOUNT}/orders/1")

    assert said.status == 401


async def test_second_factor_is_asked_for_and_taken(http: aiohttp.ClientSession) -> None:
    fields = DEFAULT_CREDENTIALS["etna"]["desk-a"] | {"verification_code": "123456"}
    credentials = DEFAULT_CREDENTIALS | {"etna": {"desk-a": fields}}
    headers = {"Et-App-Key": fields["app_key"], "Username": "desk-a", "Password": fields["password"]}
    async with running(lenient(credentials=credentials)) as sandbox:
        etna = Client(sandbox.venues["etna"], http)

        half = await etna.send("POST", "/api/token", headers)
        bearer = headers | {"Authorization": f"Bearer {half.json['Token']}"}
        wrong = await etna.send("POST", "/api/token", bearer | {"VerificationCode": "0"})
        whole = await etna.send("POST", "/api/token", bearer | {"VerificationCode": "123456"})

    assert (half.status, half.json["State"]) == (202, "Expecting")
    assert wrong.status == 401
    assert (whole.status, whole.json["State"]) == (200, "Succeeded")
