"""Late binding, on virtual time against the reference of the limiter: who gets which slot, when, and what it costs."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from fake_venue import VENUE
from fakes import DESK_A, World
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import let_run, on_virtual_time

from gateway.core.model import Account, By, Lane, Op
from gateway.dispatch import Admission, Bounds, Full, OverDeadline, Seat
from gateway.line import Boarding
from gateway.ports import Unavailable

WINDOW_S = 1.02
TOKENS, RESERVE = 10, 2
SLACK_S = 1e-6


def seat(
    world: World,
    lane: Lane = Lane.NORMAL,
    *,
    caller: str = "desk",
    within_s: float = 60.0,
    account: Account = DESK_A,
    weight: int = 1,
) -> Seat:
    fare = world.desk.fare(account, Op.CANCEL, By.ORDER_ID)
    return Seat(account, fare, lane, caller, weight, world.clock.monotonic() + within_s)


def waiting(world: World, *seats: Seat) -> list[asyncio.Task[Admission]]:
    return [asyncio.create_task(world.dispatcher.admit(each)) for each in seats]


async def queue_of(world: World, count: int, lane: Lane = Lane.NORMAL) -> list[asyncio.Task[Admission]]:
    """So many who wait, all slots of the window being spent."""
    world.spend(TOKENS)
    tasks = waiting(world, *(seat(world, lane, within_s=600.0) for _ in range(count)))
    await let_run()
    assert world.dispatcher.waiting == count
    return tasks


async def leave(*tasks: asyncio.Task[Admission]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await let_run()


async def finish(tasks: Sequence[asyncio.Task[Admission]]) -> list[Admission]:
    return list(await asyncio.gather(*tasks))


@on_virtual_time
async def test_a_free_slot_is_given_at_once() -> None:
    world = World()
    began = world.clock.monotonic()

    admitted = await world.dispatcher.admit(seat(world))

    assert isinstance(admitted, Boarding)
    assert world.clock.monotonic() == began == admitted.slot.matures_at
    assert world.limiter.calls == {"reserve": 1}


@on_virtual_time
async def test_normal_cancels_leave_the_reserve_to_the_urgent_ones() -> None:
    world = World(reserve=RESERVE)
    await finish(waiting(world, *(seat(world) for _ in range(TOKENS - RESERVE))))
    began = world.clock.monotonic()

    urgent = await finish(waiting(world, *(seat(world, Lane.URGENT) for _ in range(RESERVE))))

    assert all(isinstance(each, Boarding) for each in urgent)
    assert world.clock.monotonic() == began
    assert isinstance(await world.dispatcher.admit(seat(world)), Boarding)
    assert world.clock.monotonic() == pytest.approx(began + WINDOW_S)


@on_virtual_time
async def test_a_slot_that_is_held_for_normal_cancels_takes_no_more_than_itself_from_the_reserve() -> None:
    world = World(reserve=RESERVE)
    normal = waiting(world, *(seat(world) for _ in range(TOKENS)))
    await let_run()
    began = world.clock.monotonic()

    await finish(waiting(world, *(seat(world, Lane.URGENT) for _ in range(RESERVE - 1))))

    assert sum(task.done() for task in normal) == TOKENS - RESERVE
    assert world.clock.monotonic() == began
    await leave(*normal)


@on_virtual_time
async def test_a_full_window_opens_as_a_whole_one_window_later() -> None:
    world = World(reserve=0)
    began = world.clock.monotonic()
    tasks = waiting(world, *(seat(world) for _ in range(3 * TOKENS)))
    came: list[float] = []
    for task in tasks:
        task.add_done_callback(lambda _: came.append(round(world.clock.monotonic() - began, 3)))

    await finish(tasks)
    await let_run()

    assert came == [0.0] * TOKENS + [WINDOW_S] * TOKENS + [2 * WINDOW_S] * TOKENS


@pytest.mark.parametrize("lane", [Lane.URGENT, Lane.KILL])
@on_virtual_time
async def test_an_urgent_cancel_passes_a_thousand_waiting_ones(lane: Lane) -> None:
    world = World()
    normal = await queue_of(world, 1000)
    began = world.clock.monotonic()

    admitted = await world.dispatcher.admit(seat(world, lane))

    assert isinstance(admitted, Boarding)
    assert world.clock.monotonic() == pytest.approx(began + WINDOW_S)
    assert not any(task.done() for task in normal)
    await leave(*normal)


def _note(order: list[Lane], lane: Lane, _: object) -> None:
    order.append(lane)


@on_virtual_time
async def test_the_lanes_go_one_after_the_other() -> None:
    world = World(reserve=0)
    order: list[Lane] = []
    world.spend(TOKENS)
    lanes = [Lane.RECONCILE, Lane.NORMAL, Lane.URGENT, Lane.KILL] * 3
    tasks = waiting(world, *(seat(world, lane) for lane in lanes))
    for task, lane in zip(tasks, lanes, strict=True):
        task.add_done_callback(partial(_note, order, lane))

    await finish(tasks)
    await let_run()

    assert order == [Lane.KILL] * 3 + [Lane.URGENT] * 3 + [Lane.NORMAL] * 3 + [Lane.RECONCILE] * 3


@on_virtual_time
async def test_a_weak_caller_is_not_starved_by_a_busy_one() -> None:
    world = World(reserve=0)
    busy = await queue_of(world, 100)
    began = world.clock.monotonic()

    await world.dispatcher.admit(seat(world, caller="weak"))

    assert world.clock.monotonic() == pytest.approx(began + WINDOW_S)
    await leave(*busy)


# --- leaving


@on_virtual_time
async def test_the_only_one_who_waits_leaves_and_the_slot_goes_back() -> None:
    world = World()
    (task,) = await queue_of(world, 1)
    assert world.limiter.ahead() == 1

    await leave(task)

    assert world.limiter.calls["give_back"] == 1
    assert (world.limiter.ahead(), world.dispatcher.waiting) == (0, 0)


@on_virtual_time
async def test_the_slot_of_one_who_left_goes_to_the_next() -> None:
    world = World()
    began = world.clock.monotonic()
    first, second = await queue_of(world, 2)

    await leave(first)
    admitted = await second

    assert isinstance(admitted, Boarding)
    assert world.clock.monotonic() == pytest.approx(began + WINDOW_S)
    assert (world.limiter.calls["give_back"], len(world.limiter.granted)) == (0, 1)


@on_virtual_time
async def test_a_thousand_who_leave_cost_no_slot() -> None:
    world = World(reserve=0)
    stay = await queue_of(world, 1)
    crowd = waiting(world, *(seat(world, caller="crowd") for _ in range(1000)))
    await let_run()

    await leave(*crowd)
    await finish(stay)

    assert len(world.limiter.granted) - len(world.limiter.returned) == 1


@on_virtual_time
async def test_leaving_and_joining_in_one_tick_never_hands_out_a_slot_before_its_time() -> None:
    """The last one leaves, and before the holder of the slot has noticed, another one is there."""
    world = World()
    (leaver,) = await queue_of(world, 1)

    leaver.cancel()
    await asyncio.sleep(0)
    admitted = await world.dispatcher.admit(seat(world))

    assert isinstance(admitted, Boarding)
    assert world.clock.monotonic() >= admitted.slot.matures_at - SLACK_S


@on_virtual_time
async def test_leaving_in_the_tick_of_the_hand_over_costs_no_slot_either() -> None:
    world = World()
    first, second = await queue_of(world, 2)
    (slot,) = world.limiter.granted
    loop = asyncio.get_running_loop()
    loop.call_at(slot.matures_at + 1e-12, lambda: loop.call_soon(first.cancel))

    ends = await asyncio.gather(first, second, return_exceptions=True)

    assert isinstance(ends[1], Boarding)
    used = sum(isinstance(end, Boarding) for end in ends)
    assert len(world.limiter.granted) - len(world.limiter.returned) == used


# --- deadlines and bounds


@on_virtual_time
async def test_who_cannot_make_it_is_told_at_once_and_costs_nothing() -> None:
    world = World(reserve=0)
    crowd = await queue_of(world, 25, Lane.URGENT)
    began, calls = world.clock.monotonic(), world.limiter.calls.total()

    admitted = await world.dispatcher.admit(seat(world, within_s=2.0))

    assert isinstance(admitted, OverDeadline)
    assert admitted.wait_us == pytest.approx(3 * WINDOW_S * 1_000_000, abs=2)
    assert (world.clock.monotonic(), world.limiter.calls.total()) == (began, calls)
    await leave(*crowd)


@on_virtual_time
async def test_who_would_pass_the_others_is_not_refused_because_of_them() -> None:
    world = World(reserve=0)
    crowd = await queue_of(world, 25)

    admitted = await world.dispatcher.admit(seat(world, Lane.URGENT, within_s=1.1))

    assert isinstance(admitted, Boarding)
    await leave(*crowd)


@on_virtual_time
async def test_a_deadline_that_comes_while_waiting_ends_the_wait_on_time() -> None:
    world = World()
    world.spend(TOKENS)
    began = world.clock.monotonic()

    admitted = await world.dispatcher.admit(seat(world, within_s=0.5))

    assert isinstance(admitted, OverDeadline)
    assert admitted.wait_us == pytest.approx(520_000, abs=2)
    assert world.clock.monotonic() == pytest.approx(began + 0.5)
    await let_run()
    assert (world.limiter.ahead(), world.dispatcher.waiting) == (0, 0)


@pytest.mark.parametrize("ahead", [0, 5, 9, 10, 30, 95])
@on_virtual_time
async def test_the_wait_that_is_told_is_the_wait_that_comes(ahead: int) -> None:
    world = World(reserve=0)
    crowd = await queue_of(world, ahead)
    mine = seat(world, within_s=600.0)
    told_us = world.dispatcher.wait_us(mine)
    began = world.clock.monotonic()

    await world.dispatcher.admit(mine)

    waited_us = (world.clock.monotonic() - began) * 1_000_000
    assert told_us == pytest.approx(waited_us, abs=10) or ahead == 0
    await finish(crowd)


@pytest.mark.parametrize(
    "after_s",
    [
        0.0,
        1.5,
        3.1,
        10.3,
    ],
)
@on_virtual_time
async def test_after_a_while_nobody_is_refused_who_would_have_made_it(after_s: float) -> None:
    """The pace that a line learns from its slots may not tell it more than the limit's own."""
    world = World(reserve=0)
    crowd = await queue_of(world, 300)
    await asyncio.sleep(after_s)
    mine = seat(world, within_s=600.0)
    told_us = world.dispatcher.wait_us(mine)
    began = world.clock.monotonic()

    await world.dispatcher.admit(mine)

    waited_us = (world.clock.monotonic() - began) * 1_000_000
    assert told_us <= waited_us + 10
    await leave(*crowd)


