"""What comes late to the venue: it counts arrivals, which lie anywhere between a departure and its reply."""

import asyncio

import pytest
from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core.ledger import Epoch, Ledger
from gateway.core.model import Lane
from gateway.core.outcome import Outcome
from gateway.core.wire import Unconfirmed

TOKENS, STATED_S, GUARD_S = 10, 1.0, 0.02
SLACK_S = 0.001


async def burst(world: World, takes_s: float, named: str = "first") -> list[asyncio.Task[object]]:
    """A whole limit leaves now, and each reply takes so long."""
    world.sender.takes_s = takes_s
    asks = [world.ask(f"{named}-{number}", within_s=60.0) for number in range(TOKENS)]
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(world.pipeline.cancel(ask)) for ask in asks]
    await asyncio.sleep(0.001)
    world.sender.takes_s = 0.0
    return tasks


async def next_send(world: World) -> float:
    """When the next cancel leaves."""
    sent = len(world.sender.cancels)
    await world.pipeline.cancel(world.ask("next", within_s=60.0))
    assert len(world.sender.cancels) == sent + 1
    return world.sender.cancels[-1].at


@pytest.mark.parametrize("takes_s", [0.1, 0.45, 0.9, 1.7])
@pytest.mark.parametrize("replica", ["this", "another"])
@on_virtual_time
async def test_nothing_follows_closer_than_a_window_on_what_may_have_come_late(takes_s: float, replica: str) -> None:
    world = World(reserve=0)
    other = World(reserve=0, beside=world) if replica == "another" else world
    began = world.clock.monotonic()
    tasks = await burst(world, takes_s)

    left = await next_send(other)

    reply = began + takes_s
    assert left >= reply + STATED_S - SLACK_S
    assert left <= reply + STATED_S + GUARD_S + SLACK_S
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("flushed_after_s", [0.1, 0.7, 1.0])
@on_virtual_time
async def test_nothing_follows_closer_although_the_store_forgot_what_came_late(flushed_after_s: float) -> None:
    """Another replica holds a slot ahead, built on when they left; nobody can tell it that they were late."""
    world = World(reserve=0)
    other = World(reserve=0, beside=world)
    began = world.clock.monotonic()
    tasks = await burst(world, 0.5)
    following = asyncio.create_task(next_send(other))
    await asyncio.sleep(flushed_after_s)

    now_us = world.limiter.now_us()
    world.limiter.ledger = Ledger({DESK_A: Epoch(now_us, now_us)})
    left = await following

    assert left >= began + 0.5 + STATED_S - SLACK_S
    await asyncio.gather(*tasks)


@on_virtual_time
async def test_a_request_that_was_given_up_may_have_come_until_then() -> None:
    world = World(reserve=0)
    world.sender.on_cancel = [Unconfirmed("no whole reply in time")] * 2 + world.sender.on_cancel
    began = world.clock.monotonic()
    tasks = await burst(world, 0.8)

    left = await next_send(world)

    assert left >= began + 0.8 + STATED_S - SLACK_S
    await asyncio.gather(*tasks)


@on_virtual_time
async def test_what_comes_back_within_the_guard_costs_no_further_question() -> None:
    world = World()
    world.sender.takes_s = GUARD_S - 0.001

    for number in range(5):
        await world.pipeline.cancel(world.ask(str(number)))
    await asyncio.sleep(3.0)

    assert not world.limiter.calls


@on_virtual_time
async def test_a_long_way_is_no_lateness_once_it_is_known() -> None:
    world = World()
    world.sender.takes_s = 0.2
    for number in range(10):
        await world.pipeline.cancel(world.ask(str(number)))
        await asyncio.sleep(0.6)
    asked = world.limiter.calls["postpone"]
    assert asked

    for number in range(10, 15):
        await world.pipeline.cancel(world.ask(str(number)))
        await asyncio.sleep(0.6)

    assert world.limiter.calls["postpone"] == asked


@on_virtual_time
async def test_a_lost_store_does_not_stop_a_late_reply() -> None:
    world = World()
    world.sender.takes_s = 0.2
    cancelling = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await asyncio.sleep(0.1)

    world.limiter.down = True
    answer = await cancelling
    await asyncio.sleep(0.1)

    assert answer.outcome is Outcome.CANCELLED
    assert world.limiter.calls["postpone"] == 1


@on_virtual_time
async def test_a_slot_that_moved_is_still_bound_late() -> None:
    """Whoever is best when it matures in the end goes, not whoever was best when it was to mature at first."""
    world = World(reserve=0)
    tasks = await burst(world, 0.3)
    normal = asyncio.create_task(world.pipeline.cancel(world.ask("normal", within_s=60.0)))
    await asyncio.sleep(1.15)

    urgent = await world.pipeline.cancel(world.ask("urgent", lane=Lane.URGENT))

    assert urgent.outcome is Outcome.CANCELLED
    assert [sent.ref for sent in world.sender.cancels][TOKENS] == "urgent"
    await asyncio.gather(normal, *tasks)


@on_virtual_time
async def test_what_is_urgent_has_connections_of_its_own() -> None:
    world = World(reserve=0)
    await world.pipeline.cancel(world.ask("1"))
    await world.pipeline.cancel(world.ask("2", lane=Lane.URGENT))
    tasks = await burst(world, 0.0)
    await world.pipeline.cancel(world.ask("3", lane=Lane.KILL, within_s=60.0))
    await asyncio.gather(*tasks)

    waited = world.sender.urgent[2 + TOKENS - 2 :]
    assert world.sender.urgent[:2] == [False, True]
    assert waited == [True, False, False]
