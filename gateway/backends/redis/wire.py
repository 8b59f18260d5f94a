"""One connection: commands go out in order, replies come back in order, and a caller may leave at any time.

All commands of one turn of the event loop leave in one write. A caller that left, or whose time ran out, gets its
reply dropped, so that nobody ever gets somebody else's; nothing here repeats a command. RESP2, read by hiredis.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeAlias, assert_never, cast

from hiredis import HiredisError, Reader, ReplyError

from gateway.core.redis_address import Place, SocketFile, Spot
from gateway.ports import Unavailable

Reply: TypeAlias = "int | bytes | list[Reply] | None"
Answer: TypeAlias = "int | bytes | list[Reply] | ReplyError | None"
Waiter: TypeAlias = "asyncio.Future[Answer]"

LATE = "no answer in time"
FOREVER = inf
REASON_MOST = 120
KINDS = ("OOM", "NOPERM", "READONLY")
ACL_IN_SCRIPT = ("ACL failure in script", "can't run this command", "can't access at least one")  # Valkey 8; Redis 6
NOTHING = object()

Heard: TypeAlias = Callable[[bytes], None]
"""Told the messages of what a connection has subscribed to."""


def code_of(error: ReplyError) -> str:
    """The first word of a refusal: MOVED, NOSCRIPT, OOM."""
    return str(error).partition(" ")[0]


def refused(error: ReplyError) -> Unavailable:
    """A refusal as the lost dependency that it is; OOM, NOPERM and READONLY always stand first in the reason."""
    text = " ".join(str(error).split())
    kind = next((kind for kind in KINDS if kind in text), "")
    if any(words in text for words in ACL_IN_SCRIPT):
        kind = "NOPERM"
    shown = text if text.startswith(kind) else f"{kind} {text}"
    return Unavailable("redis", f"refused ({shown[:REASON_MOST]})")


def lost(error: BaseException | None) -> str:
    """Why there is no connection, in few words."""
    match error:
        case None:
            return "not connected (closed by the server)"
        case TimeoutError():
            return LATE
        case ssl.SSLError():
            return f"not connected (TLS: {error.reason or 'failed'})"[:REASON_MOST]
        case _:
            return f"not connected ({type(error).__name__})"


@dataclass(slots=True)
class Sent:
    """A command on its way: its bytes, the replies to drop before its own, who waits, and until when."""

    command: bytes
    before: int
    waiter: Waiter
    deadline: float


class Wire(asyncio.Protocol):
    """A connection from its first byte to its last. `heard` is told the messages of what was subscribed to."""

    def __init__(self) -> None:
        self.heard: Heard | None = None
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(notEnoughData=NOTHING)
        self._transport: asyncio.Transport | None = None
        self._out: list[Sent] = []
        self._waiting: deque[Sent] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = FOREVER
        self._retired = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._why = lost(None)

    @property
    def open(self) -> bool:
        """Whether there still is a connection."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """Whether the next command may go here."""
        return self._transport is not None and not self._retired

    def ask(self, command: bytes, deadline: float, before: int = 0) -> Waiter:
        """Send with the others of this turn; the future ends with the reply, a refusal, or Unavailable.

        Where `command` is several packed ones, the last one's reply counts; `before` is how many stand in front.
        """
        waiter: Waiter = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(Sent(command, before, waiter, deadline))
        if deadline < self._looks_at:
            self._look_at(deadline)
        return waiter

    def retire(self) -> None:
        """Take no new command; end as soon as nobody waits for a reply any more."""
        self._retired = True
        self._end_if_idle()

    def abort(self, why: str = "not connected (ended)") -> None:
        """End at once; whoever waits is told why."""
        self._retired, self._why = True, why
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102  asyncio.Protocol
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102  asyncio.Protocol
        try:
            self._reader.feed(data)
            while (reply := cast("Answer", self._reader.gets())) is not NOTHING:
                self._hand_over(reply)
        except (HiredisError, IndexError) as error:  # IndexError: an answer that nobody asked for
            self.abort(lost(error))
        if self._retired:
            self._end_if_idle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102  asyncio.Protocol
        if exc is not None:
            self._why = lost(exc)
        self._retired, self._transport = True, None
        self._look_at(FOREVER)
        left, self._out = (*self._waiting, *self._out), []
        self._waiting.clear()
        if not self.ended.done():
            self.ended.set_result(None)
        for sent in left:
            _fail(sent, self._why)

    def _hand_over(self, reply: Answer) -> None:
        if self.heard is not None and isinstance(reply, list) and reply[:1] == [b"message"]:
            self.heard(cast("bytes", reply[-1]))
            return
        sent = self._waiting[0]
        if sent.before:
            sent.before -= 1
            return
        self._waiting.popleft()
        if not sent.waiter.done():
            sent.waiter.set_result(reply)

    def _flush(self) -> None:
        # Who left in the same turn never asked.
        out, self._out = [sent for sent in self._out if not sent.waiter.done()], []
        if self._transport is None:
            for sent in out:
                _fail(sent, self._why)
        elif out:
            self._waiting.extend(out)
            self._transport.write(b"".join([sent.command for sent in out]))

    def _look_at(self, moment: float) -> None:
        """One timer for all who wait: it goes off at the first deadline, and mostly finds that one answered."""
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = moment
        self._timer = None if moment == FOREVER else self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        waiting = [sent for sent in (*self._waiting, *self._out) if not sent.waiter.done()]
        late = [sent for sent in waiting if sent.deadline <= now]
        self._look_at(min((sent.deadline for sent in waiting if sent.deadline > now), default=FOREVER))
        for sent in late:
            sent.waiter.set_exception(Unavailable("redis", LATE))
        if late:
            # A server that is late for one may be hung or out of reach: the next caller starts on a fresh connection.
            self.retire()

    def _end_if_idle(self) -> None:
        if self._transport is not None and all(sent.waiter.done() for sent in (*self._waiting, *self._out)):
            self._transport.abort()


def _fail(sent: Sent, why: str) -> None:
    if not sent.waiter.done():
        sent.waiter.set_exception(Unavailable("redis", why))


async def open_wire(spot: Spot, tls: ssl.SSLContext | None) -> Wire:
    """Connect; raises OSError."""
    loop, wire = asyncio.get_running_loop(), Wire()
    match spot:
        case SocketFile(path):
            await loop.create_unix_connection(lambda: wire, path)
        case Place(host, port):
            await loop.create_connection(lambda: wire, host, port, ssl=tls)
        case _:
            assert_never(spot)
    return wire