@on_virtual_time
async def test_an_early_deadline_is_not_refused_because_of_later_ones_of_the_same_caller() -> None:
    """It goes before them, so they do not hold it up."""
    world = World(reserve=0)
    crowd = await queue_of(world, 25)

    admitted = await world.dispatcher.admit(seat(world, within_s=1.1))

    assert isinstance(admitted, Boarding)
    await leave(*crowd)


@on_virtual_time
async def test_with_other_replicas_taking_slots_the_told_wait_grows() -> None:
    """Half of the slots go elsewhere; the line sees its own coming at half the pace."""
    world = World(reserve=0)
    crowd = await queue_of(world, 100)
    for _ in range(5):
        await asyncio.sleep(WINDOW_S)
        world.spend(TOKENS // 2)

    told_us = world.dispatcher.wait_us(seat(world, within_s=600.0))

    assert told_us > world.dispatcher.waiting / TOKENS * WINDOW_S * 1_000_000
    await leave(*crowd)


@on_virtual_time
async def test_as_many_wait_as_may_and_no_more() -> None:
    world = World(bounds=Bounds(waiting=5, per_caller=3, lead_s=0.0))
    world.spend(TOKENS)
    tasks = waiting(world, *(seat(world, caller=name) for name in ("a", "a", "a", "b")))
    await let_run()

    assert await world.dispatcher.admit(seat(world, caller="a")) == Full("3 cancels of this caller wait already")
    tasks += waiting(world, seat(world, caller="b"))
    await let_run()
    assert await world.dispatcher.admit(seat(world, caller="c")) == Full("5 cancels wait already")
    await leave(tasks[0])
    tasks += waiting(world, seat(world, caller="a"))
    await finish(tasks[1:])
    assert world.dispatcher.waiting == 0


# --- what it asks of the limiter


@on_virtual_time
async def test_nobody_polls_while_a_thousand_wait() -> None:
    world = World(reserve=0)
    crowd = await queue_of(world, 1000)
    before = world.limiter.calls.total()

    await asyncio.sleep(10 * WINDOW_S + 0.1)

    served = sum(task.done() for task in crowd)
    assert served == 10 * TOKENS
    assert world.limiter.calls.total() - before <= served + 1
    await leave(*crowd)


@on_virtual_time
async def test_urgent_ones_need_one_slot_more_and_no_third() -> None:
    world = World()
    world.limiter.trip_s = 0.001
    normal = await queue_of(world, 50)
    urgent = waiting(world, *(seat(world, Lane.URGENT) for _ in range(20)))

    await finish(urgent)

    assert world.limiter.most_ahead == 2
    await leave(*normal)


@on_virtual_time
async def test_a_lost_limiter_is_told_to_all_who_wait_and_asked_again_by_the_next() -> None:
    world = World()
    world.limiter.down = True
    tasks = waiting(world, *(seat(world) for _ in range(5)))

    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(end) for end in ends] == [Unavailable] * 5
    world.limiter.down = False
    assert isinstance(await world.dispatcher.admit(seat(world)), Boarding)


