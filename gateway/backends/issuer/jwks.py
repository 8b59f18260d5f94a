"""Where an issuer's keys come from, and how long they serve. No token is looked at here."""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.http_exceptions import HttpProcessingError
from jwt import PyJWK
from yarl import URL

from gateway.backends.body import read_body
from gateway.backends.issuer.keys import KeySet, read_keys
from gateway.ports import Clock

FETCH_S = 2.0
FRESH_S = 300.0
COOL_DOWN_S = 30.0
OK = 200
TOKEN_MOST = 16 * 1024

Fetch = Callable[[], Awaitable[KeySet | str]]


@dataclass(frozen=True, slots=True)
class Source:
    """The one address that keys are fetched from, and what it takes to be let in there."""

    url: str
    agent: str
    ca: Path | None = None
    token_file: Path | None = None


class HttpKeys:
    """Fetches the key set. No redirect is followed, no proxy of the environment used: the address is configured."""

    def __init__(self, source: Source) -> None:
        self._source = source
        tls = ssl.create_default_context(cafile=source.ca) if source.ca else True
        self._session = ClientSession(
            connector=TCPConnector(limit=2, ssl=tls),
            cookie_jar=DummyCookieJar(),
            headers={"User-Agent": source.agent, "Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=ClientTimeout(total=FETCH_S),
            trust_env=False,
            auto_decompress=False,
        )

    async def fetch(self) -> KeySet | str:
        """The keys, or why they can't be had; the reason never quotes what came."""
        try:
            target = URL(self._source.url, encoded=True)
            async with self._session.get(target, headers=self._proof(), allow_redirects=False) as reply:
                if reply.status != OK:
                    return f"the issuer answered {reply.status}"
                body = await read_body(reply, reply.headers.get("Content-Encoding", ""))
        except TimeoutError:
            return "the issuer did not answer in time"
        except (ClientError, HttpProcessingError, OSError, ValueError) as failure:
            return f"the issuer could not be reached: {type(failure).__name__}"
        return read_keys(body) if isinstance(body, bytes) else body.reason

    def _proof(self) -> dict[str, str]:
        """Kubernetes gives its keys to service accounts only; the mounted token is replaced there every hour."""
        if self._source.token_file is None:
            return {}
        with self._source.token_file.open(encoding="ascii") as file:
            return {"Authorization": f"Bearer {file.read(TOKEN_MOST).strip()}"}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()


class IssuerKeys:
    """Keeps the keys: fresh for minutes, usable for as long as `stale_s` while the issuer is gone.

    An unknown key id has them fetched at once, but no more than once in a cool-down: ids come from strangers.
    `observe` is told of each attempt: None, or why it failed.
    """

    def __init__(self, fetch: Fetch, stale_s: float, clock: Clock, observe: Callable[[str | None], None]) -> None:
        self._fetch = fetch
        self._stale_s = stale_s
        self._clock = clock
        self._observe = observe
        self._held = KeySet()
        self._fetched_at = self._tried_at = -math.inf
        self._flight: asyncio.Task[None] | None = None
        self.generation = 0

    @property
    def usable(self) -> bool:
        """Whether what is held may still serve."""
        return self._clock.monotonic() - self._fetched_at < self._stale_s

    def held(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key, where it is here; where the keys have grown old they are fetched behind it."""
        key = self._held.get(key_id, algorithm) if self.usable else None
        if key is not None:
            self.freshen()
        return key

    def freshen(self) -> None:
        """Have keys that are not fresh fetched, and don't wait for it."""
        if self._clock.monotonic() - self._fetched_at >= FRESH_S:
            self._depart()

    async def sought(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key, after a look at the issuer where it is not here."""
        if (key := self.held(key_id, algorithm)) is not None:
            return key
        self._depart()
        if self._flight is not None:
            await asyncio.wait({self._flight})
        return self.held(key_id, algorithm)

    def _depart(self) -> None:
        now = self._clock.monotonic()
        if self._flight is None and now - self._tried_at >= COOL_DOWN_S:
            self._tried_at = now
            self._flight = asyncio.create_task(self._refetch())

    async def _refetch(self) -> None:
        try:
            came = await self._fetch()
            if isinstance(came, KeySet):
                self._fetched_at = self._clock.monotonic()
                if came.digest != self._held.digest:
                    self._held = came
                    self.generation += 1
            self._observe(None if isinstance(came, KeySet) else came)
        finally:
            self._flight = None

    async def aclose(self) -> None:
        """End a fetch that is in the air."""
        if (flight := self._flight) is not None:
            flight.cancel()
            await asyncio.wait({flight})
