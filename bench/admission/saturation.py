"""Saturation: three replicas that always have work, and whatever happens meanwhile. Shared by most scenarios."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from bench.admission.crowd import Ask, Tally, orders, saturating
from bench.admission.plot import Series
from bench.admission.result import Result
from bench.admission.setting import Setting
from bench.admission.venue import Verdict, efficiency, longest_gap_s, per_endpoint, too_early
from bench.admission.world import World, scene

SETTLE_S = 0.3

Event = Callable[[World], Coroutine[object, object, None]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A saturated stretch of time."""

    tally: Tally
    verdict: Verdict
    share: float


async def saturated(world: World, seconds: float, event: Event | None = None, each: int = 20) -> Seen:
    """Keep all replicas busy for so long after the first arrival; the event comes in after a third of it."""
    setting = world.setting
    ask = Ask(setting.venue)
    need = int(setting.tokens * seconds * 1000 / setting.per_ms) + 2 * setting.tokens + len(world.gateways) * each
    refs = await orders(world, need * (10 if setting.batching else 1), ask)
    async with saturating(world, ask, refs, each) as tally:
        while not (await world.judge.verdict()).times():  # noqa: ASYNC110  another process; it tells nobody
            await asyncio.sleep(0.05)
        if event is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.sleep(seconds / 3)
            async with asyncio.TaskGroup() as group:
                group.create_task(event(world))
                group.create_task(asyncio.sleep(seconds * 2 / 3))
    await asyncio.sleep(SETTLE_S)
    verdict = await world.judge.verdict()
    return Seen(tally, verdict, efficiency(verdict.times(), seconds, setting.tokens, setting.per_ms))


def judged(name: str, world: World, seen: Seen, at_least: float | None = None, title: str = "") -> Result:
    """What must hold of every saturated stretch; with a title it is drawn as well."""
    result = Result(name, violations=seen.verdict.violations, efficiency=seen.share)
    limit = world.setting.tokens
    result.promise("violations counted by the venue are 0", seen.verdict.violations, kept=not seen.verdict.violations)
    result.promise(f"most in any window <= {limit}", seen.verdict.most, kept=seen.verdict.most <= limit)
    if at_least is not None:
        result.promise(f"efficiency >= {at_least:.0%}", f"{seen.share:.1%}", kept=seen.share >= at_least)
    internal = seen.tally.outcomes.get("internal", 0)
    result.promise("no caller is told `internal`", internal, kept=not internal)
    note_outage(result, seen, world)
    result.notes["orders asked for more than once"] = sum(count > 1 for count in seen.verdict.asked.values())
    times = seen.verdict.times()
    result.series = Series(name, title, times, limit, world.setting.per_ms, tuple(world.marks)) if title else None
    if world.marks:
        first = min(times, default=0.0)
        result.notes["done to it"] = ", ".join(f"{word} at {at - first:.2f} s" for at, word in world.marks)
    return result


def note_outage(result: Result, seen: Seen, world: World) -> None:
    """Write down what callers and the venue noticed of a fault."""
    result.notes |= {
        "told": seen.tally.outcomes,
        "longest gap": f"{longest_gap_s(seen.verdict.times()):.2f} s",
        "Redis found missing": world.degraded(),
    }
    note_early(result, seen.verdict, world)


def note_early(result: Result, verdict: Verdict, world: World) -> None:
    """Write down which arrivals were one too many, for whoever looks for the reason."""
    window_s = world.setting.per_ms / 1000
    for endpoint in per_endpoint(verdict):
        if early := too_early(verdict.times(endpoint), world.setting.tokens, window_s):
            result.notes[f"too early, {endpoint}"] = ", ".join(early[:12])


async def steady(seconds: float) -> Result:
    """10 per 1000 ms, three replicas, nothing else."""
    async with scene(Setting()) as world:
        seen = await saturated(world, seconds)
        result = judged("saturation", world, seen, at_least=0.97)
        result.notes["slots"] = await world.slots()
        return result


async def jittered(seconds: float) -> Result:
    """The same, and the way to the venue takes 5 ms +- 5 ms."""
    async with scene(Setting(delay_ms=5, jitter_ms=5)) as world:
        return judged("jitter", world, await saturated(world, seconds), at_least=0.95)


async def batched(seconds: float) -> Result:
    """The same in batches: ten cancels per request."""
    async with scene(Setting(batching=True)) as world:
        seen = await saturated(world, seconds, each=60)
        result = judged("saturation-batched", world, seen)
        result.notes["cancels per second"] = round(len(seen.tally.taken()) / seconds, 1)
        result.notes["requests"] = seen.verdict.requests
        return result
