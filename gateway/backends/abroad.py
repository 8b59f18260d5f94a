"""Limits and gates on a Redis Cluster, where those of our address and of a venue lie in other slots than an account's.

They are asked one after the other: what lies abroad first, the account's own last, in one script; on a refusal, what
was taken before goes back. What is linked over slots can't be reserved ahead, since nobody can move the grant of one
server to the moment of another: such a slot is taken only where all are free now.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.backends.admittance import Admittance, account_of, odd
from gateway.backends.limiter import Learned, RedisLimiter, ignore_lesson
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import CROSS, RETREAT, SERVER_TIME, gate_keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.gate import SCOPES
from gateway.core.model import Account
from gateway.ports import Outlook, TooFar

OWN_GATES = 1
APART_MOST_S = 0.005
AGAIN_US = 1000
Group = tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Permit:
    """What was taken abroad: the gates that a probe goes through, and slots of our address or of the venue."""

    probed: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()

    def joined(self, slot: Slot, demands: Group) -> Slot:
        """The slot of the account with all that was taken for it elsewhere."""
        return replace(slot, demands=demands, probe=slot.probe or bool(self.probed), abroad=self.slots)


def apart(demands: Iterable[Demand]) -> list[Group]:
    """The demands by holder, the account's own last."""
    groups: dict[Account, Group] = {}
    for demand in demands:
        groups[demand.holder] = (*groups.get(demand.holder, ()), demand)
    return sorted(groups.values(), key=lambda group: not is_abroad(group))


def is_abroad(group: Group) -> bool:
    """Whether these are limits of our address or of the venue."""
    return group[0].holder.name.startswith("@")


class Border:
    """The gates of our address and of the venue."""

    def __init__(self, link: Link, probe_us: int) -> None:
        self._link = link
        self._probe_us = probe_us

    async def cross(self, account: Account, *, probing: bool) -> Gated | tuple[str, ...]:
        """Which of them a probe went through now; or the one that is shut for longest, and then none was taken."""
        gates = gate_keys(account, len(SCOPES))[OWN_GATES:]
        passed = await asyncio.gather(*(self._pass(key, probing=probing) for key in gates))
        shut = [
            Gated(scope, banned, wait_us)
            for scope, (wait_us, banned, _) in zip(SCOPES[OWN_GATES:], passed, strict=True)
            if wait_us
        ]
        probed = tuple(key for key, (*_, probe) in zip(gates, passed, strict=True) if probe)
        if not shut:
            return probed
        await self.retreat(probed)
        return max(reversed(shut), key=lambda gate: gate.wait_us)

    async def retreat(self, probed: Iterable[str]) -> None:
        """The probe was not sent after all."""
        await asyncio.gather(*(self._link.run(RETREAT, (key,), (SERVER_TIME,)) for key in probed))

    async def _pass(self, key: str, *, probing: bool) -> tuple[int, bool, bool]:
        match await self._link.run(CROSS, (key,), (SERVER_TIME, self._probe_us, int(probing))):
            case [b"gated", int(banned), int(wait_us)]:
                return wait_us, banned == 1, False
            case [b"open", int(probe)]:
                return 0, False, probe == 1
            case _:
                raise odd()


class ClusterLimiter:
    """The limiter that all replicas share (ports.Limiter), on a cluster."""

    def __init__(self, link: Link, admittance: Admittance, learned: Learned = ignore_lesson) -> None:
        self._border = Border(link, admittance.probe_us)
        self._own = RedisLimiter(link, replace(admittance, gates_seen=OWN_GATES), learned)
        self._abroad = RedisLimiter(link, replace(admittance, gates_seen=0), learned)

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        """Take the slots that are free now, so many at most; where none is, the next one. All limits or none."""
        account = account_of(demands)
        if account is None:
            return await self._own.reserve(demands, patience_us, most)
        *abroad, last = apart(demands)
        permit = await self.precede(account, abroad, probing=True)
        if not isinstance(permit, Permit):
            return permit
        alone = not abroad
        taken = await self._of(last).reserve(
            last, patience_us if alone else 0, most if alone and not permit.probed else 1
        )
        if isinstance(taken, tuple) and all(
            taken[0].matures_at - slot.matures_at < APART_MOST_S for slot in permit.slots
        ):
            return tuple(permit.joined(slot, demands) for slot in taken)
        await self.undo(permit)
        if not isinstance(taken, tuple):
            return taken
        await self._of(last).give_back(taken[0])
        return TooFar(AGAIN_US)

    async def precede(self, account: Account, abroad: Sequence[Group], *, probing: bool) -> Permit | TooFar | Gated:
        """Whatever of an account's request has to be taken abroad, now; all of it or nothing."""
        probed = await self._border.cross(account, probing=probing)
        if isinstance(probed, Gated):
            return probed
        permit = Permit(probed)
        for group in abroad:
            taken = await self._abroad.reserve(group, 0)
            if not isinstance(taken, tuple):
                await self.undo(permit)
                return taken
            permit = Permit(probed, (*permit.slots, *taken))
        return permit

    async def undo(self, permit: Permit) -> None:
        """Give back what was taken abroad, as far as nobody has built on it yet."""
        await self._border.retreat(permit.probed)
        for slot in permit.slots:
            await self._abroad.give_back(slot)

    async def give_back(self, slot: Slot) -> bool:
        """Return a slot that nobody used; what it took abroad rests there, since it lies in another server's time."""
        account = account_of(slot.demands)
        if account is None:
            return True
        if slot.probe:
            await self._border.retreat(gate_keys(account, len(SCOPES))[OWN_GATES:])
        last = apart(slot.demands)[-1]
        return await self._of(last).give_back(replace(slot, demands=last))

    async def confirm(self, slot: Slot) -> Slot | None:
        """Look once more at a slot that lies ahead; what is linked over slots of the cluster never does."""
        if len(apart(slot.demands)) != 1:
            return slot
        return await self._of(slot.demands).confirm(slot)

    async def exchange(self, slot: Slot) -> Slot:
        """Another slot for one that was missed; what is linked over slots of the cluster is given back instead."""
        if len(apart(slot.demands)) != 1:
            return slot
        return await self._of(slot.demands).exchange(slot)

    async def postpone(self, slot: Slot, until: float) -> Slot:
        """Let a slot that was used rest from `until` on, in each server's own time."""
        groups = apart(slot.demands)
        if not groups:
            return slot
        own, *abroad = await asyncio.gather(
            self._of(groups[-1]).postpone(replace(slot, demands=groups[-1]), until),
            *(self._abroad.postpone(taken, until) for taken in slot.abroad),
        )
        return replace(own, demands=slot.demands, abroad=tuple(abroad))

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """Look without taking."""
        groups = apart(demands)
        looks = await asyncio.gather(*(self._of(group).outlook(group) for group in groups))
        seen = {
            (demand.holder, demand.limit): outlook
            for group, outlooks in zip(groups, looks, strict=True)
            for demand, outlook in zip(group, outlooks, strict=True)
        }
        return [seen[demand.holder, demand.limit] for demand in demands]

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        """Make sure that the epoch markers are there, so that the first cancel does not pay the hold."""
        await asyncio.gather(*(self._of(group).arm(group) for group in apart(demands)))

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        """Learn a limit that a venue stated, or, with None, that it refused where we were inside."""
        return await self._own.tighten(demand, stated)

    def _of(self, group: Group) -> RedisLimiter:
        return self._abroad if is_abroad(group) else self._own
