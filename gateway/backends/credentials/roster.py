"""Which accounts the store has, per venue. Looked up behind whoever asks: a probe must not wait for a store."""

import asyncio
from dataclasses import dataclass, field

from gateway.backends.credentials.store import Store
from gateway.core.model import VenueId
from gateway.ports import Clock, Unavailable

ANSWER_MOST_S = 2.0
AGAIN_S = 5.0


@dataclass(slots=True)
class Roster:
    """The last list of each venue. Only the very first question waits for the store, and not for long."""

    store: Store
    clock: Clock
    refresh_s: float
    _known: dict[VenueId, frozenset[str]] = field(default_factory=dict)
    _due: dict[VenueId, float] = field(default_factory=dict)
    _looks: dict[VenueId, asyncio.Task[None]] = field(default_factory=dict)

    async def names(self, venue: VenueId) -> frozenset[str]:
        """The names as far as known."""
        if venue not in self._looks and self.clock.monotonic() >= self._due.get(venue, 0.0):
            self._looks[venue] = asyncio.create_task(self._look(venue), name="credential.roster")
        if venue not in self._known:
            await asyncio.shield(self._looks[venue])
        return self._known[venue]

    async def aclose(self) -> None:
        """End what is in the air."""
        looks = tuple(self._looks.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _look(self, venue: VenueId) -> None:
        wait_s = AGAIN_S
        try:
            async with asyncio.timeout(ANSWER_MOST_S):
                self._known[venue] = frozenset(await self.store.names(venue))
            wait_s = self.refresh_s
        except (Unavailable, TimeoutError):
            pass  # what was known stays
        finally:
            self._known.setdefault(venue, frozenset())
            self._due[venue] = self.clock.monotonic() + min(wait_s, self.refresh_s)
            self._looks.pop(venue, None)