@on_virtual_time
async def test_a_limiter_that_sees_no_slot_for_long_is_asked_again_when_it_may_have_one() -> None:
    world = World()
    world.limiter.too_far_us = 2_000_000
    (task,) = waiting(world, seat(world, within_s=10.0))
    await asyncio.sleep(1.0)
    world.limiter.too_far_us = None

    admitted = await task

    assert isinstance(admitted, Boarding)


@on_virtual_time
async def test_a_limiter_that_has_slots_again_sooner_than_it_said_is_found_out() -> None:
    """A share that is too small says `never`; two seconds later the shared limiter is back."""
    world = World()
    world.limiter.too_far_us = 3_600_000_000
    first = waiting(world, seat(world, within_s=1.0))
    assert isinstance((await finish(first))[0], OverDeadline)
    await asyncio.sleep(2.0)
    world.limiter.too_far_us = None

    admitted = await world.dispatcher.admit(seat(world, within_s=30.0))

    assert isinstance(admitted, Boarding)


# --- what others see of it


@on_virtual_time
async def test_only_those_who_must_not_be_passed_are_waited_for() -> None:
    world = World()
    fare = world.desk.fare(DESK_A, Op.CANCEL, By.ORDER_ID)
    assert not any(world.dispatcher.must_wait(fare, lane) for lane in Lane)

    normal = await queue_of(world, 1)
    assert world.dispatcher.must_wait(fare, Lane.NORMAL)
    assert not world.dispatcher.must_wait(fare, Lane.URGENT)

    urgent = waiting(world, seat(world, Lane.URGENT))
    await let_run()
    assert world.dispatcher.must_wait(fare, Lane.URGENT)
    await leave(*normal, *urgent)
    assert not any(world.dispatcher.must_wait(fare, lane) for lane in Lane)


