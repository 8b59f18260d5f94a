"""Only as many cancels take a slot at once as can be sent before it is stale."""

import asyncio

import pytest
from fakes import World
from virtual_time import let_run, on_virtual_time

from gateway.core.model import Lane
from gateway.core.outcome import Outcome
from gateway.gangway import CALM, FIRST, LEAST, MOST, Gangway


def full(width: int = FIRST) -> Gangway:
    gangway = Gangway()
    gangway.width = width
    while gangway.enter():
        pass
    return gangway


@on_virtual_time
async def test_whoever_finds_it_full_waits_until_somebody_leaves_the_urgent_first() -> None:
    gangway, came = full(1), []

    async def come(name: str, *, urgent: bool) -> None:
        await gangway.wait(urgent=urgent)
        came.append(name)

    tasks = [asyncio.create_task(come(name, urgent=name == "urgent")) for name in ("first", "second", "urgent")]
    await let_run()
    assert came == []
    for _ in tasks:
        gangway.leave()
        await let_run()

    assert came == ["urgent", "first", "second"]
    assert gangway.inside == 1
    await asyncio.gather(*tasks)


@on_virtual_time
async def test_nobody_passes_those_who_wait() -> None:
    gangway = full(1)
    waiting = asyncio.create_task(gangway.wait(urgent=False))
    await let_run()
    gangway.width = 2

    assert not gangway.enter()
    gangway.leave()
    await waiting
    assert gangway.inside == 1


@pytest.mark.parametrize("already", [False, True])
def test_who_goes_away_while_he_waits_takes_no_place(already: bool) -> None:  # noqa: FBT001  a case
    @on_virtual_time
    async def story() -> None:
        gangway = full(1)
        gone, next_one = (asyncio.create_task(gangway.wait(urgent=False)) for _ in range(2))
        await let_run()
        if already:
            gangway.leave()  # it is his turn in the very tick in which he goes
            gone.cancel()
        else:
            gone.cancel()
            await let_run()
            gangway.leave()
        await let_run()

        assert (gone.cancelled(), next_one.done(), gangway.inside) == (True, True, 1)

    story()


def test_it_narrows_where_slots_went_stale_and_widens_slowly() -> None:
    gangway = Gangway()
    for _ in range(10):
        gangway.late()
    assert gangway.width == LEAST
    for _ in range(CALM):
        gangway.in_time()
    assert gangway.width == LEAST + 1
    for _ in range(CALM * MOST):
        gangway.in_time()
    assert gangway.width == MOST


@on_virtual_time
async def test_of_many_that_come_at_once_few_hold_a_slot_and_all_leave_the_gangway() -> None:
    world = World()
    world.limiter.trip_s = 0.001
    world.gangway.width = 2
    world.sender.connects_s = 0.005
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, world.gangway.inside)
            await asyncio.sleep(0.0001)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(world.pipeline.cancel(world.ask(str(number))) for number in range(8)))
    watching.cancel()

    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    assert (most, world.gangway.inside) == (2, 0)
    assert max(answer.waited_ms for answer in answers) > 5.0


@on_virtual_time
async def test_who_waits_for_a_slot_or_for_somebody_elses_end_holds_no_place() -> None:
    world = World()
    world.spend(8)
    world.sender.takes_s = 1.0
    waiting = [asyncio.create_task(world.pipeline.cancel(world.ask(ref, within_s=4.0))) for ref in ("1", "2", "2")]
    await let_run()

    assert (world.gangway.inside, len(world.records.kept)) == (0, 2)
    urgent = await world.pipeline.cancel(world.ask("3", lane=Lane.URGENT))
    assert urgent.outcome is Outcome.CANCELLED
    await asyncio.gather(*waiting)
    assert world.gangway.inside == 0


@on_virtual_time
async def test_whatever_breaks_on_the_way_leaves_the_gangway() -> None:
    world = World()
    work = asyncio.create_task(world.pipeline.cancel(world.ask()))
    while not world.gangway.inside:  # noqa: ASYNC110  it rings no bell
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    assert world.gangway.inside == 0
