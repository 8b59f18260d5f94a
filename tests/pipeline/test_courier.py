"""The last look before bytes leave: no stale slot is used, and no window of this process is overfull."""

import asyncio

import pytest
from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core import ledger
from gateway.core.admission import Gated
from gateway.core.model import Op, Scope
from gateway.core.outcome import Facts, Outcome, Settled, Throttled
from gateway.core.wire import NotSent

TOKENS, WINDOW_S = 8, 1.02


@on_virtual_time
async def test_a_slot_that_went_stale_while_connecting_is_changed_for_a_fresh_one() -> None:
    world = World()
    world.sender.connects_s = 0.05

    async def warm() -> None:
        await asyncio.sleep(0.06)
        world.sender.connects_s = 0.0

    warming = asyncio.create_task(warm())

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.CANCELLED
    assert len(world.sender.cancels) == 1
    assert world.limiter.calls["exchange"] == 2
    assert world.meter.slots["returned"] == 0
    assert world.limiter.calls["reserve"] == 0
    await warming


@on_virtual_time
async def test_a_slot_that_is_too_far_away_goes_back_and_its_owner_into_the_line() -> None:
    world = World(reserve=0)
    world.sender.connects_s = 0.05
    waiting = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await asyncio.sleep(0.01)
    world.spend(9)
    cancel = world.ask().cancel
    (demand,) = world.desk.fare(cancel.account, Op.CANCEL, cancel.order.by).single.normal
    world.limiter.ledger, _ = ledger.tighten(world.limiter.ledger, demand, 5, world.limiter.now_us())

    await asyncio.sleep(0.09)
    world.sender.connects_s = 0.0
    answer = await waiting

    assert answer.outcome is Outcome.CANCELLED
    assert world.meter.slots["returned"] == 1
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_who_is_always_late_sends_nothing_and_says_so() -> None:
    world = World()
    world.sender.connects_s = 0.05

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.OVER_DEADLINE
    await world.pipeline.drain()
    assert world.sender.cancels == []
    assert world.records.one().state == "refused"


@on_virtual_time
async def test_a_second_burst_of_a_limiter_that_forgot_is_held_back_here() -> None:
    """A flushed store that hands out a whole window again does not get this process over the limit."""
    world = World(reserve=0)
    asks = [world.ask(str(number)) for number in range(20)]

    await asyncio.gather(*(world.pipeline.cancel(ask) for ask in asks[:10]))
    world.limiter.forget()
    await asyncio.gather(*(world.pipeline.cancel(ask) for ask in asks[10:]))

    times = sorted(sent.at for sent in world.sender.cancels)
    assert len(times) == 20
    assert times[10] - times[0] >= 1.0


@on_virtual_time
async def test_a_slot_whose_request_could_not_be_sent_is_given_back() -> None:
    world = World()
    world.sender.on_cancel = [NotSent("refused")]

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.VENUE_UNAVAILABLE
    assert answer.attempts == world.meter.slots["returned"] == 3


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (Throttled(Scope.ACCOUNT, retry_after_ms=3000, facts=Facts(venue_code="-1003")), Outcome.VENUE_LIMITED),
        (Throttled(Scope.EGRESS, banned=True, retry_after_ms=9000), Outcome.VENUE_BANNED),
    ],
)
@on_virtual_time
async def test_a_refusal_of_the_venue_closes_the_gate_and_tells_how_long(refusal: Throttled, outcome: Outcome) -> None:
    world = World()
    world.sender.on_cancel = [refusal, Settled(Outcome.CANCELLED)]

    first = await world.pipeline.cancel(world.ask("1"))
    second = await world.pipeline.cancel(world.ask("2"))

    assert (first.outcome, first.retry_after_ms, first.facts) == (outcome, refusal.retry_after_ms, refusal.facts)
    assert (second.outcome, second.retry_after_ms) == (outcome, refusal.retry_after_ms)
    assert world.gates.closed == [(DESK_A, refusal)]
    assert world.limiter.lessons == ([] if refusal.banned else [("cancel", None)])
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_those_who_wait_when_the_gate_closes_are_told_at_once() -> None:
    world = World()
    world.spend(10)
    waits = [asyncio.create_task(world.pipeline.cancel(world.ask(str(number)))) for number in range(5)]
    await asyncio.sleep(0.5)

    world.limiter.gate = Gated(Scope.ACCOUNT, banned=False, wait_us=7_000_000)
    answers = await asyncio.gather(*waits)

    assert [answer.outcome for answer in answers] == [Outcome.VENUE_LIMITED] * 5
    assert world.sender.cancels == []


@on_virtual_time
async def test_a_smaller_limit_that_the_venue_states_is_learned_once() -> None:
    world = World()
    world.venue.headers = {"x-ratelimit-limit": "6"}

    for number in range(3):
        await world.pipeline.cancel(world.ask(str(number)))

    assert world.limiter.lessons == [("cancel", 6)]
