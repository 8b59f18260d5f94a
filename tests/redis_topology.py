"""A real cluster of three masters with a replica each, and a real master with two replicas and three sentinels.

They are made once for a session and healed before each test: whoever died is back, and everybody follows a master.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from redis_processes import VALKEY, RedisProcess, Start, eventually, free_port, redis_processes

SLOTS = 16_384
THIRDS = ((0, 5460), (5461, 10_922), (10_923, SLOTS - 1))
NODE_TIMEOUT_MS = 700
DOWN_AFTER_MS = 400


@dataclass
class RealCluster:
    """Six nodes."""

    nodes: list[RedisProcess]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.place for node in self.nodes)}"

    def node_id(self, node: RedisProcess) -> str:
        return _text(node.command_reply("CLUSTER", "MYID"))

    def owner(self, key: str) -> RedisProcess:
        """Who serves a key now, as most nodes see it."""
        slot = self.nodes[0].command_reply("CLUSTER", "KEYSLOT", key)
        assert isinstance(slot, int)
        return next(node for node in self.nodes if node.alive and self._serves(node, slot))

    def replica_of(self, master: RedisProcess) -> RedisProcess:
        name = self.node_id(master)
        return next(
            node
            for node in self.nodes
            if any(
                "myself" in line and name in line.split()[3]
                for line in _text(node.command_reply("CLUSTER", "NODES")).splitlines()
            )
        )

    def masters(self) -> list[RedisProcess]:
        return [node for node in self.nodes if node.alive and node.role() == "master"]

    def _serves(self, node: RedisProcess, slot: int) -> bool:
        ranges = node.command_reply("CLUSTER", "SLOTS")
        assert isinstance(ranges, list)
        return any(first <= slot <= last and master[1] == node.port for first, last, master, *_ in ranges)

    def heal(self) -> None:
        for node in self.nodes:
            node.revive()
        eventually(self._whole)
        for master in self.masters():
            master.client.flushall()
            master.client.config_set("maxmemory", 0)

    def _whole(self) -> bool:
        """Everybody sees the same slots served, and every master is followed."""
        states = [_text(node.command_reply("CLUSTER", "INFO")) for node in self.nodes]
        roles = [node.role() for node in self.nodes]
        return all("cluster_state:ok" in state for state in states) and sorted(roles) == ["linked"] * 3 + ["master"] * 3


@dataclass
class RealSentinels:
    """Three servers and three sentinels that watch whichever is the master."""

    servers: list[RedisProcess]
    sentinels: list[RedisProcess]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(sentinel.place for sentinel in self.sentinels)}/main"

    def master(self) -> RedisProcess:
        ports = {self._named(sentinel) for sentinel in self.sentinels}
        (port,) = ports
        return next(server for server in self.servers if server.port == port)

    def _named(self, sentinel: RedisProcess) -> int:
        state = sentinel.client.sentinel_master("main")
        assert isinstance(state, dict)
        return int(state["port"])

    def heal(self) -> None:
        for server in (*self.servers, *self.sentinels):
            server.revive()
        eventually(self._whole, 25)
        self.master().client.flushall()

    def _whole(self) -> bool:
        if len({self._named(sentinel) for sentinel in self.sentinels}) != 1:
            return False
        states = [sentinel.client.sentinel_master("main") for sentinel in self.sentinels]
        roles = sorted(server.role() for server in self.servers)
        return (
            roles == ["linked", "linked", "master"]
            and self.master().role() == "master"
            and all(isinstance(state, dict) and state["flags"] == "master" for state in states)
            and all(isinstance(state, dict) and int(state["num-slaves"]) == 2 for state in states)
        )


def _text(reply: object) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()


@pytest.fixture(scope="session")
def cluster_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    options = (
        *("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
    )
    with redis_processes(tmp_path_factory.mktemp("cluster")) as start:
        cluster = RealCluster([start(*options) for _ in range(6)])
        _assemble(cluster)
        yield cluster


def _assemble(cluster: RealCluster) -> None:
    masters, replicas = cluster.nodes[:3], cluster.nodes[3:]
    for epoch, (master, (first, last)) in enumerate(zip(masters, THIRDS, strict=True), start=1):
        master.command_reply("CLUSTER", "ADDSLOTSRANGE", first, last)
        master.command_reply("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    for node in cluster.nodes[1:]:
        node.command_reply("CLUSTER", "MEET", "127.0.0.1", cluster.nodes[0].port)
    for replica, master in zip(replicas, masters, strict=True):
        follow = partial(replica.command_reply, "CLUSTER", "REPLICATE", cluster.node_id(master))
        eventually(follow)


@pytest.fixture
def cluster(cluster_session: RealCluster) -> RealCluster:
    cluster_session.heal()
    return cluster_session


@pytest.fixture(scope="session")
def sentinels_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSentinels]:
    folder = tmp_path_factory.mktemp("sentinels")
    with redis_processes(folder) as start:
        master = start("--repl-diskless-sync-delay", "0")
        follow = ("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")
        servers = [master, start(*follow), start(*follow)]
        # Sentinels look for replicas every ten seconds only: they have to find them linked.
        eventually(lambda: [server.role() for server in servers] == ["master", "linked", "linked"])
        yield RealSentinels(servers, [_sentinel(start, folder, master.port) for _ in range(3)])


def _sentinel(start: Start, folder: Path, master: int) -> RedisProcess:
    port = free_port()
    config = folder / f"{port}.conf"
    config.write_text(
        f"port {port}\nsentinel monitor main 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\nsentinel failover-timeout main 2000\n"
    )
    sentinel = start(port=port, command=(str(VALKEY), str(config), "--sentinel"))
    sentinel.command_reply("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200)
    return sentinel


@pytest.fixture
def sentinels(sentinels_session: RealSentinels) -> RealSentinels:
    sentinels_session.heal()
    return sentinels_session


@pytest.fixture(scope="session")
def valkey_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A single server on TCP."""
    with redis_processes(tmp_path_factory.mktemp("single")) as start:
        yield start().port
