"""What may happen to a replica while all are saturated: killed, stopped, in another time, or configured anew."""

import asyncio
import signal

from bench.admission import processes
from bench.admission.crowd import Ask, orders, saturating
from bench.admission.result import Result
from bench.admission.saturation import SETTLE_S, Event, judged, saturated
from bench.admission.setting import Setting
from bench.admission.venue import most_in_window
from bench.admission.world import World, scene, smaller

STOPPED_S = 2.0


async def _with(name: str, seconds: float, event: Event) -> Result:
    async with scene(Setting()) as world:
        return judged(name, world, await saturated(world, seconds, event))


async def killed(seconds: float) -> Result:
    """SIGKILL while it holds slots; another takes its place two seconds later."""

    async def event(world: World) -> None:
        world.mark("SIGKILL")
        world.gateways[0].kill()
        await asyncio.sleep(2)
        world.mark("another starts")
        await world.gateways[0].again()

    return await _with("gateway-kill", seconds, event)


async def stopped(seconds: float) -> Result:
    """SIGSTOP for two seconds, for each in turn: slots that have grown stale must not be used."""

    async def event(world: World) -> None:
        for gateway in world.gateways:
            world.mark("SIGSTOP")
            gateway.process.signal(signal.SIGSTOP)
            await asyncio.sleep(STOPPED_S)
            gateway.process.signal(signal.SIGCONT)
            await asyncio.sleep(0.5)

    return await _with("gateway-sigstop", seconds, event)


async def hiccups(seconds: float) -> Result:
    """SIGSTOP for 30 to 150 ms, many times: late by less than a window is late as well."""

    async def event(world: World) -> None:
        for turn in range(int(seconds * 2 / 3 / 0.4)):
            gateway = world.gateways[turn % len(world.gateways)]
            gateway.process.signal(signal.SIGSTOP)
            await asyncio.sleep(0.03 + 0.03 * (turn % 5))
            gateway.process.signal(signal.SIGCONT)
            await asyncio.sleep(0.4 - 0.03 - 0.03 * (turn % 5))

    return await _with("gateway-hiccups", seconds, event)


async def in_another_time(seconds: float) -> Result:
    """One replica is ten minutes ahead, one ten minutes behind. At a venue that does not check the time of a call."""
    if processes.LIBRARY is None:
        return Result("gateway-clock", skipped="faketime is not installed")
    environments = [processes.shifted("+600s"), processes.shifted("-600s"), {}]
    async with scene(Setting(venue="etna"), environments=environments) as world:
        return judged("gateway-clock", world, await saturated(world, seconds), at_least=0.9)


async def roll_out(seconds: float) -> Result:
    """A replica that is told 6 instead of 10 joins two with 10: from then on never more than 6."""
    setting = Setting(replicas=2)
    async with scene(setting) as world:
        ask = Ask(setting.venue)
        refs = await orders(world, int(20 * seconds) + 200, ask)
        async with saturating(world, ask, refs) as tally:
            await asyncio.sleep(seconds / 3)
            newcomer = world.add_gateway(smaller(setting, 6))
            await newcomer.listening()
            await newcomer.ready()
            async with saturating(world, ask, refs, each=5) as later:
                await asyncio.sleep(2.5)
                since = asyncio.get_running_loop().time()
                await asyncio.sleep(seconds * 2 / 3)
        await asyncio.sleep(SETTLE_S)
        verdict = await world.judge.verdict()
    times = verdict.times()
    before, after = [at for at in times if at < since - 2.5], [at for at in times if at >= since]
    result = Result("roll-out", violations=verdict.violations)
    most = most_in_window(after, setting.per_ms / 1000)
    result.promise("most in any window with a replica of limit 6 <= 6", most, kept=most <= 6)
    share = len(after) / (6 * seconds * 2 / 3)
    result.promise("and the 6 are used: >= 90 %", f"{share:.1%}", kept=share >= 0.9)
    result.notes |= {
        "most before": most_in_window(before, setting.per_ms / 1000),
        "told": tally.outcomes,
        "told later": later.outcomes,
    }
    return result
