"""An open-loop driver: requests leave when they are due, whether or not the ones before were answered.

A latency counts from the moment that was due, so a server that stalls is charged for everybody who would have come
meanwhile. The loop waits by select(2), whose timeouts are exact to the microsecond.
"""

import asyncio
import gc
import random
import selectors
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

LANES = 64
GRACE_S = 10.0
Request = Callable[[int], bytes]


@dataclass
class Paced:
    """What a stretch of time saw; latencies in milliseconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)


def due_times(per_s: float, seconds: float, seed: int) -> list[float]:
    """Arrivals of many callers who know nothing of each other; the same for the same seed."""
    chance, moment, times = random.Random(seed), 0.0, []  # noqa: S311  a schedule, no secret
    while (moment := moment + chance.expovariate(per_s)) < seconds:
        times.append(moment)
    return times


class Way(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, driver: "Driver") -> None:
        self.driver = driver
        self.buffer = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, due: float, request: bytes) -> None:
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        stated = head.lower().partition(b"content-length:")[2]
        if len(rest) < (int(stated.split(b"\r\n")[0]) if stated else 0):
            return
        self.buffer = b""
        self.driver.answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.driver.lost(exc)


class Driver:
    """One stream of requests to one port."""

    def __init__(self, port: int, times: Sequence[float], request: Request) -> None:
        self.seen = Paced()
        self._port = port
        self._times = iter(times)
        self._left = len(times)
        self._request = request
        self._number = 0
        self._began = 0.0
        self._free: list[Way] = []
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> Paced:
        made = [await self._loop.create_connection(lambda: Way(self), "127.0.0.1", self._port) for _ in range(LANES)]
        self._free = [way for _, way in made]
        self._began = self._loop.time() + 0.05
        self._next()
        try:
            await self._done
        finally:
            self._left = 0
            for transport, _ in made:
                transport.close()
        return self.seen

    def _next(self) -> None:
        due = next(self._times, None)
        if due is not None:
            self._loop.call_at(self._began + due, self._go, self._began + due)

    def _go(self, due: float) -> None:
        self._next()
        request = self._request(self._number)
        self._number += 1
        self.seen.late_ms.append((self._loop.time() - due) * 1000)
        if self._free:
            self._free.pop().send(due, request)
        else:
            self._waiting.append((due, request))

    def answered(self, way: Way, status: int) -> None:
        self.seen.latencies_ms.append((self._loop.time() - way.due) * 1000)
        self.seen.statuses[status] += 1
        self._left -= 1
        if self._waiting:
            way.send(*self._waiting.popleft())
        else:
            self._free.append(way)
        if not self._left and not self._done.done():
            self._done.set_result(None)

    def lost(self, reason: Exception | None) -> None:
        if self._left and not self._done.done():
            self._done.set_exception(reason or ConnectionError("the server closed a connection"))


def pace(*streams: tuple[int, Sequence[float], Request]) -> list[Paced]:
    """Run these streams at once, each a port, its due times and the n-th request."""

    async def together() -> list[Paced]:
        longest = max(times[-1] for _, times, _ in streams)
        async with asyncio.timeout(longest + GRACE_S):
            return await asyncio.gather(*(Driver(*stream).run() for stream in streams))

    with undisturbed(), asyncio.Runner(loop_factory=exact_loop) as runner:
        return runner.run(together())


def exact_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


@contextmanager
def undisturbed() -> Iterator[None]:
    """No look for cycles in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


__all__ = ["Paced", "due_times", "pace", "quantile"]
