"""Hearing what is published on one channel, on a connection of its own that is made again whenever it breaks.

What is published while there is no connection is not heard: whoever needs to know looks for himself then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from hiredis import ReplyError

from gateway.backends.redis.node import Greeting, Locate
from gateway.backends.redis.wire import Answer, Wire, refused
from gateway.backends.redis.words import pack
from gateway.ports import Unavailable

# A connection that nobody answers on any more looks like a quiet one: it is asked now and then.
PING_EVERY_S = 5.0
PAUSE_FIRST_S, PAUSE_MOST_S = 0.1, 5.0
PING = pack("PING")


@dataclass(frozen=True, slots=True)
class Subscription:
    """One channel. `heard` is told each message, `changed` whether there is a connection."""

    anyone: Locate
    greeting: Greeting
    channel: str
    heard: Callable[[str], None]
    changed: Callable[[bool], None]

    async def keep(self) -> None:
        """Listen for ever."""
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                wire = await self._connect()
            except Unavailable:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MOST_S)
                continue
            pause_s = PAUSE_FIRST_S
            self.changed(True)
            try:
                await self._stay(wire)
            finally:
                wire.abort()
                self.changed(False)

    async def _connect(self) -> Wire:
        # Channels belong to no database, and a replica hears what its master is told.
        greeting = replace(self.greeting, database=0, master_only=False)
        wire, _ = await greeting.open(await self.anyone())
        wire.heard = lambda message: self.heard(message.decode("utf-8", "replace"))
        try:
            _allowed(await wire.ask(pack("SUBSCRIBE", self.channel), self._deadline()))
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _stay(self, wire: Wire) -> None:
        """As long as somebody answers."""
        while True:
            done, _ = await asyncio.wait({wire.ended}, timeout=PING_EVERY_S)
            if done:
                return
            try:
                await wire.ask(PING, self._deadline())
            except Unavailable:
                return

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.greeting.connect_s


def _allowed(answer: Answer) -> None:
    if isinstance(answer, ReplyError):
        raise refused(answer)
