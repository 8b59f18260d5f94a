"""Sign, send, interpret: one cancel alone, or many in one request. What comes back is each order's own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from gateway.core.admission import Missed
from gateway.core.model import Op, OrderRef
from gateway.core.outcome import Throttled, Unclear, Verdict
from gateway.core.trail import Exchanged
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.courier import Carried, Courier, Parcel
from gateway.course import Course
from gateway.line import Boarding
from gateway.party import Told
from gateway.ports import NO_TRAIL, Clock, Meter, Trail, always


@dataclass(frozen=True, slots=True)
class Errands:
    """Runs them."""

    clock: Clock
    courier: Courier
    meter: Meter
    trail: Trail = NO_TRAIL

    async def cancel(self, course: Course) -> Told:
        """One attempt, on the slot that the course has boarded."""
        boarding = course.boarding
        assert boarding is not None  # noqa: S101  nothing is sent before it is admitted
        course.attempts += 1
        course.sent_ms = course.sent_ms or self.clock.now_ms()
        if boarding.party is None:
            told = (await self._send(course, boarding, (course.order,)))[0]
            course.batch = 1
            course.attempts -= isinstance(told, Missed)  # nothing was tried: the slot was stale
            return told
        left_before, course.may_have_left = course.may_have_left, True
        told = await boarding.party.board(course.order, partial(self._send, course, boarding))
        course.batch = boarding.party.size
        course.attempts -= isinstance(told, Missed)
        course.may_have_left = left_before or not isinstance(told, NotSent | Missed)
        return told

    async def stay_away(self, course: Course) -> None:
        """A slot that this course will not use, or a seat that it will not take."""
        boarding = course.boarding
        if boarding is None:
            return
        if boarding.party is None or boarding.party.stay_away():
            await self.courier.give_back(course.account, boarding.slot)

    async def _send(self, course: Course, boarding: Boarding, orders: tuple[OrderRef, ...]) -> tuple[Told, ...]:
        alone = boarding.party is None
        make, departs = _signed(course, orders, alone=alone), course.departs if alone else always
        parcel = Parcel(course.account, course.desk, boarding.slot, len(orders), make, departs, boarding.urgent)
        carried = await self.courier.carry(parcel)
        match carried:
            case Carried():
                return await self._told(course, carried, orders, alone=alone)
            case Missed() | NotSent():
                return (carried,) * len(orders)
            case _:
                assert_never(carried)

    async def _told(
        self, course: Course, carried: Carried, orders: tuple[OrderRef, ...], *, alone: bool
    ) -> tuple[Told, ...]:
        course.venue_s = carried.back - carried.left
        verdicts = _interpreted(course, carried.result, orders, alone=alone)
        phase, venue = self.meter.phase, course.account.venue
        phase(venue, "sign", carried.left - carried.began)
        phase(venue, "send", carried.back - carried.left)
        phase(venue, "interpret", self.clock.monotonic() - carried.back)
        op, slot = Op.CANCEL if alone else Op.BATCH, carried.slot
        self.trail.note(Exchanged(op, course.account, orders, carried.request, slot, carried.result, verdicts))
        if not isinstance(verdicts[0], NotSent):
            version = course.unlocked.version
            self.courier.weather.judged(course.account, version, verdicts[0], carried.result, carried.left)
        refusal = verdicts[0] if isinstance(verdicts[0], Throttled) else None
        heeded = await self.courier.heed(course.account, carried, refusal)
        if heeded is None:
            return verdicts
        return tuple(heeded if isinstance(verdict, Throttled) else verdict for verdict in verdicts)


def _signed(course: Course, orders: tuple[OrderRef, ...], *, alone: bool) -> Callable[[int], WireRequest]:
    signer = course.unlocked.signer

    def make(at_ms: int) -> WireRequest:
        if alone:
            return signer.cancel(orders[0], at_ms)
        request = signer.batch(orders, at_ms)
        assert request is not None  # noqa: S101  the fare has a batch only where the venue has one for this kind of id
        return request

    return make


def _interpreted(
    course: Course, result: SendResult, orders: tuple[OrderRef, ...], *, alone: bool
) -> tuple[Verdict | NotSent, ...]:
    venue = course.desk.venue
    match result:
        case Reply():
            return (venue.interpret(result, orders[0]),) if alone else venue.interpret_batch(result, orders)
        case Unconfirmed(reason=reason):
            return (Unclear(reason),) * len(orders)
        case NotSent():
            return (result,) * len(orders)
        case _:
            assert_never(result)
