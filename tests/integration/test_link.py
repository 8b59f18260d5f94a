"""The link on a real server that hangs, vanishes or forgets, and with calls that are given up half-way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import perf_counter

import pytest
from real_valkey import Server, server_on_socket
from redis_processes import debian_server

from gateway.backends.redis.embedded import find_server
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import Script
from gateway.ports import Unavailable

ECHO = Script("echo", "return ARGV[1]", "6f5dd0d3a1bb6b7fb7ce8bd9c4ff3c4b3a8dca94")
TIMEOUT_MS = 100


@pytest.fixture(scope="module", params=[find_server, debian_server], ids=["valkey", "redis 7"])
def valkey_session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both engines, where both are installed."""
    with server_on_socket(request.param(), tmp_path_factory.mktemp("engine")) as server:
        yield server


@pytest.fixture
def seen() -> list[tuple[str, float, str | None]]:
    return []


@pytest.fixture
async def quick(valkey: Server, seen: list[tuple[str, float, str | None]]) -> AsyncIterator[Link]:
    """A link with the timeout that production has."""
    link = Link(valkey.url, TIMEOUT_MS, lambda *call: seen.append(call))
    yield link
    await link.aclose()


SLOW = Script("slow", "for _ = 1, 400000 do end return ARGV[1]", "0" * 40)
"""Keeps the server busy for some milliseconds. The clock stands still inside a script, so it can't wait for a time."""


@pytest.mark.parametrize("url", ["", "http://h", "h:6379", "unix://", "redis://h?socket_timeout=soon"])
async def test_url_that_says_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the Redis address"):
        Link(url, TIMEOUT_MS)


async def test_link_does_not_start_an_embedded_server() -> None:
    with pytest.raises(ValueError, match="started first"):
        Link("embedded", TIMEOUT_MS)


async def test_call_is_counted_and_observed(quick: Link, seen: list[tuple[str, float, str | None]]) -> None:
    await quick.ping()

    assert await quick.run(ECHO, (), ("x",)) == b"x"
    assert quick.calls == {"ping": 1, "echo": 2}
    assert [(operation, error) for operation, _, error in seen] == [("ping", None), ("echo", None)]
    assert all(0 < seconds < 1 for _, seconds, _ in seen)


async def test_script_that_the_server_forgot_is_sent_again(valkey: Server, quick: Link) -> None:
    script = Script("own", "return {KEYS[1], ARGV[1]}", "2cb8f3b0ba8ae3f0ca3cbbba0bb4a85c5ff1b9a8")

    for _ in range(2):
        assert await quick.run(script, ("k",), (1,)) == [b"k", b"1"]
        valkey.client.script_flush()


@pytest.mark.parametrize("url", ["unix:///nowhere/at/all", "redis://127.0.0.1:1"])
async def test_server_that_is_not_there_is_unavailable_at_once(url: str) -> None:
    link = Link(url, TIMEOUT_MS)
    started = perf_counter()

    with pytest.raises(Unavailable, match="redis: not connected"):
        await link.ping()

    assert perf_counter() - started < TIMEOUT_MS / 1000


async def test_server_that_is_no_redis_is_unavailable(tmp_path: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(speak, tmp_path / "s"):
        link = Link(f"unix://{tmp_path / 's'}", TIMEOUT_MS)

        with pytest.raises(Unavailable, match=r"redis: not connected \(ProtocolError\)"):
            await link.ping()

        await link.aclose()


async def test_refused_script_is_unavailable_with_its_reason(quick: Link) -> None:
    with pytest.raises(Unavailable, match=r"redis: refused \(ERR Unknown (Redis )?command"):
        await quick.run(Script("bad", "return redis.call('nonsense')", "0" * 40), (), ())


async def test_hung_server_is_unavailable_within_the_timeout_and_usable_afterwards(
    valkey: Server, quick: Link, seen: list[tuple[str, float, str | None]]
) -> None:
    await quick.ping()
    os.kill(valkey.pid, signal.SIGSTOP)
    started = perf_counter()

    try:
        answers = await asyncio.gather(*(quick.run(ECHO, (), (n,)) for n in range(64)), return_exceptions=True)
    finally:
        os.kill(valkey.pid, signal.SIGCONT)

    assert perf_counter() - started < 2.5 * TIMEOUT_MS / 1000
    assert {str(answer) for answer in answers} == {"redis: no answer in time"}
    assert {error for _, _, error in seen[1:]} == {"no answer in time"}
    assert await quick.run(ECHO, (), ("back",)) == b"back"


async def test_cancelled_calls_never_leave_a_reply_for_somebody_else(valkey: Server) -> None:
    link = Link(valkey.url, timeout_ms=2000)

    for n in range(40):
        left = [asyncio.create_task(link.run(SLOW, (), (f"left-{n}",))) for _ in range(3)]
        await asyncio.sleep(0.0005 * (n % 8))
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

        assert await asyncio.gather(*(link.run(ECHO, (), (f"{n}-{i}",)) for i in range(4))) == [
            f"{n}-{i}".encode() for i in range(4)
        ]
    await link.aclose()


async def test_late_reply_is_never_given_to_the_next_call(valkey: Server, quick: Link) -> None:
    await quick.ping()
    valkey.client.client_pause(TIMEOUT_MS + 30)
    with pytest.raises(Unavailable, match="no answer in time"):
        await quick.run(ECHO, (), ("late",))
    await asyncio.sleep(0.06)

    assert await quick.run(ECHO, (), ("mine",)) == b"mine"


async def test_cancelled_call_is_observed_as_such(
    valkey: Server, quick: Link, seen: list[tuple[str, float, str | None]]
) -> None:
    await quick.ping()
    valkey.client.client_pause(30)
    task = asyncio.create_task(quick.run(ECHO, (), ("x",)))
    await asyncio.sleep(0.005)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen[-1][0] == "echo"
    assert seen[-1][2] == "cancelled"


async def test_sixty_four_calls_at_once_share_one_connection(valkey: Server, quick: Link) -> None:
    answers = await asyncio.gather(*(quick.run(ECHO, (), (n,)) for n in range(64)))

    assert answers == [str(n).encode() for n in range(64)]
    clients = valkey.client.client_list()
    assert isinstance(clients, list)
    assert [client["name"] for client in clients].count("cancel-gateway") == 1


async def test_connections_that_the_server_closed_are_made_anew_unnoticed(valkey: Server, quick: Link) -> None:
    await asyncio.gather(*(quick.ping() for _ in range(8)))
    valkey.client.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.01)

    await asyncio.gather(*(quick.ping() for _ in range(8)))
