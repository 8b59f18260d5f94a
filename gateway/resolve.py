"""unknown -> known: a record whose cancel left without a trustworthy answer is settled by reading its order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import SETTLED_AS, Record, Settlement, State
from gateway.core.model import Cancel, Lane, VenueId
from gateway.core.outcome import Outcome, ReadBack, conclude
from gateway.core.trail import Settling
from gateway.desk import Desk
from gateway.ports import NO_TRAIL, Clock, Credentials, Meter, Records, Trail, Unavailable, Unlocked
from gateway.reader import Look, Reader

# The cancel did leave, so a cancelled order counts as ours; an order that is open, or not (yet) to be found, proves
# nothing: our cancel may still be on its way.
AFTER_SILENCE = ReadBack(Outcome.CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Settles what was left open."""

    desks: Mapping[VenueId, Desk]
    clock: Clock
    credentials: Credentials
    records: Records
    reader: Reader
    meter: Meter
    encode: Callable[[Asked, Answer], bytes]
    trail: Trail = NO_TRAIL

    def due(self, record: Record) -> bool:
        """Whether nobody works on it and its end is not known."""
        if record.state is State.SENT:
            return record.lease_until_ms < self.clock.now_ms()
        return record.state is State.UNKNOWN

    async def resolve(self, record: Record, deadline: float) -> Record:
        """Look once; the record as it then stands."""
        desk = self.desks.get(record.id.account.venue)
        unlocked = await self.credentials.unlock(record.id.account)
        if desk is None or not isinstance(unlocked, Unlocked):
            return record
        look = Look(desk, record.id.account, record.order, unlocked.signer, record.caller, deadline)
        settled = conclude(AFTER_SILENCE, await self.reader.read(look))
        if settled.outcome is Outcome.UNKNOWN:
            return record
        answer = Answer(settled.outcome, settled.facts, record=record.id, attempts=record.attempts, batch=1)
        resolved = await self._settle(record, answer)
        self.meter.resolved(record.id.account.venue, settled.outcome, self._age_s(record))
        return resolved

    async def _settle(self, record: Record, answer: Answer) -> Record:
        self.trail.note(Settling(as_asked(record).cancel, record.id, answer.outcome, answer.attempts))
        body = self.encode(as_asked(record), answer)
        settlement = Settlement(SETTLED_AS[answer.outcome], answer.outcome, body, self.clock.now_ms(), record.attempts)
        try:
            await self.records.settle(record.id, record.fence, settlement)
            return await self.records.get(record.id) or record
        except Unavailable:
            return replace(record, state=settlement.state, outcome=settlement.outcome, body=body)

    def _age_s(self, record: Record) -> float:
        return (self.clock.now_ms() - record.created_ms) / 1000


def as_asked(record: Record) -> Asked:
    """The request that a record was made for, as far as its answer needs it."""
    return Asked(
        Cancel(record.id.account, record.order), record.caller, Lane.RECONCILE, record.request_id, deadline=0.0
    )
