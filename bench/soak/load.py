"""The callers. Each wants one order gone: asks, asks again where it may, and looks at its record later."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.admission.crowd import SYMBOL
from bench.admission.setting import token_of
from bench.admission.wire import Lost, Wire
from bench.soak.plan import REPLICAS
from bench.soak.scene import ACCOUNTS, CALLER, Scene
from bench.soak.store import now_ms

DEFINITE = frozenset(
    {"cancelled", "already_cancelled", "accepted", "too_late_filled", "closed", "not_found", "rejected"}
)
STANDING = frozenset({"terminal", "refused"})
NO_ANSWER, GONE_404 = "no answer", 404
NEW_KEY_AFTER_S, PATIENCE_S = 12.0, 90.0
# Where no call reads an order, "not open" is not believed for 20 s; whoever asks under a new key begins anew.
NEW_KEY_WITHOUT_READS_S = 32.0
PAUSE_S, PAUSE_MOST_S = 0.3, 2.0
LOOK_AFTER_S, LOOK_EVERY_S, LOOKS_FOR_S = (1.0, 4.0), 2.0, 45.0
# Loopring finds a client id only among the orders that it lists at once, so that with many orders some stay unknown.
BY_CLIENT_ID = frozenset({"orderly", "hashkey"})
READS_BY_CANCELLING = frozenset({"b2trader"})
"""Without a call that reads, a cancel of an order that is gone tells that it is."""
SHARES = {"leaves": 0.15, "urgent": 0.15, "terminal": 0.15, "client_id": 0.3}
ORDERS_AT_ONCE = 40
MISSING_MOST = 8


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a caller and its answer; `outcome` is NO_ANSWER where the connection broke."""

    replica: int
    key: str
    began_ms: int
    ended_ms: int
    outcome: str
    status: int = 0
    record: str = ""
    attempts: int = 0
    replayed: bool = False
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A record as it stood at a moment; status 404 where it is not there."""

    at_ms: int
    status: int
    state: str = ""
    outcome: str = ""
    attempts: int = 0


@dataclass(slots=True)
class Wish:
    """An order that is to go, everything that its caller did for it, and what came of that."""

    number: int
    venue: str
    account: str
    order_id: str
    client_id: str | None
    leaves: bool
    calls: list[Call] = field(default_factory=list)
    looks: dict[str, Look] = field(default_factory=dict)

    @property
    def records(self) -> set[str]:
        """Where its records are, as far as it was told."""
        return {call.record for call in self.calls if call.record}

    @property
    def answered(self) -> bool:
        """Whether its caller knows."""
        return bool(self.calls) and self.calls[-1].outcome in DEFINITE


@dataclass(slots=True)
class Wires:
    """Kept connections to wherever the replicas listen at the moment."""

    scene: Scene
    idle: dict[str, list[Wire]] = field(default_factory=dict)

    async def call(self, replica: int, method: str, target: str, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401  an answer
        """One request; raises Lost."""
        url = self.scene.gateways[replica].url
        pool = self.idle.setdefault(url, [])
        wire = pool.pop() if pool else Wire(url, token_of(CALLER))
        try:
            said = await wire.call(method, target, headers)
        except BaseException:
            wire.close()
            raise
        pool.append(wire)
        return said

    def close(self) -> None:
        """Hang up."""
        for wire in [wire for pool in self.idle.values() for wire in pool]:
            wire.close()


@dataclass(slots=True)
class Load:
    """So many wishes a second."""

    scene: Scene
    per_s: float
    chance: random.Random
    wishes: list[Wish] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    took_ms: list[int] = field(default_factory=list)
    ending: bool = False
    _wires: Wires = field(init=False)
    _orders: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wires = Wires(self.scene)

    async def run(self, seconds: float) -> None:
        """Wishes for so long, and until each has come to its end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds * self.per_s)):
                await asyncio.sleep(began + number / self.per_s - loop.time())
                wish = await self._wish(number)
                self.wishes.append(wish)
                tasks.create_task(self._see_through(wish, tasks))
        self._wires.close()

    async def _wish(self, number: int) -> Wish:
        venue = list(self.scene.venues)[number % len(self.scene.venues)]
        account = self.chance.choice(ACCOUNTS)
        ready = self._orders.setdefault((venue, account), [])
        if not ready:
            more = {"symbol": SYMBOL} if venue == "orderly" else {}
            ready += await self.scene.venues[venue].judge.orders(ORDERS_AT_ONCE, account=account, **more)
        order = ready.pop()
        leaves = self.chance.random() < SHARES["leaves"]
        return Wish(number, venue, account, order["order_id"], order["client_id"], leaves)

    async def _see_through(self, wish: Wish, tasks: asyncio.TaskGroup) -> None:
        asking = self._asking(wish)
        began, heard = asyncio.get_running_loop().time(), dict[str, float]()
        key, replica = f"wish-{wish.number}", self.chance.randrange(REPLICAS)
        while True:
            call = await self._call(replica, key, asking)
            if call.record and call.record not in wish.records:
                tasks.create_task(self._look_until_known(wish, call.record))
            wish.calls.append(call)
            self.outcomes[call.outcome] += 1
            self.took_ms.append(call.ended_ms - call.began_ms)
            now = asyncio.get_running_loop().time()
            # Whoever was told nothing at all asks again: otherwise he could not even know of his record.
            if call.outcome in DEFINITE or (wish.leaves and call.outcome != NO_ANSWER) or now - began > PATIENCE_S:
                break
            new_key_s = NEW_KEY_WITHOUT_READS_S if wish.venue in READS_BY_CANCELLING else NEW_KEY_AFTER_S
            # An unknown has its time from when it was made: a record that was lost, or came late, is a new one.
            if call.outcome == "unknown" and now - heard.setdefault(call.record, now) > new_key_s:
                key = f"wish-{wish.number}-{len(wish.calls)}"
            await asyncio.sleep(self._pause_s(len(wish.calls)))
            replica = self.chance.randrange(REPLICAS)

    def _asking(self, wish: Wish) -> tuple[str, dict[str, str]]:
        by_client = wish.venue in BY_CLIENT_ID and self.chance.random() < SHARES["client_id"]
        by, ref = ("client_id", wish.client_id) if by_client else ("order_id", wish.order_id)
        target = f"/orders/{wish.venue}/{ref}?by={by}&account={wish.account}"
        target += f"&symbol={SYMBOL}" if wish.venue == "orderly" else ""
        target += "&wait=terminal" if self.chance.random() < SHARES["terminal"] else ""
        urgent = {"Priority": "u=0"} if self.chance.random() < SHARES["urgent"] else {}
        return target, urgent

    async def _call(self, replica: int, key: str, asking: tuple[str, dict[str, str]]) -> Call:
        target, more = asking
        began_ms = now_ms()
        try:
            said = await self._wires.call(replica, "DELETE", target, {"Idempotency-Key": key} | more)
        except Lost:
            return Call(replica, key, began_ms, now_ms(), NO_ANSWER)
        told = said.json
        record = str(told.get("record") or "")
        replayed = said.headers.get("idempotency-replayed") == "true"
        attempts, degraded = int(told.get("attempts") or 0), bool(told.get("degraded"))
        outcome = str(told.get("outcome"))
        return Call(replica, key, began_ms, now_ms(), outcome, said.status, record, attempts, replayed, degraded)

    def _pause_s(self, calls: int) -> float:
        return min(PAUSE_MOST_S, PAUSE_S * calls) * self.chance.uniform(0.7, 1.3)

    async def _look_until_known(self, wish: Wish, record: str) -> None:
        """Long before it expires; one that is not there, or not known, is looked at for a while."""
        loop = asyncio.get_running_loop()
        until, missing = loop.time() + LOOKS_FOR_S, 0
        await asyncio.sleep(self.chance.uniform(*LOOK_AFTER_S))
        while loop.time() < until:
            try:
                said = await self._wires.call(self.chance.randrange(REPLICAS), "GET", record)
            except Lost:
                await asyncio.sleep(PAUSE_S)
                continue
            if said.status == 200:
                told = said.json
                state, outcome = str(told["state"]), str(told["outcome"] or "")
                wish.looks[record] = Look(now_ms(), 200, state, outcome, int(told["attempts"]))
                if state in STANDING or (state == "acknowledged" and wish.answered):
                    return
            elif said.status == GONE_404:
                # Without the store a record is with one replica alone, which writes it down later.
                wish.looks[record] = Look(now_ms(), GONE_404)
                missing += 1
                if missing > MISSING_MOST:
                    return
            await asyncio.sleep(LOOK_EVERY_S)
