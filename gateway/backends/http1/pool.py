"""The connections to one venue: how many there may be, which lie ready, and how a new one is made."""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.backends.http1.connection import Connection

# Well below the idle limits of the usual load balancers: a connection that they close first costs an `unknown`.
KEEP_ALIVE_S = 30.0
# One that lay idle for so long is followed by a new one, before it is closed.
FRESH_S = 20.0
NEXT_ADDRESS_S = 0.25
PORTS = {"http": 80, "https": 443}


class NoConnection(Exception):  # noqa: N818  a condition, not a bug
    """There is none, in words of ours: those of exceptions may hold addresses."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """Where a pool's connections lead, and whom they have to meet there."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, tls: ssl.SSLContext | None) -> "Address":
        """From a base URL, which is settled when the settings are read."""
        parts = urlsplit(url)
        secure = (tls or default_tls()) if parts.scheme == "https" else None
        return cls(parts.hostname or "", parts.port or PORTS[parts.scheme], secure)


def default_tls() -> ssl.SSLContext:
    """What a venue's certificate is held against: the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Pool:
    """So many connections at most; whoever finds none free waits for the next, first come, first served."""

    def __init__(self, address: Address, most: int, connect_timeout_s: float) -> None:
        self._address = address
        self._most = most
        self._connect_timeout_s = connect_timeout_s
        self._all: set[Connection] = set()
        self._opening = 0
        self._written_by_gone = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    @property
    def written(self) -> int:
        """How many requests were ever written to a connection of it."""
        return self._written_by_gone + sum(each.writes for each in self._all)

    def ready(self) -> Connection | None:
        """One that lies ready, the last used first; those that are past their time end here."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < KEEP_ALIVE_S and connection.is_quiet():
                return connection
            connection.close()
        return None

    async def take(self) -> Connection:
        """One that lies ready, or a new one, or the next that is given back. Raises NoConnection."""
        while not self._closed:
            if (connection := self.ready()) is not None:
                return connection
            if len(self._all) + self._opening < self._most:
                return await self._open()
            await self._turn()
        raise NoConnection("the request could not be started")

    def give_back(self, connection: Connection) -> None:
        """It is not needed any more."""
        if connection.is_open and not self._closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            self._wake()

    async def warm(self, count: int) -> None:
        """Have so many fresh ones lie ready, and let those go that are past their time."""
        now = asyncio.get_running_loop().time()
        for connection in [each for each in self._idle if now - each.idle_since >= KEEP_ALIVE_S]:
            self._idle.remove(connection)
            connection.close()
        fresh = sum(each.is_open and now - each.idle_since < FRESH_S for each in self._idle)
        missing = min(count - fresh, self._most - len(self._all) - self._opening)
        await asyncio.gather(*(self._open_ahead() for _ in range(missing)))

    async def _open_ahead(self) -> None:
        try:
            connection = await self._open()
        except (NoConnection, TimeoutError):
            return  # a venue that can't be reached is found out when it is needed
        self.give_back(connection)

    async def aclose(self) -> None:
        """End every connection; what is still asked on one breaks."""
        self._closed = True
        for connection in tuple(self._all):
            connection.close()
        while self._waiting:
            self._wake()
        await asyncio.sleep(0)

    async def _turn(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # the turn was given to somebody who has left
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._written_by_gone += connection.writes
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._connected()
        except TimeoutError:
            raise NoConnection("no connection in time") from None
        finally:
            self._opening -= 1
            if not self._closed:
                self._wake()
        return connection

    async def _connected(self) -> Connection:
        loop, address = asyncio.get_running_loop(), self._address
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise NoConnection("the venue's name could not be resolved") from None
        link: socket.socket | None = None
        try:
            link = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=loop)
            name = address.host if address.tls else None
            _, connection = await loop.create_connection(
                lambda: Connection(self._lost), sock=link, ssl=address.tls, server_hostname=name
            )
        except ssl.SSLCertVerificationError:
            raise NoConnection("the venue's certificate is not valid") from None
        except ssl.SSLError:
            raise NoConnection("the TLS handshake failed") from None
        except OSError:
            raise NoConnection("the venue could not be connected") from None
        self._all.add(connection)
        return connection
