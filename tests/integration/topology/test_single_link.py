"""The link and one server that restarts, is demoted, is full, or is cut off without a word."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import perf_counter

import pytest
from redis_processes import RedisProcess, Start, redis_processes
from redis_traffic import COUNT, traffic
from silent_proxy import SilentProxy

from gateway.backends.redis.link import Link
from gateway.ports import Unavailable

TIMEOUT_MS = 150
KEY = "cg1:{venue:desk}:epoch"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with redis_processes(tmp_path) as start:
        yield start


@pytest.fixture
def server(start: Start) -> RedisProcess:
    return start()


@pytest.fixture
def found() -> list[str]:
    return []


@pytest.fixture
async def link(server: RedisProcess, found: list[str]) -> AsyncIterator[Link]:
    link = Link(f"redis://{server.place}", TIMEOUT_MS, on_new_server=found.append)
    yield link
    await link.aclose()


async def test_restart_while_nothing_is_asked_is_noticed_at_the_next_call(
    server: RedisProcess, link: Link, found: list[str]
) -> None:
    await link.ping()
    server.end()
    server.start()
    await asyncio.sleep(0.02)

    answers = await asyncio.gather(*(link.run(COUNT, (KEY,), (n,)) for n in range(5)), return_exceptions=True)

    assert {str(answer) for answer in answers} == {"redis: another server answers than before; its data may be older"}
    assert len(found) == 1
    assert server.client.get(KEY) is None
    assert await link.run(COUNT, (KEY,), ("x",)) == [b"x", KEY.encode()]
    assert len(found) == 1


async def test_new_connection_to_the_same_server_is_nothing_to_notice(
    server: RedisProcess, link: Link, found: list[str]
) -> None:
    await link.ping()
    server.client.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.02)

    await link.ping()

    assert found == []


async def test_server_that_does_not_say_who_it_is_counts_as_another_one(server: RedisProcess, found: list[str]) -> None:
    server.command_reply("ACL", "SETUSER", "shy", "on", ">word", "+@all", "-info", "~*", "&*")
    link = Link(f"redis://shy:word@{server.place}", TIMEOUT_MS, on_new_server=found.append)
    await link.ping()
    server.client.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.02)

    with pytest.raises(Unavailable, match="another server"):
        await link.ping()

    await link.ping()
    assert len(found) == 1
    await link.aclose()


async def test_password_alone_is_the_default_users(server: RedisProcess, link: Link) -> None:
    server.client.config_set("requirepass", "a:b/c")
    right = Link(f"redis://:a%3Ab%2Fc@{server.place}", TIMEOUT_MS)

    with pytest.raises(Unavailable, match=r"redis: refused \(NOAUTH"):
        await link.run(COUNT, (KEY,), ("x",))
    assert await right.run(COUNT, (KEY,), ("x",)) == [b"x", KEY.encode()]

    await right.aclose()


async def test_demoted_master_is_unavailable_as_read_only_and_used_again_when_promoted(
    server: RedisProcess, start: Start, link: Link
) -> None:
    await link.run(COUNT, (KEY,), ("x",))
    server.command_reply("REPLICAOF", "127.0.0.1", start().port)
    with pytest.raises(Unavailable, match=r"redis: refused \(READONLY"):
        await link.run(COUNT, (KEY,), ("x",))
    server.command_reply("REPLICAOF", "NO", "ONE")

    assert await link.run(COUNT, (KEY,), ("y",)) == [b"y", KEY.encode()]


async def test_address_that_leads_to_another_master_is_followed_when_the_old_one_refuses(
    server: RedisProcess, start: Start, found: list[str]
) -> None:
    """As behind a virtual address or a proxy: the old connection still leads to the one that was demoted."""
    successor = start()
    async with SilentProxy(server.port) as proxy:
        link = Link(f"redis://127.0.0.1:{proxy.port}", TIMEOUT_MS, on_new_server=found.append)
        await link.run(COUNT, (KEY,), ("x",))
        server.command_reply("REPLICAOF", "127.0.0.1", successor.port)
        proxy.target = successor.port

        with pytest.raises(Unavailable, match="READONLY"):
            await link.run(COUNT, (KEY,), ("x",))
        with pytest.raises(Unavailable, match="another server"):
            await link.run(COUNT, (KEY,), ("x",))

        assert await link.run(COUNT, (KEY,), ("y",)) == [b"y", KEY.encode()]
        assert len(found) == 1
        await link.aclose()


async def test_full_server_is_unavailable_as_out_of_memory(server: RedisProcess, link: Link) -> None:
    server.client.config_set("maxmemory", 1)

    with pytest.raises(Unavailable, match=r"redis: refused \(OOM"):
        await link.run(COUNT, (KEY,), ("x",))

    await link.ping()
    server.client.config_set("maxmemory", 0)
    assert await link.run(COUNT, (KEY,), ("y",)) == [b"y", KEY.encode()]


async def test_master_without_enough_replicas_is_unavailable(server: RedisProcess, link: Link) -> None:
    server.client.config_set("min-replicas-to-write", 1)

    with pytest.raises(Unavailable, match=r"redis: refused \(NOREPLICAS"):
        await link.run(COUNT, (KEY,), ("x",))


async def test_connection_cut_without_a_word_costs_one_deadline(server: RedisProcess) -> None:
    async with SilentProxy(server.port) as proxy:
        link = Link(f"redis://127.0.0.1:{proxy.port}", TIMEOUT_MS)
        await link.ping()
        proxy.cut()
        began = perf_counter()

        with pytest.raises(Unavailable, match="no answer in time"):
            await link.run(COUNT, (KEY,), ("x",))

        assert perf_counter() - began < 1.5 * TIMEOUT_MS / 1000
        assert await link.run(COUNT, (KEY,), ("y",)) == [b"y", KEY.encode()]
        await link.aclose()


async def test_replies_in_pieces_and_late_ones_reach_only_those_who_asked(server: RedisProcess) -> None:
    async with SilentProxy(server.port) as proxy:
        link = Link(f"redis://127.0.0.1:{proxy.port}", TIMEOUT_MS)
        proxy.piece, proxy.delay_s = 3, 0.0005
        async with traffic(link, [KEY], callers=4) as seen:
            await asyncio.sleep(0.3)
            proxy.delay_s = TIMEOUT_MS / 1000
            await asyncio.sleep(0.4)
            proxy.delay_s = 0
            await asyncio.sleep(0.3)
        await link.aclose()

    assert seen.mixed_up == 0
    assert seen.answered > 20
    assert set(seen.lost) == {"no answer in time"}
    assert seen.longest_s < 1.5 * TIMEOUT_MS / 1000


async def test_cancelled_caller_leaves_the_others_of_its_turn_alone(server: RedisProcess, link: Link) -> None:
    await link.run(COUNT, (KEY,), ("known to the server",))
    tasks = [asyncio.create_task(link.run(COUNT, (KEY,), (n,))) for n in range(30)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [answer for n, answer in enumerate(answers) if n % 3] == [
        [str(n).encode(), KEY.encode()] for n in range(30) if n % 3
    ]
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::3])
    assert server.client.get(KEY) == b"21", "who left in the same turn has sent nothing"


async def test_calls_of_one_turn_share_a_write_and_each_has_its_own_outcome(server: RedisProcess, link: Link) -> None:
    await link.ping()
    server.client.script_flush()
    server.client.set("cg1:{venue:desk}:text", "not a number")
    keys = [KEY, "cg1:{venue:desk}:text"]

    answers = await asyncio.gather(
        *(link.run(COUNT, (keys[n % 5 == 0],), (n,)) for n in range(20)), return_exceptions=True
    )

    assert all("ERR value is not an integer" in str(answer) for answer in answers[::5])
    assert [answer for n, answer in enumerate(answers) if n % 5] == [
        [str(n).encode(), KEY.encode()] for n in range(20) if n % 5
    ]
