"""One cancel, from unlock to settle. `Pipeline.cancel` is the path; what stands below it is one verb each.

Once a byte may have left, the only way out is what the venue said, or `unknown`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from gateway.core.admission import Gated, Missed
from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import SETTLED_AS, Claimed, Fresh, Known, Late, Mismatch, Settlement, State
from gateway.core.model import VenueId, Wait
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear
from gateway.core.trail import Claiming, Settling, Slotted
from gateway.core.wire import NotSent
from gateway.course import Course
from gateway.desk import Desk
from gateway.dispatch import CallerLeft, Dispatcher, Full, OverDeadline, Patience, Refusal
from gateway.errand import Errands
from gateway.follow import Follower
from gateway.line import Boarding
from gateway.party import Told
from gateway.ports import NO_TRAIL, Clock, Continuity, Credentials, Meter, NoSigner, Records, Trail, Unavailable
from gateway.reader import Look, Reader

US_PER_S = 1_000_000
TRY_AGAIN_MS = 1000
# A cancel that the venue took: an order still open, or gone from view, only means that it is not proven final yet.
AFTER_ACK = ReadBack(Outcome.CANCELLED, if_open=Outcome.ACCEPTED, if_missing=Outcome.ACCEPTED)
# What a venue says of an order only to somebody whose signature it has taken; a refusal may come before that.
CREDENTIAL_TAKEN = frozenset({
    Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED, Outcome.TOO_LATE_FILLED, Outcome.CLOSED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The path of one cancel, and what it needs from the world."""

    desks: Mapping[VenueId, Desk]
    clock: Clock
    credentials: Credentials
    records: Records
    dispatcher: Dispatcher
    errands: Errands
    reader: Reader
    follower: Follower
    continuity: Continuity
    meter: Meter
    noise: Callable[[int], bytes]
    encode: Callable[[Asked, Answer], bytes]
    trail: Trail = NO_TRAIL
    _behind: set[asyncio.Task[Answer]] = field(default_factory=set)

    async def cancel(self, asked: Asked, patience: Patience | None = None) -> Answer:
        """Unlock, claim, admit; then sign, send, interpret and settle."""
        began = self.clock.monotonic()
        unlocked = await self.credentials.unlock(asked.cancel.account)
        if isinstance(unlocked, NoSigner):
            return Answer(unlocked.outcome, detail=unlocked.detail)
        course = Course(asked, self.desks[asked.cancel.account.venue], unlocked, patience or Patience())
        self._lap(course, "unlock", began)
        while not isinstance(claimed := await self._claim(course), Fresh):
            if (answer := await self._not_fresh(course, claimed)) is not None:
                return answer
        admitted = await self._admit(course, claimed)
        if not isinstance(admitted, Boarding):
            return await self._turn_away(course, admitted)
        return await self._within_deadline(course)

    async def drain(self) -> None:
        """Wait for the work that outlived its caller's deadline."""
        while self._behind:
            await asyncio.wait(self._behind)

    def _lap(self, course: Course, verb: str, began: float) -> float:
        """Note how long a verb took; the moment it ended."""
        now = self.clock.monotonic()
        self.meter.phase(course.account.venue, verb, now - began)
        return now

    async def _claim(self, course: Course) -> Claimed | Gated:
        """Write the wish down; where nobody waits, the same round trip takes the slot and writes `sent`."""
        if self.continuity.degraded:
            return self._unrecorded(course)
        began = self.clock.monotonic()
        claim = course.new_claim(self.clock.now_ms(), began, self.noise(10))
        at_once = () if self.dispatcher.must_wait(course.fare, course.asked.lane) else course.demands
        try:
            claimed = await self.records.claim(claim, at_once, int(course.left_s(began) * US_PER_S))
        except Unavailable as lost:
            self.continuity.lose(lost.reason)
            return self._unrecorded(course)
        self._lap(course, "claim", began)
        if isinstance(claimed, Fresh):
            course.record, course.fence = claim.id, claimed.fence
            self.follower.lead(claim.id)
        self.trail.note(Claiming(course.asked, course.record, claimed))
        return claimed

    def _unrecorded(self, course: Course) -> Fresh:
        """Without the store a cancel goes on all the same: a double one is harmless, a missing one is not."""
        course.degraded = True
        unrecorded = Fresh(fence=0)
        self.trail.note(Claiming(course.asked, None, unrecorded))
        return unrecorded

    async def _not_fresh(self, course: Course, claimed: Late | Known | Mismatch | Gated) -> Answer | None:
        """What is told instead; None where whoever we followed was turned away unsent, so that it is our turn."""
        match claimed:
            case Late(wait_us=wait_us):
                return course.answer(Settled(Outcome.OVER_DEADLINE), retry_after_ms=_ms_up(wait_us))
            case Mismatch():
                return course.answer(Settled(Outcome.KEY_REUSED))
            case Gated(scope=scope, wait_us=wait_us):
                self.meter.gated(course.account.venue, scope, wait_us / US_PER_S)
                return course.answer(Settled(_shut(claimed)), retry_after_ms=_ms_up(wait_us))
            case Known(record=record):
                seen = await self.follower.follow(record, course.asked.deadline)
                if seen is not None and seen.state is State.REFUSED:
                    return None
                course.record = record.id
                if seen is None or not seen.body or seen.outcome is None:
                    return course.answer(Settled(Outcome.IN_PROGRESS), retry_after_ms=TRY_AGAIN_MS)
                return Answer(seen.outcome, record=seen.id, body=seen.body)
            case _:
                assert_never(claimed)

    async def _admit(self, course: Course, claimed: Fresh) -> Boarding | Refusal:
        """The slot that came with the claim, or the next one in line."""
        if claimed.slot is not None:
            self.meter.slot(course.account.venue, "used")
            course.boarding = Boarding(claimed.slot)
            return course.boarding
        began = self.clock.monotonic()
        admitted = await self._next_slot(course)
        waited_s = self._lap(course, "admit", began) - began
        course.waited_s += waited_s
        self.meter.waited(course.account.venue, course.asked.lane, waited_s)
        if not isinstance(admitted, Boarding):
            return admitted
        marked = await self._mark_sent(course, admitted)
        if marked is not True:
            await self.errands.stay_away(course)
            return marked or OverDeadline(0)
        return admitted

    async def _next_slot(self, course: Course) -> Boarding | Refusal:
        try:
            admitted = await self.dispatcher.admit(course.seat)
        except CallerLeft:
            return OverDeadline(0)
        if isinstance(admitted, Boarding):
            course.boarding = admitted
            self.trail.note(Slotted(course.asked.cancel, course.record, admitted.slot))
        return admitted

    async def _mark_sent(self, course: Course, boarding: Boarding) -> bool | Gated:
        """Write `sent` before any byte leaves; not where the record is somebody else's by now, or a gate has closed."""
        if course.record is None:
            return True
        now_ms, probe = self.clock.now_ms(), boarding.slot.probe
        try:
            return await self.records.mark_sent(course.record, course.fence, now_ms, probe=probe)
        except Unavailable as lost:
            self.continuity.lose(lost.reason)
            course.degraded = True
            return True

    async def _turn_away(self, course: Course, refused: Refusal) -> Answer:
        match refused:
            case OverDeadline(wait_us=wait_us):
                return await self._settle(course, Settled(Outcome.OVER_DEADLINE), retry_after_ms=_ms_up(wait_us))
            case Gated(scope=scope, wait_us=wait_us):
                self.meter.gated(course.account.venue, scope, wait_us / US_PER_S)
                return await self._settle(course, Settled(_shut(refused)), retry_after_ms=_ms_up(wait_us))
            case Full(detail=detail):
                overloaded = Settled(Outcome.OVERLOADED)
                return await self._settle(course, overloaded, detail, TRY_AGAIN_MS)
            case _:
                assert_never(refused)

    async def _within_deadline(self, course: Course) -> Answer:
        """A caller whose deadline comes before the venue's answer is told `unknown`; the work goes on behind him."""
        left_s = course.left_s(self.clock.monotonic())
        if left_s * 1000 > course.desk.timeout_ms and course.asked.wait is Wait.ACK:
            return await self._send_and_settle(course)
        work = asyncio.ensure_future(self._send_and_settle(course))
        self._behind.add(work)
        work.add_done_callback(self._behind.discard)
        done, _ = await asyncio.wait({work}, timeout=left_s)
        if done:
            return work.result()
        if course.acknowledged is not None:
            return course.answer(course.acknowledged)
        return course.answer(Settled(Outcome.UNKNOWN), detail="the deadline came before the venue's answer")

    async def _send_and_settle(self, course: Course) -> Answer:
        told: Told | NoSigner = await self._attempt(course)
        if isinstance(told, AuthRefused):
            told = await self._once_renewed(course, told)
        if course.unlocked.on_trial and isinstance(told, Settled) and told.outcome in CREDENTIAL_TAKEN:
            self.credentials.proved(course.account, course.unlocked)
        match told:
            case Settled() | ReadBack():
                return await self._settle(course, await self._conclude(course, told))
            case Missed():
                return await self._turn_away(course, OverDeadline(0))
            case _:
                return await self._settle(course, *_plainly(told))

    async def _attempt(self, course: Course) -> Told:
        """Send once; whoever missed his slot goes back into the line as long as his answer is of use."""
        told = await self.errands.cancel(course)
        while isinstance(told, Missed) and course.left_s(self.clock.monotonic()) > 0:
            if not isinstance(await self._next_slot(course), Boarding):
                return told
            told = await self.errands.cancel(course)
        return told

    async def _once_renewed(self, course: Course, refused: AuthRefused) -> Told | NoSigner:
        """Once more with a newer credential. The venue counted the first try, so this one pays a slot of its own."""
        try:
            async with asyncio.timeout(course.left_s(self.clock.monotonic())):
                renewed = await self.credentials.renew(course.account, course.unlocked)
        except TimeoutError:
            return refused
        if isinstance(renewed, NoSigner):
            return refused if renewed.outcome is Outcome.VENUE_AUTH and refused.facts.venue_message else renewed
        course.unlocked = renewed
        if not isinstance(await self._next_slot(course), Boarding):
            return refused
        return await self._attempt(course)

    async def _conclude(self, course: Course, verdict: Settled | ReadBack) -> Settled:
        """Read the order where the reply alone cannot tell, or where the caller waits for the end."""
        asked = course.asked
        look = Look(course.desk, course.account, course.order, course.unlocked.signer, asked.caller, asked.deadline)
        to_the_end = asked.wait is Wait.TERMINAL
        if isinstance(verdict, ReadBack):
            if not to_the_end:
                return await self.reader.once(look, verdict)
            return await self.reader.until_final(look, verdict, Outcome.UNKNOWN)
        if verdict.outcome is Outcome.ACCEPTED and to_the_end:
            course.acknowledged = verdict
            return await self.reader.until_final(look, replace(AFTER_ACK, facts=verdict.facts), Outcome.ACCEPTED)
        return verdict

    async def _settle(
        self, course: Course, settled: Settled, detail: str | None = None, retry_after_ms: int | None = None
    ) -> Answer:
        """Write what came of it, and make the answer."""
        began = self.clock.monotonic()
        answer = course.answer(settled, detail=detail, retry_after_ms=retry_after_ms)
        self.trail.note(Settling(course.asked.cancel, course.record, answer.outcome, course.attempts))
        if course.record is None:
            return answer
        body = self.encode(course.asked, answer)
        settlement = Settlement(
            SETTLED_AS[answer.outcome], answer.outcome, body, self.clock.now_ms(), attempts=course.attempts
        )
        try:
            await self.records.settle(course.record, course.fence, settlement)
        except Unavailable as lost:
            self.continuity.lose(lost.reason)
        self.follower.done(course.record)
        self._lap(course, "settle", began)
        return answer


def _plainly(
    told: Unclear | Throttled | AuthRefused | NotSent | NoSigner,
) -> tuple[Settled, str | None, int | None]:
    """What needs no further look: the outcome, its detail, and when to try again."""
    match told:
        case Unclear(reason=reason, facts=facts):
            return Settled(Outcome.UNKNOWN, facts), reason, None
        case Throttled(banned=banned, retry_after_ms=stated_ms, facts=facts):
            limited = Settled(Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED, facts)
            return limited, None, stated_ms or TRY_AGAIN_MS
        case AuthRefused(facts=facts):
            return Settled(Outcome.VENUE_AUTH, facts), None, None
        case NotSent(reason=reason):
            return Settled(Outcome.VENUE_UNAVAILABLE), reason, TRY_AGAIN_MS
        case NoSigner(outcome=outcome, detail=detail):
            return Settled(outcome), detail, None
        case _:
            assert_never(told)


def _shut(gate: Gated) -> Outcome:
    return Outcome.VENUE_BANNED if gate.banned else Outcome.VENUE_LIMITED


def _ms_up(microseconds: int) -> int:
    """Whole milliseconds, rounded up: a wait of 0.4 ms must not become none."""
    return -(-microseconds // 1000)
