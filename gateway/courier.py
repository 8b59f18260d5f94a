"""The last steps to the wire and the first ones back, the same for every kind of request.

Before: when a connection is there and nothing but the writing is left, the slot must still be fresh, and this process's
own count of what it sent must agree. A process that was slow or stopped, or that had to connect first, may hold a slot
that others have built on since; such a slot is given back, never used late.
After: a refusal by limit or ban closes the gate for all replicas; a probe that was let in opens it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.core.admission import Gated, Missed, Slot
from gateway.core.model import Account
from gateway.core.outcome import Throttled
from gateway.core.own_ring import OwnRing, lateness_allowed_s
from gateway.core.wire import HELD_BACK, NotSent, SendResult, WireRequest
from gateway.desk import Desk
from gateway.ports import Clock, Continuity, Gates, Limiter, Meter, Sender, TooFar, Unavailable

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
        """Sign, and send as soon as bytes may leave; a slot that went stale meanwhile is changed for a fresh one."""
        slot, give_up_at = parcel.slot, self.clock.monotonic() + parcel.desk.timeout_ms / 1000
        while self.clock.monotonic() < give_up_at:
            carried = await self._try(parcel, slot)
            if carried.result is not HELD_BACK:
                if isinstance(carried.result, NotSent):
                    await self._give_back(parcel.account, slot)
                return carried
            fresh = await self._fresh(parcel.account, slot)
            if not isinstance(fresh, Slot):
                return fresh
            slot = fresh
        await self._give_back(parcel.account, slot)
        return Missed()

    async def _try(self, parcel: Parcel, slot: Slot) -> Carried:
        left: list[float] = []

        def may_leave() -> bool:
            now = self.clock.monotonic()
            if not _is_fresh(slot, now) or self.ring.clear_at(slot.demands) > now:
                return False
            self.ring.depart(slot.demands, now)
            self.meter.sent(slot.demands, now)
            left.append(now)
            return True

        began = self.clock.monotonic()
        request = parcel.make(self.clock.now_ms())
        signed = self.clock.monotonic()
        result = await self.sender.send(parcel.account.venue, request, parcel.desk.timeout_ms, may_leave)
        if left:
            self.meter.batch(parcel.account.venue, parcel.orders)
        return Carried(result, slot, began, signed, self.clock.monotonic())

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

    async def _fresh(self, account: Account, slot: Slot) -> Slot | Gated | Missed:
        """The same slot where only this process's own count stood against it; else another one."""
        now = self.clock.monotonic()
        clear_at = self.ring.clear_at(slot.demands)
        if _is_fresh(slot, max(now, clear_at)):
            await asyncio.sleep(clear_at - now)
            return slot
        await self._give_back(account, slot)
        await asyncio.sleep(max(0.0, clear_at - now))
        taken = await self.limiter.reserve(slot.demands, PATIENCE_US)
        match taken:
            case Gated():
                return taken
            case TooFar():
                return Missed()
            case _:
                await asyncio.sleep(max(0.0, taken[0].matures_at - self.clock.monotonic()))
                return taken[0]

    async def _give_back(self, account: Account, slot: Slot) -> None:
        returned = await self.limiter.give_back(slot)
        self.meter.slot(account.venue, "returned" if returned else "wasted")


def _is_fresh(slot: Slot, now: float) -> bool:
    return now - slot.matures_at <= lateness_allowed_s(slot.demands)
