"""`DELETE /orders/{venue}`: everything that is open has to go. Written down like a cancel, but never held up by it.

Neither a lost store, nor a closed gate, nor another kill keeps one from beginning; what may wait is only the same key.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import assert_never

from gateway.core.admission import Gated, Spending
from gateway.core.fairness import drain_us
from gateway.core.idempotency import (
    SETTLED_AS,
    Claim,
    Fresh,
    Gone,
    Known,
    Late,
    Mismatch,
    Record,
    RecordId,
    Settlement,
    State,
    record_id,
)
from gateway.core.listing import Breadth
from gateway.core.model import By, Cancel, Lane, Op, OrderRef, VenueId
from gateway.core.outcome import Outcome
from gateway.core.tally import Called, Kill, Stop, Tally, ref_of
from gateway.core.trail import Settling
from gateway.core.wire import WireRequest
from gateway.course import MS_PER_S
from gateway.desk import Desk
from gateway.dispatch import Seat
from gateway.follow import Follower
from gateway.kill_calls import Hands, KillCalls
from gateway.ports import Continuity, Limiter, NoSigner, SteadyStore, Unlocked
from gateway.sweep import Sweep

TRY_AGAIN_MS = 1000
SHOWN_CALLS = 10
US_PER_MS = 1000


@dataclass(frozen=True, slots=True)
class Written:
    """The record that a kill has, if any."""

    record: RecordId | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Killer:
    """Clears accounts."""

    desks: Mapping[VenueId, Desk]
    hands: Hands
    records: SteadyStore
    follower: Follower
    limiter: Limiter
    continuity: Continuity
    noise: Callable[[int], bytes]
    encode: Callable[[Kill, Tally], bytes]
    at_work: dict[int, Sweep] = field(default_factory=dict)

    def under_way(self) -> list[tuple[Kill, Tally]]:
        """How far each kill came that this process works on now."""
        return [(sweep.kill, sweep.tally()) for sweep in self.at_work.values()]

    async def kill(self, kill: Kill) -> Tally:
        """Unlock, write down, sweep, settle."""
        desk = self.desks[kill.account.venue]
        if (hopeless := _hopeless(desk)) is not None:
            return hopeless
        unlocked = await self.hands.credentials.unlock(kill.account)
        if isinstance(unlocked, NoSigner):
            return Tally(unlocked.outcome, unlocked.detail)
        written = await self._claim(kill, desk)
        if isinstance(written, Tally):
            return written
        name = ref_of(kill, written.record.ulid if written.record else "")
        sweep = Sweep(KillCalls(kill, desk, unlocked, self.hands, name))
        self.at_work[id(sweep)] = sweep
        try:
            await asyncio.gather(sweep.run(), self._mark(written))
        finally:
            del self.at_work[id(sweep)]
        tally = replace(sweep.tally(), record=written.record, degraded=self.continuity.degraded)
        self.hands.trail.note(Settling(Cancel(kill.account, name), written.record, tally.outcome, tally.requests))
        return await self._settle(kill, written, tally)

    async def _claim(self, kill: Kill, desk: Desk) -> Written | Tally:
        claim = self._new_claim(kill, desk)
        while True:
            claimed = await self.records.claim(claim, (), 0)
            match claimed:
                case Fresh(fence=fence):
                    return Written(claim.id, fence)
                case Mismatch():
                    return Tally(Outcome.KEY_REUSED)
                case Late() | Gated():
                    return Written()
                case Known(record=record) | Gone(record=record):
                    if (said := await self._known(kill, record)) is not None:
                        return said
                case _:
                    assert_never(claimed)

    async def _known(self, kill: Kill, record: Record) -> Written | Tally | None:
        """What the same key came to; to begin anew never harms, so it is done where nobody can tell any more."""
        if record.state is State.SENT and record.lease_until_ms < self.hands.clock.now_ms():
            return Written()
        seen = await self.follower.follow(record, kill.deadline)
        if seen is None:
            return Tally(Outcome.IN_PROGRESS, record=record.id, retry_after_ms=TRY_AGAIN_MS)
        if seen.state is State.REFUSED or self.follower.resolver.abandoned(seen):
            return None
        if not seen.body or seen.outcome is None or seen.state is State.UNKNOWN:
            return Written()
        return Tally(seen.outcome, record=seen.id, body=seen.body)

    def _new_claim(self, kill: Kill, desk: Desk) -> Claim:
        now_ms = self.hands.clock.now_ms()
        own = record_id(now_ms, self.noise(10), kill.account)
        left_ms = int(max(0.0, kill.deadline - self.hands.clock.monotonic()) * MS_PER_S)
        return Claim(
            id=own,
            cancel=Cancel(kill.account, ref_of(kill, own.ulid)),
            caller=kill.caller,
            key=kill.key,
            request_id=kill.request_id,
            at_ms=now_ms,
            lease_ms=desk.lease_ms(left_ms),
        )

    async def _mark(self, written: Written) -> None:
        """Beside the work: a kill that nobody lives to settle can be done again, so its bytes wait for no note."""
        if written.record is not None:
            await self.records.mark_sent(written.record, written.fence, self.hands.clock.now_ms(), probe=True)

    async def _settle(self, kill: Kill, written: Written, tally: Tally) -> Tally:
        if written.record is None:
            return tally
        settlement = Settlement(
            SETTLED_AS[tally.outcome],
            tally.outcome,
            self.encode(kill, tally),
            self.hands.clock.now_ms(),
            attempts=tally.requests,
        )
        await self.records.settle(written.record, written.fence, settlement)
        return tally

    # -- only looking ----------------------------------------------------------------------------------------------

    async def plan(self, kill: Kill) -> Called | Tally:
        """What a kill would send: the open orders are listed, which is all that goes out."""
        desk = self.desks[kill.account.venue]
        if (hopeless := _hopeless(desk)) is not None:
            return hopeless
        unlocked = await self.hands.credentials.unlock(kill.account)
        if isinstance(unlocked, NoSigner):
            return Tally(unlocked.outcome, unlocked.detail)
        sweep = Sweep(KillCalls(kill, desk, unlocked, self.hands, ref_of(kill, "")))
        seen = await sweep.look()
        return await self._called(kill, desk, unlocked, sweep, seen)

    async def _called(
        self, kill: Kill, desk: Desk, unlocked: Unlocked, sweep: Sweep, seen: tuple[OrderRef, ...] | Stop
    ) -> Called:
        listed = None if isinstance(seen, Stop) else seen
        symbols = sweep.blanket(listed)
        fare = desk.fare(kill.account, Op.CANCEL_ALL if symbols else Op.CANCEL, By.ORDER_ID)
        batched = not symbols and fare.batch is not None and len(listed or ()) >= fare.batch_from
        each = fare.batch_most if batched else 1
        requests = len(symbols) or -(-len(listed or ()) // each)
        spending = fare.batch if batched and fare.batch is not None else fare.single
        seat = Seat(kill.account, fare, Lane.KILL, kill.caller, kill.weight, kill.deadline)
        outlooks = await self.limiter.outlook(spending.urgent)
        wait_us = max(self.hands.dispatcher.wait_us(seat), *(outlook.wait_us for outlook in outlooks))
        calls = self._calls(unlocked, symbols, listed or (), each)
        return Called(
            "cancel_all" if symbols else "batches" if batched else "singles",
            listed,
            requests,
            tuple(call.shown() for call in islice(calls, SHOWN_CALLS)),
            wait_us / US_PER_MS,
            (wait_us + _takes_us(spending, requests)) / US_PER_MS,
            {outlook.limit: outlook.free for outlook in outlooks},
            desk.venue.reach.blind,
            seen.outcome if isinstance(seen, Stop) and not symbols else None,
        )

    def _calls(
        self, unlocked: Unlocked, symbols: tuple[str | None, ...], orders: tuple[OrderRef, ...], each: int
    ) -> Iterator[WireRequest]:
        """The requests one by one, since a signature can be dear."""
        at_ms, signer = self.hands.clock.now_ms(), unlocked.signer
        for symbol in symbols:
            if (request := signer.cancel_all(symbol, at_ms)) is not None:
                yield request
        for start in range(0, 0 if symbols else len(orders), each):
            some = orders[start : start + each]
            request = signer.cancel(some[0], at_ms) if each == 1 else signer.batch(some, at_ms)
            if request is not None:
                yield request


def _takes_us(spending: Spending, requests: int) -> int:
    return drain_us(spending.urgent, max(0, requests - 1))


def _hopeless(desk: Desk) -> Tally | None:
    """Where the venue offers nothing at all, that is said at once, and nothing is touched."""
    reach = desk.venue.reach
    if reach.page_most or reach.cancel_all is not Breadth.NONE:
        return None
    return Tally(Outcome.INVALID_REQUEST, "nothing was sent: " + (reach.blind or "no call serves"), note=reach.blind)
