"""Ten thousand callers that wait in one gateway, beside one where nobody waits; both still serve another venue."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

from bench.shapes import SHAPES, patient
from bench.side_by_side.stage import Gateway, Stage, Tree, cpu_us, put_secrets, rss_mb, settings

# The first window of an account that is new counts as full: whoever comes waits for its end, and nothing is sent until
# then. The account comes into being once everybody is connected, so that all of the minute is left for the rest.
WINDOW_MS, PATIENCE_MS = 58_000, 60_000
AT_ONCE, SETTLE_S, WATCHED_S = 200, 1.0, 5.0
QUEUED, ACCOUNT = "orderly", "parked"
BUSY_MOST, LOOKS_MOST = 0.1, 30


class Caller(asyncio.Protocol):
    """One who asks and waits."""

    def __init__(self) -> None:
        self.answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.answered = bool(data)


@dataclass(slots=True)
class Parked:
    """Both gateways, and what a waiting caller takes (bytes; of that, its idle connection)."""

    empty: Gateway
    full: Gateway
    callers: int
    core: float
    bytes_each: float
    connection_bytes: float
    waiting: list[Caller] = field(repr=False)

    def answered(self) -> int:
        """How many are not waiting any more."""
        return sum(caller.answered for caller in self.waiting)


async def parking(stage: Stage, count: int) -> Parked:
    """Both up, and so many waiting in one of them."""
    empty, full = stage.serve(_settings(stage, count), "parked-0"), stage.serve(_settings(stage, count), "parked")
    for gateway in (empty, full):
        await asyncio.to_thread(gateway.wait_ready)
    await asyncio.sleep(SETTLE_S)
    nobody = rss_mb(full.pid)
    callers = await _connected(full.port, count)
    connected = rss_mb(full.pid)
    put_secrets(stage.folder / "secrets", [ACCOUNT], [QUEUED])
    for number, caller in enumerate(callers):
        caller.transport.write(patient(SHAPES[QUEUED].cancel(number + 1, ACCOUNT), PATIENCE_MS))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0.02)
    await _quiet(full)
    used, began = cpu_us([full.pid]), time.monotonic()
    await asyncio.sleep(WATCHED_S)
    core = (cpu_us([full.pid]) - used) / 1e6 / (time.monotonic() - began)
    each, alone = (rss_mb(full.pid) - nobody) * 1e6 / count, (connected - nobody) * 1e6 / count
    return Parked(empty, full, count, core, each, alone, callers)


def _settings(stage: Stage, most: int) -> Tree:
    tree = settings(stage, (QUEUED, "hashkey"))
    server, venues = tree["server"], tree["venues"]
    assert isinstance(server, dict)
    assert isinstance(venues, dict)
    server |= {"max_waiting": most + 1000, "max_waiting_per_caller": most + 1000, "drain_seconds": 0}
    venues[QUEUED]["limits"] = {"cancel": {"tokens": 1_000_000, "per_ms": WINDOW_MS}}
    return tree


async def _connected(port: int, count: int) -> list[Caller]:
    loop, callers = asyncio.get_running_loop(), list[Caller]()
    for start in range(0, count, AT_ONCE):
        made = (loop.create_connection(Caller, "127.0.0.1", port) for _ in range(min(AT_ONCE, count - start)))
        callers += [caller for _, caller in await asyncio.gather(*made)]
    await asyncio.sleep(SETTLE_S)
    return callers


async def _quiet(gateway: Gateway) -> None:
    """Until it has taken in all of them."""
    for _ in range(LOOKS_MOST):
        before = cpu_us([gateway.pid])
        await asyncio.sleep(0.5)
        if (cpu_us([gateway.pid]) - before) / 0.5e6 < BUSY_MOST:
            return
