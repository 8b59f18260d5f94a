"""A TCP proxy in this process: holds every piece back for a while, and can be pointed elsewhere under way."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PIECE = 65_536


@dataclass(slots=True)
class Proxy:
    """Where it listens, where it leads, and for how long it holds a piece back (either way, in order)."""

    port: int
    target: int
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def lead_to(self, target: int) -> None:
        """Cut every connection; new ones go there."""
        self.target = target
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        ways = (self._pass(reader, far_writer), self._pass(far_reader, writer))
        passing = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            return  # nobody above waits for this task
        finally:
            self._writers -= both
            for end in both:
                end.transport.abort()
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            try:
                while piece := await reader.read(PIECE):
                    wait_ms = self.delay_ms + random.uniform(-self.jitter_ms, self.jitter_ms)  # noqa: S311  no secret
                    pieces.put_nowait((loop.time() + max(0.0, wait_ms) / 1000, piece))
            finally:
                pieces.put_nowait((loop.time(), b""))

        reading = asyncio.create_task(read())
        try:
            while (found := await pieces.get())[1]:
                await asyncio.sleep(found[0] - loop.time())
                writer.write(found[1])
                await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@asynccontextmanager
async def proxied(target: int, delay_ms: float = 0.0, jitter_ms: float = 0.0) -> AsyncIterator[Proxy]:
    """A proxy while the block runs."""
    proxy = Proxy(0, target, delay_ms, jitter_ms)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.lead_to(target)


def port_of(url: str) -> int:
    """The port of an address of ours."""
    port = urlsplit(url).port
    assert port is not None
    return port
