"""What can happen to a process, to two of them or to their store, from both sides, row by row.

SIGKILL and SIGTERM are real, the store is a real Valkey, and the venue's book says what was asked of it.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from real_valkey import Server
from redis import Redis
from service_process import Gateway, rested, serving, tree_of
from service_rig import READABLE, Rig, caller_session

from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.server import Sandbox

TIMEOUT_MS = 300


@pytest.fixture
def own_redis(valkey_session: Server) -> str:
    return rested(valkey_session)


@pytest.fixture
def tree(sandbox: Sandbox, own_redis: str, secrets: Path) -> dict[str, Any]:
    return tree_of(sandbox, own_redis, secrets, timeout_ms=TIMEOUT_MS)


@asynccontextmanager
async def _seen(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


@pytest.fixture(scope="module")
def two(
    sandbox: Sandbox, redis_url: str, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Gateway]]:
    tree, folder = tree_of(sandbox, redis_url, secrets, timeout_ms=TIMEOUT_MS), tmp_path_factory.mktemp("two")
    with serving(tree, folder / "one") as one, serving(tree, folder / "other") as other:
        yield one, other


def _key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


async def _killed(gateway: Gateway, running: "asyncio.Task[Any]") -> None:
    gateway.process.kill()
    gateway.process.wait()
    await asyncio.gather(running, return_exceptions=True)


# -- SIGKILL ---------------------------------------------------------------------------------------------------------


async def test_killed_after_reserve_and_before_send_costs_the_slot_and_the_next_caller_proceeds(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["venues"]["hashkey"] |= {"reserve": 0, "batching": False}
    tree["venues"]["hashkey"]["limits"]["cancel"] |= {"tokens": 5, "per_ms": 3000}
    headers = _key("reserved") | {"X-Request-Timeout-Ms": "4000"}
    with serving(tree, tmp_path / "one", ends_well=False) as gateway:
        async with _seen(gateway, sandbox) as rig:
            *before, order = await rig.orders("hashkey", 6)
            for each in before:
                await rig.desk().cancel("hashkey", each["order_id"])
            running = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"], headers))
            await asyncio.sleep(0.3)
            assert await rig.count('queue_depth{lane="normal",venue="hashkey"}') == 1
            await _killed(gateway, running)
            at_death = await rig.cancels_of("hashkey", order["order_id"])
    tree["venues"]["hashkey"]["limits"]["cancel"] |= {"tokens": 100, "per_ms": 1000}
    with serving(tree, tmp_path / "two") as gateway:
        async with _seen(gateway, sandbox) as rig:
            # A follower of the dead one takes the order over when the lease ends.
            said = await rig.desk().cancel("hashkey", order["order_id"], headers | {"X-Request-Timeout-Ms": "8000"})
            asked = await rig.cancels_of("hashkey", order["order_id"])
            status = await rig.venue("hashkey").status_of(order["order_id"])

    assert (at_death, asked, status) == (0, 1, "cancelled")
    assert (said.status, said.outcome) == (200, "cancelled")


@pytest.mark.parametrize("took_effect", [True, False])
async def test_killed_after_send_is_found_out_by_reading_and_never_sent_again(
    sandbox: Sandbox,
    tree: dict[str, Any],
    tmp_path: Path,
    took_effect: bool,  # noqa: FBT001
) -> None:
    for venue in READABLE:
        tree["venues"][venue]["timeout_ms"] = 1000
    with ExitStack() as stack:
        dying = stack.enter_context(serving(tree, tmp_path / "one", ends_well=False))
        other = stack.enter_context(serving(tree, tmp_path / "two"))
        async with _seen(dying, sandbox) as rig:
            orders = {venue: await rig.order(venue) for venue in sorted(READABLE)}
            for venue in orders:
                await rig.venue(venue).fault("hang", applied=took_effect, endpoint="cancel", times=1)
            running = [asyncio.create_task(_hanging(rig, venue, order)) for venue, order in orders.items()]
            for venue in orders:
                await _met(rig, venue)
            dying.process.kill()
            dying.process.wait()
            await asyncio.gather(*running)
        async with _seen(other, sandbox) as rig:
            await asyncio.gather(*(_found_out(rig, venue, order, took_effect) for venue, order in orders.items()))


async def _hanging(rig: Rig, venue: str, order: dict[str, Any]) -> None:
    """Sent, and without an answer when the process dies."""
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await rig.desk().cancel(venue, order["order_id"], _key(f"sent-{venue}") | {"X-Request-Timeout-Ms": "1000"})


async def _met(rig: Rig, venue: str) -> None:
    """Wait until the venue has met its fault."""
    async with asyncio.timeout(5):
        while (await rig.venue(venue).control("GET", "faults"))["faults"][0]["times"]:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)


async def _found_out(rig: Rig, venue: str, order: dict[str, Any], took_effect: bool) -> None:  # noqa: FBT001
    said = await rig.desk().cancel(venue, order["order_id"], _key(f"sent-{venue}") | {"X-Request-Timeout-Ms": "4000"})
    asked, status = (
        await rig.cancels_of(venue, order["order_id"]),
        await rig.venue(venue).status_of(order["order_id"]),
    )
    if took_effect:
        assert (said.status, said.outcome, asked, status) == (200, "cancelled", 1, "cancelled"), (venue, said)
    else:
        assert (said.status, said.outcome, asked, status) == (504, "unknown", 0, "open"), (venue, said)


# -- SIGTERM ---------------------------------------------------------------------------------------------------------


async def test_sigterm_lets_what_was_accepted_end_and_hands_back_what_was_not_sent(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["server"]["drain_lag_ms"] = 500
    with serving(tree, tmp_path) as gateway:
        async with _seen(gateway, sandbox) as rig:
            orders = await rig.orders("hashkey", 60)
            await rig.venue("hashkey").fault("latency", ms=100, endpoint="cancel")
            said = [asyncio.create_task(rig.desk().cancel("hashkey", each["order_id"])) for each in orders[:30]]
            await asyncio.sleep(0.1)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.heard, "gateway.stopping")
            ready = await rig.admin.call("GET", "/readyz")
            said += [asyncio.create_task(rig.desk().cancel("hashkey", each["order_id"])) for each in orders[30:]]
            told = [each.outcome for each in await asyncio.gather(*said)]
            asked = [await rig.cancels_of("hashkey", order["order_id"]) for order in orders]
            code = await asyncio.to_thread(gateway.process.wait, 5)

    assert (ready.status, code) == (503, 0)
    assert set(told) <= {"cancelled", "draining"}
    assert told[30:] == ["draining"] * 30
    for outcome, requests in zip(told, asked, strict=True):
        assert requests == (outcome == "cancelled")


# -- twice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("same", "same"), ("one", "other"), (None, None)], ids=str)
async def test_the_same_cancel_on_two_replicas_is_one_request_and_the_second_follows(
    two: tuple[Gateway, Gateway], sandbox: Sandbox, keys: tuple[str | None, str | None]
) -> None:
    headers = [{} if key is None else _key(key) for key in keys]

    async def row(venue: str) -> None:
        order = await rig.order(venue)
        await rig.venue(venue).fault("latency", ms=60, endpoint="cancel")
        by_venue = [{name: f"{venue}-{value}" for name, value in each.items()} for each in headers]
        said = await asyncio.gather(
            rig.desk().cancel(venue, order["order_id"], by_venue[0]),
            beside.desk().cancel(venue, order["order_id"], by_venue[1]),
        )
        assert await rig.cancels_of(venue, order["order_id"]) == 1, venue
        assert said[0].outcome == said[1].outcome in {"cancelled", "accepted"}, venue
        assert said[0].json["record"] == said[1].json["record"], venue

    async with _seen(two[0], sandbox) as rig, _seen(two[1], sandbox) as beside:
        await asyncio.gather(*map(row, VENUE_IDS))


async def test_a_key_that_comes_with_another_order_or_venue_is_refused_and_nothing_is_sent(
    two: tuple[Gateway, Gateway], sandbox: Sandbox
) -> None:
    async with _seen(two[0], sandbox) as rig, _seen(two[1], sandbox) as beside:
        order, other = await rig.orders("hashkey", 2)
        elsewhere = await rig.order("etna")
        await rig.desk().cancel("hashkey", order["order_id"], _key("reused"))
        said = [
            await beside.desk().cancel("hashkey", other["order_id"], _key("reused")),
            await beside.desk().cancel("etna", elsewhere["order_id"], _key("reused")),
        ]
        asked = [
            await rig.cancels_of("hashkey", other["order_id"]),
            await rig.cancels_of("etna", elsewhere["order_id"]),
        ]

    assert [(each.status, each.outcome) for each in said] == [(422, "key_reused")] * 2
    assert asked == [0, 0]


# -- the store -------------------------------------------------------------------------------------------------------


async def test_a_store_that_lost_everything_lets_cancels_proceed_and_a_double_one_harms_nobody(
    two: tuple[Gateway, Gateway], sandbox: Sandbox, redis_url: str
) -> None:
    async with _seen(two[0], sandbox) as rig, _seen(two[1], sandbox) as beside:
        before, during = await rig.orders("hashkey", 2)
        await rig.desk().cancel("hashkey", before["order_id"], _key("lost"))
        await rig.venue("hashkey").fault("latency", ms=150, endpoint="cancel", times=1)
        running = asyncio.create_task(rig.desk().cancel("hashkey", during["order_id"], _key("during")))
        await asyncio.sleep(0.05)
        where = urlsplit(redis_url)
        with Redis(unix_socket_path=where.path, db=int(where.query.removeprefix("db="))) as client:
            client.flushdb()
        said = [
            await running,
            await beside.desk().cancel("hashkey", before["order_id"], _key("lost")),
            await beside.desk().cancel("hashkey", during["order_id"], _key("during")),
        ]
        asked = [await rig.cancels_of("hashkey", order["order_id"]) for order in (before, during)]
        statuses = [await rig.venue("hashkey").status_of(order["order_id"]) for order in (before, during)]

    assert [each.outcome for each in said[:2]] == ["cancelled", "already_cancelled"]
    # What was under way is written anew, and its key replays it as soon as it is there.
    assert said[2].outcome in {"cancelled", "already_cancelled"}
    assert Counter(statuses) == {"cancelled": 2}
    assert all(1 <= requests <= 2 for requests in asked)


async def test_a_store_that_is_gone_lets_cancels_proceed_once_per_process_and_marked(
    sandbox: Sandbox, secrets: Path, tmp_path: Path
) -> None:
    tree = tree_of(sandbox, f"unix://{tmp_path / 'nobody.sock'}", secrets, timeout_ms=TIMEOUT_MS)
    tree["redis"]["timeout_ms"] = 100
    with serving(tree, tmp_path / "one", ends_well=False) as gateway:
        async with _seen(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            await rig.venue("hashkey").fault("latency", ms=60, endpoint="cancel")
            said = await asyncio.gather(
                *(rig.desk().cancel("hashkey", order["order_id"], _key(f"k{number % 2}")) for number in range(10))
            )
            asked = await rig.cancels_of("hashkey", order["order_id"])

    assert {each.outcome for each in said} == {"cancelled"}
    assert {each.json["degraded"] for each in said} == {True}
    assert asked == 1
