"""Slots over all replicas (ports.Limiter): what `core/admission.py` decides, decided inside Redis."""

from collections.abc import Sequence

from gateway.backends.redis.link import Argument, Link
from gateway.backends.redis.scripts import (
    ARM,
    GIVE_BACK,
    OUTLOOK,
    RESERVE,
    SERVER_TIME,
    Lost,
    demand_arguments,
    demand_keys,
    ignore_loss,
    report,
)
from gateway.core.admission import Demand
from gateway.ports import Clock, Outlook, Slot, TooFar, Unavailable

US_PER_S = 1_000_000


class RedisLimiter:
    """The limiter that all replicas share.

    `ahead` is how many tokens of a limit the replicas together may hold reserved for later: so many count as still to
    be sent after the data was lost, since nobody can tell any more.
    """

    def __init__(self, link: Link, clock: Clock, *, ahead: int, lost: Lost = ignore_loss) -> None:
        self._link = link
        self._clock = clock
        self._ahead = ahead
        self._lost = lost

    async def reserve(self, demands: tuple[Demand, ...], patience_us: int) -> Slot | TooFar:
        """Take the next slot, which may lie ahead; or learn how far it is. All limits or none."""
        if not demands:
            return Slot(self._clock.monotonic(), 0, demands)
        arguments: tuple[Argument, ...] = (SERVER_TIME, patience_us, self._ahead, *demand_arguments(demands))
        match await self._link.run(RESERVE, demand_keys(demands), arguments):
            case [1, int(at_us), int(wait_us), list(lost)]:
                report(lost, self._lost)
                # The time after the reply is later than the server's: the error is a late send, never an early one.
                return Slot(self._clock.monotonic() + wait_us / US_PER_S, at_us, demands)
            case [0, int(wait_us), list(lost)]:
                report(lost, self._lost)
                return TooFar(wait_us)
            case _:
                raise Unavailable("redis", "an answer of another shape")

    async def give_back(self, slot: Slot) -> bool:
        """Return a slot that nobody used; False where later ones build on it already, so that it is wasted."""
        if not slot.demands:
            return True
        arguments: tuple[Argument, ...] = (SERVER_TIME, slot.granted_us, *demand_arguments(slot.demands))
        return await self._link.run(GIVE_BACK, demand_keys(slot.demands), arguments) == 1

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """Look without taking."""
        if not demands:
            return ()
        arguments: tuple[Argument, ...] = (SERVER_TIME, self._ahead, *demand_arguments(demands))
        match await self._link.run(OUTLOOK, demand_keys(demands), arguments):
            case list(numbers) if len(numbers) == 2 * len(demands):
                whole = [number for number in numbers if isinstance(number, int)]
                pairs = zip(demands, whole[::2], whole[1::2], strict=True)
                return [Outlook(demand.limit, demand.tokens, free, wait) for demand, free, wait in pairs]
            case _:
                raise Unavailable("redis", "an answer of another shape")

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        """Make sure that the epoch marker is there, so that the first cancel does not pay the hold."""
        if not demands:
            return
        lost = await self._link.run(ARM, demand_keys(demands), (SERVER_TIME, *demand_arguments(demands)))
        report(lost if isinstance(lost, list) else (), self._lost)
