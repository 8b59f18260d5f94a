"""SIGTERM under load: everybody is answered, nothing is reset, and what could not go is free for another replica."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from real_valkey import Server
from service_process import Gateway, put_secrets, rested, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

PER_S, BEFORE_S, AFTER_S, LAG_MS = 200, 0.5, 0.5, 800


@asynccontextmanager
async def _rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        yield Rig(gateway, sandbox, http)


@pytest.fixture
def tree(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> dict[str, Any]:
    secrets = put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    return tree_of(sandbox, rested(valkey_session), secrets)


async def _load(rig: Rig, gateway: Gateway, refs: list[str]) -> Counter[str]:
    """An open loop of cancels, with SIGTERM in the middle; what became of each."""
    began = time.monotonic()
    heard: Counter[str] = Counter()

    async def one(number: int, ref: str) -> None:
        await asyncio.sleep(max(0.0, began + number / PER_S - time.monotonic()))
        if number == int(BEFORE_S * PER_S):
            gateway.process.send_signal(signal.SIGTERM)
        try:
            said = await rig.desk().cancel("hashkey", ref)
        except aiohttp.ClientConnectorError:
            heard["refused"] += 1
        except (aiohttp.ClientError, ConnectionError) as error:
            heard[type(error).__name__] += 1
        else:
            heard[said.outcome] += 1

    await asyncio.gather(*(one(number, ref) for number, ref in enumerate(refs)))
    return heard


async def test_sigterm_under_load_loses_no_answer_and_resets_no_connection(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["server"]["drain_lag_ms"] = LAG_MS
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            await rig.venue("hashkey").fault("latency", ms=50, endpoint="cancel")
            orders = await rig.orders("hashkey", int((BEFORE_S + AFTER_S) * PER_S))

            heard = await _load(rig, gateway, [order["order_id"] for order in orders])
            code = await asyncio.to_thread(gateway.process.wait, 5)
            cancelled = Counter([await rig.venue("hashkey").status_of(order["order_id"]) for order in orders])
            await rig.calm()

    assert set(heard) <= {"cancelled", "accepted", "draining"}
    assert heard.total() == len(orders)
    assert heard["draining"] > 0
    assert cancelled["cancelled"] == heard["cancelled"] + heard["accepted"]
    assert code == 0
    assert gateway.lines("gateway.stopped")[0]["drained"] is True


async def test_readiness_falls_at_once_while_the_listeners_still_answer(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["server"]["drain_lag_ms"] = LAG_MS
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.heard, "gateway.stopping")
            began = time.monotonic()

            ready = await rig.admin.call("GET", "/readyz")
            refused = await rig.desk().cancel("hashkey", order["order_id"])
            await asyncio.to_thread(gateway.process.wait, 5)
            took_s = time.monotonic() - began
            asked = await rig.cancels_of("hashkey", order["order_id"])

    assert (ready.status, ready.json["draining"]) == (503, True)
    assert (refused.status, refused.outcome, refused.headers["Connection"], asked) == (503, "draining", "close", 0)
    assert LAG_MS / 1000 - 0.2 < took_s < LAG_MS / 1000 + 1.5


async def test_who_cannot_go_in_time_is_handed_over_and_another_replica_takes_the_key_at_once(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["server"]["drain_seconds"] = 3
    tree["venues"]["hashkey"] |= {"timeout_ms": 1000, "reserve": 0, "batching": False}
    tree["venues"]["hashkey"]["limits"]["cancel"] |= {"tokens": 5, "per_ms": 30_000}
    key = {"Idempotency-Key": "handed-over", "X-Request-Timeout-Ms": "60000"}
    with serving(tree, tmp_path / "one") as gateway:
        async with _rig(gateway, sandbox) as rig:
            orders = await rig.orders("hashkey", 6)
            desk = rig.desk()
            for order in orders[:5]:
                await desk.cancel("hashkey", order["order_id"])
            waiting = asyncio.create_task(desk.cancel("hashkey", orders[5]["order_id"], key))
            await asyncio.sleep(0.3)

            gateway.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            said = await waiting
            code = await asyncio.to_thread(gateway.process.wait, 5)
            took_s = time.monotonic() - began
            asked = await rig.cancels_of("hashkey", orders[5]["order_id"])
    tree["venues"]["hashkey"]["limits"]["cancel"] |= {"tokens": 2000, "per_ms": 1000}
    with serving(tree, tmp_path / "two") as gateway:
        async with _rig(gateway, sandbox) as rig:
            again = await rig.desk().cancel("hashkey", orders[5]["order_id"], key | {"X-Request-Timeout-Ms": "1000"})

    assert (said.status, said.outcome, asked) == (503, "draining", 0)
    assert (code, took_s < 3) == (0, True)
    assert again.outcome in {"cancelled", "over_deadline"}
    assert "Idempotency-Replayed" not in again.headers
