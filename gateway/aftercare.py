"""What goes on beside the path while the service runs: resolving what was left open, hearing of what is settled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

from gateway.core.idempotency import parse_record_id
from gateway.core.keys import SETTLED
from gateway.follow import Bell
from gateway.watchman import Watchman


class Kept(Protocol):
    """Something that listens for ever."""

    def keep(self) -> Awaitable[None]:
        """Listen."""
        ...


Subscribe = Callable[[str, Callable[[str], None], Callable[[bool], None]], Kept]
"""A channel, who is told each message, and who is told whether there is a connection."""


def look_after(watchman: Watchman, bell: Bell, subscribe: Subscribe, ends: AsyncExitStack) -> None:
    """Begin both; they end with the stack."""

    def heard(written: str) -> None:
        if (record := parse_record_id(written)) is not None:
            bell.ring_from_afar(record)

    def changed(listening: bool) -> None:  # noqa: FBT001  the callback's form
        bell.heard = listening

    for work in (watchman.walk(), subscribe(SETTLED, heard, changed).keep()):
        ends.push_async_callback(_ended, asyncio.ensure_future(work))


async def _ended(task: "asyncio.Future[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
