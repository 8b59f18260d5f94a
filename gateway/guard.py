"""The breaker of a host at the wire, for everything that is sent: cancels, reads and logins (a ports.Sender)."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.breakers import Breakers
from gateway.core.model import VenueId
from gateway.core.wire import NotSent, SendResult, WireRequest
from gateway.ports import Sender, always

LEFT_ALONE = NotSent("the venue did not answer lately; it is asked again in a moment", here=True)


@dataclass(frozen=True, slots=True)
class GuardedSender:
    """Sends where the breaker lets it, and tells the breaker what came of it."""

    sender: Sender
    breakers: Breakers

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        """Send once, or not at all."""
        if not self.breakers.depart(venue):
            return LEFT_ALONE
        result = await self.sender.send(venue, request, timeout_ms, may_leave, urgent=urgent)
        self.breakers.felt(venue, result)
        return result
