"""A TCP proxy that can fall silent: connections stay open, and nothing comes through any more."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class SilentProxy:
    """Between a client and a port of this machine; `piece` and `delay_s` cut the answers up and hold them back.

    A new `target` is for new connections.
    """

    def __init__(self, port: int, on: int = 0) -> None:
        self.target = port
        self._on = on
        self._open: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.piece = 65536
        self.delay_s = 0.0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._on)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing more through on the connections that are open now."""
        for silent in self._open:
            silent.set()

    def _carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        # What a server's own task does with a cancellation is to complain about it.
        task = asyncio.create_task(self._between(client, back))
        self._tasks.add(task)

    async def _between(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        silent = asyncio.Event()
        self._open.add(silent)
        server, forth = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(client, forth, silent, 65536))
                ways.create_task(self._pump(server, back, silent, None))
        except* OSError:
            pass
        finally:
            self._open.discard(silent)
            for writer in (forth, back):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event, most: int | None
    ) -> None:
        while data := await reader.read(most or self.piece):
            if silent.is_set():
                continue
            if most is None and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
