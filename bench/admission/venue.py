"""The judge: what the sandbox has counted, and what follows from the times at which requests came in."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from bench.admission.wire import Wire

CANCELLING = ("cancel", "batch")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The venue's own figures. Times of arrivals are seconds of the machine's monotonic clock."""

    violations: int
    most: int
    limits: tuple[dict[str, object], ...]
    requests: dict[str, int]
    cancelled: int
    asked: dict[str, int]
    rejected: dict[str, int]
    arrivals: tuple[tuple[float, str], ...]

    def times(self, *endpoints: str) -> list[float]:
        """When requests came in, for these endpoints or for all that cancel."""
        wanted = endpoints or tuple({name for _, name in self.arrivals if name.startswith(CANCELLING)})
        return [at for at, name in self.arrivals if name in wanted]


@dataclass(slots=True)
class Judge:
    """One venue of the sandbox, from the back."""

    wire: Wire
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def control(self, method: str, path: str, value: object = None) -> dict[str, object]:
        """One call under /_sandbox, after those that others make over the same connection."""
        body = b"" if value is None else orjson.dumps(value)
        async with self._turn:
            said = await self.wire.call(method, f"/_sandbox/{path}", body=body)
        assert said.status == 200, said.body
        shown: dict[str, object] = said.json
        return shown

    async def orders(self, count: int, **fields: object) -> list[dict[str, str]]:
        """Make open orders."""
        made = await self.control("POST", "orders", {"count": count} | fields)
        orders = made["orders"]
        assert isinstance(orders, list)
        return orders

    async def fault(self, *faults: dict[str, object]) -> None:
        """From now on these faults and no others."""
        await self.control("POST", "faults", {"faults": list(faults)})

    async def verdict(self) -> Verdict:
        """What it has seen so far."""
        said: Any = await self.control("GET", "stats")
        return Verdict(
            violations=said["violations"],
            most=said["most_in_any_window"],
            limits=tuple(said["limits"]),
            requests=said["requests"],
            cancelled=said["cancels"],
            asked=said["cancels_by_order"],
            rejected=said["rejected_reasons"],
            arrivals=tuple((at_ms / 1000, name) for at_ms, name in said["recent"]),
        )


def most_in_window(times: Iterable[float], window_s: float) -> int:
    """The most arrivals in any half-open window."""
    inside: deque[float] = deque()
    most = 0
    for at in sorted(times):
        inside.append(at)
        while inside[0] <= at - window_s:
            inside.popleft()
        most = max(most, len(inside))
    return most


def too_early(times: Iterable[float], tokens: int, window_s: float) -> list[str]:
    """For each arrival that is one too many: when it came, and by how much it came too early."""
    ordered = sorted(times)
    pairs = zip(ordered, ordered[tokens:], strict=False)
    return [
        f"at {later - ordered[0]:.2f} s by {(sooner + window_s - later) * 1000:.0f} ms"
        for sooner, later in pairs
        if later - sooner < window_s
    ]


def longest_gap_s(times: Iterable[float]) -> float:
    """The longest time without an arrival."""
    return max((later - sooner for sooner, later in pairwise(sorted(times))), default=0.0)


def efficiency(times: list[float], seconds: float, tokens: int, per_ms: int) -> float:
    """Arrivals in so many seconds from the first one on, over what the stated limit allows in them."""
    if not times:
        return 0.0
    first = min(times)
    return sum(at < first + seconds for at in times) / (tokens * seconds * 1000 / per_ms)


def per_endpoint(verdict: Verdict) -> Counter[str]:
    """How many requests came to each endpoint that cancels."""
    return Counter(name for _, name in verdict.arrivals if name.startswith(CANCELLING))
