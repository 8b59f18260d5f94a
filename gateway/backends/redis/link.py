"""The link to Redis: one deadline around each call, no retries, every failure an `Unavailable`.

No key and no decision lives here. A call that fails may have been done all the same; whoever calls must be able to
live with that, because nobody can know.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Protocol, TypeAlias, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LinkDown
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as LinkSlow

from gateway.ports import Unavailable

CONNECTIONS = 16
SCHEMES = ("redis://", "rediss://", "unix://")
EMBEDDED = "embedded"
REASON_MOST = 120

Argument: TypeAlias = str | bytes | int
Reply: TypeAlias = "int | bytes | list[Reply] | None"
Observer: TypeAlias = Callable[[str, float, str | None], None]
"""Told the operation, its seconds, and what went wrong if anything did."""


class Runnable(Protocol):
    """What can be run on the server: see scripts.Script."""

    @property
    def name(self) -> str:
        """The operation, for counters and metrics."""
        ...

    @property
    def text(self) -> str:
        """The Lua source."""
        ...

    @property
    def sha1(self) -> str:
        """The digest of the source."""
        ...


def check_url(url: str) -> str:
    """The URL as it is; raises ValueError with a text for the settings' faults."""
    if url == EMBEDDED:
        return url
    if not url.startswith(SCHEMES):
        raise ValueError('must be "embedded", or start with redis://, rediss:// or unix://')
    options = parse_url(url)
    if url.startswith("unix://") and not options.get("path"):
        raise ValueError("unix:// needs the path of a socket: unix:///run/redis.sock")
    return url


def unobserved(operation: str, seconds: float, error: str | None) -> None:
    """Observe nothing."""


class Link:
    """A bounded number of connections to one server, made when needed, dropped when a call did not end well."""

    def __init__(
        self, url: str, timeout_ms: int, observe: Observer = unobserved, connections: int = CONNECTIONS
    ) -> None:
        if check_url(url) == EMBEDDED:
            raise ValueError("an embedded server must be started first; its url goes here")
        self.calls: Counter[str] = Counter()
        self._timeout_s = timeout_ms / 1000
        self._observe = observe
        self._gate = asyncio.Semaphore(connections)
        # Retries would repeat writes that were only slow, and answer for the second one. The deadline below is the
        # only clock, so the sockets need none; options in the URL can't bring any of it back.
        options: dict[str, Any] = {
            **parse_url(url),
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "socket_timeout": None,
            "socket_connect_timeout": self._timeout_s,
            "protocol": 2,
            "driver_info": None,
            "decode_responses": False,
        }
        self._pool = ConnectionPool(max_connections=connections + 1, **options)
        self._redis = Redis(connection_pool=self._pool)

    async def run(self, script: Runnable, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """Run a script by its digest, or by its text where the server does not know it: a promoted one never does."""
        tail = (len(keys), *keys, *arguments)
        return await self._in_time(script.name, lambda: self._evaluate(script, tail))

    async def ping(self) -> None:
        """Raise Unavailable unless the server answers in time."""
        await self._in_time("ping", lambda: self._send("ping", "PING"))

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._redis.aclose()
        await self._pool.aclose()

    async def _evaluate(self, script: Runnable, tail: tuple[Argument, ...]) -> Reply:
        try:
            reply = await self._send(script.name, "EVALSHA", script.sha1, *tail)
        except NoScriptError:
            reply = await self._send(script.name, "EVAL", script.text, *tail)
        return reply

    async def _send(self, operation: str, *command: Argument) -> Reply:
        self.calls[operation] += 1
        execute = cast("Callable[..., Awaitable[Reply]]", self._redis.execute_command)
        return await execute(*command)

    async def _in_time(self, operation: str, call: Callable[[], Awaitable[Reply]]) -> Reply:
        started, fault = perf_counter(), cast("str | None", "cancelled")
        try:
            async with asyncio.timeout(self._timeout_s), self._gate:
                reply = await call()
            fault = None
        except (RedisError, OSError) as error:
            fault = _reason(error)
            raise Unavailable("redis", fault) from error
        finally:
            self._observe(operation, perf_counter() - started, fault)
        return reply


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError() | LinkSlow():
            return "no answer in time"
        case LinkDown():
            return f"not connected ({type(error).__name__})"
        case ResponseError():
            return f"refused ({type(error).__name__}: {str(error)[:REASON_MOST]})"
        case _:
            return type(error).__name__
