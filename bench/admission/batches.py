"""Batches: how fast a queue drains with them, and that they cost nothing where nobody queues."""

import asyncio
import math
import statistics
import time

from bench.admission.crowd import Ask, Told, at_once, cancel, orders
from bench.admission.result import Result
from bench.admission.saturation import SETTLE_S
from bench.admission.setting import Setting
from bench.admission.venue import Verdict, per_endpoint
from bench.admission.world import World, scene

QUEUED = 500
LOOSE_S = 1.5
PAIRS_PER_S = 15


async def orderly(_: float) -> Result:
    """500 cancels by order id at once: ten in a request, ten requests a second."""
    return await _drained("batch-orderly", Setting(batching=True), Ask("orderly"), most=10, weight=1, at_least=9)


async def orderly_client_ids(_: float) -> Result:
    """The same by client id."""
    ask = Ask("orderly", by="client_id")
    return await _drained("batch-orderly-client", Setting(batching=True), ask, most=10, weight=1, at_least=9)


async def hashkey(_: float) -> Result:
    """500 cancels by order id at once: a hundred in a request that costs five of ten tokens."""
    setting = Setting(venue="hashkey", batching=True)
    return await _drained("batch-hashkey", setting, Ask("hashkey"), most=100, weight=5, at_least=50)


def _least_s(setting: Setting, most: int, weight: int) -> float:
    """How long they take at the least: each replica has a part of them, and its last request need not be full."""
    parts = [len(range(replica, QUEUED, setting.replicas)) for replica in range(setting.replicas)]
    requests = sum(math.ceil(part / most) for part in parts)
    return requests * weight / setting.tokens * setting.per_ms / 1000


async def _drained(name: str, setting: Setting, ask: Ask, *, most: int, weight: int, at_least: int) -> Result:
    async with scene(setting) as world:
        await asyncio.sleep(LOOSE_S)
        refs = list(await orders(world, QUEUED, ask))
        began = time.monotonic()
        tally = await at_once(world, ask, refs)
        ended = max(one.at for one in tally.told)
        await asyncio.sleep(SETTLE_S)
        verdict = await world.judge.verdict()
        slots = await world.slots()
    result = Result(name, violations=verdict.violations, drain_s=ended - began)
    result.promise("violations counted by the venue are 0", verdict.violations, kept=not verdict.violations)
    result.promise(f"all {QUEUED} are taken by the venue", len(tally.taken()), kept=len(tally.taken()) == QUEUED)
    requests = sum(per_endpoint(verdict).values())
    result.promise(f"cancels per request >= {at_least}", QUEUED / requests, kept=QUEUED / requests >= at_least)
    least = _least_s(setting, most, weight)
    bound = 1.15 * least
    result.promise(f"drained within 1.15 x {least:.2f} s", ended - began, kept=ended - began <= bound)
    first = min(verdict.times(), default=0.0)
    result.notes["sends"] = ", ".join(f"{name} {at - first:.2f}" for at, name in verdict.arrivals[:24])
    twice = sum(count > 1 for count in verdict.asked.values())
    result.promise("no order is asked for twice", twice, kept=not twice)
    result.notes |= {
        "told": tally.outcomes,
        "requests": dict(per_endpoint(verdict)),
        "sizes": _sizes(tally.told),
        "slots": slots,
    }
    return result


def _sizes(told: list[Told]) -> dict[int, int]:
    sizes = sorted({one.batch for one in told})
    return {size: sum(one.batch == size for one in told) for size in sizes}


async def unqueued(seconds: float) -> Result:
    """One cancel at a time, in turns with batching on, off, and off again (to know the noise)."""
    on, off = Setting(tokens=200, batching=True), Setting(tokens=200)
    async with scene(on, settings=[on, off, off]) as world:
        await asyncio.sleep(LOOSE_S)
        took, told = await _in_turns(world, int(seconds * PAIRS_PER_S))
        verdict = await world.judge.verdict()
    result = Result("low-load", violations=verdict.violations)
    sizes = {one.batch for one in told}
    result.promise("every batch has the size 1", sorted(sizes), kept=sizes == {1})
    waited = max(one.waited_ms for one in told)
    result.promise("nobody waits for others: waited_ms < 1", waited, kept=waited < 1)
    ours = statistics.median(a - b for a, b in zip(took[0], took[1], strict=True)) * 1e6
    noise = statistics.median(a - b for a, b in zip(took[2], took[1], strict=True)) * 1e6
    margin = max(abs(noise), _uncertainty_us(took)) * 2
    result.promise(f"batching adds nothing beyond noise ({margin:.0f} us)", f"{ours:+.0f} us", kept=ours <= margin)
    result.notes |= {
        "median latency on, off, off": ", ".join(f"{statistics.median(arm) * 1e6:.0f} us" for arm in took),
        "off against off": f"{noise:+.0f} us",
        "requests": _batch_requests(verdict),
    }
    return result


def _uncertainty_us(took: list[list[float]]) -> float:
    """The standard error of the median of the differences, about."""
    gaps = [a - b for a, b in zip(took[2], took[1], strict=True)]
    low, _, high = statistics.quantiles(gaps, n=4)
    return (high - low) / math.sqrt(len(gaps)) * 1e6


def _batch_requests(verdict: Verdict) -> dict[str, int]:
    return dict(per_endpoint(verdict))


async def _in_turns(world: World, rounds: int) -> tuple[list[list[float]], list[Told]]:
    ask = Ask("orderly")
    refs = await orders(world, (rounds + 5) * 3, ask)
    took: list[list[float]] = [[], [], []]
    told: list[Told] = []
    wires = [gateway.wire() for gateway in world.gateways]
    try:
        for turn in range(rounds + 5):
            for index in sorted(range(3), key=lambda index, turn=turn: (index + turn) % 3):  # type: ignore[misc]
                one = await cancel(wires[index], ask, next(refs), index)
                if turn >= 5:
                    took[index].append(one.took_s)
                    told.append(one)
            await asyncio.sleep(0.02)
    finally:
        for wire in wires:
            wire.close()
    return took, told
