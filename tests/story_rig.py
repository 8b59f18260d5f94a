"""A gateway with its sandbox under a load in which everything happens that a dashboard can show."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from redis import Redis
from service_process import (
    ACCOUNTS,
    Gateway,
    own_valkey,
    put_secrets,
    sandbox_process,
    serving,
    tree_of,
)
from service_rig import Rig, caller_session

from gateway.core import keys
from gateway.core.model import Account, VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS
from gateway.sandbox.server import Sandbox

RATES = {"orderly": 5.0, "hashkey": 4.0, "loopring": 2.0, "etna": 1.5, "b2trader": 1.5}
CHUNK = 100
REDIS_GOES = 0.75


@dataclass(frozen=True, slots=True)
class Stage:
    """The processes of a story."""

    gateway: Gateway
    sandbox: Sandbox
    lose_redis: Callable[[], None]
    folder: Path


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """The venues' own limits, breakers on, a Valkey of its own that has run for long."""
    socket = folder / "valkey.sock"
    secrets = put_secrets(folder / "secrets", DEFAULT_CREDENTIALS)
    with own_valkey(socket) as valkey, sandbox_process(folder) as sandbox:
        with Redis(unix_socket_path=str(socket)) as client:
            for venue, name in itertools.product(VENUE_IDS, ACCOUNTS):
                armed = {"armed_us": 0, "seen_us": 0, "offset_us": 0}
                client.hset(keys.holder(Account(VenueId(venue), name)), mapping=armed)
        tree = tree_of(sandbox, f"unix://{socket}", secrets, timeout_ms=600, breaker=True)
        tree["secrets"]["refresh_seconds"] = 15
        for venue in tree["venues"].values():
            del venue["limits"]
        with serving(tree, folder / "gateway", ends_well=False) as gateway:
            yield Stage(gateway, sandbox, valkey.kill, folder)


@dataclass(slots=True)
class Load:
    """Cancels at each venue for so long, and what befalls the venues meanwhile."""

    rig: Rig
    seconds: float
    lose_redis: Callable[[], None]
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  repeatable, no secret
    orders: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def run(self) -> None:
        """All of it."""
        began = time.monotonic()
        tasks = [asyncio.ensure_future(self._cancels(venue, began)) for venue in VENUE_IDS]
        try:
            await self._story(began)
        finally:
            await asyncio.gather(*tasks)

    async def _story(self, began: float) -> None:
        """When what happens, as parts of the whole time; some cancels of either kind meet each of it."""
        under_way: set[asyncio.Future[None]] = set()
        for part, venue, faults in (
            (0.05, "loopring", [{"kind": "latency", "ms": 40, "jitter_ms": 60}]),
            (0.15, "etna", [{"kind": "hang", "endpoint": "cancel", "applied": True, "times": 6}]),
            (0.25, "orderly", [{"kind": "reset_after_read_untouched", "endpoint": "cancel", "times": 12}]),
            (0.45, "hashkey", [{"kind": "rate_limited", "times": 1, "retry_after": "2"}]),
            (0.55, "b2trader", [{"kind": "server_error", "times": 3, "applied": True}]),
            (0.65, "loopring", [{"kind": "banned", "times": 1, "retry_after": "4"}]),
        ):
            await self._until(began, part)
            await self.rig.venue(venue).control("POST", "faults", {"faults": faults})
            under_way |= {asyncio.ensure_future(self._met(venue, wait)) for wait in ("ack", "terminal") * 2}
        await self._until(began, REDIS_GOES)
        self.lose_redis()
        await self._until(began, 1.0)
        await asyncio.gather(*under_way)

    async def _met(self, venue: str, wait: str) -> None:
        await self._cancel(venue, await self._order(venue), wait)

    async def _until(self, began: float, part: float) -> None:
        await asyncio.sleep(max(0.0, began + part * self.seconds - time.monotonic()))

    async def _order(self, venue: str) -> dict[str, Any]:
        if not self.orders.get(venue):
            self.orders[venue] = await self.rig.orders(venue, CHUNK)
        return self.orders[venue].pop()

    async def _cancels(self, venue: str, began: float) -> None:
        """At its rate, with a burst every now and then; the last one is asked for twice."""
        under_way: set[asyncio.Task[None]] = set()
        while time.monotonic() < began + self.seconds:
            burst = self.dice.random() < 0.03
            for _ in range(10 if burst else 1):
                wait = "terminal" if self.dice.random() < 0.3 else "ack"
                task = asyncio.ensure_future(self._cancel(venue, await self._order(venue), wait))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.sleep(self.dice.expovariate(RATES[venue]))
        await asyncio.gather(*under_way)

    async def _cancel(self, venue: str, order: dict[str, Any], wait: str) -> None:
        headers = {"X-Request-Timeout-Ms": "4000"}
        if self.dice.random() < 0.15:
            headers["Priority"] = "u=1"
        ref, again = str(order["order_id"]), self.dice.random() < 0.1
        if again:
            headers["Idempotency-Key"] = f"key-{ref}"
        for _ in range(2 if again else 1):
            with suppress(aiohttp.ClientError, TimeoutError):
                await self.rig.desk().cancel(venue, ref, headers, wait=wait)


@asynccontextmanager
async def rig_on(at: Stage) -> AsyncIterator[Rig]:
    """A caller there."""
    async with caller_session() as http:
        yield Rig(at.gateway, at.sandbox, http)
