"""A plan says what would happen and does nothing."""

import asyncio

import pytest
from fake_venue import FakeSigner
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.answer import Answer, Planned
from gateway.core.breaker import FAILURES
from gateway.core.model import Lane
from gateway.core.outcome import Outcome, Settled
from gateway.core.wire import REDACTED, Unconfirmed
from gateway.ports import NoSigner

TOKENS = 10


@on_virtual_time
async def test_a_plan_shows_the_request_without_its_secrets_and_takes_nothing() -> None:
    world = World()

    planned = await world.planner.plan(world.ask("77"))

    assert isinstance(planned, Planned)
    order = world.ask("77").cancel.order
    assert planned.request == FakeSigner().cancel(order, world.clock.now_ms()).shown()
    assert planned.request.headers == {"x-key": REDACTED}
    assert (planned.wait_ms, planned.free, planned.would) == (0.0, {"cancel": TOKENS - 2}, None)
    assert world.story == ["unlock", "outlook"]
    assert (world.records.kept, world.sender.cancels, world.limiter.granted) == ({}, [], [])


@on_virtual_time
async def test_a_plan_tells_of_an_open_breaker_and_does_not_take_its_probe() -> None:
    world = World()
    world.sender.on_cancel = [Unconfirmed("silence")]
    for number in range(FAILURES):
        await world.pipeline.cancel(world.ask(str(number)))

    planned = await world.planner.plan(world.ask("77"))
    await asyncio.sleep(1.0)
    due = await world.planner.plan(world.ask("77"))
    world.sender.on_cancel = [Settled(Outcome.CANCELLED)]
    probe = await world.pipeline.cancel(world.ask("77"))

    assert isinstance(planned, Planned)
    assert planned.would is Outcome.VENUE_UNAVAILABLE
    assert isinstance(due, Planned)
    assert due.would is None
    assert probe.outcome is Outcome.CANCELLED


@on_virtual_time
async def test_an_urgent_plan_sees_the_reserve() -> None:
    world = World()
    world.spend(TOKENS - 2)

    urgent, normal = [await world.planner.plan(world.ask(lane=lane)) for lane in (Lane.URGENT, Lane.NORMAL)]

    assert isinstance(urgent, Planned)
    assert isinstance(normal, Planned)
    assert (urgent.wait_ms, urgent.free) == (0.0, {"cancel": 2})
    assert (normal.wait_ms, normal.free) == (1020.0, {"cancel": 0})


@pytest.mark.parametrize(("within_s", "would"), [(1.0, Outcome.OVER_DEADLINE), (1.1, None)])
@on_virtual_time
async def test_a_plan_that_would_come_too_late_says_so(within_s: float, would: Outcome | None) -> None:
    world = World()
    world.spend(TOKENS)

    planned = await world.planner.plan(world.ask(within_s=within_s))

    assert isinstance(planned, Planned)
    assert (planned.wait_ms, planned.would) == (1020.0, would)


@on_virtual_time
async def test_a_plan_waits_behind_those_who_wait() -> None:
    world = World(reserve=0)
    world.spend(TOKENS)
    crowd = [asyncio.create_task(world.pipeline.cancel(world.ask(str(ref)))) for ref in range(25)]
    await let_run()

    planned = await world.planner.plan(world.ask("new"))

    assert isinstance(planned, Planned)
    assert planned.wait_ms == pytest.approx(3060, abs=0.1)
    await asyncio.gather(*crowd)


@on_virtual_time
async def test_a_plan_without_a_signer_is_the_refusal_that_the_cancel_would_meet() -> None:
    world = World()
    world.credentials.known[DESK_A] = NoSigner(Outcome.UNKNOWN_ACCOUNT, "no such account")

    assert await world.planner.plan(world.ask()) == Answer(Outcome.UNKNOWN_ACCOUNT, detail="no such account")
