"""The link to Redis: one deadline around each call, no retries, every failure an `Unavailable`.

No key and no decision lives here. A call that fails may have been done all the same; whoever calls must be able to
live with that, because nobody can know. Who answers is `servers.py`'s matter, how it is spoken with `wire.py`'s:
calls of one turn of the event loop share one write, and nothing waits for that.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Protocol, TypeAlias

from hiredis import ReplyError

from gateway.backends.redis.node import Found
from gateway.backends.redis.servers import greeting_at, servers_at
from gateway.backends.redis.subscription import Subscription
from gateway.backends.redis.wire import Reply, code_of, refused
from gateway.backends.redis.words import Argument, Words, call, words
from gateway.core.redis_address import Flaw, Kind, parse_redis_address
from gateway.ports import Unavailable

__all__ = ["EMBEDDED", "Argument", "Link", "Observer", "Reply", "Runnable"]

EMBEDDED = "embedded"

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


def unobserved(operation: str, seconds: float, error: str | None) -> None:
    """Observe nothing."""


def unmoved(reason: str) -> None:
    """Tell nobody."""


class Link:
    """Scripts on whoever answers at a Redis URL, connected when needed.

    `on_new_server` is told once for each connection on which another server was found than before: restarted,
    promoted, or put in its place. Calls that waited for such a connection fail, so that what they would have been
    granted from older data is nobody's.
    """

    def __init__(
        self, url: str, timeout_ms: int, observe: Observer = unobserved, on_new_server: Found = unmoved
    ) -> None:
        """Raises ValueError where the URL, or a certificate that it names, can't be used."""
        if url == EMBEDDED:
            raise ValueError("an embedded server must be started first; its url goes here")
        address = parse_redis_address(url)
        if isinstance(address, Flaw):
            raise ValueError(f"the Redis address {address.problem}; {address.remedy}")  # noqa: TRY004  not its type
        self.calls: Counter[str] = Counter()
        self.is_cluster = address.kind is Kind.CLUSTER
        self._timeout_s = timeout_ms / 1000
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._greeting = greeting_at(address, self._timeout_s)
        self._servers = servers_at(address, self._greeting, on_new_server)

    def run(self, script: Runnable, keys: Sequence[str], arguments: Sequence[Argument]) -> Coroutine[None, None, Reply]:
        """Run a script by its digest, or by its text where the server does not know it: a promoted one never does."""
        return self.say(script, keys, words(len(keys), *keys, *arguments))

    async def say(self, script: Runnable, keys: Sequence[str], said: Words) -> Reply:
        """The same with everything written down: the number of keys, these, and the arguments."""
        started, fault = perf_counter(), "cancelled"
        deadline = self._loop.time() + self._timeout_s
        try:
            self.calls[script.name] += 1
            answer = await self._servers.ask(call("EVALSHA", script.sha1, said), keys, deadline)
            if isinstance(answer, ReplyError):
                answer = await self._once_more(answer, script, keys, said, deadline)
            fault = ""
        except Unavailable as unavailable:
            fault = unavailable.reason
            raise
        finally:
            self._observe(script.name, perf_counter() - started, fault or None)
        return answer

    async def _once_more(
        self, refusal: ReplyError, script: Runnable, keys: Sequence[str], said: Words, deadline: float
    ) -> Reply:
        if code_of(refusal) == "NOSCRIPT":
            self.calls[script.name] += 1
            answer = await self._servers.ask(call("EVAL", script.text, said), keys, deadline)
            if not isinstance(answer, ReplyError):
                return answer
            refusal = answer
        self._servers.doubt(refusal)
        raise refused(refusal)

    async def ping(self) -> None:
        """Raise Unavailable unless whoever is needed answers in time."""
        started, fault = perf_counter(), "cancelled"
        try:
            self.calls["ping"] += 1
            await self._servers.ping(self._loop.time() + self._timeout_s)
            fault = ""
        except Unavailable as unavailable:
            fault = unavailable.reason
            raise
        finally:
            self._observe("ping", perf_counter() - started, fault or None)

    def subscription(self, channel: str, heard: Callable[[str], None], changed: Callable[[bool], None]) -> Subscription:
        """What is published on a channel, on a connection of its own; see Subscription."""
        return Subscription(self._servers.anyone, self._greeting, channel, heard, changed)

    async def aclose(self) -> None:
        """Drop all connections."""
        await self._servers.aclose()
