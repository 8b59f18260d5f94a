"""What one call to Redis costs: redis-py call by call, redis-py gathered per turn of the loop, and our own link.

    python bench/redis_link.py [SECONDS_PER_CELL]

Each cell keeps so many calls in flight on one unix socket of a real Valkey, and runs the same EVALSHA (three keys, six
arguments, a GET inside). CPU is this process's own; ways take turns in rounds, and the median of the rounds is shown.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.backends.redis.embedded import find_server
from gateway.backends.redis.link import Link
from gateway.backends.redis.startup import wait_until_ready

KEYS = ("cg1:{venue:desk}:rec:01ARZ3NDEKTSV4RRFFQ69G5FAV", "cg1:{venue:desk}:epoch", "cg1:{venue:desk}:ring:cancel")
ARGUMENTS = ("", 30_000_000, 2, 10, 8, 1_000_000)
TEXT = "redis.call('GET', KEYS[2]) return {'fresh', 1, 0, {}}"
IN_FLIGHT, ROUNDS = (1, 16, 64), 3
TIMEOUT_S = 0.1

Call = Callable[[], Awaitable[object]]


class Probe:
    """A script that does next to nothing."""

    name = "probe"
    text = TEXT
    sha1 = ""


class Gathered:
    """redis-py's pipeline without MULTI: the calls of one turn leave together on one connection."""

    def __init__(self, redis: Redis, command: tuple[object, ...]) -> None:
        self.redis = redis
        self.command = command
        self.waiting: list[asyncio.Future[object]] = []
        self.flights: set[asyncio.Task[None]] = set()

    async def __call__(self) -> object:
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.fly)
        waiter: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        async with asyncio.timeout(TIMEOUT_S):
            return await waiter

    def fly(self) -> None:
        flight = asyncio.create_task(self.flight())
        self.flights.add(flight)
        flight.add_done_callback(self.flights.discard)

    async def flight(self) -> None:
        waiting, self.waiting = self.waiting, []
        async with self.redis.pipeline(transaction=False) as pipe:
            for _ in waiting:
                cast("Callable[..., object]", pipe.execute_command)(*self.command)
            for waiter, reply in zip(waiting, await pipe.execute(raise_on_error=False), strict=True):
                waiter.set_result(reply)


@asynccontextmanager
async def ways(url: str) -> AsyncIterator[dict[str, Call]]:
    redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None, protocol=2)
    probe = Probe()
    probe.sha1 = str(await redis.script_load(TEXT))
    command = ("EVALSHA", probe.sha1, len(KEYS), *KEYS, *ARGUMENTS)
    link = Link(url, timeout_ms=int(TIMEOUT_S * 1000))

    async def single() -> object:
        async with asyncio.timeout(TIMEOUT_S):
            return await cast("Callable[..., Awaitable[object]]", redis.execute_command)(*command)

    yield {
        "redis-py, each alone": single,
        "redis-py, per turn": Gathered(redis, command),
        "our link": lambda: link.run(probe, KEYS, ARGUMENTS),
    }
    await link.aclose()
    await redis.aclose()


async def cell(call: Call, in_flight: int, seconds: float) -> tuple[float, float, float, float]:
    """CPU µs per call, calls per second, and the 50th and 99th percentile in µs."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        while (began := time.perf_counter()) < until:
            await call()
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(call() for _ in range(in_flight)))
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    cuts = statistics.quantiles(took, n=100)
    return cpu / len(took) * 1e6, len(took) / wall, cuts[49] * 1e6, cuts[98] * 1e6


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.6
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        server = await asyncio.create_subprocess_exec(
            *(find_server(), "--port", "0", "--unixsocket", str(socket), "--save", ""), stdout=subprocess.DEVNULL
        )
        try:
            await wait_until_ready(socket, server)
            async with ways(f"unix://{socket}") as calls:
                await report(calls, seconds)
        finally:
            server.kill()
            await server.wait()


async def report(calls: dict[str, Call], seconds: float) -> None:
    print("| way | in flight | CPU µs/call | calls/s | p50 µs | p99 µs |\n|---|--:|--:|--:|--:|--:|")
    for in_flight in IN_FLIGHT:
        rounds: dict[str, list[tuple[float, float, float, float]]] = {way: [] for way in calls}
        for _ in range(ROUNDS):
            for way, call in calls.items():
                rounds[way].append(await cell(call, in_flight, seconds))
        for way, rows in rounds.items():
            cpu, rate, p50, p99 = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"| {way} | {in_flight} | {cpu:.1f} | {rate:,.0f} | {p50:,.0f} | {p99:,.0f} |")


if __name__ == "__main__":
    uvloop.run(main())
