"""One connection to a venue: a request, its reply, then the next request. Nothing is sent twice from here."""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from gateway.backends.http1.reply import Read, ReplyReader
from gateway.core.wire import Unconfirmed

BROKE = Unconfirmed("the connection broke before a whole reply came")
TOO_LATE = Unconfirmed("no whole reply in time")


class Connection(asyncio.Protocol):
    """Idle, or busy with one request. What it hears while idle answers nobody, so that nothing is asked on it again."""

    __slots__ = ("_answer", "_loop", "_on_lost", "_poll", "_reader", "_transport", "idle_since", "is_open", "writes")

    def __init__(self, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._reader = ReplyReader()
        self._answer: asyncio.Future[Read | Unconfirmed] | None = None
        self._poll = select.poll()
        self.is_open = False
        self.idle_since = 0.0
        self.writes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_open = True
        self.idle_since = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; whoever waits for a reply has it whole by now, or does not get one."""
        self.is_open = False
        self._say((self._reader.end() if exc is None else None) or BROKE)
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        """A part of a reply."""
        if self._answer is None:
            self.close()
        elif (answer := self._reader.feed(data)) is not None:
            self._say(answer)

    def _say(self, answer: Read | Unconfirmed) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def ask(self, request: bytes, deadline: float) -> Read | Unconfirmed:
        """Write the request, and wait for its reply until `deadline` (the loop's time).

        Whatever is not one whole reply ends the connection, and so does leaving.
        """
        answer = self._answer = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._say, TOO_LATE)
        self.writes += 1
        self._transport.write(request)
        reply: Read | Unconfirmed = BROKE
        try:
            reply = await answer
        finally:
            timer.cancel()
            self._answer = None
            if isinstance(reply, Unconfirmed):
                self._transport.abort()
                self.is_open = False
            elif not reply.reusable:
                self.close()
        return reply

    def is_quiet(self) -> bool:
        """Whether it may carry a request: nothing came since the last reply, not even to what the kernel holds unread.

        That also finds a connection that the venue has just closed, before a request is lost on it.
        """
        return self.is_open and not self._transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        """End it in peace."""
        self.is_open = False
        self._transport.close()
