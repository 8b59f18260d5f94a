"""A caller who speaks to the service and the sandbox over real sockets, and what he sees of both.

The processes are in service_process.py.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from sandbox_client import Client
from service_process import Gateway, token_of
from yarl import URL

from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.server import Sandbox

SYMBOL = "PERP_ETH_USDC"
BY_THE_CLOCK = ("awaited", "take", "trail")
READABLE = frozenset({"orderly", "hashkey", "loopring", "etna"})
# At these a plain cancel is only taken, not proven: the venue says no more.
ACKNOWLEDGING = frozenset({"orderly", "etna"})


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.body)

    @property
    def outcome(self) -> str:
        """What became of it."""
        return str(self.json["outcome"])


def caller_session() -> aiohttp.ClientSession:
    """A client that never sends twice: aiohttp repeats a DELETE by itself when a kept connection is dead."""
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False)
    session._retry_connection = False
    return session


@dataclass(frozen=True, slots=True)
class Desk:
    """A caller with a token."""

    http: aiohttp.ClientSession
    url: str
    token: str | None = None

    async def call(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Said:
        """One request, its target byte for byte."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        began = time.monotonic()
        async with self.http.request(
            method, URL(self.url + target, encoded=True), headers=sent, data=body, allow_redirects=False
        ) as reply:
            content = await reply.read()
        return Said(reply.status, reply.headers, content, time.monotonic() - began)

    async def cancel(self, venue: str, ref: str, headers: Mapping[str, str] | None = None, **query: str | None) -> Said:
        """`DELETE /orders/{venue}/{ref}`; Orderly gets its symbol."""
        if venue == "orderly":
            query.setdefault("symbol", SYMBOL)
        query.setdefault("by", "order_id")
        said = urlencode({name: value for name, value in query.items() if value is not None})
        return await self.call("DELETE", f"/orders/{venue}/{ref}" + (f"?{said}" if said else ""), headers)


@dataclass(eq=False)
class Rig:
    """Everything that a test touches."""

    gateway: Gateway
    sandbox: Sandbox
    http: aiohttp.ClientSession
    clients: dict[str, Client] = field(default_factory=dict)

    def desk(self, caller: str = "desk") -> Desk:
        """A caller."""
        return Desk(self.http, self.gateway.url, token_of(caller))

    def stranger(self, token: str | None = None) -> Desk:
        """Somebody without a token, or with one that nobody knows."""
        return Desk(self.http, self.gateway.url, token)

    @property
    def admin(self) -> Desk:
        """The admin listener, without a token."""
        return Desk(self.http, self.gateway.admin_url)

    def venue(self, venue: str) -> Client:
        """The controls of a sandbox venue."""
        return self.clients.setdefault(venue, Client(self.sandbox.venues[venue], self.http))

    async def order(self, venue: str, **fields: object) -> dict[str, Any]:
        """An open order."""
        more = {"symbol": SYMBOL} if venue == "orderly" else {}
        return (await self.venue(venue).orders(**more | fields))[0]

    async def orders(self, venue: str, count: int, **fields: object) -> list[dict[str, Any]]:
        """Open orders."""
        more = {"symbol": SYMBOL} if venue == "orderly" else {}
        return await self.venue(venue).orders(count=count, **more | fields)

    async def asked(self, venue: str) -> int:
        """How many requests a venue has read, of whatever kind."""
        return int((await self.venue(venue).stats())["requests_total"])

    async def asked_all(self) -> dict[str, int]:
        """Likewise of each venue."""
        return {venue: await self.asked(venue) for venue in VENUE_IDS}

    async def cancels_of(self, venue: str, order_id: str) -> int:
        """How often a venue was asked to cancel this order."""
        return int((await self.venue(venue).stats())["cancels_by_order"].get(order_id, 0))

    async def metrics(self) -> dict[str, float]:
        """Every series by its name and labels."""
        text = (await self.admin.call("GET", "/metrics")).body.decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def count(self, start: str) -> float:
        """The sum of the series whose name and labels begin so, after `cancel_gateway_`."""
        figures = await self.metrics()
        return sum(value for name, value in figures.items() if name.startswith(f"cancel_gateway_{start}"))

    async def touched(self) -> tuple[float, float, dict[str, int]]:
        """Redis commands, credential reads and venue requests so far; equal twice means that nothing was touched.

        Credentials are read again by the clock, so that figure is the one of reads that brought something; and records
        that were left open are looked for, and the trail is written, by the clock.
        """
        figures = await self.metrics()
        redis, fetched = "cancel_gateway_redis_seconds_count", "cancel_gateway_credential_refresh_total"
        return (
            sum(
                value
                for name, value in figures.items()
                if name.startswith(redis) and not any(f'operation="{word}' in name for word in BY_THE_CLOCK)
            ),
            sum(value for name, value in figures.items() if name.startswith(fetched) and 'result="fetched"' in name),
            await self.asked_all(),
        )

    async def calm(self) -> None:
        """Take every fault back."""
        for venue in VENUE_IDS:
            await self.venue(venue).control("DELETE", "faults")


# -- bytes -----------------------------------------------------------------------------------------------------------


async def spoken_raw(url: str, sent: bytes, within_s: float = 5.0) -> bytes:
    """Everything that the other side says to these bytes until it closes, or is silent for long."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    said = b""
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(within_s):
            while chunk := await reader.read(65536):
                said += chunk
    except (TimeoutError, ConnectionError):
        return said
    finally:
        writer.transport.abort()
    return said


def raw_cancel(target: bytes, *headers: bytes, token: str | None = None, version: bytes = b"HTTP/1.1") -> bytes:
    """A DELETE as bytes; the connection is closed after the answer."""
    lines = [b"DELETE " + target + b" " + version, b"Host: gateway", b"Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}".encode())
    return b"\r\n".join((*lines, *headers, b"", b""))


def statuses(said: bytes) -> list[int]:
    """The status of every answer in the bytes."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)]
