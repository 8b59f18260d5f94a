"""Waiting for a result that somebody else is working on, here or on another replica."""

import asyncio
from dataclasses import dataclass, field

from gateway.core.idempotency import Record, RecordId, State
from gateway.ports import Clock, Records, Unavailable
from gateway.resolve import Resolver

IN_FLIGHT = frozenset({State.RECEIVED, State.RESERVED, State.SENT})
PAUSE_FIRST_S, PAUSE_MOST_S = 0.02, 0.25


@dataclass(frozen=True, slots=True)
class Follower:
    """Knows who leads here, and asks the store about those who lead elsewhere."""

    clock: Clock
    records: Records
    resolver: Resolver
    _leading: dict[RecordId, asyncio.Event] = field(default_factory=dict)

    def lead(self, record: RecordId) -> None:
        """Work on this record has begun here."""
        self._leading[record] = asyncio.Event()

    def done(self, record: RecordId) -> None:
        """Its result is in the store."""
        if leader := self._leading.pop(record, None):
            leader.set()

    async def follow(self, record: Record, deadline: float) -> Record | None:
        """The record once it is settled; None where the deadline comes first."""
        seen: Record | None = record
        pause_s = PAUSE_FIRST_S
        while seen is not None and seen.state in IN_FLIGHT and not self.resolver.due(seen):
            left_s = deadline - self.clock.monotonic()
            if left_s <= 0:
                return None
            await self._pause(record.id, min(pause_s, left_s))
            pause_s = min(pause_s * 2, PAUSE_MOST_S)
            seen = await self._look(seen)
        if seen is not None and self.resolver.due(seen):
            return await self.resolver.resolve(seen, deadline)
        return seen

    async def _look(self, last: Record) -> Record | None:
        """The record as it stands now; as it stood where the store does not answer, which may pass."""
        try:
            return await self.records.get(last.id)
        except Unavailable:
            return last

    async def _pause(self, record: RecordId, pause_s: float) -> None:
        leader = self._leading.get(record)
        if leader is None:
            await asyncio.sleep(pause_s)
            return
        try:
            async with asyncio.timeout(pause_s):
                await leader.wait()
        except TimeoutError:
            return
