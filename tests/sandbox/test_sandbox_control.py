import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_client import Client

from gateway.sandbox.config import DEFAULT_CREDENTIALS, DEFAULT_LIMITS, VENUE_IDS
from gateway.sandbox.config_file import BadSandboxConfig, config_from_toml
from gateway.sandbox.server import serve
from gateway.sandbox.window import Limit

Clients = Callable[..., Client]


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_orders_are_made_and_shown_alike(client: Clients, venue: str) -> None:
    to_venue = client(venue)

    made = await to_venue.orders(count=3, account="desk-b", client_id="mine-", quantity=2, side="sell")

    has_client_ids = venue != "b2trader"
    assert [order["client_id"] for order in made] == (["mine-1", "mine-2", "mine-3"] if has_client_ids else [None] * 3)
    assert len({order["order_id"] for order in made}) == 3
    assert {order["account"] for order in made} == {"desk-b"}
    assert (await to_venue.control("GET", "orders?account=desk-b&status=open"))["orders"] == made
    assert (await to_venue.control("GET", "orders?account=desk-a"))["orders"] == []
    assert (await to_venue.control("GET", "orders?status=filled"))["orders"] == []


async def test_single_orders_are_made_as_listed(client: Clients) -> None:
    orderly = client("orderly")

    made = await orderly.orders(orders=[{"client_id": "x", "order_id": "77"}, {"status": "FILLED", "quantity": "3"}])

    assert (made[0]["order_id"], made[0]["client_id"]) == ("77", "x")
    assert (made[1]["status"], made[1]["filled"], made[1]["venue_status"]) == ("filled", "3", "FILLED")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 2_000_000}, "at most"),
        ({"account": "nobody"}, "is none of"),
        ({"status": "odd"}, "is none of"),
        ({"side": "up"}, "neither buy nor sell"),
        ({"quantity": 1, "filled": 2}, "more than"),
        ({"typo": 1}, "unknown key"),
        ({"count": 2, "typo": 1}, "unknown key"),
        ({"orders": {}}, "a list"),
        ({"orders": [{"typo": 1}]}, "unknown key"),
        ({"orders": [], "count": 1}, "unknown key"),
        ([], "an object"),
    ],
)
async def test_wrong_order_is_refused_and_none_is_made(client: Clients, fields: object, message: str) -> None:
    orderly = client("orderly")

    refused = await orderly.control("POST", "orders", fields)

    assert message in refused["error"]
    assert (await orderly.control("GET", "orders"))["orders"] == []


async def test_reset_starts_over_but_never_repeats_an_id(client: Clients) -> None:
    orderly = client("orderly")
    (before,) = await orderly.orders()
    await orderly.fault("hang")
    await orderly.signed("DELETE", "/nowhere")

    await orderly.control("POST", "reset")
    (after,) = await orderly.orders()

    figures = await orderly.stats()
    assert after["order_id"] != before["order_id"]
    assert (figures["rejected_requests"], figures["requests"]) == (0, {})
    assert (await orderly.control("GET", "faults"))["faults"] == []


async def test_stats_show_when_requests_arrived(client: Clients) -> None:
    orderly = client("orderly")
    for _ in range(2):
        await orderly.signed("GET", "/v1/orders")

    recent = (await orderly.stats())["recent"]

    assert [endpoint for _, endpoint in recent] == ["list", "list"]
    assert 0 < recent[1][0] - recent[0][0] < 5000


@pytest.mark.parametrize(("method", "path"), [("PUT", "orders"), ("GET", "nowhere"), ("GET", "../stats")])
async def test_unknown_control_is_refused(client: Clients, method: str, path: str) -> None:
    said = await client("orderly").send(method, f"/_sandbox/{path}")

    assert said.status == 404


async def test_faults_must_come_as_a_list(client: Clients) -> None:
    refused = await client("orderly").control("POST", "faults", {"faults": {"kind": "hang"}})

    assert "wants a list" in refused["error"]


async def test_body_of_a_control_must_be_json(client: Clients) -> None:
    said = await client("orderly").send("POST", "/_sandbox/faults", {}, b"{")

    assert (said.status, said.json) == (400, {"error": "the body is not JSON"})


