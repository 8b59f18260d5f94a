"""Starts and ends what runs beside the callers: Valkey, sandbox, gateways. Ends only what it started, by pid."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.backends.redis.embedded import find_server

ROOT = Path(__file__).parents[2]
START_S, STOP_S = 60.0, 10.0
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))), None)


class Absent(Exception):  # noqa: N818  a reason to skip, not an error
    """What a scenario needs and this machine has not."""


@dataclass(slots=True)
class Process:
    """One of ours."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_S)
        self.kill()

    def text(self) -> str:
        """What it has printed so far, whole lines only."""
        return self.log.read_bytes().rpartition(b"\n")[0].decode()

    def events(self, event: str) -> list[dict[str, object]]:
        """Its log lines of one kind."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]


def start(command: list[str], log: Path, **environment: str) -> Process:
    """Start one; what it prints goes to the log."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CANCEL_GATEWAY")}
    with log.open("ab") as out:
        popen = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=clean | environment)  # noqa: S603  ours
    return Process(popen, log)


def put_first(pid: int) -> None:
    """Let venue and callers never wait for a core: in truth they have machines of their own. Where that is allowed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def gateway(config: Path, log: Path, **environment: str) -> Process:
    """`cancel-gateway serve` of this tree."""
    return start([sys.executable, "-m", "gateway", "serve", "--config", str(config)], log, **environment)


def sandbox(config: Path, log: Path) -> Process:
    """`cancel-gateway sandbox` of this tree."""
    return start([sys.executable, "-m", "gateway", "sandbox", "--config", str(config)], log, PYTHONUNBUFFERED="1")


def shifted(offset: str) -> dict[str, str]:
    """The environment in which a process believes another wall time; its monotonic clock stays true."""
    if LIBRARY is None:
        raise Absent("faketime is not installed")
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@dataclass(slots=True)
class Clock:
    """A file with the offset of a process's wall clock, which can be changed under way."""

    file: Path

    def step(self, offset: str) -> None:
        scratch = self.file.with_suffix(".new")
        scratch.write_text(offset + "\n")
        scratch.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        base = shifted("+0")
        del base["FAKETIME"]
        return base | {"FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}


@dataclass(slots=True)
class Valkey:
    """One server on a port that stays the same through restarts; a sentinel where there is a file for one."""

    folder: Path
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    sentinel: Path | None = None
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> Redis:
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = start([str(find_server()), *self._words()], self.folder / "log", **self.environment)
        deadline = time.monotonic() + START_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    assert time.monotonic() < deadline, "Valkey does not answer"
                    time.sleep(0.005)
                else:
                    return

    def _words(self) -> list[str]:
        if self.sentinel is not None:
            return [str(self.sentinel), "--sentinel"]
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--enable-debug-command", "local", *self.options),
        ]

    def do(self, *command: str) -> object:
        """One command."""
        with self.client() as client:
            said: object = client.execute_command(*command)
            return said

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()


def remove(folder: Path) -> None:
    """Take a folder of ours away, unless ADMISSION_KEEP asks to look at the logs."""
    if "ADMISSION_KEEP" not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