@on_virtual_time
async def test_the_depth_of_each_line_is_seen_by_account_and_by_venue() -> None:
    world = World()
    other = Account(VENUE, "desk-b")
    tasks = await queue_of(world, 3)
    world.limiter.spend(world.desk.fare(other, Op.CANCEL, By.ORDER_ID).single.urgent, TOKENS)
    tasks += waiting(world, seat(world, Lane.KILL, account=other), seat(world, Lane.URGENT))
    await let_run()

    assert world.dispatcher.depth(DESK_A) == {Lane.KILL: 0, Lane.URGENT: 1, Lane.NORMAL: 3, Lane.RECONCILE: 0}
    assert world.dispatcher.depth(other)[Lane.KILL] == 1
    assert world.dispatcher.depths(world.desks) == {
        VENUE: {Lane.KILL: 1, Lane.URGENT: 1, Lane.NORMAL: 3, Lane.RECONCILE: 0}
    }
    await leave(*tasks)
    assert sum(world.dispatcher.depth(DESK_A).values()) == 0


@on_virtual_time
async def test_accounts_do_not_wait_for_each_other() -> None:
    world = World()
    crowd = await queue_of(world, 50)
    began = world.clock.monotonic()

    admitted = await world.dispatcher.admit(seat(world, account=Account(VENUE, "desk-b")))

    assert isinstance(admitted, Boarding)
    assert world.clock.monotonic() == began
    await leave(*crowd)


