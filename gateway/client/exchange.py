"""One request to one of several gateways: who is asked, and what is certain where no answer came."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

CONNECT_MOST_S = 1.0
LINE_MOST = 1 << 20


class Unreachable(Exception):  # noqa: N818  a lost dependency is a condition, not a bug
    """No gateway could be connected to: provably nothing was sent."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole answer of whoever stands there."""

    status: int
    body: bytes
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Silent:
    """No whole answer. `sent` is false where not even a connection came about."""

    sent: bool
    reason: str


@dataclass(slots=True)
class Once:
    """aiohttp sends a DELETE again by itself where a kept connection dies; that would hide that the first one left."""

    sent: bool = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Let it pass the first time."""
        if self.sent:
            raise aiohttp.ClientConnectionError("the connection was lost before an answer came")
        self.sent = True
        return await handler(request)


@dataclass(slots=True)
class Exchange:
    """The addresses, the one that answered last first; `token` may be a function, for tokens that are renewed."""

    http: aiohttp.ClientSession
    urls: Sequence[str]
    token: str | Callable[[], str]
    at: int = field(default=0)

    def go_on(self) -> None:
        """The next one is asked from now on."""
        self.at = (self.at + 1) % len(self.urls)

    async def ask(self, method: str, target: str, headers: Mapping[str, str], left_s: float) -> Heard | Silent:
        """Send, and read the answer whole. With no answer, `silent` has gone on to the next address."""
        try:
            async with self.opened(method, target, headers, left_s) as reply:
                return Heard(reply.status, await reply.read(), reply.headers.get("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as lost:
            return self.silent(lost)

    def silent(self, lost: Exception) -> Silent:
        """What is certain after a failure."""
        self.go_on()
        unsent = isinstance(lost, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        return Silent(sent=not unsent, reason=str(lost) or type(lost).__name__)

    @asynccontextmanager
    async def opened(
        self, method: str, target: str, headers: Mapping[str, str], left_s: float, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request whose answer is read by whoever opened it."""
        token = self.token if isinstance(self.token, str) else self.token()
        url = URL(self.urls[self.at].rstrip("/") + target, encoded=True)
        said = {"Authorization": f"Bearer {token}", **headers}
        limits = aiohttp.ClientTimeout(total=left_s, sock_connect=min(left_s, CONNECT_MOST_S))
        async with self.http.request(
            method,
            url,
            headers=said,
            data=body,
            timeout=limits,
            allow_redirects=False,
            read_bufsize=LINE_MOST,
            middlewares=(Once(),),
        ) as reply:
            yield reply


async def lines(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines only: one that was cut off is none."""
    async for line in reply.content:
        if line.endswith(b"\n"):
            yield line
