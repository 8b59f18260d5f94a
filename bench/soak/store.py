"""The Valkey that all gateways share, behind a way that can be led to another one; and what may happen to it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.admission.processes import Valkey
from bench.admission.proxy import Proxy, proxied
from bench.admission.topology import FOLLOWING, eventually, role

UNSURE_MS = 1500
"""What came in the last so many milliseconds before a failover may not have reached the replica."""


def now_ms() -> int:
    """Wall time, as records, trails and venues have it."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Loss:
    """Whatever was written between these moments may be gone."""

    since_ms: int
    until_ms: int


@dataclass(slots=True)
class Store:
    """The one that serves now, its way, and what was lost so far."""

    folder: Path
    serving: Valkey
    way: Proxy
    losses: list[Loss] = field(default_factory=list)
    troubles: list[tuple[int, int]] = field(default_factory=list)
    _number: int = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.way.port}"

    async def do(self, kind: str, lasts_s: float) -> None:
        """One of plan.STORE, from its beginning until the store serves again."""
        began = now_ms()
        await {
            "kill": self._kill,
            "restart": self._kill,
            "stale": self._stale,
            "flush": self._flush,
            "failover": self._failover,
            "stop": self._stop,
            "script-flush": self._forget_scripts,
        }[kind](lasts_s)
        self.troubles.append((began, now_ms()))

    async def _kill(self, lasts_s: float) -> None:
        """SIGKILL; an empty one comes back on the same port."""
        await asyncio.to_thread(self.serving.kill)
        (self.serving.folder / "dump.rdb").unlink(missing_ok=True)
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(self.serving.start)
        self._lost_since(0)

    async def _stale(self, lasts_s: float) -> None:
        """SIGKILL; what comes back has lost the last writes, and has everything from before."""
        del lasts_s
        saved = now_ms()
        await asyncio.to_thread(self.serving.do, "SAVE")
        await asyncio.sleep(0.4)
        await asyncio.to_thread(self.serving.kill)
        await asyncio.to_thread(self.serving.start)
        self._lost_since(saved)

    async def _flush(self, lasts_s: float) -> None:
        del lasts_s
        await asyncio.to_thread(self.serving.do, "FLUSHALL")
        self._lost_since(0)

    async def _failover(self, lasts_s: float) -> None:
        """SIGKILL of a master with a replica, which is promoted after a while, as a sentinel would."""
        self._number += 1
        replica, master = Valkey(self.folder / f"valkey-{self._number}", options=FOLLOWING), self.serving
        await asyncio.to_thread(replica.start)
        await asyncio.to_thread(replica.do, "REPLICAOF", "127.0.0.1", str(master.port))
        await eventually(lambda: role(replica) == "linked", "the replica follows")
        await asyncio.to_thread(master.kill)
        lost_ms = now_ms() - UNSURE_MS
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(replica.do, "REPLICAOF", "NO", "ONE")
        self.serving = replica
        self.way.lead_to(replica.port)
        self._lost_since(lost_ms)

    async def _stop(self, lasts_s: float) -> None:
        self.serving.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            self.serving.signal(signal.SIGCONT)

    async def _forget_scripts(self, lasts_s: float) -> None:
        del lasts_s
        await asyncio.to_thread(self.serving.do, "SCRIPT", "FLUSH")

    def _lost_since(self, since_ms: int) -> None:
        self.losses.append(Loss(since_ms, now_ms()))


@asynccontextmanager
async def running_store(folder: Path) -> AsyncIterator[Store]:
    """A store while the block runs."""
    first = Valkey(folder / "valkey-0", options=FOLLOWING)
    await asyncio.to_thread(first.start)
    store: Store | None = None
    try:
        async with proxied(first.port) as way:
            store = Store(folder, first, way)
            yield store
    finally:
        (first if store is None else store.serving).kill()
