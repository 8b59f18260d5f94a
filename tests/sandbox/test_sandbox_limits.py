import time
from dataclasses import dataclass

import aiohttp
import pytest
from sandbox_client import Client, cancel_target

from gateway.sandbox.config import FREE_PORTS, SandboxConfig
from gateway.sandbox.server import running


@dataclass(slots=True)
class HandClock:
    """A clock that moves when it is told to; the wall keeps to the real time so that signatures stay fresh."""

    ns: int = 0

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return self.ns


async def test_burst_over_the_limit_is_refused_in_every_sliding_window(http: aiohttp.ClientSession) -> None:
    clock = HandClock()
    async with running(SandboxConfig(ports=FREE_PORTS), clock) as sandbox:
        orderly = Client(sandbox.venues["orderly"], http)
        orders = await orderly.orders(count=22)
        targets = [cancel_target("orderly", order) for order in orders]

        clock.ns = 900_000_000
        first = [(await orderly.signed("DELETE", target)).status for target in targets[:10]]
        clock.ns = 1_899_999_999
        early = await orderly.signed("DELETE", targets[10])
        clock.ns = 1_900_000_000
        later = [(await orderly.signed("DELETE", target)).status for target in targets[11:22]]
        figures = await orderly.stats()

    assert first == [200] * 10
    assert (early.status, early.json["code"]) == (429, -1003)
    assert later == [200] * 10 + [429]
    assert (figures["admitted"], figures["violations"], figures["most_in_any_window"]) == (20, 2, 12)
    assert figures["cancels"] == 20
    early_and_last = [at_ms for at_ms, _ in figures["limits"][0]["excesses"]]
    assert early_and_last == [1_899.999999, 1_900.0]


async def test_limits_count_per_endpoint_and_key(http: aiohttp.ClientSession) -> None:
    async with running(SandboxConfig(ports=FREE_PORTS), HandClock()) as sandbox:
        desk_a, desk_b = (Client(sandbox.venues["orderly"], http, name) for name in ("desk-a", "desk-b"))
        targets = [
            "/v1/order?order_id=1&symbol=PERP_ETH_USDC",
            "/v1/client/order?client_order_id=1&symbol=PERP_ETH_USDC",
        ]

        statuses = {
            (await client.signed("DELETE", target)).status
            for client in (desk_a, desk_b)
            for target in targets
            for _ in range(10)
        }
        figures = await desk_a.stats()

    assert statuses == {400}
    assert [limit["most_in_any_window"] for limit in figures["limits"]] == [10, 10, 10, 10]
    assert figures["violations"] == 0


async def test_hashkey_batch_weighs_five_and_queries_have_their_own_limit(http: aiohttp.ClientSession) -> None:
    async with running(SandboxConfig(ports=FREE_PORTS), HandClock()) as sandbox:
        hashkey = Client(sandbox.venues["hashkey"], http)

        batches = [(await hashkey.signed("DELETE", "/api/v1/spot/cancelOrderByIds?ids=1")).status for _ in range(3)]
        reads = [(await hashkey.signed("GET", "/api/v1/spot/openOrders")).status for _ in range(3)]
        said = await hashkey.signed("DELETE", "/api/v1/spot/order?orderId=1")

    assert batches == [200, 200, 429]
    assert reads == [200, 200, 429]
    assert (said.status, said.json["code"]) == (429, "0003")


async def test_hashkey_may_answer_400_instead_of_429(http: aiohttp.ClientSession) -> None:
    async with running(SandboxConfig(ports=FREE_PORTS, hashkey_limit_status=400), HandClock()) as sandbox:
        hashkey = Client(sandbox.venues["hashkey"], http)

        said = [await hashkey.signed("GET", "/api/v1/spot/openOrders") for _ in range(3)][-1]

    assert (said.status, said.json["code"]) == (400, "0003")


async def test_hashkey_bans_who_goes_on_after_a_429(http: aiohttp.ClientSession) -> None:
    clock = HandClock()
    async with running(SandboxConfig(ports=FREE_PORTS, hashkey_ban_ms=60_000), clock) as sandbox:
        hashkey = Client(sandbox.venues["hashkey"], http)

        statuses = [(await hashkey.signed("GET", "/api/v1/spot/openOrders")).status for _ in range(4)]
        clock.ns = 59_000_000_000
        banned = await hashkey.signed("DELETE", "/api/v1/spot/order?orderId=1")
        clock.ns = 60_000_000_000
        free = await hashkey.signed("DELETE", "/api/v1/spot/order?orderId=1")
        figures = await hashkey.stats()

    assert statuses == [200, 200, 429, 418]
    assert (banned.status, free.status) == (418, 400)
    assert figures["banned_requests"] == 2


@pytest.mark.parametrize(
    ("venue", "tokens", "refused"), [("loopring", 5, 429), ("etna", 10, 429), ("b2trader", 10, 429)]
)
async def test_limit_of_the_other_venues(http: aiohttp.ClientSession, venue: str, tokens: int, refused: int) -> None:
    async with running(SandboxConfig(ports=FREE_PORTS), HandClock()) as sandbox:
        client = Client(sandbox.venues[venue], http)
        orders = await client.orders(count=tokens + 1)

        statuses = [(await client.signed("DELETE", cancel_target(venue, order))).status for order in orders]

    assert all(status < 300 for status in statuses[:tokens])
    assert statuses[tokens] == refused


async def test_refused_credential_spends_no_limit(http: aiohttp.ClientSession) -> None:
    async with running(SandboxConfig(ports=FREE_PORTS), HandClock()) as sandbox:
        orderly = Client(sandbox.venues["orderly"], http)

        for _ in range(12):
            await orderly.send("DELETE", "/v1/order?order_id=1&symbol=PERP_ETH_USDC")
        figures = await orderly.stats()

    assert (figures["rejected_requests"], figures["limits"]) == (12, [])
