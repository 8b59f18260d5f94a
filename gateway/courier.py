"""The last steps to the wire and the first ones back, the same for every kind of request.

Before: when a connection is there and nothing but the writing is left, the slot must still be fresh, and this process's
own count of what it sent must agree. A process that was slow or stopped, or that had to connect first, may hold a slot
that others have built on since; such a slot is given back, never used late.
After: a refusal by limit or ban closes the gate for all replicas; a probe that was let in opens it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.core.admission import Demand, Missed, Slot
from gateway.core.learning import stated
from gateway.core.model import Account, Scope
from gateway.core.outcome import Throttled
from gateway.core.own_ring import lateness_allowed_s
from gateway.core.value import quick
from gateway.core.wire import HELD_BACK, NotSent, Reply, SendResult, WireRequest
from gateway.desk import Desk
from gateway.gangway import Gangway
from gateway.offsets import OFF
from gateway.ports import Clock, Continuity, Gates, Limiter, Meter, Sender, Unavailable, always
from gateway.voyage import Voyage, Voyages
from gateway.weather import Weather

TEACH_AGAIN_S = 60.0
TRIES_MORE = 2
# Whoever has to wait longer for his next slot does so in the line, where the best of those who wait goes first.
SOON_S = 0.05


@quick
@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent: `make` signs at the last moment, since the wait may outlive the venue's clock window.

    `departs` is asked last of all, and noted: from then on bytes may have left.
    """

    account: Account
    desk: Desk
    slot: Slot
    orders: int
    make: Callable[[int], WireRequest]
    departs: Callable[[], bool] = always
    urgent: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Carried:
    """What was sent, what came back, and when the one left and the other was there (monotonic seconds)."""

    request: WireRequest
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
    weather: Weather
    voyages: Voyages
    gangway: Gangway
    _taught: dict[Demand, tuple[int, float]] = field(default_factory=dict)

    async def carry(self, parcel: Parcel) -> Carried | Missed | NotSent:
        """Sign, and send as soon as bytes may leave; a slot that went stale meanwhile is changed for a fresh one.

        NotSent by itself: our clock is too far off to sign.
        """
        slot, more = parcel.slot, TRIES_MORE
        carried = await self._try(parcel, slot)
        while (result := _came_to(carried)) is HELD_BACK and more > 0:
            slot, soon = await self._another(slot)
            if not soon:
                break
            carried, more = await self._try(parcel, slot), more - 1
        if isinstance(result, NotSent):
            await self.give_back(parcel.account, slot)
        return Missed() if result is HELD_BACK else carried

    async def _another(self, slot: Slot) -> tuple[Slot, bool]:
        """The same slot where only our own count stood against it, else the next one; and whether to try it at once."""
        now = self.clock.monotonic()
        if not _is_fresh(slot, now):
            self.gangway.late()
        clear_at = max(now, self.voyages.clear_at(slot.demands, now))
        still_good = _is_fresh(slot, clear_at)
        await asyncio.sleep(min(clear_at - now, SOON_S))
        if still_good or clear_at - now > SOON_S:
            return slot, still_good
        other = await self.limiter.exchange(slot)
        return other, other is not slot and other.matures_at - self.clock.monotonic() <= SOON_S

    async def _try(self, parcel: Parcel, slot: Slot) -> Carried | NotSent:
        # A timer may fire a little early, and a little early is over the limit.
        while (early_s := slot.matures_at - self.clock.monotonic()) > 0:  # noqa: ASYNC110  time has no event
            await asyncio.sleep(early_s)
        began = self.clock.monotonic()
        if not _is_fresh(slot, began):
            return HELD_BACK
        if (at_ms := self.weather.offsets.signing_ms(parcel.account.venue)) is None:
            return OFF
        request = parcel.make(at_ms)
        signed = self.clock.monotonic()
        result, back = await self._sent(parcel, slot, request)
        if result is HELD_BACK:
            self.weather.offsets.held_back(parcel.account.venue)
        return Carried(request, result, slot, began, signed, back)

    async def _sent(self, parcel: Parcel, slot: Slot, request: WireRequest) -> tuple[SendResult, float]:
        """Send, unless it is not the moment, and say when it was over."""
        venue, began = parcel.account.venue, self.clock.monotonic()
        begun: list[Voyage] = []

        def may_leave() -> bool:
            now = self.clock.monotonic()
            if not _is_fresh(slot, now) or self.voyages.clear_at(slot.demands, now) > now or not parcel.departs():
                return False
            begun.append(self.voyages.depart(venue, slot, now))
            self.meter.sent(slot.demands, now)
            return True

        result: SendResult | None = None
        try:
            result = await self.sender.send(venue, request, parcel.desk.timeout_ms, may_leave, urgent=parcel.urgent)
        finally:
            back = self.clock.monotonic()
            for voyage in begun:
                self.voyages.arrive(voyage, result, back)
        if begun:
            self.meter.batch(venue, parcel.orders)
        if isinstance(result, Reply):
            self.weather.offsets.learn(venue, begun[0].left if begun else began, back, result)
        return result, back

    async def heed(self, account: Account, carried: Carried, refusal: Throttled | None) -> Throttled | None:
        """Close the gate that the venue's refusal names, with the wait that then holds; or open it after a probe."""
        slot = carried.slot
        if isinstance(carried.result, Reply):
            await self._learn(slot.demands[0], carried.result, refusal)
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

    async def _learn(self, demand: Demand, reply: Reply, refusal: Throttled | None) -> None:
        """A smaller limit that the venue states counts at once, and so does a refusal although we were inside."""
        said = stated(reply.headers, demand)
        now = self.clock.monotonic()
        if said is not None and self._is_news(demand, said, now):
            self._taught[demand] = (said, now)
            await self.limiter.tighten(demand, said)
        elif refusal is not None and refusal.scope is Scope.ACCOUNT and not refusal.banned:
            await self.limiter.tighten(demand, None)

    def _is_news(self, demand: Demand, said: int, now: float) -> bool:
        known, told_at = self._taught.get(demand, (demand.keep, now))
        return said < known or now - told_at > TEACH_AGAIN_S

    async def give_back(self, account: Account, slot: Slot) -> None:
        """A slot that nobody will use."""
        returned = await self.limiter.give_back(slot)
        self.meter.slot(account.venue, "returned" if returned else "wasted")


def _came_to(carried: Carried | NotSent) -> SendResult:
    return carried.result if isinstance(carried, Carried) else carried


def _is_fresh(slot: Slot, now: float) -> bool:
    return 0 <= now - slot.matures_at <= lateness_allowed_s(slot.demands)
