"""The requests that a kill makes of its own: a page of the list, a cancel-all. And what stands in its way, as a `Stop`.

Each goes in the lane before all others. A credential that is refused is renewed once, for whatever comes next.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from gateway.core.admission import Gated
from gateway.core.listing import Listing, Page
from gateway.core.model import By, Lane, Op, OrderRef
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear, Untimely, Verdict
from gateway.core.shut import Shut
from gateway.core.tally import TAKEN, Kill, Stop
from gateway.core.trail import Exchanged
from gateway.core.wire import NotSent, Reply, Unconfirmed, WireRequest
from gateway.courier import Carried, Courier, Parcel
from gateway.desk import Desk
from gateway.dispatch import Dispatcher, Full, OverDeadline, Refusal, Seat
from gateway.errand import Errands
from gateway.line import Boarding
from gateway.ports import NO_TRAIL, Clock, Credentials, NoSigner, Trail, Unavailable, Unlocked

FOREVER_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Hands:
    """What a kill works with."""

    clock: Clock
    credentials: Credentials
    dispatcher: Dispatcher
    courier: Courier
    errands: Errands
    trail: Trail = NO_TRAIL


@dataclass(frozen=True, slots=True)
class Taken:
    """The venue has taken a cancel-all that left at this moment."""

    left: float


@dataclass(frozen=True, slots=True)
class Unserved:
    """The venue does not do that here, whatever its pages say; its orders go by their ids."""


@dataclass(slots=True)
class KillCalls:
    """The requests of one kill, and how many of them left. `name` is what it is called in the trail."""

    kill: Kill
    desk: Desk
    unlocked: Unlocked
    hands: Hands
    name: OrderRef
    sent: int = 0
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _renewed: bool = False

    async def page(self, page: Page) -> Listing | Stop:
        """One page of what is open."""
        used = self.unlocked

        def make(at_ms: int) -> WireRequest:
            return _there(used.signer.listing(page, at_ms))

        carried = await self._carry(Op.LIST, make)
        if isinstance(carried, Stop):
            return carried
        result = carried.result
        shown = self.desk.venue.interpret_listing(result, page) if isinstance(result, Reply) else result
        if isinstance(shown, Listing):
            await self._heed(carried, Settled(Outcome.ACCEPTED), used)
            return shown
        return await self.stop_of(await self._heed(carried, shown, used), used)

    async def cancel_all(self, symbol: str | None) -> Taken | Unserved | Stop:
        """Everything of the account, or of one symbol, in one request."""
        used = self.unlocked

        def make(at_ms: int) -> WireRequest:
            return _there(used.signer.cancel_all(symbol, at_ms))

        carried = await self._carry(Op.CANCEL_ALL, make)
        if isinstance(carried, Stop):
            return carried
        result = carried.result
        verdict = self.desk.venue.interpret_cancel_all(result) if isinstance(result, Reply) else result
        self._note(carried, verdict)
        heeded = await self._heed(carried, verdict, used)
        if isinstance(verdict, Settled) and verdict.outcome in TAKEN:
            return Taken(carried.left)
        if isinstance(verdict, Settled | ReadBack):
            return Unserved()
        return await self.stop_of(heeded, used)

    async def admit(self, seat: Seat) -> Boarding | Stop:
        """A slot, or why there is none."""
        try:
            admitted = await self.hands.dispatcher.admit(seat)
        except Unavailable as lost:
            return Stop(Outcome.UNKNOWN, f"no slot can be had: {lost}")
        return admitted if isinstance(admitted, Boarding) else _refused(admitted)

    async def stop_of(self, verdict: Verdict | NotSent | Unconfirmed, used: Unlocked) -> Stop:
        """What an answer that did not help means for what comes next."""
        match verdict:
            case Throttled(banned=banned, retry_after_ms=wait_ms, facts=facts):
                limited = Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED
                return Stop(limited, facts.venue_message, wait_ms)
            case Untimely(facts=facts):
                return Stop(Outcome.VENUE_UNAVAILABLE, facts.venue_message)
            case AuthRefused(facts=facts):
                return await self._renew(facts.venue_message, used)
            case NotSent(reason=reason):
                return Stop(Outcome.VENUE_UNAVAILABLE, reason)
            case Unclear(reason=reason) | Unconfirmed(reason=reason):
                return Stop(Outcome.UNKNOWN, reason)
            case Settled() | ReadBack():
                return Stop(Outcome.UNKNOWN, verdict.facts.venue_message)
            case _:
                assert_never(verdict)

    async def _carry(self, op: Op, make: Callable[[int], WireRequest]) -> Carried | Stop:
        """One request, again with another slot where its own was missed."""
        kill, fare = self.kill, self.desk.fare(self.kill.account, op, By.ORDER_ID)
        while True:
            admitted = await self.admit(Seat(kill.account, fare, Lane.KILL, kill.caller, kill.weight, kill.deadline))
            if isinstance(admitted, Stop):
                return admitted
            parcel = Parcel(kill.account, self.desk, admitted.slot, 1, make, urgent=True)
            carried = await self.hands.courier.carry(parcel)
            if isinstance(carried, NotSent):
                return Stop(Outcome.VENUE_UNAVAILABLE, carried.reason)
            if isinstance(carried, Carried):
                self.sent += not isinstance(carried.result, NotSent)
                return carried

    async def _heed(
        self, carried: Carried, verdict: Verdict | NotSent | Unconfirmed, used: Unlocked
    ) -> Verdict | NotSent | Unconfirmed:
        """What an answer means for gates, breakers and clocks."""
        courier, account = self.hands.courier, self.kill.account
        if not isinstance(verdict, NotSent | Unconfirmed):
            courier.weather.judged(account, used.version, verdict, carried.result, carried.left)
        refusal = verdict if isinstance(verdict, Throttled) else None
        return await courier.heed(account, carried, refusal) or verdict

    def _note(self, carried: Carried, verdict: Verdict | NotSent | Unconfirmed) -> None:
        """A cancel-all stands in the trail under the kill's own name, since it names no order."""
        read_as = Unclear(verdict.reason) if isinstance(verdict, Unconfirmed) else verdict
        account, request = self.kill.account, carried.request
        self.hands.trail.note(
            Exchanged(Op.CANCEL_ALL, account, (self.name,), request, carried.slot, carried.result, (read_as,))
        )

    async def _renew(self, said: str | None, used: Unlocked) -> Stop:
        """A newer credential, once; the next round then signs with it."""
        refused = Stop(Outcome.VENUE_AUTH, said or "the venue refuses our credential", FOREVER_MS)
        async with self._renewing:
            if used is not self.unlocked:
                return Stop(Outcome.VENUE_AUTH, said)
            if self._renewed:
                return refused
            self._renewed = True
            renewed = await self.hands.credentials.renew(self.kill.account, used)
            if isinstance(renewed, NoSigner):
                return refused
            self.unlocked = renewed
        return Stop(Outcome.VENUE_AUTH, said)


def _refused(refusal: Refusal) -> Stop:
    match refusal:
        case OverDeadline(wait_us=wait_us):
            return Stop(Outcome.OVER_DEADLINE, None, -(-wait_us // 1000))
        case Gated(banned=banned, wait_us=wait_us):
            shut = Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED
            return Stop(shut, None, -(-wait_us // 1000))
        case Shut(outcome=outcome, detail=detail, wait_us=wait_us):
            return Stop(outcome, detail, -(-wait_us // 1000))
        case Full(detail=detail):
            return Stop(Outcome.OVERLOADED, detail)
        case _:
            assert_never(refusal)


def _there(request: WireRequest | None) -> WireRequest:
    assert request is not None  # noqa: S101  a venue's reach says so
    return request
