"""Whoever walks round the accounts calls only where something is open. On virtual time."""

import asyncio

from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core.idempotency import Record, Settlement, State
from gateway.core.model import Account
from gateway.core.outcome import OrderState, Outcome, Seen, Settled, Unclear
from gateway.watchman import ACCOUNTS_EVERY_S

MANY = [Account(DESK_A.venue, f"desk-{number}") for number in range(1000)]


def world_of_many() -> World:
    world = World()
    world.served = (DESK_A, *MANY)
    return world


async def left_unknown(world: World) -> Record:
    world.sender.on_cancel = [Unclear("HTML"), Settled(Outcome.CANCELLED)]
    await world.pipeline.cancel(world.ask())
    return world.records.one()


@on_virtual_time
async def test_nobody_is_called_at_where_nothing_is_open() -> None:
    world = world_of_many()
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(30)

    assert not world.records.taken_at
    assert 25 <= len(world.records.asked_about) <= 35
    walk.cancel()


@on_virtual_time
async def test_only_he_is_called_at_who_has_something_open() -> None:
    world = world_of_many()
    await left_unknown(world)
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(30)

    assert world.records.one().outcome is Outcome.CANCELLED
    assert world.meter.unknown == {DESK_A: 0}
    assert world.records.taken_at.keys() == {DESK_A}
    assert world.records.taken_at[DESK_A] < 6
    walk.cancel()


@on_virtual_time
async def test_what_another_replica_has_settled_is_no_longer_told_as_unknown() -> None:
    world = world_of_many()
    world.sender.on_read = [Seen(OrderState.OPEN)]
    record = await left_unknown(world)
    walk = asyncio.create_task(world.watchman.walk())
    await asyncio.sleep(3.5)
    assert world.meter.unknown == {DESK_A: 1}

    cancelled = Settlement(State.TERMINAL, Outcome.CANCELLED, b"", world.clock.now_ms(), attempts=1)
    assert await world.records.settle(record.id, world.records.one().fence, cancelled)
    await asyncio.sleep(3)

    assert world.meter.unknown == {DESK_A: 0}
    walk.cancel()


@on_virtual_time
async def test_the_same_accounts_are_asked_about_with_the_same_words() -> None:
    """What is asked every second is written down anew only where an account came or went."""
    world = world_of_many()
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(3 * ACCOUNTS_EVERY_S)

    assert len({id(asked) for asked in world.records.asked_about}) == 1
    walk.cancel()


@on_virtual_time
async def test_a_store_that_cannot_be_asked_is_asked_again() -> None:
    world = world_of_many()
    await left_unknown(world)
    world.records.down.add("awaited")
    walk = asyncio.create_task(world.watchman.walk())
    await asyncio.sleep(5)
    assert not world.records.taken_at

    world.records.down.clear()
    await asyncio.sleep(5)

    assert world.records.one().outcome is Outcome.CANCELLED
    walk.cancel()
