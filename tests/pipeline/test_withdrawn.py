"""Refusals where a look at an order is a cancel: whoever finds the record may still do what was refused.

So nobody is told that nothing was sent before the store says so as well, nor where it cannot be told.
"""

import asyncio
from dataclasses import dataclass, replace

import pytest
from fake_venue import FakeSigner
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.idempotency import State
from gateway.core.model import OrderRef, Scope
from gateway.core.outcome import Outcome, Throttled
from gateway.core.wire import WireRequest
from gateway.dispatch import Patience
from gateway.ports import Unlocked

LATE_S = 0.05


@dataclass(frozen=True, slots=True)
class BlindSigner(FakeSigner):
    """Its venue has no call that reads."""

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:
        return self.cancel(order, at_ms)


def world_of(*, blind: bool = True) -> World:
    """Slots that are taken at once, noted as `sent`, and always too late when the connection is there."""
    world = World()
    if blind:
        world.credentials.known[DESK_A] = Unlocked(BlindSigner(), "1")
    world.sender.connects_s = LATE_S
    return world


@on_virtual_time
async def test_a_refusal_at_the_deadline_is_written_down_before_it_is_told() -> None:
    world = world_of()

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.OVER_DEADLINE
    assert world.records.one().state is State.REFUSED
    assert world.sender.cancels == []


@on_virtual_time
async def test_where_a_look_only_reads_nobody_waits_for_that() -> None:
    world = world_of(blind=False)

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.OVER_DEADLINE
    assert world.records.one().state is State.SENT
    await world.pipeline.drain()


@pytest.mark.parametrize(("blind", "outcome"), [(True, Outcome.UNKNOWN), (False, Outcome.OVER_DEADLINE)])
@on_virtual_time
async def test_a_refusal_that_the_store_cannot_be_told_is_unknown(blind: bool, outcome: Outcome) -> None:  # noqa: FBT001
    world = world_of(blind=blind)
    world.records.down = {"settle"}

    answer = await world.pipeline.cancel(world.ask())
    await world.pipeline.drain()

    kept = await world.steady.get(world.records.one().id)
    assert kept is not None
    assert (answer.outcome, kept.outcome) == (outcome, outcome)
    assert world.records.one().state is State.SENT
    await world.steady.aclose()


@on_virtual_time
async def test_what_the_venue_refused_is_unknown_as_well_where_somebody_may_ask_again() -> None:
    world = world_of()
    world.sender.connects_s = 0.0
    world.sender.on_cancel = [Throttled(Scope.ACCOUNT)]
    world.records.down = {"settle"}

    answer = await world.pipeline.cancel(world.ask())
    world.records.down, world.continuity.degraded = set(), False
    await asyncio.sleep(1.0)

    assert (answer.outcome, answer.attempts, answer.degraded) == (Outcome.UNKNOWN, 1, True)
    assert world.records.one().state is State.UNKNOWN


@on_virtual_time
async def test_what_somebody_took_over_meanwhile_is_unknown() -> None:
    world = world_of()
    cancelling = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()
    record = world.records.one()
    world.records.kept[record.id] = replace(record, state=State.UNKNOWN, fence=record.fence + 1)

    answer = await cancelling

    assert answer.outcome is Outcome.UNKNOWN
    assert world.sender.cancels == []


@on_virtual_time
async def test_what_the_store_never_heard_of_is_refused() -> None:
    world = world_of()
    world.continuity.degraded = True

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.OVER_DEADLINE
    await world.steady.aclose()


@on_virtual_time
async def test_a_claim_that_failed_may_have_been_written() -> None:
    world = world_of()
    world.records.down = {"claim"}

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.degraded) == (Outcome.UNKNOWN, True)
    await world.steady.aclose()


@on_virtual_time
async def test_a_process_that_ends_does_not_say_that_nothing_was_sent() -> None:
    """Unless nothing was claimed yet; and nothing leaves after that."""
    world, patience = world_of(), Patience()
    cancelling = asyncio.create_task(world.pipeline.cancel(world.ask(), patience))
    await let_run()
    assert patience.so_far is not None

    told = patience.so_far()
    await cancelling

    assert told.outcome is Outcome.UNKNOWN
    assert world.sender.cancels == []
