"""A venue that goes and comes, a credential that is refused, and clocks that differ. The service is a process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli_rig import run
from real_valkey import Server
from service_process import Gateway, put_secret, put_secrets, rested, serving, token_of, tree_of
from service_rig import Rig, caller_session
from silent_proxy import SilentProxy

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
needs_faketime = pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed: apt install faketime")


@asynccontextmanager
async def _rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


@pytest.fixture
def tree(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> dict[str, Any]:
    secrets = put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    return tree_of(sandbox, rested(valkey_session), secrets, breaker=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def _open(rig: Rig, scope: str) -> float:
    return await rig.count(f'breaker_open{{scope="{scope}",venue="hashkey"}}')


async def test_a_venue_that_is_down_opens_the_breaker_and_its_return_closes_it_by_a_probe(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    port, real = _free_port(), urlsplit(sandbox.venues["hashkey"].base_url).port
    assert real is not None
    tree["venues"]["hashkey"]["base_url"] = f"http://127.0.0.1:{port}"
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            down = [await rig.desk().cancel("hashkey", order["order_id"]) for _ in range(2)]
            shut = await rig.desk().cancel("hashkey", order["order_id"])
            was_open = await _open(rig, "host")
            shown = (await rig.desk().call("GET", "/venues")).json["venues"]
            status = await asyncio.to_thread(run, "status", url=gateway.url, token=token_of("desk"))
            elsewhere = await rig.desk().cancel("etna", (await rig.order("etna"))["order_id"])
            async with SilentProxy(real, port):
                await asyncio.sleep(int(shut.headers["Retry-After"]))
                back = await rig.desk().cancel("hashkey", order["order_id"])
            is_open, retries = await _open(rig, "host"), await rig.count('retries_total{reason="not_sent"')

    assert [(said.outcome, said.json["attempts"]) for said in down] == [
        ("venue_unavailable", 3),
        ("venue_unavailable", 2),
    ]
    assert (shut.status, shut.outcome, shut.json["attempts"]) == (503, "venue_unavailable", 0)
    assert shut.took_s < 0.2
    assert (was_open, is_open, retries) == (1, 0, 3)
    assert {each["venue"] for each in shown if "host" in each["breaker"]} == {"hashkey"}
    assert "BREAKER:host" in status.out
    assert elsewhere.outcome == "accepted"
    assert (back.outcome, back.json["attempts"]) == ("cancelled", 1)
    assert [line["event"] for line in gateway.lines() if line["event"].startswith("breaker.")] == [
        "breaker.opened",
        "breaker.closed",
    ]


async def test_a_credential_that_is_refused_is_left_alone_until_a_newer_one_comes(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    good = DEFAULT_CREDENTIALS["hashkey"]["desk-a"]
    put_secret(tmp_path / "secrets", "hashkey", "desk-a", '{"api_key": "wrong", "secret": "wrong"}')
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            refused = [await rig.desk().cancel("hashkey", order["order_id"]) for _ in range(5)]
            met = await rig.asked("hashkey")
            shut = await rig.desk().cancel("hashkey", order["order_id"])
            met_after, was_open = await rig.asked("hashkey"), await _open(rig, "credential")
            put_secret(
                tmp_path / "secrets", "hashkey", "desk-a",
                f'{{"api_key": "{good["api_key"]}", "secret": "{good["secret"]}"}}',
            )  # fmt: skip
            async with asyncio.timeout(5):
                while (back := await rig.desk().cancel("hashkey", order["order_id"])).outcome != "cancelled":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            is_open = await _open(rig, "credential")

    assert {said.outcome for said in refused} == {"venue_auth"}
    assert (shut.status, shut.outcome, shut.json["attempts"], met_after) == (502, "venue_auth", 0, met)
    assert "Retry-After" in shut.headers
    assert (back.outcome, was_open, is_open) == ("cancelled", 1, 0)


async def _turn(rig: Rig, venue: str, ahead_ms: int) -> None:
    await rig.venue(venue).control("POST", "clock", {"ahead_ms": ahead_ms})


@pytest.mark.parametrize(("ahead_ms", "attempts"), [(8000, None), (-8000, None), (-3000, 2), (3000, 1)])
async def test_a_venue_whose_clock_is_off_is_met_halfway_or_left_alone_until_it_is_right(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path, ahead_ms: int, attempts: int | None
) -> None:
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            orders = await rig.orders("hashkey", 3)
            await _turn(rig, "hashkey", ahead_ms)
            try:
                first = await rig.desk().cancel("hashkey", orders[0]["order_id"])
                second = await rig.desk().cancel("hashkey", orders[1]["order_id"])
            finally:
                await _turn(rig, "hashkey", 0)
            async with asyncio.timeout(10):
                while (last := await rig.desk().cancel("hashkey", orders[2]["order_id"])).status >= 400:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            if attempts is None:
                await asyncio.to_thread(gateway.heard, "clock.refused", venue="hashkey")
                await asyncio.to_thread(gateway.heard, "clock.ok", venue="hashkey")

    if attempts is None:
        assert {first.outcome, second.outcome} == {"venue_unavailable"}
        assert "clock" in first.json["detail"]
    else:
        assert (first.outcome, first.json["attempts"], second.outcome) == ("cancelled", attempts, "cancelled")
    assert last.outcome == "cancelled"


def _skewed(tree: dict[str, Any], folder: Path, seconds: str) -> AbstractContextManager[Gateway]:
    """The service with a wall clock that is off by so much."""
    return serving(
        tree, folder, warm=False, LD_PRELOAD=str(FAKETIME), FAKETIME=seconds, FAKETIME_DONT_FAKE_MONOTONIC="1"
    )


@needs_faketime
async def test_a_clock_that_is_ten_minutes_off_signs_nothing_where_the_venue_looks_at_it(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with _skewed(tree, tmp_path, "+600s") as gateway:
        async with _rig(gateway, sandbox) as rig:
            first_order, *orders = await rig.orders("hashkey", 6)
            first = await rig.desk().cancel("hashkey", first_order["order_id"])
            stale = (await rig.venue("hashkey").stats())["rejected_reasons"]["stale_timestamp"]
            told = await asyncio.gather(*(rig.desk().cancel("hashkey", order["order_id"]) for order in orders))
            refused = [said for said in told if said.json["attempts"] == 0]
            stale_after = (await rig.venue("hashkey").stats())["rejected_reasons"]["stale_timestamp"]
            ready = await rig.admin.call("GET", "/readyz")
            offset = await rig.count('clock_offset_seconds{venue="hashkey"}')
            elsewhere = await rig.desk().cancel("loopring", (await rig.order("loopring"))["order_id"])

    assert (first.status, first.outcome, first.json["venue_code"]) == (503, "venue_unavailable", "-1021")
    assert "clock" in first.json["detail"]
    assert {(said.status, said.outcome) for said in told} == {(503, "venue_unavailable")}
    assert len(refused) == len(told) - (stale_after - stale) >= len(told) - 1  # one a second may find out
    assert all("clock" in said.json["detail"] and "Retry-After" in said.headers for said in refused)
    assert (ready.status, ready.json["components"]["clock"]["ok"]) == (200, False)
    assert "hashkey" in ready.json["components"]["clock"]["detail"]
    assert -601 < offset < -598
    assert elsewhere.outcome in {"cancelled", "accepted"}
    assert gateway.lines("clock.refused", venue="hashkey")


@needs_faketime
@pytest.mark.parametrize(("seconds", "attempts"), [("+3s", 2), ("-3s", 1)])
async def test_a_clock_that_is_a_little_off_is_made_up_for(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path, seconds: str, attempts: int
) -> None:
    with _skewed(tree, tmp_path, seconds) as gateway:
        async with _rig(gateway, sandbox) as rig:
            orders = await rig.orders("hashkey", 5)
            first, *others = [await rig.desk().cancel("hashkey", order["order_id"]) for order in orders]
            async with asyncio.timeout(5):  # lines are gathered for a moment before they are written
                while not gateway.lines("clock.corrected", venue="hashkey"):  # noqa: ASYNC110  a file has no event
                    await asyncio.sleep(0.02)

    assert (first.outcome, first.json["attempts"]) == ("cancelled", attempts)
    assert {(said.outcome, said.json["attempts"]) for said in others} == {("cancelled", 1)}


@needs_faketime
async def test_orderlys_stale_timestamp_is_told_as_a_matter_of_clocks(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with _skewed(tree, tmp_path, "-600s") as gateway:
        async with _rig(gateway, sandbox) as rig:
            said = await rig.desk().cancel("orderly", (await rig.order("orderly"))["order_id"])

    assert (said.status, said.outcome, said.json["venue_code"]) == (503, "venue_unavailable", "-1001")
    assert "clock" in said.json["detail"]
