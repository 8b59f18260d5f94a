"""One cancel, from unlock to settle. `Pipeline.cancel` is the path; what stands below it is one verb each.

Once a byte may have left, the only way out is what the venue said, or `unknown`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

from gateway.again import Retries
from gateway.core.admission import Gated, Missed
from gateway.core.answer import Answer, Asked, remembered
from gateway.core.idempotency import (
    Claimed,
    Fresh,
    Gone,
    Known,
    Late,
    Mismatch,
    Record,
    State,
)
from gateway.core.model import VenueId, Wait
from gateway.core.outcome import (
    AuthRefused,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Unclear,
    Untimely,
    conclude,
)
from gateway.core.resolution import AFTER_ACK, AFTER_SILENCE
from gateway.core.shut import Shut
from gateway.core.trail import Claiming, Slotted
from gateway.course import Course
from gateway.desk import Desk
from gateway.dispatch import CallerLeft, Dispatcher, Full, OverDeadline, Patience, Refusal
from gateway.ends import TRY_AGAIN_MS, End, ms_up, plainly, shut_as, with_earlier
from gateway.errand import Errands
from gateway.follow import Follower
from gateway.gangway import Gangway
from gateway.line import URGENT_LANES, Boarding
from gateway.party import Told
from gateway.ports import NO_TRAIL, Clock, Continuity, Credentials, Meter, NoSigner, SteadyStore, Trail
from gateway.reader import Look, Reader
from gateway.settle import Settler, done_by_looking
from gateway.weather import Weather

US_PER_S = 1_000_000
# Of the time that is left, a renewal may take so much: what comes after it needs some as well.
RENEWAL_SHARE = 0.8
# What a venue says of an order only to somebody whose signature it has taken; a refusal may come before that.
CREDENTIAL_TAKEN = frozenset({
    Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED, Outcome.TOO_LATE_FILLED, Outcome.CLOSED,
})  # fmt: skip
# After the deadline, so long for what was not sent to be withdrawn where somebody else could still do it.
WITHDRAWAL_S = 0.25
# What is no proof that the order is gone: to look once more may show it, and so may to ask once more.
UNSEEN = frozenset({Outcome.ACCEPTED, Outcome.UNKNOWN})
NOT_GONE = frozenset({Outcome.UNKNOWN, Outcome.REJECTED})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The path of one cancel, and what it needs from the world."""

    desks: Mapping[VenueId, Desk]
    clock: Clock
    credentials: Credentials
    records: SteadyStore
    weather: Weather
    retries: Retries
    gangway: Gangway
    dispatcher: Dispatcher
    errands: Errands
    reader: Reader
    follower: Follower
    continuity: Continuity
    meter: Meter
    noise: Callable[[int], bytes]
    settler: Settler
    trail: Trail = NO_TRAIL
    _behind: set[asyncio.Task[Answer]] = field(default_factory=set)

    async def cancel(self, asked: Asked, patience: Patience | None = None) -> Answer:
        """Unlock, claim, admit; then sign, send, interpret and settle."""
        began = self.clock.monotonic()
        unlocked = await self.credentials.unlock(asked.cancel.account)
        if isinstance(unlocked, NoSigner):
            return Answer(unlocked.outcome, detail=unlocked.detail)
        course = Course(asked, self.desks[asked.cancel.account.venue], unlocked, patience or Patience())
        course.patience.so_far = partial(self._so_far, course, Outcome.DRAINING, "the process ends")
        self._lap(course, "unlock", began)
        try:
            while not isinstance(claimed := await self._claim(course), Fresh):
                if (answer := await self._not_fresh(course, claimed)) is not None:
                    return answer
            admitted = await self._admit(course, claimed)
            if not isinstance(admitted, Boarding):
                return await self._turn_away(course, admitted)
            return await self._within_deadline(course)
        finally:
            course.go_ashore()

    @property
    def busy(self) -> bool:
        """Whether work goes on whose caller has his answer."""
        return bool(self._behind)

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
        began = self.clock.monotonic()
        if not self.gangway.enter():
            await self.gangway.wait(urgent=course.asked.lane in URGENT_LANES)
            began, asked = self.clock.monotonic(), began
            course.waited_s += began - asked
        course.gangway = self.gangway
        claim = course.claim = course.new_claim(self.clock.now_ms(), began, self.noise(10))
        course.shut = self.weather.against(course.account, course.unlocked.version, course.asked.lane)
        waits = course.shut is not None or self.dispatcher.must_wait(course.fare, course.asked.lane)
        at_once = () if waits else course.demands
        claimed = await self.records.claim(claim, at_once, int(course.left_s(began) * US_PER_S))
        self._lap(course, "claim", began)
        if not isinstance(claimed, Fresh) or claimed.slot is None:
            course.go_ashore()
        if isinstance(claimed, Fresh):
            course.record, course.fence, course.degraded = claim.id, claimed.fence, claimed.degraded
        self.trail.note(Claiming(course.asked, course.record, claimed))
        return claimed

    async def _not_fresh(self, course: Course, claimed: Late | Known | Gone | Mismatch | Gated) -> Answer | None:
        """What is told instead; None where whoever we followed was turned away unsent, so that it is our turn."""
        match claimed:
            case Late(wait_us=wait_us):
                return course.answer(Settled(Outcome.OVER_DEADLINE), retry_after_ms=ms_up(wait_us))
            case Mismatch():
                return course.answer(Settled(Outcome.KEY_REUSED))
            case Gated(scope=scope, wait_us=wait_us):
                self.meter.gated(course.account.venue, scope, wait_us / US_PER_S)
                return course.answer(Settled(shut_as(claimed)), retry_after_ms=ms_up(wait_us))
            case Gone(record=record):
                return await self._remembered(course, record)
            case Known(record=record):
                return await self._followed(course, record)
            case _:
                assert_never(claimed)

    async def _remembered(self, course: Course, record: Record) -> Answer:
        """What is known of an order that is gone. Under a key it is kept, for the key may come again."""
        claim, settled = course.claim, remembered(record)
        if claim is None or claim.key is None:
            course.record = record.id
            return course.answer(settled)
        course.record = claim.id
        answer = course.answer(settled)
        await self.settler.keep(claim, course.asked, answer)
        return answer

    async def _followed(self, course: Course, record: Record) -> Answer | None:
        """What came of the record that was there before."""
        seen = await self.follower.follow(record, course.asked.deadline)
        if seen is not None and (seen.state is State.REFUSED or self.follower.resolver.abandoned(seen)):
            return None
        course.record = record.id
        if seen is not None and seen.state is State.UNKNOWN and not seen.body:
            return course.answer(Settled(Outcome.UNKNOWN), detail="whoever sent it did not live to see the answer")
        if seen is None or not seen.body or seen.outcome is None:
            return course.answer(Settled(Outcome.IN_PROGRESS), retry_after_ms=TRY_AGAIN_MS)
        return Answer(seen.outcome, record=seen.id, body=seen.body)

    async def _admit(self, course: Course, claimed: Fresh) -> Boarding | Refusal:
        """The slot that came with the claim, or the next one in line."""
        if claimed.slot is not None:
            self.meter.slot(course.account.venue, "used")
            course.boarding = Boarding(claimed.slot, urgent=course.asked.lane in URGENT_LANES)
            return course.boarding
        if course.shut is not None:
            return course.shut
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
        assert course.record is not None  # noqa: S101  nothing is admitted before it is claimed
        now_ms, probe = self.clock.now_ms(), boarding.slot.probe
        marked = await self.records.mark_sent(course.record, course.fence, now_ms, probe=probe)
        course.degraded = course.degraded or self.continuity.degraded
        return marked

    async def _turn_away(self, course: Course, refused: Refusal) -> Answer:
        match refused:
            case OverDeadline(wait_us=wait_us):
                return await self.settler.settle(course, Settled(Outcome.OVER_DEADLINE), retry_after_ms=ms_up(wait_us))
            case Gated(scope=scope, wait_us=wait_us):
                self.meter.gated(course.account.venue, scope, wait_us / US_PER_S)
                return await self.settler.settle(course, Settled(shut_as(refused)), retry_after_ms=ms_up(wait_us))
            case Full(detail=detail):
                overloaded = Settled(Outcome.OVERLOADED)
                return await self.settler.settle(course, overloaded, detail, TRY_AGAIN_MS)
            case Shut(outcome=outcome, detail=detail, wait_us=wait_us):
                return await self.settler.settle(course, Settled(outcome), detail, ms_up(wait_us))
            case _:
                assert_never(refused)

    async def _within_deadline(self, course: Course) -> Answer:
        """One attempt that says it all is waited for; whatever takes longer goes on behind the caller's deadline."""
        self.retries.first(course.account.venue)
        left_s = course.left_s(self.clock.monotonic())
        if left_s * 1000 <= course.desk.timeout_ms or course.asked.wait is not Wait.ACK:
            return await self._behind_deadline(course, self._send_and_settle(course))
        told = await self.errands.cancel(course)
        if isinstance(told, Settled):
            self._proves(course, told)
            return await self.settler.settle(course, told)
        return await self._behind_deadline(course, self._finish(course, told))

    async def _behind_deadline(self, course: Course, going_on: Coroutine[object, object, Answer]) -> Answer:
        """A caller whose deadline comes before the end is told `unknown`, or what the venue has acknowledged."""
        work = asyncio.ensure_future(going_on)
        self._behind.add(work)
        work.add_done_callback(self._behind.discard)
        done, _ = await asyncio.wait({work}, timeout=course.left_s(self.clock.monotonic()))
        so_far = None if done else self._so_far(course, Outcome.OVER_DEADLINE, "the deadline came")
        if course.given_up and so_far is not None and so_far.outcome is Outcome.UNKNOWN:
            done, _ = await asyncio.wait({work}, timeout=WITHDRAWAL_S)
        return work.result() if done or so_far is None else so_far

    def _so_far(self, course: Course, unsent: Outcome, why: str) -> Answer:
        """What is certain now. Where nothing has left yet, nothing will, unless somebody else may take it over."""
        if course.acknowledged is not None:
            return course.answer(course.acknowledged)
        if course.may_have_left:
            return course.answer(Settled(Outcome.UNKNOWN), detail=f"{why} before the venue's answer")
        course.given_up = True
        if course.claim is not None and done_by_looking(course):
            return course.answer(Settled(Outcome.UNKNOWN), detail=f"{why} before it was withdrawn")
        return course.answer(Settled(unsent), detail=f"{why}; nothing was sent", retry_after_ms=0)

    async def _send_and_settle(self, course: Course) -> Answer:
        return await self._finish(course, await self.errands.cancel(course))

    async def _finish(self, course: Course, told: Told | NoSigner) -> Answer:
        """What the first attempt came to, and as many more as are safe and of use."""
        earlier: End | None = None
        while True:
            told = await self._boarded(course, told)
            if isinstance(told, AuthRefused):
                told = await self._once_renewed(course, told)
            if isinstance(told, Settled):
                self._proves(course, told)
            end = earlier = with_earlier(earlier, await self._end(course, told))
            if end.again is None or not await self._once_more(course, end.again):
                end = await self._watched(course, end)
                return await self.settler.settle(course, end.settled, end.detail, end.retry_after_ms)
            told = await self.errands.cancel(course)

    def _proves(self, course: Course, told: Settled) -> None:
        if course.unlocked.on_trial and told.outcome in CREDENTIAL_TAKEN:
            self.credentials.proved(course.account, course.unlocked)

    async def _once_more(self, course: Course, reason: str) -> bool:
        """Whether the course has boarded another slot: within the budget, the deadline, and nothing else against it."""
        if self.weather.against(course.account, course.unlocked.version, course.asked.lane) is not None:
            return False
        if not await self.retries.allow(course, reason):
            return False
        return isinstance(await self._next_slot(course), Boarding)

    async def _boarded(self, course: Course, told: Told | NoSigner) -> Told | NoSigner:
        """Whoever missed his slot goes back into the line as long as his answer is of use."""
        while isinstance(told, Missed) and course.left_s(self.clock.monotonic()) > 0:
            if not isinstance(await self._next_slot(course), Boarding):
                return told
            told = await self.errands.cancel(course)
        return told

    async def _once_renewed(self, course: Course, refused: AuthRefused) -> Told | NoSigner:
        """Once more with a newer credential. The venue counted the first try, so this one pays a slot of its own."""
        try:
            async with asyncio.timeout(course.left_s(self.clock.monotonic()) * RENEWAL_SHARE):
                renewed = await self.credentials.renew(course.account, course.unlocked)
        except TimeoutError:
            return refused
        if isinstance(renewed, NoSigner):
            return refused if renewed.outcome is Outcome.VENUE_AUTH and refused.facts.venue_message else renewed
        course.unlocked = renewed
        if not isinstance(await self._next_slot(course), Boarding):
            return refused
        return await self._boarded(course, await self.errands.cancel(course))

    async def _end(self, course: Course, told: Told | NoSigner) -> End:
        """What an attempt came to, and whether another one could come to more."""
        match told:
            case ReadBack():
                return await self._read_back(course, told)
            case Unclear(reason=reason, facts=facts) if course.asked.wait is Wait.TERMINAL:
                end = await self._read_back(course, replace(AFTER_SILENCE, facts=facts))
                return end if end.settled.outcome is not Outcome.UNKNOWN else replace(end, detail=reason)
            case Settled():
                if told.outcome is Outcome.ACCEPTED and course.asked.wait is Wait.TERMINAL:
                    course.acknowledged = told
                    return End(told, look=replace(AFTER_ACK, facts=told.facts), unseen=Outcome.ACCEPTED)
                return End(told)
            case Untimely() if not self.weather.offsets.refuses(course.account.venue):
                return replace(plainly(told), again="clock")
            case _:
                return plainly(told)

    async def _read_back(self, course: Course, asked: ReadBack) -> End:
        """What the order shows. One that is provably still open can be asked for again."""
        sighting = await self.reader.read(_look(course))
        settled = conclude(asked, sighting)
        still_open = isinstance(sighting, Seen) and sighting.state is OrderState.OPEN
        again = "still_open" if still_open and settled.outcome in NOT_GONE else None
        return End(settled, again=again, look=asked if settled.outcome in UNSEEN else None)

    async def _watched(self, course: Course, end: End) -> End:
        """Whoever waits for the end looks until it is there, or his deadline."""
        if course.asked.wait is not Wait.TERMINAL or end.look is None:
            return end
        return replace(end, settled=await self.reader.until_final(_look(course), end.look, end.unseen))


def _look(course: Course) -> Look:
    asked, signer = course.asked, course.unlocked.signer
    return Look(course.desk, course.account, course.order, signer, asked.caller, asked.deadline, course.sent_ms)
