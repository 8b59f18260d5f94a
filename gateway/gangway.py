"""How many cancels may be between their claim and their departure at once, in this process.

A slot is good for a few milliseconds only. Where a thousand cancels come at once, the loop is late for them all: each
would find its slot stale, change it for another one, sign again, and make the loop later still, until none got through.
So only as many take a slot as can be sent before it is stale, and the rest wait in front of it, the urgent first.
"""

import asyncio
from collections import deque

LEAST, FIRST, MOST = 4, 16, 32
# So many departures in time, one after the other, let one more in; one that was late halves them.
CALM = 64

Way = asyncio.Future[None]


class Gangway:
    """Whoever enters has to leave, at the latest when he has departed."""

    def __init__(self) -> None:
        self.width = FIRST
        self.inside = 0
        self._calm = 0
        self._urgent: deque[Way] = deque()
        self._others: deque[Way] = deque()

    def enter(self) -> bool:
        """Go in, where there is room and nobody stands before us; else wait."""
        if self.inside >= self.width or self._urgent or self._others:
            return False
        self.inside += 1
        return True

    async def wait(self, *, urgent: bool) -> None:
        """Until it is our turn to be in."""
        line = self._urgent if urgent else self._others
        way: Way = asyncio.get_running_loop().create_future()
        line.append(way)
        try:
            await way
        except asyncio.CancelledError:
            if way.done() and not way.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Make room for whoever is next; one who has gone away meanwhile is passed over."""
        self.inside -= 1
        while self.inside < self.width and (line := self._urgent or self._others):
            way = line.popleft()
            if not way.done():
                way.set_result(None)
                self.inside += 1

    def in_time(self) -> None:
        """A slot was used before it was stale."""
        self._calm += 1
        if self._calm >= CALM:
            self._calm, self.width = 0, min(MOST, self.width + 1)

    def late(self) -> None:
        """A slot was stale before it could be used: we are too many."""
        self._calm, self.width = 0, max(LEAST, self.width // 2)
