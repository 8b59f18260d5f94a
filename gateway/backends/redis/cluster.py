"""Many masters, each with its slots: which one a key belongs to, and following it when it moves.

MOVED and ASK are followed inside the caller's deadline. A master that was none before was promoted, or is new, and
may hold older data: everybody is told, and whoever was on the way to it fails.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Sequence
from functools import lru_cache

from hiredis import ReplyError

from gateway.backends.redis.node import ANOTHER, Found, Greeting, Node, staying
from gateway.backends.redis.slotmap import SLOTS, SlotMap, read_slots, target_of
from gateway.backends.redis.wire import LATE, Answer, code_of, refused
from gateway.backends.redis.words import pack
from gateway.core.redis_address import Spot
from gateway.ports import Unavailable

HOPS_AT_ONCE = 4
ASKED_MOST = 5
PAUSE_S = 0.005
WHERE = pack("CLUSTER", "SLOTS")
PING = pack("PING")
TELL_SLOTS_CHANGED = frozenset({"CLUSTERDOWN", "READONLY", "MASTERDOWN"})


def slot_of(key: str) -> int:
    """The slot of a key: of what stands in its first braces, where something does."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return _slot(tag if opened and closed and tag else key)


@lru_cache(maxsize=4096)
def _slot(tag: str) -> int:
    return crc_hqx(tag.encode(), 0) % SLOTS


class Cluster:
    """The masters of a cluster (servers.Servers)."""

    is_cluster = True

    def __init__(self, seeds: tuple[Spot, ...], greeting: Greeting, found: Found) -> None:
        self._seeds = seeds
        self._greeting = greeting
        self._found = found
        self._loop = asyncio.get_running_loop()
        self._nodes: dict[Spot, Node] = {}
        self._map = SlotMap()
        self._reason = ""
        self._turn = self._heard_at = 0
        self._looking: asyncio.Task[None] | None = None

    async def ask(self, command: bytes, keys: Sequence[str], deadline: float) -> Answer:
        """One command to whom its first key belongs."""
        slot = slot_of(keys[0]) if keys else 0
        spot, asking = await self._owner(slot, deadline), False
        met = self._map.masters
        hops = 0
        while True:
            answer = await self._ask_at(spot, command, deadline, asking=asking)
            if not isinstance(answer, ReplyError):
                return answer
            code = code_of(answer)
            if code not in {"MOVED", "ASK", "TRYAGAIN"}:
                if code in TELL_SLOTS_CHANGED:
                    self._look_soon()
                return answer
            hops += 1
            if code == "TRYAGAIN" or hops > HOPS_AT_ONCE:
                await self._pause(answer, deadline)
            asking = code == "ASK"
            spot = await self._next(slot, answer, spot, met, deadline)

    def doubt(self, refusal: ReplyError) -> None:
        """What a refusal says of the slots was heard on the way."""

    async def ping(self, deadline: float) -> None:
        """Every master answers and every slot has one; raises Unavailable."""
        await self._look(deadline)
        masters = self._map.spots()
        answers = await asyncio.gather(*(self._ask_at(spot, PING, deadline) for spot in masters))
        for answer in answers:
            if isinstance(answer, ReplyError):
                raise refused(answer)
        if not self._map.whole:
            raise Unavailable("redis", "refused (CLUSTERDOWN not every slot has a master)")

    async def anyone(self) -> Spot:
        """A master, another one each time: what is published at one is heard at all."""
        await self._look(self._loop.time() + self._greeting.connect_s)
        masters = list(self._map.spots())
        self._heard_at = (self._heard_at + 1) % len(masters)
        return masters[self._heard_at]

    async def aclose(self) -> None:
        """Drop all connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(node.aclose() for node in self._nodes.values()))

    async def _ask_at(self, spot: Spot, command: bytes, deadline: float, *, asking: bool = False) -> Answer:
        try:
            return await self._node(spot).ask(command, deadline, asking=asking)
        except Unavailable:
            self._look_soon()
            raise

    async def _owner(self, slot: int, deadline: float) -> Spot:
        owner = self._map.owners[slot]
        if owner is None:
            await self._look(deadline)
            owner = self._map.owners[slot]
        if owner is None:
            raise Unavailable("redis", "refused (CLUSTERDOWN nobody serves this slot)")
        return owner

    async def _next(self, slot: int, answer: ReplyError, asked: Spot, met: frozenset[str], deadline: float) -> Spot:
        """Whom to ask after MOVED, ASK or TRYAGAIN."""
        target = target_of(str(answer), asked)
        if target is None:
            # TRYAGAIN: some keys of the slot have moved and some have not. Only the one who moves them knows how long.
            return await self._owner(slot, deadline)
        if code_of(answer) == "ASK":
            return target
        if target in self._map.spots():
            self._map.owners[slot] = target
            self._look_soon()
            return target
        await self._look(deadline)
        if not self._map.masters <= met:
            raise Unavailable("redis", ANOTHER)
        return await self._owner(slot, deadline)

    async def _pause(self, answer: ReplyError, deadline: float) -> None:
        if self._loop.time() + PAUSE_S > deadline:
            raise refused(answer)
        await asyncio.sleep(PAUSE_S)

    def _node(self, spot: Spot) -> Node:
        node = self._nodes.get(spot)
        if node is None:
            node = self._nodes[spot] = Node(staying(spot), self._greeting, self._found)
        return node

    # -- who has which slot ------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        """Learn the slots anew; many who want to know ask once."""
        self._looking = self._learning()

    def _learning(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            return self._loop.create_task(self._learn())
        return self._looking

    async def _look(self, deadline: float) -> None:
        self._looking = looking = self._learning()
        done, _ = await asyncio.wait((looking,), timeout=deadline - self._loop.time())
        if not done:
            raise Unavailable("redis", LATE)
        if self._map.empty:
            raise Unavailable("redis", self._reason)

    async def _learn(self) -> None:
        """Ask some nodes at once; the first answer counts, for an old one is corrected by the next MOVED."""
        asked = [asyncio.create_task(self._slots_at(spot)) for spot in self._candidates()]
        try:
            for answer in asyncio.as_completed(asked):
                slots = await answer
                if isinstance(slots, SlotMap):
                    await self._adopt(slots)
                    return
                self._reason = slots
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _candidates(self) -> list[Spot]:
        """Others each time: a few hung nodes must not hide the rest."""
        known = list(dict.fromkeys((*self._map.spots(), *self._seeds)))
        self._turn = (self._turn + ASKED_MOST) % len(known) if len(known) > ASKED_MOST else 0
        return (known[self._turn :] + known[: self._turn])[:ASKED_MOST]

    async def _slots_at(self, spot: Spot) -> SlotMap | str:
        deadline = self._loop.time() + self._greeting.connect_s
        try:
            answer = await self._node(spot).ask(WHERE, deadline)
        except Unavailable as failure:
            return failure.reason
        return refused(answer).reason if isinstance(answer, ReplyError) else read_slots(answer, spot)

    async def _adopt(self, slots: SlotMap) -> None:
        before, self._map = self._map, slots
        if before.masters and not slots.masters <= before.masters:
            self._found(ANOTHER)
        gone = self._nodes.keys() - {*slots.spots(), *before.spots(), *self._seeds}
        await asyncio.gather(*(self._nodes.pop(spot).aclose() for spot in gone))