def test_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text(
        """
        [sandbox]
        host = "0.0.0.0"
        cancel_delay_ms = 50
        [sandbox.ports]
        etna = 9000
        [sandbox.limits.orderly.cancel_by_id]
        tokens = 3
        per_ms = 500
        [sandbox.credentials.hashkey.desk-x]
        api_key = "k"
        secret = "s"
        """,
        encoding="utf-8",
    )

    config = config_from_toml(file)

    assert (config.host, config.cancel_delay_ms, config.ports["etna"], config.ports["orderly"]) == (
        "0.0.0.0",  # noqa: S104  nothing is bound here
        50,
        9000,
        7101,
    )
    assert config.limits["orderly"]["cancel_by_id"] == Limit(3, 500)
    assert config.limits["orderly"]["list"] == DEFAULT_LIMITS["orderly"]["list"]
    assert config.credentials["hashkey"] == {"desk-x": {"api_key": "k", "secret": "s"}}
    assert config.credentials["orderly"] == DEFAULT_CREDENTIALS["orderly"]


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text(
        """
        [other]
        [sandbox]
        host = 1
        typo = 1
        hashkey_ban_ms = "long"
        [sandbox.ports]
        etna = 70000
        binance = 1
        [sandbox.limits.etna]
        typo = { tokens = 1 }
        cancel = { tokens = 1, per_ms = 0 }
        read = { per_ms = 1000 }
        [sandbox.credentials.orderly.a]
        account_id = "0x1"
        private_key = "ed25519:0OIl"
        [sandbox.credentials.orderly.b]
        account_id = "0x1"
        private_key = "ed25519:11"
        [sandbox.credentials.loopring.a]
        account_id = "1"
        api_key = "k"
        private_key = "0"
        [sandbox.credentials.hashkey.a]
        api_key = "k"
        typo = "t"
        [sandbox.credentials.etna]
        a = 1
        """,
        encoding="utf-8",
    )

    with pytest.raises(BadSandboxConfig) as caught:
        config_from_toml(file)

    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [
        "other",
        "sandbox.typo",
        "sandbox.hashkey_ban_ms",
        "sandbox.host",
        "sandbox.ports.etna",
        "sandbox.ports.binance",
        "sandbox.limits.etna.typo",
        "sandbox.limits.etna.cancel",
        "sandbox.limits.etna.read",
        "sandbox.credentials.orderly.a.private_key",
        "sandbox.credentials.orderly.b.private_key",
        "sandbox.credentials.loopring.a.private_key",
        "sandbox.credentials.hashkey.a.secret",
        "sandbox.credentials.hashkey.a.typo",
        "sandbox.credentials.etna.a",
        "sandbox.credentials.etna.a.account_id",
        "sandbox.credentials.etna.a.app_key",
        "sandbox.credentials.etna.a.password",
        "sandbox.credentials.etna.a.username",
    ]


@pytest.mark.parametrize("text", ["[", None])
async def test_file_that_cannot_be_read_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "sandbox.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    with pytest.raises(BadSandboxConfig, match=r"sandbox\.toml"):
        await serve(file, lambda _: None)


async def test_serve_announces_every_venue_and_ends_when_cancelled(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    ports = "\n".join(f"{venue} = 0" for venue in VENUE_IDS)
    file.write_text(f"[sandbox.ports]\n{ports}\n", encoding="utf-8")
    said: list[str] = []

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(serve(file, said.append), 0.5)

    assert [line.partition(":")[0] for line in said] == list(VENUE_IDS)
    assert said[3].endswith("/_sandbox)")


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_controls_name_themselves(client: Clients, venue: str) -> None:
    told = await client(venue).control("GET", "")

    assert (told["venue"], told["accounts"]) == (venue, ["desk-a", "desk-b"])
    assert {"*", "cancel", "cancel_one"} & set(told["endpoints"]) >= {"*", "cancel"}
    assert "POST /_sandbox/faults" in told["controls"]
    for kind in told["faults"]:
        fields = {"latency": {"ms": 1}, "delayed_state": {"ms": 1}}.get(kind, {})
        assert (await client(venue).control("POST", "faults", {"kind": kind, **fields}))["faults"][0]["kind"] == kind
    assert (await client(venue).control("GET", "nothing"))["controls"] == told["controls"]
