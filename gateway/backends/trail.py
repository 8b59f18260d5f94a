"""The audit trail on its way into Redis (ports.Trail): taken down at once, written in the background.

On the path of a cancel a decision costs one append to a queue. A task of its own makes entries of what came, and stores
many with one command, over a connection of its own: a slow store, or none, never makes a cancel wait. What cannot be
stored in time waits, within bounds; what goes beyond them is counted, and the count stands in the chain.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Argument, Link
from gateway.backends.redis.scripts import TRAIL_APPEND, TRAIL_REGISTER
from gateway.core import keys
from gateway.core.trail import Began, Decision, Ended, Entry
from gateway.core.trail_backlog import Backlog, Bounds
from gateway.ports import Clock, Log, Unavailable

NOTES_MOST = 20_000
LINGER_S, AGAIN_S, TELL_EVERY_S, PARTING_S = 0.1, 0.25, 60.0, 2.0
AT_ONCE, BATCH_MOST = 50, 100
DAY_MS = 86_400_000


class Counts(Protocol):
    """Counts what happens to the trail."""

    def trail_dropped(self, decisions: int) -> None:
        """So many decisions were lost."""
        ...

    def trail_waiting(self, entries: int) -> None:
        """So many entries are not stored yet."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told. What the log says of a head is the anchor that whoever can write to Redis cannot change."""

    log: Log
    counts: Counts

    def head(self, stream: str, last: Entry, until_ms: int) -> None:
        """The last entry in the store, its hash, and until when it will be there."""
        self.log.event("trail.head", stream=stream, seq=last.seq, hash=last.hash.hex(), until_ms=until_ms)


class RedisTrail:
    """One process's trail, in a stream of its own from its first entry to its last."""

    def __init__(self, link: Link, clock: Clock, stream: str, bounds: Bounds, began: Began, watch: Watch) -> None:
        self._link = link
        self._clock = clock
        self._stream = stream
        self._ttl_ms = bounds.keep_ms + DAY_MS
        self._backlog = Backlog(bounds, began.options)
        self._backlog.add(clock.now_ms(), began)
        self._watch = watch
        self._notes: deque[tuple[int, Decision]] = deque()
        self._dropped = 0
        self._wake = asyncio.Event()
        self._asleep = False
        self._ending = False
        self._forced = self._failing = False
        self._told: tuple[int, float] = (0, 0.0)
        self._wake.set()
        self._writing = asyncio.create_task(self._write(), name="trail")
        self._writing.add_done_callback(self._tell_bug)

    def note(self, what: Decision) -> None:
        """Take one decision."""
        if len(self._notes) >= NOTES_MOST:
            self._dropped += 1
            return
        self._notes.append((self._clock.now_ms(), what))
        if self._asleep:
            self._asleep = False
            self._wake.set()

    async def aclose(self) -> None:
        """Write the rest and the last word, as far as that can be done in short time."""
        self.note(Ended())
        self._ending = True
        self._wake.set()
        done, _ = await asyncio.wait({self._writing}, timeout=PARTING_S)
        if not done:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        self._tell_head()

    def _tell_bug(self, writing: "asyncio.Task[None]") -> None:
        """A bug ends the trail, and nothing else; it must not end it in silence."""
        if not writing.cancelled() and (bug := writing.exception()) is not None:
            self._watch.log.broke("trail", bug)

    async def _write(self) -> None:
        while True:
            ending = self._ending
            await self._take_down()
            kept = await self._store()
            if ending and kept:
                return
            await self._rest()

    async def _rest(self) -> None:
        """Until something comes, and a little longer, so that many entries share a command."""
        if self._failing:
            await asyncio.sleep(AGAIN_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_EVERY_S):
                await self._wake.wait()
        if not self._ending:
            await asyncio.sleep(LINGER_S)
        self._wake.clear()
        self._asleep = True

    async def _take_down(self) -> None:
        """Make entries of what came, a few at a time: cancels go first."""
        while self._notes:
            for _ in range(min(AT_ONCE, len(self._notes))):
                if not self._backlog.add(*self._notes.popleft()):
                    self._watch.counts.trail_dropped(1)
            await asyncio.sleep(0)
        if self._dropped:
            self._watch.counts.trail_dropped(self._dropped)
            self._backlog.lose(self._dropped)
            self._dropped = 0
        self._backlog.trim(self._clock.now_ms())

    async def _store(self) -> bool:
        """Store what waits; False where the store is away."""
        try:
            while True:
                await self._append()
                if not self._backlog:
                    break
            self._backlog.confess(self._clock.now_ms())
            await self._tell()
        except Unavailable as lost:
            self._fail(lost.reason)
            return False
        finally:
            self._watch.counts.trail_waiting(len(self._backlog))
        if self._failing:
            self._failing = False
            self._watch.log.event("trail.back")
        return True

    def _fail(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            self._watch.log.event("trail.lost", reason=reason)

    async def _append(self) -> None:
        """One command."""
        batch, cut = self._backlog.batch(BATCH_MOST), self._backlog.cut
        words: list[Argument] = []
        for entry in batch:
            words += (entry.id, entry.data, entry.hash)
        upto = batch[-1].seq if batch else self._backlog.last.seq
        below = cut.id if cut is not None and cut.said <= upto else ""
        arguments = (self._ttl_ms, int(self._forced), below, len(batch), *words)
        match await self._link.run(TRAIL_APPEND, keys.trail(self._stream), arguments):
            case [b"kept"]:
                self._forced = False
                self._backlog.stored(upto)
            case [b"behind", int(known)]:
                # Where we do not have them any more either, the hole stays, for everybody to find.
                self._forced = not self._backlog.recall(known)
                self._told = (0, 0.0)  # the list of trails went with it
                self._watch.log.event("trail.behind", known=known, healed=not self._forced)
            case _:
                raise odd()

    async def _tell(self) -> None:
        """Now and then: list this trail, and let its head be known elsewhere."""
        now = self._clock.monotonic()
        if self._told[0] and now - self._told[1] < TELL_EVERY_S and not self._ending:
            return
        now_ms = self._clock.now_ms()
        await self._link.run(TRAIL_REGISTER, (keys.trails(),), (self._stream, now_ms + self._ttl_ms, now_ms - DAY_MS))
        self._told = (self._told[0], now)
        self._tell_head()

    def _tell_head(self) -> None:
        """Once for each head, and of entries in the store only."""
        last = self._backlog.last
        if last.seq != self._told[0] and not self._backlog:
            self._told = (last.seq, self._told[1])
            self._watch.head(self._stream, last, last.at_ms + self._ttl_ms)
