"""Who goes first: the urgent under saturation, fair shares among callers, and those who have left."""

import asyncio
import random
import statistics
import time
from collections import Counter

from bench.admission.crowd import Ask, Tally, Told, cancel, orders, saturating, work
from bench.admission.result import Result
from bench.admission.saturation import SETTLE_S, note_early
from bench.admission.setting import Setting
from bench.admission.world import World, scene

WEIGHTS = {"one": 1, "two": 2, "four": 4}
URGENT_EVERY_S = 0.7
HELD_AHEAD = 2


async def urgent(seconds: float) -> Result:
    """Urgent cancels at random moments while normal ones saturate; 2 of the 10 slots are kept for them."""
    return await _urgent("urgent", seconds, reserve=2)


async def urgent_without_reserve(seconds: float) -> Result:
    """The same with nothing kept for them: they only go first."""
    return await _urgent("urgent-no-reserve", seconds, reserve=0)


async def _urgent(name: str, seconds: float, reserve: int) -> Result:
    setting = Setting(reserve=reserve)
    spacing_ms = (setting.per_ms + setting.guard_ms) / setting.tokens
    bound_ms = spacing_ms * (1 + setting.replicas * HELD_AHEAD)
    async with scene(setting) as world:
        normal, hurried = Ask(setting.venue), Ask(setting.venue, urgent=True)
        refs = await orders(world, int(12 * seconds) + 200, normal)
        async with saturating(world, normal, refs) as tally:
            await asyncio.sleep(2.5)
            told = await _now_and_then(world, hurried, seconds)
        await asyncio.sleep(SETTLE_S)
        verdict = await world.judge.verdict()
    waits = sorted(one.waited_ms for one in told)
    result = Result(name, violations=verdict.violations)
    result.promise("violations counted by the venue are 0", verdict.violations, kept=not verdict.violations)
    late = waits[max(0, int(len(waits) * 0.99) - 1)]
    result.promise(
        f"99 % wait <= {bound_ms:.0f} ms (a slot, and {HELD_AHEAD} held by each)", late, kept=late <= bound_ms
    )
    result.notes |= {
        "urgent": f"{len(waits)}: median {statistics.median(waits):.0f} ms, most {waits[-1]:.0f} ms, "
        f"within one spacing ({spacing_ms:.0f} ms) {sum(wait <= spacing_ms for wait in waits) / len(waits):.0%}",
        "urgent told": dict(Counter(one.outcome for one in told)),
        "normal": f"median wait {statistics.median([one.waited_ms for one in tally.taken()] or [0]):.0f} ms",
    }
    return result


async def _now_and_then(world: World, ask: Ask, seconds: float) -> list[Told]:
    refs = await orders(world, int(seconds / URGENT_EVERY_S) + 10, ask)
    until = time.monotonic() + seconds
    tasks: list[asyncio.Task[Told]] = []

    async def one(replica: int, ref: str) -> Told:
        async with world.gateways[replica].wire() as wire:
            return await cancel(wire, ask, ref, replica)

    while time.monotonic() < until:
        tasks.append(asyncio.create_task(one(len(tasks) % len(world.gateways), next(refs))))
        await asyncio.sleep(URGENT_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311  no secret
    return list(await asyncio.gather(*tasks))


async def fair(seconds: float) -> Result:
    """Three callers of weights 1, 2 and 4 at each replica, none ever without work; then only the first stays."""
    setting = Setting(tokens=30, weights=WEIGHTS)
    async with scene(setting) as world:
        refs = await orders(world, int(35 * (seconds + 12)) + 800, Ask(setting.venue))
        tally = Tally()
        staying, leaving = [
            [
                asyncio.create_task(work(gateway, replica, Ask(setting.venue, caller), refs, tally))
                for replica, gateway in enumerate(world.gateways)
                for caller in callers
                for _ in range(40)
            ]
            for callers in (("one",), ("two", "four"))
        ]
        await asyncio.sleep(2.5)
        began = time.monotonic()
        await asyncio.sleep(seconds)
        ended = time.monotonic()
        await _end(leaving)
        await asyncio.sleep(1.5)
        alone = time.monotonic()
        await asyncio.sleep(6)
        alone_ended = time.monotonic()
        await _end(staying)
        verdict = await world.judge.verdict()
    result = Result("fairness", violations=verdict.violations)
    result.promise("violations counted by the venue are 0", verdict.violations, kept=not verdict.violations)
    counts = {name: sum(began <= one.at < ended for one in tally.taken(name)) for name in WEIGHTS}
    total = sum(counts.values())
    for name, weight in WEIGHTS.items():
        off = counts[name] / (total * weight / sum(WEIGHTS.values())) - 1
        result.promise(
            f"weight {weight} gets its share within 5 %", f"{counts[name]}, {off:+.1%}", kept=abs(off) <= 0.05
        )
    result.efficiency = total / (setting.tokens * (ended - began))
    result.promise("all slots are used: >= 95 %", f"{result.efficiency:.1%}", kept=result.efficiency >= 0.95)
    left = sum(alone <= one.at < alone_ended for one in tally.taken("one")) / (setting.tokens * (alone_ended - alone))
    result.promise("the one that stays gets everything: >= 90 %", f"{left:.1%}", kept=left >= 0.9)
    return result


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def left_the_line(_: float) -> Result:
    """300 callers queue, 270 hang up after a second: those cost no slot, and the others get theirs at once."""
    setting = Setting(weights={"stay": 1, "leave": 1})
    async with scene(setting) as world:
        await asyncio.sleep(1.5)
        leave, stay = (Ask(setting.venue, caller) for caller in ("leave", "stay"))
        gone, kept = list(await orders(world, 270, leave)), list(await orders(world, 30, stay))
        left, stayed = Tally(), Tally()
        going = _each(world, leave, gone, left)
        staying = _each(world, stay, kept, stayed)
        await asyncio.sleep(1.0)
        await _end(going)
        hung_up = time.monotonic()
        waiting = len(kept) - len(stayed.told)
        await asyncio.gather(*staying)
        drained = max(one.at for one in stayed.told) - hung_up
        await asyncio.sleep(SETTLE_S)
        verdict = await world.judge.verdict()
        slots = await world.slots()
    result = Result("disconnect", violations=verdict.violations, drain_s=drained)
    result.promise("violations counted by the venue are 0", verdict.violations, kept=not verdict.violations)
    wasted = sum(ref in verdict.asked for ref in gone) - len(left.told)
    result.promise("sends for callers that had left <= 1 per replica", wasted, kept=wasted <= setting.replicas)
    ideal = (waiting / setting.tokens + 1) * (setting.per_ms + setting.guard_ms) / 1000
    result.promise(f"the {waiting} who still wait are served within {ideal:.2f} s", drained, kept=drained <= ideal)
    note_early(result, verdict, world)
    result.notes |= {"slots": slots, "stayed": stayed.outcomes, "left": left.outcomes}
    return result


def _each(world: World, ask: Ask, refs: list[str], tally: Tally) -> list[asyncio.Task[None]]:
    replicas = len(world.gateways)
    return [
        asyncio.create_task(work(world.gateways[index % replicas], index % replicas, ask, iter((ref,)), tally))
        for index, ref in enumerate(refs)
    ]
