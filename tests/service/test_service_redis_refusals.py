"""A Redis that answers and yet refuses: the gateway goes on with its own share, says why, and comes back by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis_processes import RedisProcess, redis_processes
from service_process import Gateway, put_secrets, serving, tree_of
from service_rig import Rig, Said, caller_session

from gateway.core import keys
from gateway.core.model import Account, VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

WINDOW_MS = 200  # short, because whoever loses Redis is held for one
FLAP_S = 0.7  # a probe that is fooled by a PING would be back within 250 ms and a window
USER, PASSWORD = "gw", "right-hunter2"
COMMANDS = ("+eval", "+evalsha", "+@read", "+@write", "-@dangerous", "+time", "+ping", "+info", "+cluster|slots")
LIMITS = keys.holder(Account(VenueId("hashkey"), "desk-a"))


@dataclass(frozen=True)
class Refusal:
    """What makes Redis refuse, what ends that, and the word that people look for."""

    word: str
    begin: tuple[tuple[object, ...], ...]
    end: tuple[tuple[object, ...], ...]


REFUSALS = {
    "out of memory": Refusal("OOM", (("CONFIG", "SET", "maxmemory", 1),), (("CONFIG", "SET", "maxmemory", 0),)),
    "read-only replica": Refusal("READONLY", (("REPLICAOF", "127.0.0.1", 1),), (("REPLICAOF", "NO", "ONE"),)),
    "too few replicas": Refusal(
        "NOREPLICAS",
        (("CONFIG", "SET", "min-replicas-to-write", 1),),
        (("CONFIG", "SET", "min-replicas-to-write", 0),),
    ),
    "keys not permitted": Refusal(
        "NOPERM",
        (("ACL", "SETUSER", USER, "resetkeys", "~other:*"),),
        (("ACL", "SETUSER", USER, "resetkeys", "~cg1:*"),),
    ),
    "scripts not permitted": Refusal(
        "NOPERM",
        (("ACL", "SETUSER", USER, "-eval", "-evalsha"),),
        (("ACL", "SETUSER", USER, "+eval", "+evalsha"),),
    ),
    "one command not permitted": Refusal(
        "NOPERM", (("ACL", "SETUSER", USER, "-hset"),), (("ACL", "SETUSER", USER, "+hset"),)
    ),
    "wrong password": Refusal(
        "WRONGPASS",
        (("ACL", "SETUSER", USER, "resetpass", ">another"), ("CLIENT", "KILL", "USER", USER)),
        (("ACL", "SETUSER", USER, "resetpass", f">{PASSWORD}"),),
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """With a user who may do what docs/configuration.md says, and no more."""
    with redis_processes(tmp_path_factory.mktemp("redis")) as start:
        started = start()
        started.command_reply("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~cg1:*", *COMMANDS)
        yield started


def _tree(server: RedisProcess, sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    url = f"redis://{USER}:{PASSWORD}@{server.place}"
    tree = tree_of(sandbox, url, put_secrets(folder / "secrets", DEFAULT_CREDENTIALS))
    for venue in tree["venues"].values():
        for limit in venue["limits"].values():
            limit["per_ms"] = WINDOW_MS
    return tree


@pytest.fixture(scope="module")
def gateway(server: RedisProcess, sandbox: Sandbox, module_folder: Path) -> Iterator[Gateway]:
    with serving(_tree(server, sandbox, module_folder), module_folder) as started:
        yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


async def _redis_in(rig: Rig) -> tuple[int, bool, bool, str]:
    """Of /readyz: its status, whether it says ready, whether Redis is well, and what it says of it."""
    said = await rig.admin.call("GET", "/readyz")
    redis = said.json["components"]["redis"]
    return said.status, said.json["ready"], redis["ok"], redis["detail"]


async def _cancels(rig: Rig, count: int) -> list[Said]:
    orders = await rig.orders("hashkey", count)
    return list(await asyncio.gather(*(rig.desk().cancel("hashkey", order["order_id"]) for order in orders)))


def _told(cancels: list[Said]) -> set[tuple[str, bool]]:
    return {(said.outcome, said.json["degraded"]) for said in cancels}


def _changes(gateway: Gateway) -> Callable[[], tuple[int, int]]:
    """Counts the lines that tell of Redis lost and back, from now on."""
    before = len(gateway.lines("redis.lost")), len(gateway.lines("redis.back"))
    return lambda: (len(gateway.lines("redis.lost")) - before[0], len(gateway.lines("redis.back")) - before[1])


async def _back(changes: Callable[[], tuple[int, int]], within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while changes()[1] < 1:  # noqa: ASYNC110  a line in another process's log
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", REFUSALS)
async def test_redis_that_refuses_degrades_the_service_until_it_serves_again(
    server: RedisProcess, rig: Rig, name: str
) -> None:
    refusal, changes, gauge = REFUSALS[name], _changes(rig.gateway), 'degraded{component="redis"}'
    before = await _cancels(rig, 1)
    for words in refusal.begin:
        server.command_reply(*words)

    unused = await _redis_in(rig)
    first = await _cancels(rig, 4)
    await asyncio.sleep(FLAP_S)
    later = await _cancels(rig, 4)
    state, level, lines = await _redis_in(rig), await rig.count(gauge), changes()
    for words in refusal.end:
        server.command_reply(*words)
    await _back(changes)
    after, state_after, level_after = await _cancels(rig, 2), await _redis_in(rig), await rig.count(gauge)

    assert _told(before) == _told(after) == {("cancelled", False)}
    assert _told(first) == _told(later) == {("cancelled", True)}
    for seen in (unused, state):
        assert seen[:3] == (200, True, False)
        assert refusal.word in seen[3]
    assert (level, lines) == (1, (1, 0))
    assert refusal.word in rig.gateway.lines("redis.lost")[-1]["reason"]
    assert (state_after, level_after, changes()) == ((200, True, True, "answers"), 0, (1, 1))
    assert PASSWORD.encode() not in rig.gateway.raw_log


@pytest.mark.parametrize(
    "words",
    [("SET", LIMITS, "not ours"), ("HSET", LIMITS, "armed_us", "soon"), ("HSET", LIMITS, "spent:cancel", "\x00" * 15)],
    ids=["another type", "a time that is none", "a limit's state that is none"],
)
async def test_value_that_is_not_ours_counts_as_lost_and_is_replaced(
    server: RedisProcess, rig: Rig, words: tuple[str, ...]
) -> None:
    await _cancels(rig, 1)
    before, changes = len(rig.gateway.lines("limiter.data_lost")), _changes(rig.gateway)
    if words[0] == "SET":
        server.command_reply("DEL", LIMITS)
    server.command_reply(*words)

    held = await _cancels(rig, 4)
    free = await _cancels(rig, 1)

    lines = rig.gateway.lines("limiter.data_lost")[before:]
    assert _told([*held, *free]) == {("cancelled", False)}
    assert min(said.json["waited_ms"] for said in held) >= WINDOW_MS - 20
    assert free[0].json["waited_ms"] < WINDOW_MS
    assert [(line["key"], line["why"]) for line in lines] == [(LIMITS, "corrupt")]
    assert changes() == (0, 0)
    assert server.client.type(LIMITS) == b"hash"
    assert (server.client.hget(LIMITS, "armed_us") or b"").isdigit()


async def test_wrong_password_at_the_start_is_told_and_waited_for(
    server: RedisProcess, sandbox: Sandbox, tmp_path: Path
) -> None:
    tree = _tree(server, sandbox, tmp_path)
    tree["redis"]["url"] = tree["redis"]["url"].replace(PASSWORD, "tomorrows-one")
    with serving(tree, tmp_path, warm=False) as gateway:
        async with caller_session() as http:
            rig = Rig(gateway, sandbox, http)
            said = await _cancels(rig, 2)
            state = await _redis_in(rig)
            server.command_reply("ACL", "SETUSER", USER, ">tomorrows-one")
            await asyncio.to_thread(gateway.heard, "redis.back")
            after = await _cancels(rig, 1)

    assert _told(said) == {("cancelled", True)}
    assert (state[:3], "WRONGPASS" in state[3]) == ((200, True, False), True)
    assert _told(after) == {("cancelled", False)}
    assert (len(gateway.lines("redis.lost")), len(gateway.lines("redis.back"))) == (1, 1)
    assert b"tomorrows-one" not in gateway.raw_log
