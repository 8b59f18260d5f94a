"""`serve --workers N`: as many gateways on one machine, which the kernel shares the callers' connections out to.

Each is a whole replica, started as `serve` is, and knows nothing of the others; so what holds for replicas on several
machines holds for these. The process here only looks after them: it holds the port, runs the embedded Redis that they
share, passes signals on, and starts a new one where one has died.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from gateway.settings.schema import PREFIX, Fault

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from gateway.ports import Log
    from gateway.settings import Settings
    from gateway.settings.syntax import Listen

WORKERS_MOST = 256
FIRST_PAUSE_S, LONGEST_PAUSE_S, CALM_S = 0.1, 5.0, 10.0
PASSED_ON = {signal.SIGTERM: signal.SIGTERM, signal.SIGINT: signal.SIGTERM, signal.SIGHUP: signal.SIGHUP}
CANNOT_START, PORT_MOST = 2, 65_535


def add_workers(command: "ArgumentParser") -> None:
    """The option, for the command that serves and the one that checks."""
    command.add_argument(
        "--workers",
        type=int,
        default=1,
        choices=range(1, WORKERS_MOST + 1),
        metavar="N",
        help="so many processes on this machine, each a replica; default: %(default)s",
    )


def faults_of(settings: "Settings", count: int) -> tuple[Fault, ...]:
    """Why these settings do not hold for so many workers."""
    faults = []
    server, most = settings.server, settings.redis.replicas_max
    if count > most:
        faults.append(
            Fault("redis.replicas_max", f"is {most}, but there are {count} workers", f"give at least {count}")
        )
    admin, callers = server.admin_listen.port, server.listen.port
    if admin and admin < callers < admin + count:
        faults.append(
            Fault(
                "server.admin_listen",
                f"and the {count - 1} ports after it, one for each worker, hold the callers' port {callers}",
                "give a port that has as many free ones after it",
            )
        )
    if admin + count - 1 > PORT_MOST:
        faults.append(Fault("server.admin_listen", f"has no {count - 1} ports after it", "give a smaller port"))
    return tuple(faults)


async def supervise(config: Path, settings: "Settings", count: int, log: "Log") -> int:
    """Until SIGTERM or SIGINT, and all workers have drained."""
    from gateway.backends.redis.embedded import EmbeddedRedis
    from gateway.backends.redis.link import EMBEDDED

    async with AsyncExitStack() as ends:
        shared = {"SERVER__REUSE_PORT": "true", "SERVER__LISTEN": ends.enter_context(_held(settings.server.listen))}
        if settings.redis.url == EMBEDDED:
            told = lambda event, detail: log.event(event, detail=detail)  # noqa: E731  two words
            server = await ends.enter_async_context(EmbeddedRedis(settings.redis.data_dir, told))
            shared["REDIS__URL"] = server.url
        command = (sys.executable, "-m", "gateway", "serve", "--config", str(config))
        crew = [
            Worker(number, command, shared | {"SERVER__ADMIN_LISTEN": _admin(settings, number)}, log)
            for number in range(count)
        ]
        return await _until_gone(crew, log)


@contextmanager
def _held(where: "Listen") -> Iterator[str]:
    """The callers' address, kept for the workers: bound, so that a port of 0 is one port, but never listened on."""
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((where.host, where.port))
        host = f"[{where.host}]" if family is socket.AF_INET6 else where.host
        yield f"{host}:{holder.getsockname()[1]}"


def _admin(settings: "Settings", number: int) -> str:
    """The n-th worker's admin listener is on the n-th port from the configured one on."""
    where = settings.server.admin_listen
    host = f"[{where.host}]" if ":" in where.host else where.host
    return f"{host}:{where.port + number if where.port else 0}"


async def _until_gone(crew: "Sequence[Worker]", log: "Log") -> int:
    loop, lives = asyncio.get_running_loop(), [asyncio.ensure_future(worker.live()) for worker in crew]

    def hear(number: signal.Signals) -> None:
        for worker in crew:
            worker.tell(number)

    for number in PASSED_ON:
        loop.add_signal_handler(number, hear, number)
    done, _ = await asyncio.wait(lives, return_when=asyncio.FIRST_COMPLETED)
    # The first to end by itself cannot start at all: what is wrong with it is wrong with all of them.
    hear(signal.SIGTERM)
    codes = await asyncio.gather(*lives)
    log.event("workers.stopped", workers=len(crew))
    return max(codes) if done else 0


@dataclass(slots=True, eq=False)
class Worker:
    """One of them, and whoever comes in its place."""

    number: int
    command: Sequence[str]
    overrides: Mapping[str, str]
    log: "Log"
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None

    def tell(self, number: signal.Signals) -> None:
        """Pass a signal on; after a SIGTERM nobody is started any more."""
        passed = PASSED_ON[number]
        if passed is signal.SIGTERM:
            self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(passed)

    async def live(self) -> int:
        """Run, and run again; the exit code of the last."""
        pause_s, code, first = FIRST_PAUSE_S, 0, True
        while not self._stopping.is_set():
            born = monotonic()
            code = await self._run()
            if self._stopping.is_set() or (first and code == CANNOT_START):
                break
            first = False
            pause_s = FIRST_PAUSE_S if monotonic() - born > CALM_S else min(2 * pause_s, LONGEST_PAUSE_S)
            self.log.event("worker.died", worker=self.number, exit_code=code, again_in_ms=round(pause_s * 1000))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
        return code

    async def _run(self) -> int:
        from gateway.backends.kin import die_with

        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            env={**os.environ, **{PREFIX + name: value for name, value in self.overrides.items()}},
            # A Ctrl-C at the terminal is for the supervisor, which passes it on once.
            start_new_session=True,
            preexec_fn=die_with(os.getpid(), signal.SIGTERM),
        )
        if self._stopping.is_set():
            self.tell(signal.SIGTERM)
        self.log.event("worker.started", worker=self.number, pid=self._process.pid)
        return await self._process.wait()
