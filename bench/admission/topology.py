"""Sentinels and a cluster as processes of a scenario: put up, looked into, and taken down again."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from bench.admission import processes
from bench.admission.processes import Valkey
from gateway.backends.redis.cluster import slot_of
from gateway.core import keys
from gateway.core.model import Account, VenueId

PATIENCE_S = 30.0
LOOK_S = 0.05
BUS = 10_000
SLOTS = 16_384
DOWN_AFTER_MS, NODE_TIMEOUT_MS = 400, 700
MASTER = "main"
HOT = keys.holder(Account(VenueId("orderly"), "desk-a"))
HOT_SLOT = slot_of(HOT)
FOLLOWING = ("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", "yes")


async def eventually(true: Callable[[], object], what: str) -> None:
    """Wait until something is so; who does not answer is not so yet."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(_so, true):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        await asyncio.sleep(LOOK_S)


def _so(true: Callable[[], object]) -> bool:
    try:
        return bool(true())
    except (RedisError, OSError, LookupError):
        return False


def _at(servers: list[Valkey], ports: set[int]) -> Valkey:
    """The one server that is meant; LookupError where it is nobody, or not everybody means the same."""
    found = [server for server in servers if ports == {server.port}]
    if not found:
        raise LookupError(f"nobody, or not all the same: {ports}")
    return found[0]


def _port_in(line: object) -> int:
    """The port in a line such as CLUSTER NODES has: `ID HOST:PORT@BUS …`."""
    assert isinstance(line, bytes)
    return int(line.decode().split()[1].partition("@")[0].rpartition(":")[2])


def newest_grant(server: Valkey) -> int:
    """The latest moment (microseconds) that this server has given a slot of the hot limit for."""
    spent = server.do("HGET", HOT, "spent:cancel")
    return int(spent[:16]) if isinstance(spent, bytes) and spent else 0


def role(server: Valkey) -> str:
    """`master`, `slave`, or `linked` for a replica that is up to date."""
    said = server.do("ROLE")
    assert isinstance(said, list)
    return "linked" if len(said) > 3 and said[3] == b"connected" else str(said[0].decode())


@dataclass(slots=True)
class Sentinels:
    """A master with two replicas, and three sentinels that watch it."""

    servers: list[Valkey]
    watchers: list[Valkey]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.watchers)}/{MASTER}"

    def named(self) -> Valkey:
        """Whom all sentinels call the master."""
        return _at(self.servers, {self._named_by(watcher) for watcher in self.watchers})

    def _named_by(self, watcher: Valkey) -> int:
        said = watcher.do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        assert isinstance(said, list)
        return int(said[1])


@dataclass(slots=True)
class Cluster:
    """Three masters with a replica each."""

    servers: list[Valkey]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.servers)}"

    def id_of(self, node: Valkey) -> str:
        said = node.do("CLUSTER", "MYID")
        assert isinstance(said, bytes)
        return said.decode()

    def owner(self, asked: Valkey | None = None) -> Valkey:
        """Who serves the hot slot, as this node sees it."""
        said = (asked or self.servers[0]).do("CLUSTER", "SLOTS")
        assert isinstance(said, list)
        return _at(self.servers, {master[1] for first, last, master, *_ in said if first <= HOT_SLOT <= last})

    def replica_of(self, master: Valkey) -> Valkey:
        """The one that follows it."""
        said = master.do("CLUSTER", "REPLICAS", self.id_of(master))
        assert isinstance(said, list)
        return _at(self.servers, {_port_in(line) for line in said})

    def whole(self) -> bool:
        """Everybody sees all slots served, and every master is followed."""
        states = [node.do("CLUSTER", "INFO") for node in self.servers]
        served = all(isinstance(state, bytes) and b"cluster_state:ok" in state for state in states)
        return served and sorted(map(role, self.servers)) == ["linked"] * 3 + ["master"] * 3


@asynccontextmanager
async def sentinels(folder: Path) -> AsyncIterator[Sentinels]:
    """Servers and sentinels while the block runs."""
    servers = [Valkey(folder / f"server-{number}", options=FOLLOWING) for number in range(3)]
    watchers = [_watcher(folder / f"sentinel-{number}", servers[0].port) for number in range(3)]
    try:
        for server in servers:
            server.start()
        for replica in servers[1:]:
            replica.do("REPLICAOF", "127.0.0.1", str(servers[0].port))
        await eventually(lambda: [role(one) for one in servers] == ["master", "linked", "linked"], "replicas follow")
        for watcher in watchers:
            watcher.start()
            watcher.do("SENTINEL", "DEBUG", "INFO-PERIOD", "200", "PUBLISH-PERIOD", "200")
        await eventually(lambda: all(map(_sees_all, watchers)), "the sentinels know each other and the replicas")
        yield Sentinels(servers, watchers)
    finally:
        for one in (*watchers, *servers):
            one.kill()


def _watcher(folder: Path, master: int) -> Valkey:
    folder.mkdir(parents=True)
    port, config = free_port(), folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\nsentinel failover-timeout {MASTER} 2000\n"
    )
    return Valkey(folder, port, sentinel=config)


def _sees_all(watcher: Valkey) -> bool:
    said = watcher.do("INFO", "sentinel")
    return isinstance(said, dict) and (said["master0"]["slaves"], said["master0"]["sentinels"]) == (2, 3)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Six nodes while the block runs."""
    clustered = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    options = (*clustered, "--cluster-node-timeout", str(NODE_TIMEOUT_MS), *FOLLOWING)
    nodes = [Valkey(folder / f"node-{number}", free_port(), options=options) for number in range(6)]
    put_up = Cluster(nodes)
    try:
        for node in nodes:
            node.start()
        await _join(put_up)
        yield put_up
    finally:
        for node in nodes:
            node.kill()


async def _join(cluster: Cluster) -> None:
    masters, replicas = cluster.servers[:3], cluster.servers[3:]
    for number, master in enumerate(masters):
        first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
        master.do("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        master.do("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
    for node in cluster.servers[1:]:
        node.do("CLUSTER", "MEET", "127.0.0.1", str(cluster.servers[0].port))
    for master, replica in zip(masters, replicas, strict=True):
        name = cluster.id_of(master)
        await eventually(lambda: replica.do("CLUSTER", "REPLICATE", name), "a replica knows its master")  # noqa: B023  awaited here
    await eventually(cluster.whole, "the cluster is whole")


def free_port() -> int:
    """A port that is free together with the one for a cluster's bus."""
    while True:
        port = random.randrange(10_500, 22_000)  # noqa: S311  below the ports that outgoing connections take
        if all(map(processes.is_free, (port, port + BUS))):
            return port
