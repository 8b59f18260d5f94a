"""The smallest HTTP client that can park ten thousand callers: one connection, one request at a time. No retries."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

LONG_ENOUGH_S = 75.0


class Lost(Exception):  # noqa: N818  what happened to the connection; the scenario judges it
    """The other side has gone, or never answered."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  its readers know what they asked for
        return orjson.loads(self.body)


@dataclass(slots=True)
class Wire:
    """A kept connection to one address."""

    url: str
    token: str | None = None
    _reader: asyncio.StreamReader | None = field(default=None, repr=False)
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, mid-request or not."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def open(self) -> None:
        """Connect, if not yet."""
        if self._writer is None:
            where = urlsplit(self.url)
            self._reader, self._writer = await asyncio.open_connection(where.hostname, where.port)

    async def call(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Said:
        """One request; raises Lost, after which the next call connects anew."""
        try:
            async with asyncio.timeout(LONG_ENOUGH_S):
                await self.open()
                assert self._reader is not None
                assert self._writer is not None
                self._writer.write(_request(method, target, headers or {}, self.token, body))
                said = await _answer(self._reader)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Lost(f"{type(error).__name__} {error}") from None
        except asyncio.CancelledError:
            self.close()
            raise
        if said.headers.get("connection") == "close":
            self.close()
        return said


def _request(method: str, target: str, headers: dict[str, str], token: str | None, body: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


async def _answer(reader: asyncio.StreamReader) -> Said:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Said(int(head[0][9:12]), headers, body)
