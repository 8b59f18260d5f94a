"""Connections to one venue: which may be used, and how far a send has come. No reply is read here.

aiohttp asks for a connection once per attempt, so this is the one place that sees each of them: whether a byte can
have left already, and whether the client is about to repeat a request by itself, which it does with every DELETE
whose connection breaks.
"""

import select
import ssl
import time
from asyncio import gather
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from aiohttp import ClientConnectionError, ClientRequest, ClientTimeout, TCPConnector
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler


@dataclass(slots=True)
class Passage:
    """How far one send has come. `handed_over`: a connection was given to the request, so bytes may have left.

    `may_leave` is asked when a connection is there, which may have taken long, and nothing but the writing is left.
    """

    may_leave: Callable[[], bool]
    handed_over: bool = False
    repeated: bool = False
    held_back: bool = False


PASSAGE: ContextVar[Passage] = ContextVar("passage")


class RepeatRefused(ClientConnectionError):  # noqa: N818  a refusal, not a bug
    """The client wanted to send the same request again."""


class HeldBack(ClientConnectionError):  # noqa: N818  a refusal of ours
    """It is not the moment to send any more."""


class OnceConnector(TCPConnector):
    """Gives each send one connection, and only one on which nothing is left over from before.

    aiohttp hands out a pooled connection whatever came in on it meanwhile. A second reply to an earlier request would
    then be taken for the answer to this one: a false `cancelled`.
    """

    def __init__(self, connections: int, keep_alive_s: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(limit=connections, keepalive_timeout=keep_alive_s, ssl=True if tls is None else tls)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109  aiohttp's signature
    ) -> Connection:
        """Take a quiet connection from the pool or make one; refuse a second one to the same send."""
        passage = PASSAGE.get()
        if passage.handed_over:
            passage.repeated = True
            raise RepeatRefused
        connection = await super().connect(req, traces, timeout)
        while self._is_reused(connection) and not _is_quiet(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        if not passage.may_leave():
            passage.held_back = True
            connection.release()
            raise HeldBack
        passage.handed_over = True
        return connection

    async def warm(self, request: ClientRequest, count: int, fresh_s: float, limits: ClientTimeout) -> None:
        """Have so many connections lie ready that were not idle for longer; what is missing is opened."""
        now = time.monotonic()
        idle = self._conns.get(request.connection_key, ())
        ready = sum(protocol.is_connected() and now - since < fresh_s for protocol, since in idle)
        missing = min(count - ready, self._available_connections(request.connection_key))
        await gather(*(self._open(request, limits) for _ in range(missing)))

    async def _open(self, request: ClientRequest, limits: ClientTimeout) -> None:
        """One connection into the pool, to be looked at like any that was used before."""
        protocol = await self._create_connection(request, [], limits)
        if self.closed:
            protocol.close()
            return
        self._used.add(protocol)
        self._release(request.connection_key, protocol)

    def _is_reused(self, connection: Connection) -> bool:
        protocol = connection.protocol
        if protocol is None or protocol in self._used:
            return True
        self._used.add(protocol)
        return False


def _is_quiet(connection: Connection) -> bool:
    """Nothing came in since the last reply; what the kernel holds unread counts too.

    That also finds a connection which the venue has just closed, before a request is lost on it.
    """
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close:
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)
