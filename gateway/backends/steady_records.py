"""Records that go on without the store (ports.RecordStore): shared while it answers, our own while it does not.

A double cancel is harmless and a missing one is not, so nobody is refused for want of a store. What was done meanwhile
is written when it is back, as news of a record that may lie there: a call that failed may have been done all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from gateway.backends.local_records import LocalRecords, record_of
from gateway.core.admission import Demand, Gated
from gateway.core.idempotency import Claim, Claimed, Fresh, Record, RecordId, Settlement, State, Step, settled_record
from gateway.core.model import Account
from gateway.ports import Clock, Continuity, LocalRecord, RecordStore, Taken, Unavailable

LOOK_EVERY_S = 0.1
# More than can wait in line at once: whose claim is forgotten can't be written down without the store.
UNDER_WAY_MOST = 50_000

Told = Callable[[int, int], None]
"""Told how many records were written when the store was back, and how many had to be dropped."""


class SteadyRecords:
    """The store, and what stands in for it."""

    def __init__(self, shared: RecordStore, clock: Clock, continuity: Continuity, told: Told) -> None:
        self._shared = shared
        self._clock = clock
        self._continuity = continuity
        self._told = told
        self._local = LocalRecords()
        self._claims: dict[RecordId, Claim] = {}
        self._writing: asyncio.Task[None] | None = None

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        """Write the wish down unless it is known, here or in the store."""
        if self._continuity.degraded:
            return self._claim_here(claim, in_store=False)
        if self._local and (known := self._local.known(claim)) is not None:
            return known
        try:
            claimed = await self._shared.claim(claim, demands, patience_us)
        except Unavailable as lost:
            self._continuity.lose(lost.reason)
            return self._claim_here(claim, in_store=True)
        if isinstance(claimed, Fresh):
            self._remember(claim)
        return claimed

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        """Write `sent` before bytes leave; True where nobody can be told."""
        if record in self._local:
            return self._local.mark_sent(record, at_ms)
        try:
            return await self._shared.mark_sent(record, fence, at_ms, probe=probe)
        except Unavailable as lost:
            self._continuity.lose(lost.reason)
        return self._mark_here(record, fence, at_ms)

    def _mark_here(self, record: RecordId, fence: int, at_ms: int) -> bool:
        """Note it here, for the store to be told: without the note, others may take it that nothing was sent.

        Not where its lease has run out: then somebody else may be at work on the order.
        """
        claim = self._claims.get(record)
        if claim is None:
            return True
        if claim.at_ms + claim.lease_ms <= self._clock.now_ms():
            return False
        del self._claims[record]
        self._local.adopt_sent(claim, fence, at_ms)
        self._write_soon()
        return True

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """Write what came of it; later, where nobody can be told now."""
        if record in self._local:
            return self._local.settle(record, settlement)
        claim, in_store = self._claims.pop(record, None), False
        try:
            settled = await self._shared.settle(record, fence, settlement)
            if settled or claim is None or await self._shared.get(record) is not None:
                return settled
            # It went with the store's data: what came of it is written anew.
        except Unavailable as lost:
            if claim is None:
                raise
            self._continuity.lose(lost.reason)
            in_store = True
        self._local.adopt(claim, fence, settlement, in_store=in_store)
        self._write_soon()
        return True

    def doubt(self, record: RecordId, settlement: Settlement) -> bool:
        """Let `unknown` stand in place of a refusal that the store could not be told of."""
        return self._local.doubt(record, settlement)

    async def keep(self, claim: Claim, settlement: Settlement) -> None:
        """Write an answer down that took no work, so that its key answers alike when it comes again."""
        try:
            await self._shared.restore(LocalRecord(settled_record(record_of(claim), settlement), claim), 0)
        except Unavailable as lost:
            self._continuity.lose(lost.reason)

    async def get(self, record: RecordId) -> Record | None:
        """Read one record; what only this process knows of it counts."""
        return self._local.get(record) or await self._shared.get(record)

    def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        """The accounts with records in the store that are not at their end."""
        return self._shared.awaited(accounts)

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        """Take over records of the store."""
        return await self._shared.take(account, at_ms, lease_ms, most=most, named=named)

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        """Give a record of the store back."""
        return await self._shared.postpone(record, pause_ms, steps)

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        """Write down what was done while the store was away."""
        return await self._shared.restore(kept, lease_ms)

    async def aclose(self) -> None:
        """Stop writing; what the store was not told by now is lost."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._local:
            self._told(0, len(self._local))

    def _claim_here(self, claim: Claim, *, in_store: bool) -> Claimed:
        claimed = self._local.claim(claim, in_store=in_store)
        self._write_soon()
        return claimed

    def _remember(self, claim: Claim) -> None:
        if len(self._claims) >= UNDER_WAY_MOST:
            del self._claims[next(iter(self._claims))]
        self._claims[claim.id] = claim

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_back())

    async def _write_back(self) -> None:
        """Tell the store what it missed, as soon as it is back and until there is nothing left."""
        written = 0
        while self._local:
            if not self._continuity.degraded:
                written += await self._write_all()
            await asyncio.sleep(LOOK_EVERY_S)
        self._told(written, self._local.dropped)
        self._local.dropped = 0

    async def _write_all(self) -> int:
        written = 0
        for kept in self._local.to_write():
            lease_ms = max(0, kept.record.lease_until_ms - self._clock.now_ms())
            try:
                await self._shared.restore(kept, lease_ms)
            except Unavailable as lost:
                self._continuity.lose(lost.reason)
                return written
            # What came of it meanwhile is told in the next round; what comes of it from now on, by its settlement.
            if self._local.get(kept.record.id) is kept.record:
                self._local.forget(kept.record.id)
                written += 1
                if kept.record.state is State.SENT:
                    self._remember(kept.claim)
        return written
