"""Records that only this process has, while the store is away: single flight by key and by order, and a journal.

In memory and bounded. What is dropped for want of room is the oldest that has ended.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.core.idempotency import (
    IN_FLIGHT,
    STEPS,
    Claim,
    Fresh,
    Known,
    Mismatch,
    Record,
    RecordId,
    Settlement,
    State,
    fingerprint,
    settled_record,
)
from gateway.core.model import Account, By
from gateway.ports import LocalRecord

KEPT_MOST = 10_000
FENCE = 1
Order = tuple[Account, By, str]


class LocalRecords:
    """A store of one process."""

    def __init__(self, most: int = KEPT_MOST) -> None:
        self.dropped = 0
        self._most = most
        self._kept: dict[RecordId, LocalRecord] = {}
        self._orders: dict[Order, RecordId] = {}
        self._keys: dict[tuple[str, str], RecordId] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, record: RecordId) -> bool:
        return record in self._kept

    def known(self, claim: Claim) -> Known | Mismatch | None:
        """The same key, or the same order in flight, if it came here before."""
        at = None if claim.key is None else self._keys.get((claim.caller, claim.key))
        if at is not None:
            kept = self._kept[at]
            return Known(kept.record) if fingerprint(kept.claim.cancel) == fingerprint(claim.cancel) else Mismatch()
        at = self._orders.get(_order(claim))
        return None if at is None else Known(self._kept[at].record)

    def claim(self, claim: Claim, *, in_store: bool) -> Fresh | Known | Mismatch:
        """Write the wish down unless it is known. A call that failed may have written it in the store as well."""
        known = self.known(claim)
        if known is not None:
            return known
        self._keep(LocalRecord(record_of(claim), claim, in_store))
        self._orders[_order(claim)] = claim.id
        if claim.key is not None:
            self._keys[claim.caller, claim.key] = claim.id
        return Fresh(FENCE, degraded=True)

    def mark_sent(self, record: RecordId, at_ms: int) -> bool:
        """Write `sent` before bytes leave."""
        kept = self._kept[record]
        if State.SENT not in STEPS[kept.record.state]:
            return False
        self._kept[record] = replace(kept, record=replace(kept.record, state=State.SENT, sent_ms=at_ms))
        return True

    def settle(self, record: RecordId, settlement: Settlement) -> bool:
        """Write what came of it; the order is free again, and after `refused` the key, too."""
        kept = self._kept[record]
        if settlement.state not in STEPS[kept.record.state]:
            return False
        self._kept[record] = ended = replace(kept, record=settled_record(kept.record, settlement))
        self._release(ended, key=settlement.state is State.REFUSED)
        return True

    def adopt(self, claim: Claim, fence: int, settlement: Settlement, *, in_store: bool) -> None:
        """What came of a record that the store has, and could not be told; or that it has lost."""
        self._keep(LocalRecord(settled_record(sent_record(claim, fence, claim.at_ms), settlement), claim, in_store))
        if claim.key is not None and settlement.state is not State.REFUSED:
            self._keys[claim.caller, claim.key] = claim.id

    def adopt_sent(self, claim: Claim, fence: int, at_ms: int) -> None:
        """The store has the record, and could not be told that it is sent now."""
        self._keep(LocalRecord(sent_record(claim, fence, at_ms), claim, in_store=True))

    def doubt(self, record: RecordId, settlement: Settlement) -> bool:
        """Let another end stand where the store may say something else than the one that is kept here."""
        kept = self._kept.get(record)
        if kept is None or not kept.in_store:
            return False
        self.adopt(kept.claim, kept.record.fence, settlement, in_store=True)
        return True

    def get(self, record: RecordId) -> Record | None:
        """Read one record."""
        kept = self._kept.get(record)
        return None if kept is None else kept.record

    def to_write(self) -> Iterator[LocalRecord]:
        """What the store has to be told: everything but what still waits for its slot."""
        return (
            kept for kept in tuple(self._kept.values()) if kept.record.state not in {State.RECEIVED, State.RESERVED}
        )

    def forget(self, record: RecordId) -> None:
        """The store has it."""
        kept = self._kept.pop(record, None)
        if kept is not None:
            self._release(kept, key=True)

    def _keep(self, kept: LocalRecord) -> None:
        if len(self._kept) >= self._most:
            oldest = next((at for at, each in self._kept.items() if each.record.state not in IN_FLIGHT), None)
            if oldest is not None:
                self.forget(oldest)
                self.dropped += 1
        self._kept[kept.record.id] = kept

    def _release(self, kept: LocalRecord, *, key: bool) -> None:
        record = kept.record
        order = record.id.account, record.by, record.ref
        if self._orders.get(order) == record.id:
            del self._orders[order]
        if key and kept.claim.key is not None and self._keys.get((record.caller, kept.claim.key)) == record.id:
            del self._keys[record.caller, kept.claim.key]


def _order(claim: Claim) -> Order:
    order = claim.cancel.order
    return claim.cancel.account, order.by, order.value


def sent_record(claim: Claim, fence: int, at_ms: int) -> Record:
    """The record that a claim made in the store, once it was sent."""
    return replace(record_of(claim), state=State.SENT, fence=fence, sent_ms=at_ms)


def record_of(claim: Claim) -> Record:
    """The record that a claim makes."""
    order = claim.cancel.order
    return Record(
        id=claim.id,
        state=State.RECEIVED,
        by=order.by,
        ref=order.value,
        symbol=order.symbol,
        caller=claim.caller,
        request_id=claim.request_id,
        created_ms=claim.at_ms,
        fence=FENCE,
        lease_until_ms=claim.at_ms + claim.lease_ms,
    )
