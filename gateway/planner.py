"""`plan=true`: everything but claim, slot and send."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.answer import Answer, Asked, Planned
from gateway.core.model import Op, VenueId
from gateway.core.outcome import Outcome
from gateway.desk import Desk
from gateway.dispatch import Dispatcher, Seat
from gateway.line import URGENT_LANES
from gateway.ports import Clock, Credentials, Limiter, NoSigner
from gateway.weather import Weather


@dataclass(frozen=True, slots=True)
class Planner:
    """Says what would be sent, and when, and does nothing."""

    desks: Mapping[VenueId, Desk]
    clock: Clock
    credentials: Credentials
    limiter: Limiter
    dispatcher: Dispatcher
    weather: Weather

    async def plan(self, asked: Asked) -> Planned | Answer:
        """The request with its secrets taken out; or the refusal that the cancel would meet before it is sent."""
        account, order = asked.cancel.account, asked.cancel.order
        unlocked = await self.credentials.unlock(account)
        if isinstance(unlocked, NoSigner):
            return Answer(unlocked.outcome, detail=unlocked.detail)
        venue = account.venue
        request = unlocked.signer.cancel(order, self.clock.now_ms() + self.weather.offsets.correction_ms(venue))
        fare = self.desks[account.venue].fare(account, Op.CANCEL, order.by)
        outlooks = await self.limiter.outlook(fare.single.urgent if asked.lane in URGENT_LANES else fare.single.normal)
        seat = Seat(account, fare, asked.lane, asked.caller, asked.weight, asked.deadline)
        wait_us = max(self.dispatcher.wait_us(seat), *(outlook.wait_us for outlook in outlooks))
        late = self.clock.monotonic() + wait_us / 1_000_000 > asked.deadline
        return Planned(
            request.shown(),
            wait_us / 1000,
            {outlook.limit: outlook.free for outlook in outlooks},
            self.weather.standing(account) or (Outcome.OVER_DEADLINE if late else None),
        )
