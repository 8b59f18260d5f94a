"""Hearing what is published, on a real server that dies and comes back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from real_valkey import Server, server_on_socket
from redis import Redis

from gateway.backends.redis.embedded import find_server
from gateway.backends.redis.link import Link

CHANNEL = "cg1:test"
SOON_S = 10.0


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not true():  # noqa: ASYNC110  a server tells nobody how it is
            await asyncio.sleep(0.01)


class Ear:
    """What was heard, and whether somebody listened, from the first to now."""

    def __init__(self, link: Link) -> None:
        self.heard: list[str] = []
        self.listening: list[bool] = []
        self.task = asyncio.create_task(link.subscription(CHANNEL, self.heard.append, self.listening.append).keep())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_what_is_published_is_heard_in_its_order(link: Link, valkey: Server) -> None:
    ear = Ear(link)
    await until(lambda: ear.listening)

    for number in range(100):
        valkey.client.publish(CHANNEL, f"news {number}")
    valkey.client.publish("cg1:another", "not for us")
    await until(lambda: len(ear.heard) == 100)
    await ear.close()

    assert ear.heard == [f"news {number}" for number in range(100)]
    assert ear.listening == [True, False]


async def test_server_that_comes_back_is_listened_to_again(tmp_path: Path) -> None:
    with server_on_socket(find_server(), tmp_path) as first:
        link = Link(first.url, timeout_ms=500)
        ear = Ear(link)
        await until(lambda: ear.listening == [True])
    await until(lambda: ear.listening == [True, False])
    with server_on_socket(find_server(), tmp_path) as second:
        await until(lambda: ear.listening == [True, False, True])
        second.client.publish(CHANNEL, "again")
        await until(lambda: ear.heard == ["again"])
        await ear.close()
    await link.aclose()


async def test_who_may_not_listen_is_told_nothing_and_stops_nobody(link: Link, valkey: Server) -> None:
    valkey.client.acl_setuser("deaf", enabled=True, passwords=["+word"], categories=["+@all"], reset_channels=True)
    path = valkey.url.removeprefix("unix://")
    deaf = Link(f"unix://deaf:word@{path}", timeout_ms=500)
    ear, other = Ear(deaf), Ear(link)
    await until(lambda: other.listening)

    with Redis(unix_socket_path=path) as client:
        client.publish(CHANNEL, "news")
    await until(lambda: other.heard)
    await asyncio.gather(ear.close(), other.close())

    assert (ear.listening, ear.heard, other.heard) == ([], [], ["news"])
    await deaf.aclose()
    valkey.client.acl_deluser("deaf")
