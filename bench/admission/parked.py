"""Ten thousand callers that wait: what they cost, and how soon a newcomer learns that it can't be served in time."""

import asyncio
import os
import statistics
import time
from pathlib import Path

from bench.admission.crowd import Ask, Told, cancel, orders
from bench.admission.result import Result
from bench.admission.setting import Setting
from bench.admission.wire import Wire
from bench.admission.world import Gateway, World, scene

CALLERS = 10_000
AT_ONCE = 100
WATCHED_S = 10.0
NEWCOMERS = 200
# After an empty Redis the first window counts as full: everybody waits for its end, and nothing is sent until then.
WINDOW_MS = 58_000


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """The memory that it holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def parked(_: float) -> Result:
    """10,000 connections, each with a cancel that waits."""
    setting = Setting(tokens=1_000_000, per_ms=WINDOW_MS, replicas=1, replicas_max=1)
    async with scene(setting) as world:
        gateway, pid = world.gateways[0], world.gateways[0].process.pid
        ask = Ask(setting.venue)
        refs = list(await orders(world, CALLERS, ask))
        before = rss_bytes(pid)
        wires = [gateway.wire() for _ in refs]
        await _connected(wires)
        idle = rss_bytes(pid)
        tasks = await _waiting(world, wires, ask, refs)
        full = rss_bytes(pid)
        used, began = cpu_s(pid), time.monotonic()
        await asyncio.sleep(WATCHED_S)
        core = (cpu_s(pid) - used) / (time.monotonic() - began)
        told = await _newcomers(gateway, list(await orders(world, NEWCOMERS, ask)))
        early = sum(task.done() for task in tasks)
        verdict = await world.judge.verdict()
        gateway.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
    result = Result("parked", violations=verdict.violations)
    result.promise("all of them wait", CALLERS - early, kept=early == 0)
    result.promise("CPU of the gateway < 0.05 core", core, kept=core < 0.05)
    each = (full - before) / CALLERS
    result.promise("memory of each < 12 kB", f"{each / 1000:.1f} kB", kept=each < 12_000)
    took = statistics.median(one.took_s for one in told) * 1000
    words = {one.outcome for one in told}
    result.promise("newcomers are told over_deadline", sorted(words), kept=words == {"over_deadline"})
    result.promise("in < 10 ms, median", f"{took:.2f} ms", kept=took < 10)
    result.notes |= {
        "of that the open connection": f"{(idle - before) / CALLERS / 1000:.1f} kB",
        "slowest newcomer": f"{max(one.took_s for one in told) * 1000:.1f} ms",
        "sent": len(verdict.times()),
    }
    return result


async def _connected(wires: list[Wire]) -> None:
    for start in range(0, len(wires), AT_ONCE):
        await asyncio.gather(*(wire.open() for wire in wires[start : start + AT_ONCE]))
    await asyncio.sleep(0.5)


async def _waiting(world: World, wires: list[Wire], ask: Ask, refs: list[str]) -> list[asyncio.Task[Told]]:
    tasks: list[asyncio.Task[Told]] = []
    for start in range(0, len(wires), AT_ONCE):
        pairs = zip(wires[start : start + AT_ONCE], refs[start : start + AT_ONCE], strict=True)
        tasks += [asyncio.create_task(cancel(wire, ask, ref)) for wire, ref in pairs]
        await asyncio.sleep(0.02)
    deadline = time.monotonic() + 40
    while (depth := await _depth(world.gateways[0])) < len(wires):
        if time.monotonic() > deadline or any(task.done() for task in tasks):
            done = [task.result() for task in tasks if task.done()]
            raise RuntimeError(f"only {depth} wait; told: {done[:3]}")
        await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)
    return tasks


async def _depth(gateway: Gateway) -> float:
    figures = await gateway.figures()
    return sum(value for name, value in figures.items() if name.startswith("cancel_gateway_queue_depth"))


async def _newcomers(gateway: Gateway, refs: list[str]) -> list[Told]:
    ask = Ask("orderly", timeout_ms=100)
    async with gateway.wire() as wire:
        return [await cancel(wire, ask, ref) for ref in refs]
