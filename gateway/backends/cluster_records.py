"""Records of cancels on a Redis Cluster (ports.Records): the same record, with its key's pointer in another slot.

A claim takes one or two steps more than on a single server; a cancel without a key, only the one for the gates.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from gateway.backends.abroad import OWN_GATES, ClusterLimiter, Permit, apart, is_abroad
from gateway.backends.admittance import Admittance
from gateway.backends.key_pointer import Hold, KeyPointers
from gateway.backends.records import MS_PER_S, Elsewhere, RedisRecords
from gateway.backends.redis.link import Link
from gateway.core.admission import Demand, Gated
from gateway.core.idempotency import (
    Claim,
    Claimed,
    Fresh,
    Gone,
    Known,
    Late,
    Mismatch,
    Record,
    RecordId,
    Settlement,
    State,
    Step,
)
from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.ports import LocalRecord, Taken, TooFar, Unavailable


class ClusterRecords:
    """The store that all replicas share, on a cluster."""

    def __init__(self, link: Link, ttl_seconds: int, admittance: Admittance, limiter: ClusterLimiter) -> None:
        self._records = RedisRecords(link, ttl_seconds, replace(admittance, gates_seen=OWN_GATES))
        self._keys = KeyPointers(link, ttl_seconds * MS_PER_S)
        self._limiter = limiter

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        """Write the wish down unless it is known; where `demands` has a slot at once, take it and mark it sent."""
        if claim.key is None:
            return await self._claim(claim, demands, patience_us, None)
        hold = await self._keys.take(claim, claim.key)
        if hold.foreign and (hold.age_ms <= claim.lease_ms or await self._counts(hold.prior)):
            return Mismatch()
        claimed = await self._claim(claim, demands, patience_us, hold)
        # From here on the answer stands; what can't be tidied up is read rightly by whoever comes next.
        with contextlib.suppress(Unavailable):
            if isinstance(claimed, Fresh):
                return await self._confirm(claim, hold, claimed)
            if hold.taken and not isinstance(claimed, Gone):  # then it is about to lead to a record of its own
                await self._keys.free(hold.pointer, hold.value.partition(" ")[2])
        return claimed

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        """Write `sent` before bytes leave; False where it is no longer ours, Gated where its gate has closed."""
        return await self._records.mark_sent(record, fence, at_ms, probe=probe)

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """Write what came of it; `refused` also frees the key and the order. False where the step is illegal."""
        return await self._records.settle(record, fence, settlement)

    def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        """The accounts with records that are not at their end."""
        return self._records.awaited(accounts)

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        """Take records over whose end is not known and which nobody works on."""
        return await self._records.take(account, at_ms, lease_ms, most=most, named=named)

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        """Give a record back that was taken over."""
        return await self._records.postpone(record, pause_ms, steps)

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        """Write down what was done while the store was away."""
        return await self._records.restore(kept, lease_ms)

    async def get(self, record: RecordId) -> Record | None:
        """Read one record; None where there is none that can be read."""
        return await self._records.get(record)

    async def _claim(
        self, claim: Claim, demands: tuple[Demand, ...], patience_us: int, hold: Hold | None
    ) -> Claimed | Gated:
        """The claim in the account's slot, after whatever lies abroad."""
        groups = apart(demands)
        permit = await self._limiter.precede(
            claim.cancel.account, [group for group in groups if is_abroad(group)], probing=bool(demands)
        )
        own = tuple(demand for group in groups if not is_abroad(group) for demand in group)
        elsewhere = Elsewhere(
            prior="" if hold is None or hold.foreign else hold.prior,
            pointer="" if hold is None else hold.pointer,
            refusal=_refusal(permit, patience_us),
        )
        possible = own if isinstance(permit, Permit) else ()
        claimed = await self._records.claim_after(elsewhere, claim, possible, patience_us)
        match permit, claimed:
            case Permit(), Fresh(slot=slot) if slot is not None:
                return replace(claimed, slot=permit.joined(slot, demands))
            case Permit(), _:
                await self._limiter.undo(permit)
            case TooFar(wait_us), Fresh():
                return replace(claimed, wait_us=wait_us)
            case _:
                pass
        return claimed

    async def _confirm(self, claim: Claim, hold: Hold, fresh: Fresh) -> Claimed:
        """Nothing is sent before the key was looked at again: somebody may have overtaken us between the steps."""
        other = await self._keys.keep(hold)
        if other is None:
            return fresh
        record = await self._records.get_at(other.prior)
        if record is None or record.state is State.REFUSED:
            # They have yet to claim, and will meet our record at the order, or are gone.
            await self._keys.keep(other)
            return fresh
        given_way = Settlement(State.REFUSED, Outcome.VENUE_UNAVAILABLE, b"", claim.at_ms, attempts=0)
        await self._records.settle(claim.id, fresh.fence, given_way)
        return Mismatch() if other.foreign else Known(record)

    async def _counts(self, record: str) -> bool:
        """Whether a record is there and more than a refusal: only then its key is used."""
        found = await self._records.get_at(record)
        return found is not None and found.state is not State.REFUSED


def _refusal(permit: Permit | TooFar | Gated, patience_us: int) -> Gated | Late | None:
    match permit:
        case Gated():
            return permit
        case TooFar(wait_us) if wait_us > patience_us:
            return Late(wait_us)
        case _:
            return None
