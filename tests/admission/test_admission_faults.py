"""What may happen to Redis or a replica while all are saturated; the venue must never see one request too many."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine

from bench.admission.crowd import Ask, orders, saturating
from bench.admission.gates import ORDERLY, Watched, watched
from bench.admission.setting import Setting
from bench.admission.store_faults import blips
from bench.admission.venue import most_in_window, too_early
from bench.admission.world import World, scene, smaller

CALM_S = 2.2
NOTHING: list[str] = []


async def flushed(world: World) -> None:
    world.valkey.do("FLUSHALL")


async def scripts_lost(world: World) -> None:
    world.valkey.do("SCRIPT", "FLUSH")


async def restarted_empty(world: World) -> None:
    world.valkey.kill()
    world.valkey.start()


async def restarted_without_the_last_writes(world: World) -> None:
    world.valkey.do("SAVE")
    await asyncio.sleep(0.4)
    world.valkey.kill()
    world.valkey.start()


async def redis_stopped(world: World) -> None:
    world.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5)
    world.valkey.signal(signal.SIGCONT)


async def gateway_stopped(world: World) -> None:
    world.gateways[0].process.signal(signal.SIGSTOP)
    await asyncio.sleep(1.2)
    world.gateways[0].process.signal(signal.SIGCONT)


async def gateway_killed(world: World) -> None:
    world.gateways[2].kill()


STORE: tuple[Callable[[World], Coroutine[object, object, None]], ...] = (
    scripts_lost,
    flushed,
    redis_stopped,
    restarted_empty,
    restarted_without_the_last_writes,
)
REPLICA = (gateway_stopped, gateway_killed)


async def early_arrivals(
    faults: tuple[Callable[[World], Coroutine[object, object, None]], ...],
) -> dict[str, list[str]]:
    """Which arrivals came too early, by the fault that went before."""
    setting, found = Setting(), {}
    async with scene(setting) as world:
        ask = Ask(setting.venue)
        async with saturating(world, ask, await orders(world, 800, ask), each=12):
            await asyncio.sleep(1.5)
            for fault in faults:
                before = asyncio.get_running_loop().time() - 1.0
                await fault(world)
                await asyncio.sleep(CALM_S)
                times = [at for at in (await world.judge.verdict()).times() if at > before]
                found[fault.__name__] = too_early(times, setting.tokens, setting.per_ms / 1000)
    return found


async def test_redis_that_loses_its_data_gives_out_no_second_burst() -> None:
    found = await early_arrivals(STORE)

    assert found == {fault.__name__: NOTHING for fault in STORE}


async def test_replica_that_stops_or_dies_uses_no_slot_late() -> None:
    found = await early_arrivals(REPLICA)

    assert found == {fault.__name__: NOTHING for fault in REPLICA}


async def test_replicas_with_different_limits_never_exceed_the_smaller() -> None:
    setting = Setting(replicas=2)
    async with scene(setting, settings=[setting, smaller(setting, 6)]) as world:
        ask = Ask(setting.venue)
        async with saturating(world, ask, await orders(world, 200, ask), each=10):
            await asyncio.sleep(4)
        times = (await world.judge.verdict()).times()

    assert most_in_window(times, 1.0) == 6


async def test_replica_that_misses_redis_for_a_moment_sends_nothing_on_its_own() -> None:
    result = await blips(7)

    assert result.violations == 0


async def test_flushed_redis_costs_a_window_and_nobody_his_place() -> None:
    setting = Setting()
    async with scene(setting) as world:
        ask = Ask(setting.venue)
        async with saturating(world, ask, await orders(world, 300, ask), each=12) as tally:
            await asyncio.sleep(2.5)
            await flushed(world)
            flushed_at = time.monotonic()
            await asyncio.sleep(3.5)
        times = (await world.judge.verdict()).times()

    assert tally.outcomes.keys() == {"accepted"}
    assert sum(at > flushed_at + 0.1 for at in times) >= 15


async def test_429_shuts_out_all_replicas_until_one_probe_was_let_in() -> None:
    async with scene(Setting()) as world:
        seen: Watched = await watched(world, ORDERLY[0])

    closed = [one for one in seen.told.told if one.outcome == "venue_limited"]
    opens_at = closed[0].at + (closed[0].retry_after_ms or 0) / 1000
    times = seen.verdict.times("cancel_by_id")
    others = seen.verdict.times("cancel_by_client_id")
    probe_at = min(at for at in times if at > opens_at - 0.05)
    assert {one.replica for one in closed} == {0, 1, 2}
    assert [at for at in times if seen.refused_at + 0.25 < at < opens_at - 0.05] == []
    assert sum(probe_at <= at < probe_at + 0.15 for at in times) == 1
    assert sum(seen.refused_at + 0.2 < at < opens_at for at in others) >= 5
