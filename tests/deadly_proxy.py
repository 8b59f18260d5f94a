"""A proxy that kills: armed, it sends SIGKILL to a process at a point of a conversation that an outsider can see.

The points are counted, so that a test can go through them one by one until the conversation is over before its point.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import hiredis

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Command:
    """At the `number`-th command from now on: before it goes on, or when its answer is there."""

    number: int
    answered: bool
    seen: int = field(default=0, init=False)
    awaited: object = field(default=None, init=False)

    def forth(self, talk: "Talk", data: bytes) -> int | None:
        """How many bytes still go on, where this is the end; None where it is not."""
        talk.commands.feed(data)
        while talk.commands.gets() is not False:
            self.seen += 1
            if self.seen == self.number:
                self.awaited = talk
        return 0 if self.awaited is talk and not self.answered else None

    def back(self, talk: "Talk", data: bytes) -> int | None:
        """Likewise for answers."""
        del data
        return 0 if self.awaited is talk else None


@dataclass(slots=True)
class Bytes:
    """After so much of what goes there, or comes back; from 0 (nothing of it) to 1 (all of a first piece)."""

    part: float
    answered: bool

    def forth(self, talk: "Talk", data: bytes) -> int | None:
        del talk
        return None if self.answered else self._part(data)

    def back(self, talk: "Talk", data: bytes) -> int | None:
        del talk
        return self._part(data) if self.answered else None

    def _part(self, data: bytes) -> int:
        inside = min(max(1, round(len(data) * self.part)), len(data) - 1)
        return {0.0: 0, 1.0: len(data)}.get(self.part, inside)


@dataclass(eq=False)
class Talk:
    """One connection through the proxy."""

    commands: hiredis.Reader = field(default_factory=hiredis.Reader)


class DeadlyProxy:
    """Between a process and where it speaks to."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._tasks: set[asyncio.Task[None]] = set()
        self._fuse: Command | Bytes | None = None
        self._victim = 0
        self.port = 0
        self.reached = False
        self.killed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, fuse: Command | Bytes, victim: int) -> None:
        """From now on, count; and kill this process."""
        self._fuse, self._victim = fuse, victim
        self.reached = False
        self.killed.clear()

    async def struck(self) -> bool:
        """Whether the process died of it; from now on everything passes."""
        if self.reached:
            await self.killed.wait()
        self._fuse = None
        return self.reached

    def _carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._between(client, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _between(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, forth = await self._connect()
        talk = Talk()
        pumps = [
            asyncio.ensure_future(self._pump(client, forth, lambda fuse, data: fuse.forth(talk, data))),
            asyncio.ensure_future(self._pump(server, back, lambda fuse, data: fuse.back(talk, data))),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (forth, back):
                writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: Callable[[Command | Bytes, bytes], int | None],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                passed = None if self._fuse is None else ends(self._fuse, data)
                writer.write(data if passed is None else data[:passed])
                await writer.drain()
                if passed is not None:
                    self.reached = True
                    # What went on is to be there before its sender is gone.
                    await asyncio.sleep(0.02)
                    self._kill()
                    return

    def _kill(self) -> None:
        if self._fuse is not None:
            self._fuse = None
            os.kill(self._victim, signal.SIGKILL)
            self.killed.set()
