"""The last steps to the wire and the first ones back, the same for every kind of request.

Before: the slot must still be fresh, and this process's own count of what it sent must agree. A process that was slow
or stopped may hold a slot that others have built on since; such a slot is thrown away, never used late.
After: a refusal by limit or ban closes the gate for all replicas; a probe that was let in opens it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.core.admission import Gated, Missed, Slot
from gateway.core.model import Account
from gateway.core.outcome import Throttled
from gateway.core.own_ring import OwnRing, lateness_allowed_s
from gateway.core.wire import SendResult, WireRequest
from gateway.desk import Desk
from gateway.ports import Clock, Continuity, Gates, Limiter, Meter, Sender, TooFar, Unavailable

STALE_MOST = 5
PATIENCE_US = 60_000_000
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent: `make` signs at the last moment, since the wait may outlive the venue's clock window."""

    account: Account
    desk: Desk
    slot: Slot
    orders: int
    make: Callable[[int], WireRequest]


@dataclass(frozen=True, slots=True)
class Carried:
    """What came back, and when the request left and the result was there (monotonic seconds)."""

    result: SendResult
    slot: Slot
    began: float
    left: float
    back: float


@dataclass(frozen=True, slots=True)
class Courier:
    """Sends, once per slot."""

    clock: Clock
    limiter: Limiter
    gates: Gates
    continuity: Continuity
    sender: Sender
    meter: Meter
    ring: OwnRing = field(default_factory=OwnRing)

    async def carry(self, parcel: Parcel) -> Carried | Gated | Missed:
        """Wait until bytes may leave, sign, and send them."""
        slot = await self._clear(parcel)
        if not isinstance(slot, Slot):
            return slot
        began = self.clock.monotonic()
        request = parcel.make(self.clock.now_ms())
        left = self.clock.monotonic()
        self.ring.depart(slot.demands, left)
        self.meter.sent(slot.demands, left)
        self.meter.batch(parcel.account.venue, parcel.orders)
        result = await self.sender.send(parcel.account.venue, request, parcel.desk.timeout_ms)
        return Carried(result, slot, began, left, self.clock.monotonic())

    async def heed(self, account: Account, slot: Slot, refusal: Throttled | None) -> Throttled | None:
        """Close the gate that the venue's refusal names, with the wait that then holds; or open it after a probe."""
        try:
            if refusal is not None:
                self.meter.gate_shut(account.venue, refusal)
                wait_ms = await self.gates.close(account, refusal)
                self.meter.gated(account.venue, refusal.scope, wait_ms / 1000)
                return replace(refusal, retry_after_ms=wait_ms)
            if slot.probe:
                await self.gates.reopen(account)
        except Unavailable as lost:
            self.continuity.lose(lost.reason)
        return refusal

    async def _clear(self, parcel: Parcel) -> Slot | Gated | Missed:
        slot = parcel.slot
        for _ in range(STALE_MOST):
            now = self.clock.monotonic()
            if now - slot.matures_at <= lateness_allowed_s(slot.demands):
                if (wait_s := self.ring.clear_at(slot.demands) - now) <= 0:
                    return slot
                await asyncio.sleep(wait_s)
                continue
            self.meter.slot(parcel.account.venue, "wasted")
            another = await self._another(slot)
            if not isinstance(another, Slot):
                return another
            slot = another
        return Missed()

    async def _another(self, stale: Slot) -> Slot | Gated | Missed:
        taken = await self.limiter.reserve(stale.demands, PATIENCE_US)
        match taken:
            case Gated():
                return taken
            case TooFar():
                return Missed()
            case _:
                await asyncio.sleep(max(0.0, taken[0].matures_at - self.clock.monotonic()))
                return taken[0]
