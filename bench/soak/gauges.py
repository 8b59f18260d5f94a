"""What may not grow: each gateway's memory, descriptors and tasks, and the store's keys; read every few seconds."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from redis.exceptions import RedisError

from bench.admission.wire import Lost
from bench.admission.world import Gateway
from bench.soak.plan import ELDER
from bench.soak.scene import Scene

EVERY_S, ASKED_FOR_S = 2.0, 1.5
MB = 1024.0
LASTING = ("limits", "gate", "leases", "unknown", "{trails}", "trail:")
"""Parts of the keys that need not expire: so many for each account and each process."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One gateway at one moment."""

    at_s: float
    replica: int
    pid: int
    rss_mb: float
    fds: int
    tasks: float | None


@dataclass(frozen=True, slots=True)
class Keys:
    """The store at one moment."""

    at_s: float
    count: int
    used_mb: float


@dataclass(slots=True)
class Gauges:
    """All samples of a run."""

    scene: Scene
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    keys: list[Keys] = field(default_factory=list)
    sends: list[tuple[float, int]] = field(default_factory=list)
    answers: Callable[[], int] = int

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One sample of each."""
        at_s = time.monotonic() - self.began
        self.sends.append((at_s, self.answers()))
        for number, gateway in enumerate(self.scene.gateways):
            if (sample := await self._sample(at_s, number, gateway)) is not None:
                self.samples.append(sample)
        try:
            self.keys.append(await asyncio.to_thread(self._keys, at_s))
        except (RedisError, OSError):
            return

    async def _sample(self, at_s: float, number: int, gateway: Gateway) -> Sample | None:
        pid = gateway.process.pid
        try:
            async with asyncio.timeout(ASKED_FOR_S):
                figures = await gateway.figures()
        except (Lost, TimeoutError):
            figures = {}
        rss_mb, fds = held_by(pid)
        return Sample(at_s, number, pid, rss_mb, fds, figures.get("cancel_gateway_tasks")) if rss_mb else None

    def _keys(self, at_s: float) -> Keys:
        with self.scene.store.serving.client() as client:
            count: Any = client.dbsize()
            memory: Any = client.info("memory")
        return Keys(at_s, count, memory["used_memory"] / MB / MB)

    def elder(self) -> list[Sample]:
        """Of the replica that is never ended."""
        return [sample for sample in self.samples if sample.replica == ELDER]


def held_by(pid: int) -> tuple[float, int]:
    """A process's memory and its descriptors; nothing where it is no more."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fds = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0.0, 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0) / MB, fds


@dataclass(frozen=True, slots=True)
class Growth:
    """A figure's median in the second quarter of a run, and in the last one."""

    early: float
    late: float
    most: float

    def within(self, part: float, slack: float) -> bool:
        """Whether it grew by no more than a part, and a little."""
        return self.late <= self.early * (1 + part) + slack


def growth(points: list[tuple[float, float]], until_s: float) -> Growth:
    """How a figure went from the second to the last quarter of the load."""
    inside = [(at, value) for at, value in points if at <= until_s]
    early = [value for at, value in inside if until_s / 4 <= at < until_s / 2]
    late = [value for at, value in inside if at >= until_s * 3 / 4]
    values = [value for _, value in inside]
    return Growth(median(early or values or [0]), median(late or values or [0]), max(values, default=0))


def left_in(scene: Scene) -> tuple[dict[str, int], list[str]]:
    """What lies in the store by kind, and the keys that would stay for ever and should not."""
    kinds: dict[str, int] = {}
    stuck: list[str] = []
    with scene.store.serving.client() as client:
        for raw in client.scan_iter(count=1000):
            key = raw.decode()
            kind = kind_of(key)
            kinds[kind] = kinds.get(kind, 0) + 1
            if kind not in LASTING and client.ttl(raw) == -1:
                stuck.append(key)
    return dict(sorted(kinds.items())), stuck


def kind_of(key: str) -> str:
    """Which of core/keys.py made it."""
    for part in (":rec:", ":ord:", "{idem:"):
        if part in key:
            return part.strip(":{")
    if "{trail:" in key:
        return "trail:"
    return key.rpartition(":")[2]
