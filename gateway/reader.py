"""Reading an order back, under the venue's query limit, in the lane that yields to every cancel."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from gateway.core.admission import Slot
from gateway.core.model import Account, Lane, Op, OrderRef
from gateway.core.outcome import Outcome, ReadBack, Settled, Sighting, Throttled, Unclear, Unlisted, conclude
from gateway.core.resolution import another_order
from gateway.core.trail import Exchanged
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.courier import Carried, Courier, Parcel
from gateway.desk import Desk
from gateway.dispatch import Dispatcher, Seat
from gateway.line import Boarding
from gateway.ports import NO_TRAIL, Clock, Trail, Unavailable
from gateway.venues.base import Leafing, Signer

PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 1.0
# A look has seconds, and every page takes a slot under the venue's query limit.
PAGES_MOST = 20
NO_READ = Unclear("the venue has no call that shows this order")
ANOTHER_ORDER = Unclear("an order that was made after the cancel may have this id")
NO_SLOT = Unclear("no slot under the venue's query limit before the deadline")


@dataclass(frozen=True, slots=True)
class Look:
    """Which order to look at, with whose signer, and until when (monotonic seconds).

    `sent_ms` is when its cancel left: where an id may name another order by now, one made later proves nothing.
    """

    desk: Desk
    account: Account
    order: OrderRef
    signer: Signer
    caller: str
    deadline: float
    sent_ms: int

    def request(self, page: int, at_ms: int) -> WireRequest:
        """The signed read, or a further page of the list that shows the order."""
        signer = self.signer
        request = signer.leaf(self.order, page, at_ms) if isinstance(signer, Leafing) and page else None
        request = request or signer.read(self.order, at_ms)
        assert request is not None  # noqa: S101  whether there is one does not depend on the time
        return request


@dataclass(frozen=True, slots=True)
class Reader:
    """Looks at orders."""

    clock: Clock
    dispatcher: Dispatcher
    courier: Courier
    trail: Trail = NO_TRAIL

    async def read(self, look: Look) -> Sighting:
        """What the venue shows of the order now; unclear where it cannot be asked in time."""
        if look.signer.read(look.order, self.clock.now_ms()) is None:
            return NO_READ
        seen, page = await self._page(look, 0), 1
        while isinstance(seen, Unlisted) and page < min(seen.pages, PAGES_MOST):
            seen, page = await self._page(look, page), page + 1
        return seen

    async def _page(self, look: Look, page: int) -> Sighting:
        """One request; where no list is leafed through, it is the only one."""
        make = partial(look.request, page)
        while self.clock.monotonic() < look.deadline:
            slot = await self._slot(look)
            if not isinstance(slot, Slot):
                return slot
            carried = await self.courier.carry(Parcel(look.account, look.desk, slot, 1, make))
            if isinstance(carried, Carried):
                return await self._heeded(look, carried)
            if isinstance(carried, NotSent):
                return Unclear(carried.reason)
        return NO_SLOT

    async def _slot(self, look: Look) -> Slot | Unclear:
        fare = look.desk.fare(look.account, Op.READ, look.order.by)
        try:
            admitted = await self.dispatcher.admit(
                Seat(look.account, fare, Lane.RECONCILE, look.caller, 1, look.deadline)
            )
        except Unavailable as lost:
            return Unclear(str(lost))
        return admitted.slot if isinstance(admitted, Boarding) else NO_SLOT

    async def _heeded(self, look: Look, carried: Carried) -> Sighting:
        seen = _seen(look, carried.result)
        self.trail.note(
            Exchanged(Op.READ, look.account, (look.order,), carried.request, carried.slot, carried.result, (seen,))
        )
        sighting = _about_ours(look, seen)
        refusal = sighting if isinstance(sighting, Throttled) else None
        return await self.courier.heed(look.account, carried, refusal) or sighting

    async def once(self, look: Look, asked: ReadBack) -> Settled:
        """What one look makes of it."""
        return conclude(asked, await self.read(look))

    async def until_final(self, look: Look, asked: ReadBack, unseen: Outcome) -> Settled:
        """Look again until the order is provably gone, or the deadline comes; `unseen` holds while nothing is seen."""
        pause_s = PAUSE_FIRST_S
        while True:
            sighting = await self.read(look)
            settled = conclude(asked, sighting)
            if settled.outcome not in {Outcome.ACCEPTED, Outcome.UNKNOWN}:
                return settled
            hopeless = sighting is NO_READ or sighting is NO_SLOT
            if hopeless or look.deadline - self.clock.monotonic() <= pause_s:
                return settled if settled.outcome is Outcome.ACCEPTED else Settled(unseen, asked.facts)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MOST_S)


def _about_ours(look: Look, sighting: Sighting) -> Sighting:
    lasting = look.order.by in look.desk.venue.lasting
    return sighting if lasting or not another_order(sighting, look.sent_ms) else ANOTHER_ORDER


def _seen(look: Look, result: SendResult) -> Sighting:
    match result:
        case Reply():
            return look.desk.venue.interpret_read(result, look.order)
        case NotSent(reason=reason) | Unconfirmed(reason=reason):
            return Unclear(reason)
        case _:
            assert_never(result)
