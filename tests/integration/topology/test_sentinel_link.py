"""The link behind real sentinels: the master is found, lost, found again elsewhere, and known to be another one."""

import asyncio
import signal
from collections.abc import AsyncIterator
from time import perf_counter

import pytest
from redis_processes import RedisProcess, eventually
from redis_topology import RealSentinels
from redis_traffic import COUNT, recovered, traffic

from gateway.backends.redis.link import Link
from gateway.ports import Unavailable

TIMEOUT_MS = 300
SLACK_S = 0.15
KEY = "cg1:{venue:desk}:epoch"


@pytest.fixture
def found() -> list[str]:
    return []


@pytest.fixture
async def link(sentinels: RealSentinels, found: list[str]) -> AsyncIterator[Link]:
    link = Link(sentinels.url, TIMEOUT_MS, on_new_server=found.append)
    yield link
    await link.aclose()


async def test_master_is_found_and_served_from_the_named_database(sentinels: RealSentinels, link: Link) -> None:
    numbered = Link(f"{sentinels.url}/3", TIMEOUT_MS)

    assert await link.run(COUNT, (KEY,), ("x",)) == [b"x", KEY.encode()]
    for _ in range(2):
        await numbered.run(COUNT, (KEY,), ("x",))
    await link.ping()

    assert sentinels.master().client.get(KEY) == b"1"
    assert not link.is_cluster
    await numbered.aclose()


async def test_dead_and_hung_sentinels_do_not_matter_while_one_answers(sentinels: RealSentinels) -> None:
    hung, living = sentinels.sentinels[0], sentinels.sentinels[1]
    link = Link(f"redis+sentinel://127.0.0.1:1,{hung.place},{living.place}/main", 2000)
    hung.signal(signal.SIGSTOP)

    try:
        assert await link.run(COUNT, (KEY,), ("x",)) == [b"x", KEY.encode()]
    finally:
        hung.signal(signal.SIGCONT)
        await link.aclose()


@pytest.mark.parametrize(
    ("places", "words"),
    [("127.0.0.1:1,127.0.0.1:2", r"no sentinel knows the master: not connected"), ("", "refused .ERR No such master")],
    ids=["no sentinel", "no such master"],
)
async def test_master_that_nobody_knows_is_unavailable(sentinels: RealSentinels, places: str, words: str) -> None:
    known = ",".join(sentinel.place for sentinel in sentinels.sentinels)
    link = Link(f"redis+sentinel://{places or known}/other", TIMEOUT_MS)

    with pytest.raises(Unavailable, match=words):
        await link.ping()

    await link.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_lost_master_is_unavailable_in_time_and_another_takes_over(
    sentinels: RealSentinels, link: Link, found: list[str], fault: signal.Signals
) -> None:
    master = sentinels.master()

    async with traffic(link, [KEY]) as seen:
        await asyncio.sleep(0.1)
        before = seen.answered
        master.signal(fault)
        began = perf_counter()
        await asyncio.sleep(0.05)
        took = await recovered(link, KEY, 12) + 0.05

    assert took < 6
    assert before > 50
    await asyncio.to_thread(eventually, lambda: _moved(sentinels, master), 5)
    assert len(found) == 1
    assert perf_counter() - began < 12
    assert seen.mixed_up == 0
    assert seen.longest_s < TIMEOUT_MS / 1000 + SLACK_S


@pytest.mark.slow
async def test_failover_while_nothing_is_asked_is_noticed_at_the_next_call(
    sentinels: RealSentinels, link: Link, found: list[str]
) -> None:
    """Not one call failed, and yet what the new master has may be older: the first call after it must not be served."""
    await link.ping()
    master = sentinels.master()
    sentinels.sentinels[0].command_reply("SENTINEL", "FAILOVER", "main")
    await asyncio.to_thread(eventually, lambda: _moved(sentinels, master) and master.role() == "linked", 12)

    with pytest.raises(Unavailable, match="another server answers than before"):
        await link.run(COUNT, (KEY,), ("x",))

    assert len(found) == 1
    assert await link.run(COUNT, (KEY,), ("y",)) == [b"y", KEY.encode()]


def _moved(sentinels: RealSentinels, master: RedisProcess) -> bool:
    try:
        return sentinels.master() is not master
    except ValueError:  # not all of them have heard of it yet
        return False
