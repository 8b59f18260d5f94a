"""A server that answers every request with the same bytes, or not at all: what stands where a store should be."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


def said(status: str, body: bytes = b"", *headers: str, kind: str = "application/json") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class RawStore:
    """What it says, and which requests it has read. Saying nothing means to hang."""

    url: str = ""
    says: bytes = b""
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def raw_store(says: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[RawStore]:
    """The server, while the block runs."""
    store = RawStore(says=says)
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((line for line in head.lower().split("\r\n") if line.startswith("content-length:")), ":0")
                await reader.readexactly(int(length.partition(":")[2]))
                store.heads.append(head)
                writer.write(store.says)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    store.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield store
    finally:
        server.close()
        for writer in tuple(open_now):
            writer.transport.abort()
        await server.wait_closed()
