"""Writes `sent` before bytes leave: all who are about to leave in one request, in one call to Redis.

Whoever takes one slot learns of it in one turn of the loop, so those who ask within a turn are asked for together.
"""

import asyncio
from dataclasses import dataclass, field

from gateway.backends.admittance import Admittance, gated, odd
from gateway.backends.redis.link import Argument, Link
from gateway.backends.redis.scripts import MARK_SENT, SERVER_TIME, gate_keys
from gateway.core import keys
from gateway.core.admission import Gated
from gateway.core.idempotency import RecordId
from gateway.core.model import Account
from gateway.ports import Unavailable

Marked = asyncio.Future[bool | Gated]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, and who waits for the word."""

    record: RecordId
    fence: int
    at_ms: int
    marked: Marked


@dataclass(frozen=True, slots=True)
class Marking:
    """Gathers them by account; a probe, which passes a gate, by itself."""

    link: Link
    admittance: Admittance
    _gathered: dict[tuple[Account, bool], list[Entry]] = field(default_factory=dict)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def mark(self, record: RecordId, fence: int, at_ms: int, *, probe: bool) -> bool | Gated:
        """Write `sent`; False where the record is no longer ours, Gated where a gate has closed."""
        loop = asyncio.get_running_loop()
        entry = Entry(record, fence, at_ms, loop.create_future())
        which = (record.account, probe)
        if which not in self._gathered:
            self._gathered[which] = []
            loop.call_soon(self._go, which)
        self._gathered[which].append(entry)
        return await entry.marked

    def _go(self, which: tuple[Account, bool]) -> None:
        task = asyncio.ensure_future(self._mark(self._gathered.pop(which), which))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _mark(self, entries: list[Entry], which: tuple[Account, bool]) -> None:
        account, probe = which
        gates = gate_keys(account, self.admittance.gates_seen)
        names = (*gates, *(keys.record(entry.record) for entry in entries))
        each = [word for entry in entries for word in (entry.fence, entry.at_ms)]
        arguments: tuple[Argument, ...] = (SERVER_TIME, len(gates), int(probe), self.admittance.probe_us, *each)
        try:
            answers = _read(await self.link.run(MARK_SENT, names, arguments), len(entries))
        except Unavailable as lost:
            for entry in entries:
                if not entry.marked.done():
                    entry.marked.set_exception(Unavailable(lost.name, lost.reason))
            return
        for entry, answer in zip(entries, answers, strict=True):
            if not entry.marked.done():
                entry.marked.set_result(answer)


def _read(reply: object, count: int) -> list[bool | Gated]:
    match reply:
        case [b"gated", int(place), int(banned), int(wait_us)]:
            return [gated(place, banned, wait_us)] * count
        case list(answers) if len(answers) == count:
            return [answer == 1 for answer in answers]
        case _:
            raise odd()
