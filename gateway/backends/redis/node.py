"""One server: connected when it is needed, greeted once per connection, and known again, or not.

A server that is not the one we met before may hold older data, or none. It is found out at the greeting, so no call
that waited for the connection is answered from such data: all of them fail, and everybody is told.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from hiredis import ReplyError

from gateway.backends.redis.wire import LATE, Answer, Wire, lost, open_wire, refused
from gateway.backends.redis.words import pack
from gateway.core.redis_address import Login, Spot
from gateway.ports import Unavailable

CONNECT_LEAST_S = 0.5
CLIENT_NAME = "cancel-gateway"
ANOTHER = "another server answers than before; its data may be older"
ASKING = pack("ASKING")

Found = Callable[[str], None]
"""Told in few words that another server answers than before."""


class Locate(Protocol):
    """Says where the server is now; may ask others, and raises Unavailable where nobody knows."""

    def __call__(self) -> Awaitable[Spot]:
        """Where to connect."""
        ...


def staying(spot: Spot) -> Locate:
    """Where one is who never moves."""

    async def stay() -> Spot:
        return spot

    return stay


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a new connection begins with."""

    login: Login
    database: int = 0
    tls: ssl.SSLContext | None = None
    connect_s: float = CONNECT_LEAST_S
    master_only: bool = False

    async def open(self, spot: Spot) -> tuple[Wire, str]:
        """Connect and log in; the connection and the server's run id, empty where it may not be asked."""
        deadline = asyncio.get_running_loop().time() + self.connect_s
        try:
            async with asyncio.timeout_at(deadline):
                wire = await open_wire(spot, self.tls)
        except OSError as error:
            raise Unavailable("redis", lost(error)) from error
        try:
            return wire, await self._greet(wire, deadline)
        except BaseException:
            wire.abort()
            raise

    async def _greet(self, wire: Wire, deadline: float) -> str:
        who = ("AUTH", self.login.user or "default", self.login.password) if self.login.password else ()
        hello = wire.ask(pack("HELLO", 2, *who, "SETNAME", CLIENT_NAME), deadline)
        select = wire.ask(pack("SELECT", self.database), deadline) if self.database else None
        info = wire.ask(pack("INFO", "server"), deadline)
        waiters = [hello, info] if select is None else [hello, info, select]
        answers = await asyncio.gather(*waiters, return_exceptions=True)
        role, *_ = [_allowed(answer) for answer in (answers[0], *answers[2:])]
        if self.master_only and isinstance(role, list) and b"master" not in role:
            raise Unavailable("redis", "refused (READONLY a replica answers in the master's place)")
        return _run_id(answers[1])


def _allowed(answer: "Answer | BaseException") -> Answer:
    match answer:
        case ReplyError():
            raise refused(answer)
        case BaseException():
            raise answer
        case _:
            return answer


def _run_id(answer: "Answer | BaseException") -> str:
    """Who answers; a user who may not ask gets an empty name, which is never the same twice."""
    info = None if isinstance(answer, ReplyError) else _allowed(answer)
    text = info.decode("ascii", "replace") if isinstance(info, bytes) else ""
    return next((line.removeprefix("run_id:") for line in text.splitlines() if line.startswith("run_id:")), "")


class Node:
    """The server at a place that may move."""

    def __init__(self, locate: Locate, greeting: Greeting, found: Found) -> None:
        self._locate = locate
        self._greeting = greeting
        self._found = found
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._before: list[Wire] = []
        self._connecting: asyncio.Task[str | None] | None = None
        self._met: str | None = None

    def ask(self, command: bytes, deadline: float, *, asking: bool = False) -> Awaitable[Answer]:
        """One command and its answer; raises Unavailable."""
        if (wire := self._wire) is None or not wire.usable:
            return self._ask_once_connected(command, deadline, asking=asking)
        return wire.ask(ASKING + command, deadline, before=1) if asking else wire.ask(command, deadline)

    async def _ask_once_connected(self, command: bytes, deadline: float, *, asking: bool) -> Answer:
        wire = await self._connected(deadline)
        return await (wire.ask(ASKING + command, deadline, before=1) if asking else wire.ask(command, deadline))

    async def whereabouts(self) -> Spot:
        """Where the server is now; raises Unavailable where nobody knows."""
        return await self._locate()

    def doubt(self) -> None:
        """Connect anew for the next command: this connection leads to a server that can't be the right one."""
        if self._wire is not None:
            self._wire.retire()

    async def aclose(self) -> None:
        """Drop the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for wire in self._wires():
            wire.abort()
        await asyncio.sleep(0)

    async def _connected(self, deadline: float) -> Wire:
        """A usable connection. It is made once for all who wait, and goes on when they leave."""
        if self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())
            self._connecting.add_done_callback(self._forget)
        connecting = self._connecting
        done, _ = await asyncio.wait((connecting,), timeout=deadline - self._loop.time())
        if not done:
            raise Unavailable("redis", LATE)
        failure = "not connected (ended)" if connecting.cancelled() else connecting.result()
        if failure is None and self._wire is not None and self._wire.usable:
            return self._wire
        raise Unavailable("redis", failure or lost(None))

    def _forget(self, task: asyncio.Task[str | None]) -> None:
        if self._connecting is task:
            self._connecting = None

    async def _connect(self) -> str | None:
        """Make `_wire`; None, or why those who wait can't be served."""
        try:
            wire, run_id = await self._greeting.open(await self._locate())
        except Unavailable as failure:
            return failure.reason
        self._before, self._wire = self._wires(), wire
        met, self._met = self._met, run_id
        if met is None or (run_id and met == run_id):
            return None
        self._found(ANOTHER)
        return ANOTHER

    def _wires(self) -> list[Wire]:
        """The connections that are open, be it that somebody still waits for an answer on a retired one."""
        return [wire for wire in (*self._before, self._wire) if wire is not None and wire.open]
