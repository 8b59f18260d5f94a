"""The link on a real cluster: every slot is found, whatever moves is followed, and a promoted master is noticed."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from time import perf_counter

import pytest
from redis_processes import RedisProcess, eventually
from redis_topology import RealCluster
from redis_traffic import COUNT, recovered, script, traffic

from gateway.backends.redis.cluster import slot_of
from gateway.backends.redis.link import Link
from gateway.ports import Unavailable

TIMEOUT_MS = 300
KEYS = tuple(f"cg1:{{venue:desk-{number}}}:epoch" for number in range(12))
SLACK_S = 0.15


@pytest.fixture
def found() -> list[str]:
    return []


@pytest.fixture
async def link(cluster: RealCluster, found: list[str]) -> AsyncIterator[Link]:
    link = Link(cluster.url, TIMEOUT_MS, on_new_server=found.append)
    yield link
    await link.aclose()


def key_of(cluster: RealCluster, master: RedisProcess) -> str:
    return next(key for key in KEYS if cluster.owner(key) is master)


def test_slot_is_the_one_that_the_servers_compute(cluster: RealCluster) -> None:
    for key in (*KEYS, "plain", "{}", "a{}b", "{a", "a{b}c{d}", "ä{ö}"):
        assert slot_of(key) == cluster.nodes[0].command_reply("CLUSTER", "KEYSLOT", key)


async def test_every_key_is_served_by_its_own_master(cluster: RealCluster, link: Link, found: list[str]) -> None:
    answers = await asyncio.gather(*(link.run(COUNT, (key,), (key,)) for key in KEYS))

    assert answers == [[key.encode(), key.encode()] for key in KEYS]
    assert {cluster.owner(key).port for key in KEYS} == {master.port for master in cluster.masters()}
    assert [cluster.owner(key).client.get(key) for key in KEYS] == [b"1"] * len(KEYS)
    assert link.is_cluster
    assert found == []


async def test_one_seed_is_enough_and_dead_ones_do_not_matter(cluster: RealCluster) -> None:
    link = Link(f"redis+cluster://127.0.0.1:1,{cluster.nodes[5].place},127.0.0.1:2", TIMEOUT_MS)

    await asyncio.gather(*(link.run(COUNT, (key,), (0,)) for key in KEYS))
    await link.ping()

    await link.aclose()


async def test_cluster_that_is_not_there_is_unavailable() -> None:
    link = Link("redis+cluster://127.0.0.1:1,127.0.0.1:2", TIMEOUT_MS)

    with pytest.raises(Unavailable, match=r"redis: not connected \(ConnectionRefusedError\)"):
        await link.run(COUNT, KEYS[:1], (0,))
    with pytest.raises(Unavailable, match="not connected"):
        await link.ping()

    await link.aclose()


async def test_server_that_is_no_cluster_is_unavailable_with_its_words(valkey_port: int) -> None:
    link = Link(f"redis+cluster://127.0.0.1:{valkey_port}", TIMEOUT_MS)

    with pytest.raises(Unavailable, match=r"refused \(ERR This instance has cluster support disabled"):
        await link.run(COUNT, KEYS[:1], (0,))

    await link.aclose()


async def test_keys_of_different_slots_in_one_call_are_refused(link: Link) -> None:
    with pytest.raises(Unavailable, match=r"refused \(CROSSSLOT"):
        await link.run(COUNT, KEYS[:2], (0,))


async def test_flushed_scripts_come_back_on_every_master(cluster: RealCluster, link: Link) -> None:
    async with traffic(link, KEYS) as seen:
        for _ in range(5):
            await asyncio.sleep(0.03)
            for node in cluster.nodes:
                node.client.script_flush()

    assert seen.lost == {}
    assert seen.mixed_up == 0
    assert seen.answered > 500


async def test_slots_that_move_under_load_are_followed_without_a_loss(
    cluster: RealCluster, link: Link, found: list[str]
) -> None:
    here = cluster.owner(KEYS[0])
    there = next(master for master in cluster.masters() if master is not here)
    moving = [key for key in KEYS if cluster.owner(key) is here]

    async with traffic(link, moving) as seen:
        await asyncio.sleep(0.1)
        for key in moving:
            await asyncio.to_thread(move, cluster, key, here, there)
        for key in moving:
            await asyncio.to_thread(move, cluster, key, there, here)
        await asyncio.sleep(0.1)

    assert seen.lost == {}
    assert seen.mixed_up == 0
    assert found == []
    counted = sum(int(here.client.get(key) or b"0") for key in moving)
    assert counted == seen.answered


def move(cluster: RealCluster, key: str, here: RedisProcess, there: RedisProcess) -> None:
    """One slot with all its keys, the long way: announced, moved, and only then told to all."""
    slot, source, target = slot_of(key), cluster.node_id(here), cluster.node_id(there)
    there.command_reply("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
    here.command_reply("CLUSTER", "SETSLOT", slot, "MIGRATING", target)
    here.command_reply("MIGRATE", "127.0.0.1", there.port, "", 0, 1000, "KEYS", key)
    time.sleep(0.02)  # ASK, before it becomes MOVED
    for node in (there, here, *cluster.masters()):
        node.command_reply("CLUSTER", "SETSLOT", slot, "NODE", target)


async def test_slot_on_the_way_is_asked_for_at_its_new_place(cluster: RealCluster, link: Link) -> None:
    """ASK: the old master has given its keys away, and is the owner all the same."""
    key, here = KEYS[0], cluster.owner(KEYS[0])
    there = next(master for master in cluster.masters() if master is not here)
    slot, source, target = slot_of(key), cluster.node_id(here), cluster.node_id(there)
    there.command_reply("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
    here.command_reply("CLUSTER", "SETSLOT", slot, "MIGRATING", target)

    try:
        assert await link.run(COUNT, (key,), ("asked",)) == [b"asked", key.encode()]
        assert there.command_reply("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        others = await asyncio.gather(*(link.run(COUNT, (name,), (name,)) for name in KEYS))
        assert others == [[name.encode(), name.encode()] for name in KEYS]
        both = (key, key.replace("epoch", "other"))
        with pytest.raises(Unavailable, match=r"refused \((TRYAGAIN|ASK)|no answer in time"):
            await link.run(script("both", "return redis.call('MSET', KEYS[1], 1, KEYS[2], 2)"), both, ())
    finally:
        for node in (there, here, *cluster.masters()):
            node.command_reply("CLUSTER", "SETSLOT", slot, "NODE", source)


async def test_graceful_failover_is_followed_at_once_and_noticed(
    cluster: RealCluster, link: Link, found: list[str]
) -> None:
    key, master = KEYS[0], cluster.owner(KEYS[0])
    replica = cluster.replica_of(master)

    async with traffic(link, [key]) as seen:
        await asyncio.sleep(0.1)
        await asyncio.to_thread(replica.command_reply, "CLUSTER", "FAILOVER")
        await asyncio.to_thread(eventually, lambda: cluster.owner(key) is replica)
        took = await recovered(link, key, 2)

    assert took < 0.5
    assert found
    assert seen.mixed_up == 0
    assert 0 < sum(seen.lost.values()) < 40
    assert seen.longest_s < TIMEOUT_MS / 1000 + SLACK_S


@pytest.mark.slow
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_lost_master_is_unavailable_in_time_and_its_replica_takes_over(
    cluster: RealCluster, link: Link, found: list[str], fault: signal.Signals
) -> None:
    key, master = KEYS[0], cluster.owner(KEYS[0])
    other = next(name for name in KEYS if cluster.owner(name) is not master)
    began = perf_counter()

    async with traffic(link, [key]) as seen, traffic(link, [other]) as unharmed:
        await asyncio.sleep(0.1)
        master.signal(fault)
        await asyncio.sleep(0.2)
        with pytest.raises(Unavailable):
            await link.ping()
        took = await recovered(link, key, 12)
        await link.ping()

    assert took < 6
    assert found
    assert seen.mixed_up == unharmed.mixed_up == 0
    assert seen.longest_s < TIMEOUT_MS / 1000 + SLACK_S
    assert unharmed.lost == {}
    assert unharmed.answered > 500 * (perf_counter() - began) / 2
