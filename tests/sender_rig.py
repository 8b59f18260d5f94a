"""A sender for a test."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.backends.clock import SystemClock
from gateway.backends.sender import Line, VenueSender
from gateway.core.model import VenueId
from gateway.core.wire import SendResult, WireRequest

VENUE = VenueId("hashkey")


@dataclass
class Rig:
    """A sender for one venue."""

    stack: AsyncExitStack

    async def sender(self, *lines: Line) -> VenueSender:
        """A sender with one venue per line: the first is VENUE, then come `venue-1` and so on."""
        named = {VenueId(f"venue-{n}") if n else VENUE: line for n, line in enumerate(lines)}
        sender = VenueSender(named, SystemClock(), "cancel-gateway/test")
        self.stack.push_async_callback(sender.aclose)
        return sender

    async def send(self, line: Line, path: str = "/v1/order?id=1", method: str = "DELETE") -> SendResult:
        """Send once on a fresh sender."""
        sender = await self.sender(line)
        return await sender.send(VENUE, WireRequest(method, line.base_url + path, ()), 5000)
