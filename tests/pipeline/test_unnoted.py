"""Cancels whose note `sent` could not be written: what others make of their records, and what is written afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.idempotency import Record, RecordId, State
from gateway.core.outcome import OrderState, Outcome, Seen, Unclear

TOKENS, LEASE_S = 8, 10.0


async def left_unnoted(world: World) -> None:
    """One cancel left, the store was away just then, and the process died before it could tell anybody."""
    world.spend(TOKENS)
    world.records.down = {"mark_sent"}
    world.sender.takes_s = 1.0
    work = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=3.0)))
    while not world.sender.cancels:  # noqa: ASYNC110  the sender rings no bell
        await asyncio.sleep(0.01)
    work.cancel()
    await world.steady.aclose()
    world.records.down = set()
    await let_run()
    assert world.records.one().state is State.RECEIVED


async def looked_at(world: World) -> Record:
    """Another process finds it, and looks as often as it must."""
    other = World(beside=world)
    await asyncio.sleep(LEASE_S)
    for _ in range(3):
        for record in await other.resolver.round(DESK_A, 5):
            await other.resolver.resolve(record)
        await asyncio.sleep(2.0)
    return world.records.one()


@on_virtual_time
async def test_what_was_done_is_told_although_nobody_noted_it() -> None:
    world = World()
    await left_unnoted(world)
    world.sender.on_read = [Seen(OrderState.CANCELLED)]

    record = await looked_at(world)

    assert (record.state, record.outcome) == (State.TERMINAL, Outcome.CANCELLED)


@on_virtual_time
async def test_what_is_open_at_two_looks_was_not_done() -> None:
    world = World()
    await left_unnoted(world)
    world.sender.on_read = [Seen(OrderState.OPEN)]

    record = await looked_at(world)

    assert (record.state, record.outcome, record.attempts) == (State.REFUSED, Outcome.VENUE_UNAVAILABLE, 0)
    assert [step.result for step in record.steps] == ["open", "venue_unavailable"]


@on_virtual_time
async def test_what_can_not_be_seen_is_unknown() -> None:
    world = World()
    await left_unnoted(world)
    world.sender.on_read = [Unclear("HTML")]

    record = await looked_at(world)

    assert (record.state, record.outcome) == (State.UNKNOWN, Outcome.UNKNOWN)


@on_virtual_time
async def test_whoever_lives_writes_the_note_when_the_store_is_back() -> None:
    world = World()
    world.spend(TOKENS)
    world.records.down = {"mark_sent"}
    answer = await world.pipeline.cancel(world.ask())
    assert (answer.outcome, world.records.one().state) == (Outcome.CANCELLED, State.RECEIVED)

    world.records.down, world.continuity.degraded = set(), False
    await asyncio.sleep(1.0)

    record = world.records.one()
    assert (record.state, record.outcome) == (State.TERMINAL, Outcome.CANCELLED)
    assert record.sent_ms is not None
    assert world.restored == [(1, 0)]


@pytest.mark.parametrize("state", [State.RECEIVED, State.REFUSED])
def test_who_took_it_that_nothing_was_sent_is_put_right(state: State) -> None:
    @on_virtual_time
    async def story() -> None:
        world = World()
        world.spend(TOKENS)
        world.records.down = {"mark_sent"}
        await world.pipeline.cancel(world.ask())
        world.records.down = set()
        world.sender.on_read = [Seen(OrderState.OPEN)]
        if state is State.REFUSED:
            await looked_at(world)
        assert world.records.one().state is state

        world.continuity.degraded = False
        await asyncio.sleep(1.0)

        assert (world.records.one().state, world.records.one().outcome) == (State.TERMINAL, Outcome.CANCELLED)

    story()


@on_virtual_time
async def test_nobody_sends_without_a_note_after_his_lease() -> None:
    """Somebody else may be at work on the order by then."""
    world = World()
    claim = await claimed(world, lambda: asyncio.sleep(LEASE_S))
    world.records.down = {"mark_sent"}

    assert await world.steady.mark_sent(claim, 1, world.clock.now_ms()) is False


@on_virtual_time
async def test_within_his_lease_he_does() -> None:
    world = World()
    claim = await claimed(world, let_run)
    world.records.down = {"mark_sent"}

    assert await world.steady.mark_sent(claim, 1, world.clock.now_ms()) is True
    kept = await world.steady.get(claim)
    assert kept is not None
    assert kept.state is State.SENT


async def claimed(world: World, then: Callable[[], Awaitable[None]]) -> RecordId:
    world.spend(TOKENS)
    waiting = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=3.0)))
    await let_run()
    record = world.records.one().id
    waiting.cancel()
    await then()
    return record
