"""The callers: so many at once, each sends its next cancel as soon as it is told what became of the last."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.admission.wire import Lost, Wire
from bench.admission.world import Gateway, World

SYMBOL = "PERP_ETH_USDC"
PAUSE_S, SHUT_OUT_PAUSE_S = 0.05, 0.25
ORDERS_AT_ONCE = 5000
TAKEN = frozenset({"accepted", "cancelled", "already_cancelled"})


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told, and when (monotonic seconds)."""

    caller: str
    replica: int
    outcome: str
    status: int
    at: float
    took_s: float
    waited_ms: float
    batch: int
    retry_after_ms: int | None
    degraded: bool


@dataclass(slots=True)
class Tally:
    """All that callers were told."""

    told: list[Told] = field(default_factory=list)
    lost: int = 0

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(Counter(one.outcome for one in self.told)) | ({"connection lost": self.lost} if self.lost else {})

    def of(self, caller: str) -> list[Told]:
        return [one for one in self.told if one.caller == caller]

    def taken(self, caller: str | None = None) -> list[Told]:
        """Those that the venue took."""
        return [one for one in self.told if one.outcome in TAKEN and caller in {None, one.caller}]


@dataclass(frozen=True, slots=True)
class Ask:
    """How a caller asks."""

    venue: str
    caller: str = "desk"
    by: str = "order_id"
    account: str = "desk-a"
    urgent: bool = False
    timeout_ms: int = 60_000

    def target(self, ref: str) -> str:
        symbol = f"&symbol={SYMBOL}" if self.venue == "orderly" else ""
        return f"/orders/{self.venue}/{ref}?by={self.by}&account={self.account}{symbol}"

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Request-Timeout-Ms": str(self.timeout_ms)} | ({"Priority": "u=0"} if self.urgent else {})


async def cancel(wire: Wire, ask: Ask, ref: str, replica: int = 0) -> Told:
    """One cancel."""
    began = time.monotonic()
    said = await wire.call("DELETE", ask.target(ref), ask.headers)
    at, body = time.monotonic(), said.json
    return Told(
        ask.caller,
        replica,
        body["outcome"],
        said.status,
        at,
        at - began,
        body.get("waited_ms") or 0.0,
        body.get("batch") or 0,
        body.get("retry_after_ms"),
        bool(body.get("degraded")),
    )


async def orders(world: World, count: int, ask: Ask) -> Iterator[str]:
    """Open orders to cancel, by the name that the ask uses."""
    refs: list[str] = []
    while len(refs) < count:
        made = await world.judge.orders(min(ORDERS_AT_ONCE, count - len(refs)), account=ask.account)
        refs += [order["order_id" if ask.by == "order_id" else "client_id"] for order in made]
    return iter(refs)


async def work(gateway: Gateway, replica: int, ask: Ask, refs: Iterator[str], tally: Tally) -> None:
    """One caller, until the orders are out."""
    async with gateway.wire(ask.caller) as wire:
        for ref in refs:
            try:
                told = await cancel(wire, ask, ref, replica)
            except Lost:
                tally.lost += 1
                wire.url = gateway.url
                await asyncio.sleep(PAUSE_S)
                continue
            tally.told.append(told)
            if told.outcome not in TAKEN:
                await asyncio.sleep(SHUT_OUT_PAUSE_S)


@asynccontextmanager
async def saturating(world: World, ask: Ask, refs: Iterator[str], each: int = 20) -> AsyncIterator[Tally]:
    """So many callers at each replica while the block runs; then they hang up."""
    tally = Tally()
    tasks = [
        asyncio.create_task(work(gateway, replica, ask, refs, tally))
        for replica, gateway in enumerate(world.gateways)
        for _ in range(each)
    ]
    try:
        yield tally
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def at_once(world: World, ask: Ask, refs: list[str]) -> Tally:
    """All of them at the same time, spread over the replicas, each on its own connection; until all are told."""
    tally = Tally()
    count = len(world.gateways)
    async with asyncio.TaskGroup() as group:
        for index, ref in enumerate(refs):
            replica = index % count
            group.create_task(work(world.gateways[replica], replica, ask, iter((ref,)), tally))
    return tally
