"""Exact bytes onto the wire, once, and provably what came of it (ports.Sender). No venue's habits stand here.

`NotSent` is said only while no connection was handed to the request. From then on, whatever is not one whole reply is
`Unconfirmed`, and nothing is sent again from here. Reasons are worded here and never taken from exceptions, whose
texts hold URLs and with them signatures.
"""

import re
import ssl
from asyncio import gather, sleep
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.backends.body import read_body
from gateway.backends.connector import PASSAGE, OnceConnector, Passage
from gateway.core.model import VenueId
from gateway.core.wire import HELD_BACK, NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.ports import Clock, always

# Well below the idle limits of the usual load balancers: a connection that they close first costs an `unknown`.
KEEP_ALIVE_S = 30
# A connection that lay idle for so long is followed by a new one, before it is closed.
FRESH_S, LOOK_S = 20.0, 2.5
URGENT_CONNECTIONS = 8
NEVER_ROUND_UP_S = 1e9
FIRST_FINAL_STATUS = 200
NO_DEFAULTS = ("Content-Type",)
FAILURES = (ClientError, HttpProcessingError, OSError, ValueError, RuntimeError)
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
BEFORE: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorDNSError, "the venue's name could not be resolved"),
    (ClientConnectorCertificateError, "the venue's certificate is not valid"),
    (ClientConnectorSSLError, "the TLS handshake failed"),
    (ClientConnectorError, "the venue could not be connected"),
    (TimeoutError, "no connection in time"),
    (Exception, "the request could not be started"),
)
AFTER: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no whole reply in time"),
    (ClientResponseError, "the reply is not HTTP"),
    (HttpProcessingError, "the reply is not HTTP"),
    (Exception, "the connection broke before a whole reply came"),
)


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

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What every URL of this venue starts with."""
        return tuple(base.rstrip("/") + "/" for base in (self.base_url, *self.also))

    @property
    def urgent(self) -> "Line":
        """The connections of the urgent lanes."""
        return replace(self, connections=min(self.connections, URGENT_CONNECTIONS), warm=min(self.warm, 1))


@dataclass(frozen=True, slots=True)
class _Pool:
    """Connections of one venue, for the urgent lanes or for all others."""

    line: Line
    connector: OnceConnector
    session: ClientSession

    async def warm(self) -> None:
        """Open what is missing; a venue that can't be reached is found out when it is needed."""
        if self.line.warm == 0:
            return
        request = ClientRequest("GET", URL(self.line.base_url), session=self.session)
        limits = _limits(self.line.connect_timeout_ms, self.line.connect_timeout_ms)
        with suppress(*FAILURES):
            await self.connector.warm(request, self.line.warm, FRESH_S, limits)


class VenueSender:
    """Sends to every served venue; each has connections of its own, so that a stuck one leaves the others alone."""

    def __init__(
        self, lines: Mapping[VenueId, Line], clock: Clock, on_repeat: Callable[[VenueId], None], agent: str
    ) -> None:
        """Must be called inside the running loop; `on_repeat` counts repeats that were refused to the client."""
        self._prefixes = {venue: line.prefixes for venue, line in lines.items()}
        self._connect_timeouts_ms = {venue: line.connect_timeout_ms for venue, line in lines.items()}
        self._clock = clock
        self._on_repeat = on_repeat
        self._pools = {
            (venue, urgent): _pool(own, agent)
            for venue, line in lines.items()
            for urgent, own in ((False, line), (True, line.urgent))
        }

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
        target = _target(self._prefixes[venue], request, timeout_ms)
        if isinstance(target, NotSent):
            return target
        limits = _limits(self._connect_timeouts_ms[venue], timeout_ms)
        passage = Passage(may_leave)
        token = PASSAGE.set(passage)
        try:
            return await self._exchange(self._pools[venue, urgent].session, request, target, limits)
        except FAILURES as failure:
            if passage.held_back:
                return HELD_BACK
            return Unconfirmed(_reason(AFTER, failure)) if passage.handed_over else NotSent(_reason(BEFORE, failure))
        finally:
            PASSAGE.reset(token)
            if passage.repeated:
                self._on_repeat(venue)

    async def _exchange(
        self, session: ClientSession, request: WireRequest, target: URL, limits: ClientTimeout
    ) -> Reply | Unconfirmed:
        response = await session.request(
            request.method,
            target,
            headers=request.headers,
            data=request.body or None,
            skip_auto_headers=NO_DEFAULTS if request.body else None,
            allow_redirects=False,
            timeout=limits,
        )
        try:
            return await self._reply(response)
        finally:
            if not response.closed:  # read to its end, it has given its connection back already
                response.close()

    async def _reply(self, response: ClientResponse) -> Reply | Unconfirmed:
        headers = _lowered(response.headers.items())
        body = await read_body(response, headers.get("content-encoding", ""))
        if isinstance(body, Unconfirmed):
            return body
        if response.status < FIRST_FINAL_STATUS:
            return Unconfirmed("the venue wants to switch protocols")
        return Reply(response.status, headers, body, self._clock.now_ms())

    async def keep_warm(self) -> None:
        """Keep connections ready for ever: a first burst over cold ones comes late, and close to the one after it."""
        while True:
            await gather(*(pool.warm() for pool in self._pools.values()))
            await sleep(LOOK_S)

    async def aclose(self) -> None:
        """Close every connection; sends that are still running end as Unconfirmed."""
        await gather(*(pool.session.close() for pool in self._pools.values()))


def _pool(line: Line, agent: str) -> _Pool:
    connector = OnceConnector(line.connections, KEEP_ALIVE_S, line.tls)
    session = ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        trust_env=False,
        auto_decompress=False,
    )
    return _Pool(line, connector, session)


@lru_cache(maxsize=4096)
def _limits(connect_timeout_ms: int, timeout_ms: int) -> ClientTimeout:
    return ClientTimeout(
        total=timeout_ms / 1000, sock_connect=connect_timeout_ms / 1000, ceil_threshold=NEVER_ROUND_UP_S
    )


def _target(prefixes: tuple[str, ...], request: WireRequest, timeout_ms: int) -> URL | NotSent:
    """Where the bytes go exactly as they stand, or why they must not or could not."""
    if timeout_ms <= 0:
        return NotSent("no time is left", here=True)
    if not request.url.startswith(prefixes):
        return NotSent("the request is not for this venue", here=True)
    if not _is_token(request.method) or not _is_printable(request.url) or " " in request.url:
        return NotSent("the request line is not legal", here=True)
    if not all(_is_token(name) and _is_printable(value) for name, value in request.headers):
        return NotSent("a header is not legal", here=True)
    target = URL(request.url, encoded=True)
    if not request.url.endswith(target.raw_path_qs):
        return NotSent("the URL would not be sent as it was signed", here=True)
    return target


@lru_cache(maxsize=256)
def _is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _lowered(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header names in lower case; repeated ones joined as RFC 9110, 5.3 says."""
    headers: dict[str, str] = {}
    for name, value in items:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _reason(reasons: tuple[tuple[type[Exception], str], ...], failure: Exception) -> str:
    return next(reason for kind, reason in reasons if isinstance(failure, kind))
