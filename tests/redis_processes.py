"""Redis servers as processes of the tests: started on free ports, asked by a plain client, killed, stopped, revived."""

import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.backends.redis.embedded import find_server

READY_S = 15.0
BUS = 10_000
VALKEY = find_server()
DEBIAN = shutil.which("redis-server", path="/usr/bin")
NO_DEBIAN = "no /usr/bin/redis-server here: install Debian's redis-server to test a second engine, TLS and ACL on it"


def debian_server() -> Path:
    """Redis 7, which unlike the bundled Valkey speaks TLS."""
    if DEBIAN is None:
        pytest.skip(NO_DEBIAN)
    return Path(DEBIAN)


def free_port() -> int:
    """A port that is free together with the one for a cluster's bus."""
    while True:
        port = random.randrange(10_500, 22_000)  # noqa: S311  below the ports that outgoing connections take
        if _free(port) and _free(port + BUS):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def eventually(what: Callable[[], object], patience_s: float = READY_S) -> None:
    """Wait until something is so; what refuses to answer is not so yet."""
    deadline = time.monotonic() + patience_s
    while not _so(what):
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(0.02)


def _so(what: Callable[[], object]) -> bool:
    try:
        return bool(what())
    except (RedisError, OSError):
        return False


@dataclass
class RedisProcess:
    """One server, which can die and come back on its port with its data."""

    port: int
    command: tuple[str, ...]
    folder: Path
    client: Redis = field(repr=False)
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log)  # noqa: S603  ours
        eventually(self.client.ping)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def revive(self) -> None:
        """Running again, whatever was done to it."""
        if self.alive:
            self.signal(signal.SIGCONT)
        else:
            self.start()

    def command_reply(self, *words: object) -> object:
        """Any command's answer."""
        execute = cast("Callable[..., object]", self.client.execute_command)
        return execute(*words)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def role(self) -> str:
        info = self.client.info("replication")
        assert isinstance(info, dict)
        return "linked" if info.get("master_link_status") == "up" else str(info["role"])


class Start(Protocol):
    """Starts a server with options, or with a whole command line, and waits until it answers."""

    def __call__(
        self, *options: str, server: Path = VALKEY, port: int = 0, command: tuple[str, ...] = ()
    ) -> RedisProcess: ...


@contextmanager
def redis_processes(folder: Path) -> Iterator[Start]:
    """Gives a function that starts servers, which end with the block."""
    with ExitStack() as ends:

        def start(*options: str, server: Path = VALKEY, port: int = 0, command: tuple[str, ...] = ()) -> RedisProcess:
            port = port or free_port()
            own = folder / str(port)
            own.mkdir()
            client = ends.enter_context(Redis(port=port, socket_timeout=2, retry=Retry(NoBackoff(), 0)))
            words = command or (str(server), "--port", str(port), "--save", "", *options)
            running = RedisProcess(port, words, own, client)
            ends.callback(running.end)
            running.start()
            return running

        yield start
