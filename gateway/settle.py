"""settle: what came of a cancel is written, and what is told of it is no more than what is written.

A refusal says that nothing was done and nobody will do it. Where a look at an order is itself a cancel, somebody who
finds the record still open may do it all the same; there a refusal is told only once it is written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import SETTLED_AS, Claim, RecordId, Settlement, State
from gateway.core.model import OrderRef
from gateway.core.outcome import Outcome, Settled
from gateway.core.trail import Settling
from gateway.course import Course
from gateway.follow import Bell
from gateway.ports import NO_TRAIL, Clock, Continuity, Meter, SteadyStore, Trail, Unavailable
from gateway.resolve import gone
from gateway.venues.base import looks_by_cancelling


@dataclass(frozen=True, slots=True)
class Settler:
    """Writes the ends of cancels."""

    clock: Clock
    records: SteadyStore
    bell: Bell
    continuity: Continuity
    meter: Meter
    encode: Callable[[Asked, Answer], bytes]
    trail: Trail = NO_TRAIL

    async def settle(
        self, course: Course, settled: Settled, detail: str | None = None, retry_after_ms: int | None = None
    ) -> Answer:
        """Write what came of it, and make the answer."""
        began = self.clock.monotonic()
        answer = course.answer(settled, detail=detail, retry_after_ms=retry_after_ms)
        assert course.record is not None  # noqa: S101  nothing is settled before it is claimed
        self.trail.note(Settling(course.asked.cancel, course.record, answer.outcome, course.attempts))
        settlement = self._settlement(course, answer, gone(course.desk, course.order, settled))
        if not await self.records.settle(course.record, course.fence, settlement):
            answer = await self._as_recorded(course, course.record, answer)
        elif settlement.state is State.REFUSED:
            answer = self._as_told(course, course.record, answer)
        self.bell.ring(course.record)
        self.meter.phase(course.account.venue, "settle", self.clock.monotonic() - began)
        return answer

    async def keep(self, claim: Claim, asked: Asked, answer: Answer) -> None:
        """Write an answer down that took no work, for its key may come again."""
        body, now_ms = self.encode(asked, answer), self.clock.now_ms()
        await self.records.keep(claim, Settlement(SETTLED_AS[answer.outcome], answer.outcome, body, now_ms, attempts=0))

    def _settlement(self, course: Course, answer: Answer, proven: OrderRef | None = None) -> Settlement:
        return Settlement(
            SETTLED_AS[answer.outcome],
            answer.outcome,
            self.encode(course.asked, answer),
            self.clock.now_ms(),
            attempts=course.attempts,
            gone=proven,
        )

    async def _as_recorded(self, course: Course, at: RecordId, answer: Answer) -> Answer:
        """Somebody took the record over and proved its end first: two callers must not be told two things."""
        try:
            record = await self.records.get(at)
        except Unavailable:
            record = None
        if record is not None and record.state is State.TERMINAL and record.outcome is not None and record.body:
            return replace(answer, outcome=record.outcome, body=record.body, retry_after_ms=None)
        refused = SETTLED_AS[answer.outcome] is State.REFUSED and (record is None or record.state is not State.REFUSED)
        return self._in_doubt(course) if refused and done_by_looking(course) else answer

    def _as_told(self, course: Course, at: RecordId, refused: Answer) -> Answer:
        """A refusal, unless the store could not be told: whoever finds the record there may still do what was asked."""
        course.degraded = course.degraded or self.continuity.degraded
        if not course.degraded or not done_by_looking(course):
            return refused
        answer = self._in_doubt(course)
        if not self.records.doubt(at, self._settlement(course, answer)):
            return refused
        self.trail.note(Settling(course.asked.cancel, at, answer.outcome, course.attempts))
        return answer

    def _in_doubt(self, course: Course) -> Answer:
        return course.answer(Settled(Outcome.UNKNOWN), detail="others could not be told of it, and may still do it")


def done_by_looking(course: Course) -> bool:
    """Whether anybody who takes the record over may cancel the order, as long as it is not settled."""
    return looks_by_cancelling(course.unlocked.signer, course.order)
