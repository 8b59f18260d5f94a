"""unknown -> known: a record whose cancel left without a trustworthy answer is settled by looking at its order.

Whoever looks has taken the record over first, so that two replicas never look at one order at once, and the venue's
query limit serves as many records as it can.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import (
    GONE,
    IN_FLIGHT,
    SETTLED_AS,
    UNNOTED,
    Record,
    RecordId,
    Settlement,
    State,
    Step,
    settled_record,
)
from gateway.core.model import Account, By, Cancel, Lane, OrderRef, VenueId
from gateway.core.outcome import MEANINGS, AuthRefused, Outcome, Settled, Sighting
from gateway.core.resolution import GivenUp, Later, Next, judge, sent_at_ms, with_step
from gateway.core.tally import is_kill
from gateway.core.trail import Settling
from gateway.desk import Desk
from gateway.ports import NO_TRAIL, Clock, Credentials, Log, Meter, NoSigner, OpenRecords, Trail, Unavailable, Unlocked
from gateway.reader import NO_SLOT, Look, Reader

LOOK_S = 5.0
MS_PER_S = 1000
NOBODY_ASKED = "resolver"
NOBODY_SENT = "whoever was to send it did not live to do so, and the order was open afterwards"


@dataclass(frozen=True, slots=True)
class Resolver:
    """Settles what was left open."""

    desks: Mapping[VenueId, Desk]
    clock: Clock
    credentials: Credentials
    records: OpenRecords
    reader: Reader
    meter: Meter
    log: Log
    encode: Callable[[Asked, Answer], bytes]
    chance: Callable[[], float]
    give_up_ms: int
    trail: Trail = NO_TRAIL

    def due(self, record: Record) -> bool:
        """Whether nobody works on it and its end is not known; a kill's names no order that could be looked at."""
        if is_kill(record.ref):
            return False
        if record.state is State.UNKNOWN:
            return True
        return record.state in IN_FLIGHT and record.lease_until_ms < self.clock.now_ms()

    def abandoned(self, record: Record) -> bool:
        """Whether whoever was to send it is gone, and left no note that he did: then it is anybody's turn."""
        return record.state in UNNOTED and record.lease_until_ms < self.clock.now_ms()

    async def round(self, account: Account, most: int) -> list[Record]:
        """Take over whose turn has come, so many at most. Raises Unavailable."""
        taken = await self.records.take(account, self.clock.now_ms(), self._lease_ms(account), most=most)
        self._tell_lost(account, taken.lost)
        self.meter.unknown_open(account, taken.unknown)
        return list(taken.records)

    async def look_once(self, record: Record, deadline: float) -> Record:
        """Take one record over and look, unless somebody else does; the record as it then stands."""
        account = record.id.account
        if account.venue not in self.desks:
            return record
        try:
            return await self._named(record.id, deadline) or await self.records.get(record.id) or record
        except Unavailable:
            return record

    async def mend(self, at: RecordId) -> Record | None:
        """A record that could not be read: as an unknown one, if it still says which order it is about."""
        return await self._named(at, self.clock.monotonic() + LOOK_S)

    async def _named(self, at: RecordId, deadline: float) -> Record | None:
        lease_ms = self._lease_ms(at.account)
        taken = await self.records.take(at.account, self.clock.now_ms(), lease_ms, named=at)
        self._tell_lost(at.account, taken.lost)
        return await self.resolve(taken.records[0], deadline) if taken.records else None

    async def resolve(self, record: Record, deadline: float | None = None) -> Record:
        """Look at the order of a record that was taken over; the record as it then stands."""
        if is_kill(record.ref):
            return await self._conclude(record, GivenUp(Outcome.UNKNOWN), self.clock.now_ms())
        until = self.clock.monotonic() + LOOK_S if deadline is None else deadline
        sighting = await self._look(record, until)
        now_ms = self.clock.now_ms()
        if isinstance(sighting, NoSigner):
            age_ms = now_ms - sent_at_ms(record)
            found: Next = GivenUp(sighting.outcome) if age_ms >= self.give_up_ms else self._later(sighting.outcome)
        else:
            found = judge(record, sighting, now_ms, self.give_up_ms, self.chance())
        if isinstance(found, GivenUp) and sighting is NO_SLOT:
            # Nobody has looked; that the limit was used up is no reason never to look again.
            found = self._later(found.result)
        return await self._conclude(record, found, now_ms)

    def _later(self, why: str) -> Later:
        return Later(int(MS_PER_S * LOOK_S), why)

    async def _look(self, record: Record, deadline: float) -> Sighting | NoSigner:
        account = record.id.account
        unlocked = await self.credentials.unlock(account)
        if not isinstance(unlocked, Unlocked):
            return unlocked
        look = Look(
            self.desks[account.venue],
            account,
            record.order,
            unlocked.signer,
            record.caller or NOBODY_ASKED,
            deadline,
            sent_at_ms(record),
        )
        sighting = await self.reader.read(look)
        if isinstance(sighting, AuthRefused):
            await self.credentials.renew(account, unlocked)
        return sighting

    async def _conclude(self, record: Record, found: Next, now_ms: int) -> Record:
        venue = record.id.account.venue
        match found:
            case Settled():
                return await self._settle(record, found, now_ms)
            case Later(pause_ms=pause_ms, result=result):
                await self._give_back(record, Step(now_ms, "look", result), pause_ms)
            case GivenUp(result=result):
                self.meter.resolved(venue, Outcome.UNKNOWN, self._age_s(record, now_ms), record.request_id)
                await self._give_back(record, Step(now_ms, "give_up", result), None)
            case _:
                assert_never(found)
        return await self._as_it_stands(record)

    async def _give_back(self, record: Record, step: Step, pause_ms: int | None) -> None:
        try:
            await self.records.postpone(record, pause_ms, with_step(record, step))
        except Unavailable:
            # The lease will end, and somebody take it over again.
            return

    async def _settle(self, record: Record, settled: Settled, now_ms: int) -> Record:
        desk, outcome = self.desks[record.id.account.venue], settled.outcome
        sent = 0 if SETTLED_AS[outcome] is State.REFUSED else 1
        detail = None if sent else NOBODY_SENT
        attempts = record.attempts or sent
        answer = Answer(outcome, settled.facts, detail=detail, record=record.id, attempts=attempts, batch=sent)
        self.trail.note(Settling(as_asked(record).cancel, record.id, outcome, answer.attempts))
        settlement = Settlement(
            SETTLED_AS[outcome],
            outcome,
            self.encode(as_asked(record), answer),
            now_ms,
            answer.attempts,
            with_step(record, Step(now_ms, "look", outcome)),
            gone(desk, record.order, settled),
        )
        try:
            news = await self.records.settle(record.id, record.fence, settlement)
        except Unavailable:
            return settled_record(record, settlement)
        if news and record.state is State.UNKNOWN:
            self.meter.resolved(record.id.account.venue, outcome, self._age_s(record, now_ms), record.request_id)
        elif news and MEANINGS[outcome].final:
            self.meter.terminal(record.id.account.venue, self._age_s(record, now_ms), record.request_id)
        return await self._as_it_stands(settled_record(record, settlement))

    async def _as_it_stands(self, record: Record) -> Record:
        try:
            return await self.records.get(record.id) or record
        except Unavailable:
            return record

    def _lease_ms(self, account: Account) -> int:
        """As long as one look can take."""
        return self.desks[account.venue].lease_ms(int(LOOK_S * MS_PER_S))

    def _tell_lost(self, account: Account, lost: int) -> None:
        if lost:
            self.log.event("record.lost", venue=account.venue, account=account.name, records=lost)

    def _age_s(self, record: Record, now_ms: int) -> float:
        return (now_ms - record.created_ms) / MS_PER_S


def gone(desk: Desk, order: OrderRef, settled: Settled) -> OrderRef | None:
    """The order by a name that will never mean another one, where the venue has confirmed that it is gone."""
    if settled.outcome not in GONE:
        return None
    if order.by in desk.venue.lasting:
        return order
    order_id = settled.facts.order_id
    return None if order_id is None or By.ORDER_ID not in desk.venue.lasting else OrderRef(By.ORDER_ID, order_id)


def as_asked(record: Record) -> Asked:
    """The request that a record was made for, as far as its answer needs it."""
    return Asked(
        Cancel(record.id.account, record.order), record.caller, Lane.RECONCILE, record.request_id, deadline=0.0
    )
