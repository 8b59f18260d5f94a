"""No cancel is lost and none is called done that isn't: two gateways on one Redis, and one of them may die."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from real_valkey import Server
from redis import Redis
from service_process import Gateway, own_valkey, put_secrets, rested, serving, tree_of
from service_rig import Rig, Said, caller_session

from gateway.core import keys
from gateway.core.idempotency import parse_record_id
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

TIMEOUT_MS = 300
PAIRS, CALLERS = 200, 300
COMMANDS_MOST = 5


@pytest.fixture(scope="module")
def gateways(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[tuple[Gateway, Gateway]]:
    tree = _tree(sandbox, redis_url, module_folder)
    with ExitStack() as ends:
        one, two = (ends.enter_context(serving(tree, module_folder / name)) for name in ("one", "two"))
        yield one, two


@pytest.fixture
async def pair(gateways: tuple[Gateway, Gateway], sandbox: Sandbox) -> AsyncIterator[tuple[Rig, Rig]]:
    async with caller_session() as http:
        one, two = (Rig(gateway, sandbox, http) for gateway in gateways)
        yield one, two
        await one.calm()


def _tree(sandbox: Sandbox, redis_url: str, folder: Path) -> dict[str, Any]:
    tree = tree_of(
        sandbox, redis_url, put_secrets(folder / "secrets", DEFAULT_CREDENTIALS), timeout_ms=TIMEOUT_MS, tokens=5000
    )
    tree["redis"]["replicas_max"] = 2
    return tree


@asynccontextmanager
async def _rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


# -- single flight over replicas -------------------------------------------------------------------------------------


async def test_equal_keys_on_two_gateways_are_one_request_each(pair: tuple[Rig, Rig]) -> None:
    orders = await pair[0].orders("hashkey", PAIRS)
    turns = asyncio.Semaphore(50)

    async def twice(order: dict[str, Any]) -> tuple[Said, Said]:
        key = {"Idempotency-Key": f"pair-{order['order_id']}", "X-Request-Timeout-Ms": "20000"}
        async with turns:
            one, two = await asyncio.gather(*(rig.desk().cancel("hashkey", order["order_id"], key) for rig in pair))
        return one, two

    said = await asyncio.gather(*map(twice, orders))

    # In a storm cancels go out in batches, which this venue only acknowledges.
    assert {each.outcome for both in said for each in both} <= {"cancelled", "accepted"}
    assert all(one.body == two.body for one, two in said)
    asked = (await pair[0].venue("hashkey").stats())["cancels_by_order"]
    assert {asked[order["order_id"]] for order in orders} == {1}


async def test_many_callers_of_one_order_are_one_request_and_cost_few_commands(
    pair: tuple[Rig, Rig], redis_url: str
) -> None:
    order = await pair[0].order("hashkey")
    await pair[0].venue("hashkey").fault("latency", ms=250, endpoint="cancel")
    before = _commands(redis_url)

    said = await asyncio.gather(
        *(pair[number % 2].desk().cancel("hashkey", order["order_id"]) for number in range(CALLERS))
    )

    commands = _commands(redis_url) - before
    # Who comes after the end is told from memory; before it, all hear of it with the leader.
    assert {(each.status, each.outcome) for each in said} <= {(200, "cancelled"), (200, "already_cancelled")}
    assert await pair[0].cancels_of("hashkey", order["order_id"]) == 1
    assert commands["evalsha"] <= COMMANDS_MOST * CALLERS
    assert commands["evalsha"] < 1.5 * CALLERS, commands


def _commands(redis_url: str) -> Counter[str]:
    with Redis.from_url(redis_url) as client:
        stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return Counter({name.removeprefix("cmdstat_"): said["calls"] for name, said in stats.items()})


async def test_follower_on_another_gateway_hears_of_the_end_and_does_not_ask(pair: tuple[Rig, Rig]) -> None:
    one, two = pair
    order = await one.order("hashkey")
    before = await two.count('redis_seconds_count{operation="get"}')
    await one.venue("hashkey").fault("latency", ms=250, endpoint="cancel")
    leading = asyncio.create_task(one.desk().cancel("hashkey", order["order_id"]))
    await asyncio.sleep(0.1)

    followed = await two.desk().cancel("hashkey", order["order_id"])

    led = await leading
    assert followed.body == led.body
    assert followed.took_s < led.took_s
    assert await two.count('redis_seconds_count{operation="get"}') - before == 1


# -- leaders that die ------------------------------------------------------------------------------------------------


async def test_gateway_that_is_killed_after_sending_has_its_record_resolved_by_another_one(
    sandbox: Sandbox, valkey_session: Server, tmp_path: Path
) -> None:
    url = rested(valkey_session)
    tree = _tree(sandbox, url, tmp_path)
    with serving(tree, tmp_path / "two") as survivor:
        async with _rig(survivor, sandbox) as rig:
            order = await rig.order("hashkey")
            with serving(tree, tmp_path / "one", ends_well=False) as victim:
                async with _rig(victim, sandbox) as other:
                    await rig.venue("hashkey").fault("hang", applied=True, endpoint="cancel", times=1)
                    running = asyncio.create_task(
                        other.desk().cancel("hashkey", order["order_id"], {"X-Request-Timeout-Ms": "500"})
                    )
                    await asyncio.sleep(0.1)
                    victim.process.kill()
                    victim.process.wait()
                    await asyncio.gather(running, return_exceptions=True)
            record = _only_record(url)

            ended = await _ends_alone(url, record)
            shown = await rig.desk().call("GET", f"/cancels/{record}")
            asked = await rig.cancels_of("hashkey", order["order_id"])
            figures = await rig.metrics()

    # The lease covers the deadline, one attempt and a margin; then the walk round and two looks.
    assert ended < 0.5 + 0.3 + 1.0 + 1.2 + 2.0
    assert (shown.json["state"], shown.json["outcome"], asked) == ("terminal", "cancelled", 1)
    assert [step["what"] for step in shown.json["steps"]] == ["look"] * len(shown.json["steps"])
    assert shown.json["steps"][-1]["result"] == "cancelled"
    resolved = 'cancel_gateway_unknown_resolved_total{outcome="cancelled",venue="hashkey"}'
    assert (figures[resolved], figures['cancel_gateway_unknown_open{venue="hashkey"}']) == (1, 0)


def _only_record(url: str) -> str:
    with Redis.from_url(url) as client:
        (name,) = client.keys("cg1:*:rec:*")
        said = client.hget(name, "id")
    assert isinstance(said, bytes)
    return said.decode()


async def _ends_alone(url: str, record: str) -> float:
    """How long it takes until the record has ended, with nobody asking for it."""
    at = parse_record_id(record)
    assert at is not None
    began = time.monotonic()
    with Redis(unix_socket_path=urlsplit(url).path, db=int(urlsplit(url).query.removeprefix("db="))) as client:
        while client.hget(keys.record(at), "state") != b"terminal":
            assert time.monotonic() - began < 25, client.hgetall(keys.record(at))
            await asyncio.sleep(0.02)
    return time.monotonic() - began


# -- unknown -> known, without anybody asking ------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["orderly", "hashkey", "loopring", "etna"])
async def test_unknown_is_resolved_without_anybody_asking_and_only_by_reading(
    pair: tuple[Rig, Rig], redis_url: str, venue: str
) -> None:
    rig = pair[0]
    order = await rig.order(venue)
    await rig.venue(venue).fault("hang", applied=True, endpoint="cancel", times=1)

    said = await rig.desk().cancel(venue, order["order_id"])
    await _ends_alone(redis_url, said.json["record"].removeprefix("/cancels/"))

    shown = await rig.desk().call("GET", said.json["record"])
    assert (said.status, said.outcome) == (504, "unknown")
    assert (shown.json["state"], shown.json["outcome"]) == ("terminal", "cancelled")
    assert await rig.cancels_of(venue, order["order_id"]) == 1


@pytest.mark.parametrize("venue", ["orderly", "loopring"])
async def test_unknown_by_client_id_is_resolved_as_well(pair: tuple[Rig, Rig], redis_url: str, venue: str) -> None:
    rig = pair[0]
    await rig.orders(venue, 60)  # at Loopring it stands on the second page
    order = await rig.order(venue)
    await rig.venue(venue).fault("hang", applied=True, endpoint="cancel", times=1)

    said = await rig.desk().cancel(venue, order["client_id"], by="client_id")
    await _ends_alone(redis_url, said.json["record"].removeprefix("/cancels/"))

    shown = await rig.desk().call("GET", said.json["record"])
    assert (said.outcome, shown.json["outcome"]) == ("unknown", "cancelled")


async def test_where_nothing_can_be_read_the_cancel_is_repeated(pair: tuple[Rig, Rig], redis_url: str) -> None:
    rig = pair[0]
    order = await rig.order("b2trader")
    await rig.venue("b2trader").fault("hang", applied=False, endpoint="cancel", times=1)

    said = await rig.desk().cancel("b2trader", order["order_id"])
    await _ends_alone(redis_url, said.json["record"].removeprefix("/cancels/"))

    assert (said.outcome, await rig.venue("b2trader").status_of(order["order_id"])) == ("unknown", "cancelled")


# -- memory ----------------------------------------------------------------------------------------------------------


async def test_order_that_is_gone_is_answered_from_memory_by_any_gateway(pair: tuple[Rig, Rig]) -> None:
    one, two = pair
    order = await one.order("hashkey")
    first = await one.desk().cancel("hashkey", order["order_id"])
    key = {"Idempotency-Key": f"late-{order['order_id']}"}

    plain = await two.desk().cancel("hashkey", order["order_id"])
    keyed = await two.desk().cancel("hashkey", order["order_id"], key)
    again = await one.desk().cancel("hashkey", order["order_id"], key)

    assert [each.outcome for each in (first, plain, keyed)] == ["cancelled", "already_cancelled", "already_cancelled"]
    assert (again.body, again.headers.get("Idempotency-Replayed")) == (keyed.body, "true")
    assert plain.json["order_id"] == order["order_id"]
    assert plain.json["attempts"] == 0
    assert await one.cancels_of("hashkey", order["order_id"]) == 1


async def test_client_id_that_may_be_used_again_is_not_remembered(pair: tuple[Rig, Rig]) -> None:
    rig = pair[0]
    order = await rig.order("orderly", client_id="again-1")
    await rig.desk().cancel("orderly", "again-1", by="client_id", wait="terminal")
    newer = await rig.order("orderly", client_id="again-1")

    said = await rig.desk().cancel("orderly", "again-1", by="client_id", wait="terminal")
    older = await rig.desk().cancel("orderly", order["order_id"])

    assert (said.outcome, await rig.venue("orderly").status_of(newer["order_id"])) == ("cancelled", "cancelled")
    assert older.outcome == "already_cancelled"
    assert await rig.cancels_of("orderly", order["order_id"]) == 1


# -- bad records, and no store ---------------------------------------------------------------------------------------


async def test_record_that_cannot_be_read_is_resolved_if_it_still_names_its_order(
    pair: tuple[Rig, Rig], redis_url: str
) -> None:
    rig = pair[0]
    order = await rig.order("etna")
    said = await rig.desk().cancel("etna", order["order_id"])
    at = parse_record_id(said.json["record"].removeprefix("/cancels/"))
    assert at is not None
    with Redis.from_url(redis_url) as client:
        client.hset(keys.record(at), "state", "asleep")

    shown = await rig.desk().call("GET", said.json["record"])

    assert (shown.status, shown.json["state"], shown.json["outcome"]) == (200, "terminal", "cancelled")


async def test_without_redis_equal_cancels_of_one_process_are_one_request(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = _tree(sandbox, f"unix://{tmp_path}/s", tmp_path)
    for venue in tree["venues"].values():
        for limit in venue["limits"].values():
            limit["per_ms"] = 250
    with own_valkey(tmp_path / "s") as server, serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            await rig.venue("hashkey").fault("latency", ms=100, endpoint="cancel")
            server.kill()
            server.wait()
            said = await asyncio.gather(*(rig.desk().cancel("hashkey", order["order_id"]) for _ in range(20)))
            asked = await rig.cancels_of("hashkey", order["order_id"])
            with own_valkey(tmp_path / "s"):
                await asyncio.to_thread(gateway.heard, "records.restored", written=1)
                shown = await rig.desk().call("GET", said[0].json["record"])

    assert {each.outcome for each in said} == {"cancelled"}
    assert {each.json["degraded"] for each in said} == {True}
    assert (asked, len({each.json["record"] for each in said})) == (1, 1)
    assert (shown.status, shown.json["state"]) == (200, "terminal")
