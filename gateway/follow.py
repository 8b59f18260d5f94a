"""Waiting for a result that somebody else is working on, here or on another replica.

Whoever works on it tells, through the bell, when there is news; all who wait for one record here share one look at it.
Where the bell can't be heard, and to be sure, the record is looked at now and then, ever less often.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.idempotency import IN_FLIGHT, Record, RecordId, State
from gateway.ports import Clock, Records, Unavailable
from gateway.resolve import Resolver

DEAF_FIRST_S, DEAF_MOST_S = 0.02, 0.25
HEARING_S = 1.0
# A bell may ring between the answer of the store and the moment that somebody begins to wait for it.
RUNG_KEPT = 4096


@dataclass(slots=True)
class Bell:
    """Rings for records. `heard` is whether the other replicas' bells are heard, too."""

    heard: bool = False
    _waiting: dict[RecordId, asyncio.Event] = field(default_factory=dict)
    _rung: OrderedDict[RecordId, None] = field(default_factory=OrderedDict)

    def ring(self, record: RecordId) -> None:
        """There is news of a record in the store."""
        if (event := self._waiting.get(record)) is not None:
            event.set()

    def ring_from_afar(self, record: RecordId) -> None:
        """Likewise, told by the store."""
        if record in self._waiting:
            self.ring(record)
            return
        self._rung[record] = None
        if len(self._rung) > RUNG_KEPT:
            self._rung.popitem(last=False)

    async def wait(self, record: RecordId, seconds: float) -> None:
        """Until it rings for this record, or so long."""
        if record in self._rung:
            del self._rung[record]
            return
        event = self._waiting.setdefault(record, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            if self._waiting.get(record) is event:
                del self._waiting[record]


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows records to their end."""

    clock: Clock
    records: Records
    resolver: Resolver
    bell: Bell = field(default_factory=Bell)
    _looks: dict[RecordId, asyncio.Task[Record | None]] = field(default_factory=dict)

    async def follow(self, record: Record, deadline: float) -> Record | None:
        """The record once it is settled; None where the deadline comes first."""
        seen: Record | None = record
        pauses = _pauses()
        while seen is not None and seen.state in IN_FLIGHT and not self.resolver.due(seen):
            left_s = deadline - self.clock.monotonic()
            if left_s <= 0:
                return None
            seen = await self._next(seen, left_s, pauses)
        if seen is not None and self.resolver.due(seen) and not self.resolver.abandoned(seen):
            return await self._resolved(seen, deadline)
        return seen

    async def _resolved(self, record: Record, deadline: float) -> Record:
        """Look ourselves, or wait a moment for whoever looks now."""
        seen = await self.resolver.look_once(record, deadline)
        held = seen.state is State.UNKNOWN and seen.lease_until_ms > self.clock.now_ms()
        if held and seen.steps == record.steps:
            left_s = deadline - self.clock.monotonic()
            return await self._next(seen, max(0.0, left_s), lambda: HEARING_S) or seen
        return seen

    async def _next(self, seen: Record, within_s: float, pause_s: Callable[[], float]) -> Record | None:
        """The record after the next news of it, or as it was where the time is over."""
        look = self._looks.get(seen.id)
        if look is None:
            lease_s = max(0.0, (seen.lease_until_ms - self.clock.now_ms()) / 1000) + 0.001
            pause = HEARING_S if self.bell.heard else pause_s()
            look = self._looks[seen.id] = asyncio.create_task(self._look(seen, min(pause, lease_s)))
            look.add_done_callback(lambda _: self._looks.pop(seen.id, None))
        done, _ = await asyncio.wait({look}, timeout=within_s)
        return look.result() if done else seen

    async def _look(self, last: Record, pause_s: float) -> Record | None:
        """The record after a pause; as it stood where the store does not answer, which may pass."""
        await self.bell.wait(last.id, pause_s)
        try:
            return await self.records.get(last.id)
        except Unavailable:
            return last


def _pauses() -> Callable[[], float]:
    """Ever longer pauses for whom nobody tells."""
    pause_s = DEAF_FIRST_S / 2

    def following() -> float:
        nonlocal pause_s
        pause_s = min(pause_s * 2, DEAF_MOST_S)
        return pause_s

    return following
