"""A small keep-alive HTTP driver for the measurements: bounded concurrency, one process, little cost of its own."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Round:
    """What one round of requests saw."""

    wall_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.latencies_ms, n=100)[98]


class Lane(asyncio.Protocol):
    """One connection: sends the next request as soon as the reply to the last is whole."""

    def __init__(self, requests: Iterator[bytes], seen: Round) -> None:
        self.requests = requests
        self.seen = seen
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.next()

    def next(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.seen.latencies_ms.append((time.perf_counter() - self.began) * 1000)
        self.seen.statuses[int(head[9:12])] += 1
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(exc)


async def drive(port: int, count: int, lanes: int, request: Callable[[int], bytes]) -> Round:
    """Send `count` requests over so many connections at once; `request` makes the bytes of the n-th."""
    seen = Round()
    requests = (request(n) for n in range(count))
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: Lane(requests, seen), "127.0.0.1", port) for _ in range(lanes)]
    await asyncio.gather(*(lane.done for _, lane in made))
    seen.wall_s = time.perf_counter() - began
    assert sum(seen.statuses.values()) == count, f"answers are missing: {seen.statuses}"
    return seen
