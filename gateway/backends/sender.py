"""Exact bytes onto the wire, once, and provably what came of it (ports.Sender). No venue's habits stand here.

`NotSent` is said only while no byte was written. From then on, whatever is not one whole reply is `Unconfirmed`, and
nothing is sent again from here. Reasons are worded here and never taken from exceptions, whose texts hold URLs and with
them signatures.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.backends.http1.connection import Connection
from gateway.backends.http1.pool import Address, NoConnection, Pool
from gateway.backends.http1.reply import Read
from gateway.core.model import VenueId
from gateway.core.wire import HELD_BACK, NotSent, Reply, SendResult, WireRequest
from gateway.ports import Clock, always

LOOK_S = 2.5
URGENT_CONNECTIONS = 8
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Line:
    """How one venue is dialled. Nothing is sent outside `base_url`, and `also` where tokens come from elsewhere.

    `connections` may be open at once; the urgent lanes have a few of their own besides, which nobody else can use up.
    `warm` connections are open before they are needed, and one for the urgent.
    """

    base_url: str
    also: tuple[str, ...] = ()
    connections: int = 64
    connect_timeout_ms: int = 1000
    tls: ssl.SSLContext | None = None
    warm: int = 0


@dataclass(frozen=True, slots=True)
class _Way:
    """To one address: what every URL of it starts with, what every request to it says, and its connections."""

    prefix: str
    origin_length: int
    head: bytes
    pool: Pool
    urgent: Pool
    warm: int

    @property
    def written(self) -> int:
        return self.pool.written + self.urgent.written

    async def keep_warm(self) -> None:
        await asyncio.gather(self.pool.warm(self.warm), self.urgent.warm(min(self.warm, 1)))


class VenueSender:
    """Sends to every served venue; each has connections of its own, so that a stuck one leaves the others alone."""

    def __init__(self, lines: Mapping[VenueId, Line], clock: Clock, agent: str) -> None:
        """Must be called inside the running loop."""
        self._ways = {
            venue: tuple(_way(line, base, agent) for base in (line.base_url, *line.also))
            for venue, line in lines.items()
        }
        self._clock = clock
        self._let_go = dict.fromkeys(lines, 0)

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        """Send once; `timeout_ms` covers everything from waiting for a connection to the last byte of the body."""
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        way = _way_for(request, self._ways[venue], timeout_ms)
        if isinstance(way, NotSent):
            return way
        pool = way.urgent if urgent else way.pool
        connection = pool.ready() or await _connection(pool, deadline)
        if not isinstance(connection, Connection):
            return connection
        if not may_leave():
            pool.give_back(connection)
            return HELD_BACK
        self._let_go[venue] += 1
        reply = await connection.ask(_written(request, way), deadline)
        if not isinstance(reply, Read):
            return reply
        pool.give_back(connection)
        return Reply(reply.status, reply.headers, reply.body, self._clock.now_ms())

    def unasked(self) -> Mapping[VenueId, int]:
        """How many more requests went to each venue's sockets than were let go. More than none is a bug in here."""
        return {venue: sum(way.written for way in ways) - self._let_go[venue] for venue, ways in self._ways.items()}

    async def keep_warm(self) -> None:
        """Keep connections ready for ever: a first burst over cold ones comes late, and close to the one after it."""
        while True:
            await asyncio.gather(*(way.keep_warm() for ways in self._ways.values() for way in ways))
            await asyncio.sleep(LOOK_S)

    async def aclose(self) -> None:
        """Close every connection; sends that are still running end as Unconfirmed."""
        for ways in self._ways.values():
            for way in ways:
                await asyncio.gather(way.pool.aclose(), way.urgent.aclose())


def _way(line: Line, base_url: str, agent: str) -> _Way:
    parts = urlsplit(base_url)
    address, connect_s = Address.of(base_url, line.tls), line.connect_timeout_ms / 1000
    head = f"Host: {parts.netloc}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    return _Way(
        prefix=base_url.rstrip("/") + "/",
        origin_length=len(f"{parts.scheme}://{parts.netloc}"),
        head=f" HTTP/1.1\r\n{head}".encode("ascii"),
        pool=Pool(address, line.connections, connect_s),
        urgent=Pool(address, min(line.connections, URGENT_CONNECTIONS), connect_s),
        warm=line.warm,
    )


async def _connection(pool: Pool, deadline: float) -> Connection | NotSent:
    try:
        async with asyncio.timeout_at(deadline):
            return await pool.take()
    except TimeoutError:
        return NotSent("no connection in time")
    except NoConnection as none:
        return NotSent(none.reason)


def _way_for(request: WireRequest, ways: tuple[_Way, ...], timeout_ms: int) -> _Way | NotSent:
    """Where the bytes go exactly as they stand, or why they must not or could not."""
    if timeout_ms <= 0:
        return NotSent("no time is left", here=True)
    for way in ways:
        if request.url.startswith(way.prefix):
            break
    else:
        return NotSent("the request is not for this venue", here=True)
    if not _is_token(request.method) or not _is_target(request.url):
        return NotSent("the request line is not legal", here=True)
    for name, value in request.headers:
        if not _is_token(name) or not _is_printable(value):
            return NotSent("a header is not legal", here=True)
    return way


def _written(request: WireRequest, way: _Way) -> bytes:
    """The request as it goes over the wire: the URL and the headers exactly as they were signed."""
    own = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
    length = f"{own}Content-Length: {len(request.body)}\r\n\r\n".encode("ascii")
    line = f"{request.method} {request.url[way.origin_length :]}".encode("ascii")
    return b"".join((line, way.head, length, request.body))


@lru_cache(maxsize=256)
def _is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def _is_target(url: str) -> bool:
    return _is_printable(url) and " " not in url and "#" not in url


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
