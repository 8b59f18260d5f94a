"""The end of a process, in order: who is still let go, who is handed over, and when everybody has been answered."""

import asyncio
from dataclasses import dataclass, field

import pytest
from fakes import World
from virtual_time import let_run, loop_clock, on_virtual_time

from gateway.core.idempotency import State
from gateway.core.model import Wait
from gateway.core.outcome import OrderState, Outcome, Seen, Settled
from gateway.dispatch import Patience
from gateway.drain import CLOSE_S, HANDED_OVER, Drain, Times

TIMES = Times(whole_s=10.0, lag_s=1.0, answer_s=2.5)


@dataclass
class Scene:
    """A drain, and when it did what."""

    busy_until: float = 0.0
    told: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = loop_clock()
        self.began = self.clock.monotonic()
        self.hasten = asyncio.Event()

    def after(self) -> float:
        return round(self.clock.monotonic() - self.began, 1)

    def drain(self, times: Times = TIMES) -> Drain:
        return Drain(
            self.clock,
            times,
            lambda: self.after() < self.busy_until,
            lambda: self.told.append(("hand over", self.after())),
            lambda: self.told.append(("answer all", self.after())),
        )


@on_virtual_time
async def test_an_idle_process_still_answers_newcomers_for_the_lag() -> None:
    scene = Scene()

    assert await scene.drain().run(scene.hasten)
    assert (scene.after(), scene.told) == (1.0, [])


@on_virtual_time
async def test_work_that_ends_in_time_is_waited_for_and_nobody_is_handed_over() -> None:
    scene = Scene(busy_until=4.0)

    assert await scene.drain().run(scene.hasten)
    assert (scene.after(), scene.told) == (4.0, [])


@on_virtual_time
async def test_the_line_is_handed_over_while_there_is_still_time_for_an_answer() -> None:
    scene = Scene(busy_until=8.0)

    assert await scene.drain().run(scene.hasten)
    assert (scene.after(), scene.told) == (8.0, [("hand over", 10.0 - CLOSE_S - 2.5)])


@on_virtual_time
async def test_whoever_is_left_at_the_end_is_answered_within_the_whole_time() -> None:
    scene = Scene(busy_until=99.0)

    assert not await scene.drain().run(scene.hasten)
    assert scene.told == [("hand over", 6.5), ("answer all", 10.0 - CLOSE_S)]


@on_virtual_time
async def test_a_second_signal_hands_over_at_once_and_leaves_one_answers_time() -> None:
    scene = Scene(busy_until=99.0)
    asyncio.get_running_loop().call_later(3.0, scene.hasten.set)

    assert not await scene.drain().run(scene.hasten)
    assert scene.told == [("hand over", 3.0), ("answer all", 5.5)]


@on_virtual_time
async def test_a_second_signal_ends_the_lag_of_an_idle_process() -> None:
    scene = Scene()
    asyncio.get_running_loop().call_later(0.3, scene.hasten.set)

    assert await scene.drain().run(scene.hasten)
    assert scene.after() == 0.3


@pytest.mark.parametrize("whole_s", [0.0, CLOSE_S / 2])
@on_virtual_time
async def test_without_time_all_is_said_at_once(whole_s: float) -> None:
    scene = Scene(busy_until=99.0)

    assert not await scene.drain(Times(whole_s, 1.0, 2.5)).run(scene.hasten)
    assert scene.told == [("hand over", 0.0), ("answer all", 0.0)]


@on_virtual_time
async def test_a_closed_line_lets_nobody_join_and_keeps_no_key() -> None:
    world = World()
    world.dispatcher.close(HANDED_OVER)
    world.spend(10)

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert (answer.outcome, world.records.one().state, world.records.keys) == (Outcome.DRAINING, State.REFUSED, {})
    assert world.sender.cancels == []


# -- what is certain by now ------------------------------------------------------------------------------------------


async def _so_far(world: World, wait: Wait = Wait.ACK) -> tuple[Outcome, asyncio.Task[object]]:
    """What a cancel that runs would be told now."""
    patience = Patience()
    work: asyncio.Task[object] = asyncio.create_task(world.pipeline.cancel(world.ask(wait=wait), patience))
    await let_run()
    await asyncio.sleep(0.2)
    assert patience.so_far is not None
    return patience.so_far().outcome, work


@on_virtual_time
async def test_what_has_left_is_unknown() -> None:
    world = World()
    world.sender.takes_s = 1.0

    outcome, work = await _so_far(world)
    await work

    assert outcome is Outcome.UNKNOWN
    assert world.records.one().outcome is Outcome.CANCELLED


@on_virtual_time
async def test_what_was_acknowledged_stays_accepted() -> None:
    world = World()
    world.sender.on_cancel = [Settled(Outcome.ACCEPTED)]
    world.sender.on_read = [Seen(OrderState.OPEN)]

    outcome, work = await _so_far(world, Wait.TERMINAL)
    await work

    assert outcome is Outcome.ACCEPTED


@on_virtual_time
async def test_what_has_not_left_by_then_never_leaves() -> None:
    world = World()
    world.sender.connects_s = 0.5

    outcome, work = await _so_far(world)
    await work

    assert outcome is Outcome.DRAINING
    assert world.sender.cancels == []
