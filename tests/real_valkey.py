"""A real Valkey for the tests: one per session on a unix socket, empty at the start of each test.

Fixtures: `valkey` (this test's server, flushed), `link` (a Link to it), `valkey_session` (for hypothesis).
"""

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import RedisError

from gateway.backends.redis.embedded import find_server
from gateway.backends.redis.link import Link
from gateway.core import keys
from gateway.core.model import Account

READY_S = 10


@dataclass(frozen=True, slots=True)
class Server:
    """The running server, a plain client to look into it, and its process."""

    url: str
    client: Redis = field(repr=False)
    pid: int

    def rest(self, holder: Account) -> None:
        """Write an epoch as if the gateway had run for long, so that no hold stands in a test's way."""
        self.client.hset(keys.holder(holder), mapping={"armed_us": 0, "seen_us": 0, "offset_us": 0})


@contextmanager
def server_on_socket(binary: Path, folder: Path) -> Iterator[Server]:
    """A server of this kind, alone on a unix socket."""
    socket = folder / "s"
    options = ("--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no")
    with (
        subprocess.Popen((str(binary), *options), stdout=subprocess.DEVNULL) as process,  # noqa: S603  our own
        Redis(unix_socket_path=str(socket)) as client,
    ):
        try:
            _wait(client, socket)
            yield Server(f"unix://{socket}", client, process.pid)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def valkey_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_on_socket(find_server(), tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(valkey_session: Server) -> Server:
    valkey_session.client.flushall()
    return valkey_session


@pytest.fixture
async def link(valkey: Server) -> AsyncIterator[Link]:
    link = Link(valkey.url, timeout_ms=2000)
    yield link
    await link.aclose()


def _wait(client: Redis, socket: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            client.ping()
        except RedisError:
            assert time.monotonic() < deadline, f"no server at {socket}"
            time.sleep(0.01)
        else:
            return


def spent(server: Server, holder: Account, limit: str) -> list[int]:
    """The grant instants that a ring remembers, newest first."""
    ring = cast("bytes | None", server.client.hget(keys.holder(holder), f"spent:{limit}")) or b""
    return [int(ring[start : start + 16]) for start in range(0, len(ring), 16)]
