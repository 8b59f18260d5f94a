"""A venue made of a bare socket: counts what really arrives, and answers or breaks exactly as a test says."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def reply(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole HTTP/1.1 reply."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 " + status, length, *headers, b"", body))


@dataclass(eq=False)
class Call:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    venue: "RawVenue"

    async def request(self) -> bytes:
        """Read one request to its end, head and body, and count it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        whole = head + await self.reader.readexactly(length)
        self.venue.requests.append(whole)
        return whole

    async def say(self, data: bytes) -> None:
        """Write bytes."""
        if self.writer.is_closing():  # uvloop calls a write to it a bug, asyncio takes it
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection with a reset."""
        self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has left."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Conduct = Callable[[Call], Awaitable[None]]


@dataclass(eq=False)
class RawVenue:
    """What arrived, and where to send to."""

    conduct: Conduct
    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Conduct one connection; the test's own cancellation ends it."""
        self.connections += 1
        self.open += 1
        self.idle.clear()
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.conduct(Call(reader, writer, self))
        writer.close()
        self.open -= 1
        if not self.open:
            self.idle.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start serving one connection."""
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def all_gone(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(5):
            await self.idle.wait()


@asynccontextmanager
async def raw_venue(conduct: Conduct, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawVenue]:
    """Listen on a free port for the length of a test."""
    venue = RawVenue(conduct)
    server = await asyncio.start_server(venue.accept, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    venue.url = f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield venue
    finally:
        server.close()
        for task in list(venue.tasks):
            task.cancel()
        await asyncio.gather(*venue.tasks, return_exceptions=True)


async def answer_all(call: Call) -> None:
    """Say 200 to everything, on one connection after the other."""
    while True:
        await call.request()
        await call.say(OK)
