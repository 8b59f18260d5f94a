"""Reading an order back, under the venue's query limit, in the lane that yields to every cancel."""

import asyncio
from dataclasses import dataclass
from typing import assert_never

from gateway.core.model import Account, Lane, Op, OrderRef
from gateway.core.outcome import Outcome, ReadBack, Settled, Sighting, Unclear, conclude
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed
from gateway.desk import Desk
from gateway.dispatch import Dispatcher, Seat
from gateway.ports import Clock, Meter, Sender, Slot, Unavailable
from gateway.venues.base import Signer

PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 1.0
NO_READ = Unclear("the venue has no call that reads this order")
NO_SLOT = Unclear("no slot under the venue's query limit before the deadline")


@dataclass(frozen=True, slots=True)
class Look:
    """Which order to look at, with whose signer, and until when (monotonic seconds)."""

    desk: Desk
    account: Account
    order: OrderRef
    signer: Signer
    caller: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Reader:
    """Looks at orders."""

    clock: Clock
    dispatcher: Dispatcher
    sender: Sender
    meter: Meter

    async def read(self, look: Look) -> Sighting:
        """What the venue shows of the order now; unclear where it cannot be asked in time."""
        if look.signer.read(look.order, self.clock.now_ms()) is None:
            return NO_READ
        spending = look.desk.spending(look.account, Op.READ, look.order.by)
        seat = Seat(look.account, spending, Lane.RECONCILE, look.caller, 1, look.deadline)
        try:
            admitted = await self.dispatcher.admit(seat)
        except Unavailable as lost:
            return Unclear(str(lost))
        if not isinstance(admitted, Slot):
            return NO_SLOT
        # Signed only now: the wait may have outlived the venue's clock window.
        request = look.signer.read(look.order, self.clock.now_ms())
        if request is None:
            return NO_READ
        self.meter.sent(spending.normal, self.clock.monotonic())
        return self._seen(look, await self.sender.send(look.desk.venue.id, request, look.desk.timeout_ms))

    def _seen(self, look: Look, result: SendResult) -> Sighting:
        match result:
            case Reply():
                return look.desk.venue.interpret_read(result, look.order)
            case NotSent(reason=reason) | Unconfirmed(reason=reason):
                return Unclear(reason)
            case _:
                assert_never(result)

    async def until_final(self, look: Look, asked: ReadBack) -> Settled:
        """Look again until the order is provably gone, or the deadline comes; `accepted` then stays accepted."""
        pause_s = PAUSE_FIRST_S
        while True:
            sighting = await self.read(look)
            if sighting is NO_READ or sighting is NO_SLOT:
                return Settled(asked.if_open, asked.facts)
            settled = conclude(asked, sighting)
            left_s = look.deadline - self.clock.monotonic()
            if settled.outcome not in {Outcome.ACCEPTED, Outcome.UNKNOWN} or left_s <= pause_s:
                return Settled(asked.if_open, asked.facts) if settled.outcome is Outcome.UNKNOWN else settled
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MOST_S)
