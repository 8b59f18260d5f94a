"""What may happen to Redis while all replicas are saturated; the venue must never notice."""

import asyncio
import signal
import tempfile
from pathlib import Path

from bench.admission import processes
from bench.admission.processes import Clock, Valkey
from bench.admission.result import Result
from bench.admission.saturation import Event, judged, note_outage, saturated
from bench.admission.setting import Setting
from bench.admission.topology import newest_grant
from bench.admission.venue import most_in_window
from bench.admission.world import World, redis_proxies, scene

DOWN_S = 3.0
STOPPED_S = 5.0


async def _with(name: str, seconds: float, event: Event, title: str) -> Result:
    async with scene(Setting()) as world:
        seen = await saturated(world, seconds, event)
        return judged(name, world, seen, title=title)


async def killed(seconds: float) -> Result:
    """SIGKILL, nothing for three seconds, then an empty one on the same port."""

    async def event(world: World) -> None:
        world.mark("SIGKILL")
        world.valkey.kill()
        await asyncio.sleep(DOWN_S)
        world.valkey.start()
        world.mark("back, empty")

    return await _with("redis-kill", seconds, event, "Redis is killed, and empty when it comes back")


async def restarted(seconds: float) -> Result:
    """SIGKILL and an empty one at once, so that a replica may hardly notice."""

    async def event(world: World) -> None:
        world.mark("SIGKILL, and an empty one at once")
        world.valkey.kill()
        world.valkey.start()

    return await _with("redis-restart", seconds, event, "Redis is killed, and an empty one stands there at once")


async def stale(seconds: float) -> Result:
    """SIGKILL, and the one that comes back has lost the last writes but has everything from before, epoch and all."""

    async def event(world: World) -> None:
        world.valkey.do("SAVE")
        await asyncio.sleep(0.4)
        world.mark("SIGKILL, and one without the last writes")
        world.valkey.kill()
        world.valkey.start()

    return await _with("redis-stale", seconds, event, "Redis is killed, and comes back without its last writes")


async def flushed(seconds: float) -> Result:
    """FLUSHALL, three times, half a second apart."""

    async def event(world: World) -> None:
        for _ in range(3):
            world.mark("FLUSHALL")
            world.valkey.do("FLUSHALL")
            await asyncio.sleep(0.5)

    return await _with("redis-flushall", seconds, event, "Redis loses everything, three times")


async def stopped(seconds: float) -> Result:
    """SIGSTOP for five seconds."""

    async def event(world: World) -> None:
        world.mark("SIGSTOP")
        world.valkey.signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_S)
        world.mark("SIGCONT")
        world.valkey.signal(signal.SIGCONT)

    return await _with("redis-sigstop", seconds, event, "Redis hangs for five seconds")


async def scripts_lost(seconds: float) -> Result:
    """SCRIPT FLUSH, again and again."""

    async def event(world: World) -> None:
        for _ in range(5):
            world.valkey.do("SCRIPT", "FLUSH")
            await asyncio.sleep(0.2)

    result = await _with("script-flush", seconds, event, "Redis forgets its scripts")
    lost = result.notes["Redis found missing"]
    result.promise("nobody takes that for a lost Redis", lost, kept=lost == 0)
    return result


async def stepped(seconds: float) -> Result:
    """The clock of Redis steps ahead ten minutes, back twenty, and ahead again."""
    if processes.LIBRARY is None:
        return Result("redis-clock", skipped="faketime is not installed")
    folder = Path(tempfile.mkdtemp(prefix="admission-clock-"))
    clock = Clock(folder / "offset")
    clock.step("+0")
    valkey = Valkey(folder / "valkey", environment=clock.environment)

    async def event(world: World) -> None:
        for offset in ("+600", "-600", "+0"):
            world.mark(f"clock at {offset}")
            clock.step(offset)
            seen = world.valkey.do("TIME")
            await asyncio.sleep(seconds * 2 / 3 / 4)
            assert seen

    valkey.start()
    try:
        async with scene(Setting(), valkey=valkey) as world:
            result = judged("redis-clock", world, await saturated(world, seconds, event))
            share = result.efficiency or 0.0
            result.promise("cancels go on: efficiency >= 50 %", f"{share:.1%}", kept=share >= 0.5)
            return result
    finally:
        valkey.kill()
        processes.remove(folder)