@on_virtual_time
async def test_closing_ends_the_holding_of_slots() -> None:
    world = World()
    tasks = await queue_of(world, 3)
    calls = world.limiter.calls["reserve"]

    await world.dispatcher.aclose()
    await asyncio.sleep(5.0)

    assert world.limiter.calls["reserve"] == calls
    await leave(*tasks)


# --- any schedule

Arrival = tuple[float, Lane, str, float, float | None]
arrivals = st.tuples(
    st.floats(0, 3),
    st.sampled_from(Lane),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0.01, 0.5, 1.5, 4.0, 60.0]),
    st.none() | st.floats(0, 3),
)


async def one(world: World, arrival: Arrival, came: list[tuple[float, Boarding]]) -> str:
    """Comes, and may leave again; what it got, said once."""
    at, lane, caller, within_s, leaves_after_s = arrival
    await asyncio.sleep(at)
    try:
        async with asyncio.timeout(leaves_after_s):
            admitted = await world.dispatcher.admit(seat(world, lane, caller=caller, within_s=within_s))
    except TimeoutError:
        return "left"
    if isinstance(admitted, Boarding):
        came.append((world.clock.monotonic(), admitted))
    return type(admitted).__name__


@given(st.lists(arrivals, max_size=60), st.sampled_from([0.0, 0.003]))
@settings(max_examples=60, deadline=None)
@on_virtual_time
async def test_in_any_schedule_everybody_is_answered_once_and_no_limit_is_broken(
    schedule: list[Arrival], trip_s: float
) -> None:
    world = World()
    world.limiter.trip_s = trip_s
    world.spend(TOKENS // 2)
    came: list[tuple[float, Boarding]] = []

    ends = await asyncio.gather(*(one(world, each, came) for each in schedule))
    await asyncio.sleep(5.0)

    assert ends.count("Boarding") == len(came) == len({id(boarding.slot) for _, boarding in came})
    assert set(ends) <= {"Boarding", "OverDeadline", "left"}
    assert all(at >= boarding.slot.matures_at - SLACK_S for at, boarding in came)
    times = sorted(at for at, _ in came)
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[TOKENS:], strict=False))
    assert world.limiter.most_ahead <= 2
    assert (world.dispatcher.waiting, world.limiter.ahead()) == (0, 0)
    assert sum(world.dispatcher.depth(DESK_A).values()) == 0