async def cut_off(seconds: float) -> Result:
    """One replica alone loses Redis and works on its share, while the others have all of it. Not zero, but bounded."""
    folder = Path(tempfile.mkdtemp(prefix="admission-cut-"))
    valkey = Valkey(folder)
    valkey.start()
    try:
        async with redis_proxies(valkey, 3) as ways:

            async def event(world: World) -> None:
                world.mark("cut off")
                ways[0].lead_to(processes.free_port())
                await asyncio.sleep(seconds / 3)
                world.mark("back")
                ways[0].lead_to(valkey.port)

            urls = [f"redis://127.0.0.1:{way.port}" for way in ways]
            async with scene(Setting(), valkey=valkey, redis_urls=urls) as world:
                seen = await saturated(world, seconds, event)
                most = most_in_window(seen.verdict.times(), world.setting.per_ms / 1000)
                result = Result("redis-cut-off", violations=seen.verdict.violations, efficiency=seen.share)
                bound = world.setting.tokens + world.setting.tokens // world.setting.replicas_max
                result.promise(f"most in any window <= N and one share = {bound}", most, kept=most <= bound)
                note_outage(result, seen, world)
                return result
    finally:
        valkey.kill()
        processes.remove(folder)


async def blips(seconds: float) -> Result:
    """One replica alone loses Redis for 0.3 s, again and again: less than the hold, so its share must never be used."""
    folder = Path(tempfile.mkdtemp(prefix="admission-blip-"))
    valkey = Valkey(folder)
    valkey.start()
    try:
        async with redis_proxies(valkey, 3) as ways:
            nobody = processes.free_port()

            async def event(world: World) -> None:
                for turn in range(max(1, int(seconds * 2 / 3 / 3))):
                    way = ways[turn % len(ways)]
                    world.mark("blip")
                    way.lead_to(nobody)
                    await asyncio.sleep(0.3)
                    way.lead_to(valkey.port)
                    await asyncio.sleep(2.7)

            urls = [f"redis://127.0.0.1:{way.port}" for way in ways]
            async with scene(Setting(), valkey=valkey, redis_urls=urls) as world:
                return judged("redis-blips", world, await saturated(world, seconds, event))
    finally:
        valkey.kill()
        processes.remove(folder)


async def split(seconds: float) -> Result:
    """Split brain: one replica is led to a promoted copy, the others stay. Not zero, but bounded."""
    folder = Path(tempfile.mkdtemp(prefix="admission-split-"))
    primary, copy = Valkey(folder / "primary"), Valkey(folder / "copy")
    primary.start()
    copy.start()
    copy.do("REPLICAOF", "127.0.0.1", str(primary.port))
    began_us = 0
    try:
        async with redis_proxies(primary, 3) as ways:

            async def event(world: World) -> None:
                nonlocal began_us
                copy.do("REPLICAOF", "NO", "ONE")
                began_us = newest_grant(primary)
                world.mark("split")
                ways[0].lead_to(copy.port)
                await asyncio.sleep(0)
                assert world.gateways

            urls = [f"redis://127.0.0.1:{way.port}" for way in ways]
            async with scene(Setting(), valkey=primary, redis_urls=urls) as world:
                seen = await saturated(world, seconds, event)
                most = most_in_window(seen.verdict.times(), world.setting.per_ms / 1000)
                result = Result("split-brain", violations=seen.verdict.violations, efficiency=seen.share)
                bound = 2 * world.setting.tokens
                result.promise(f"most in any window <= sides x N = {bound}", most, kept=most <= bound)
                sides = [side for side in (primary, copy) if newest_grant(side) > began_us]
                result.promise("both sides gave slots after the split", len(sides), kept=len(sides) == 2)
                note_outage(result, seen, world)
                return result
    finally:
        primary.kill()
        copy.kill()
        processes.remove(folder)
