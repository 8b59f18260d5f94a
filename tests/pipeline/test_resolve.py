"""Unknown cancels come to their end without anybody asking, and the store may be away meanwhile. On virtual time."""

import asyncio

import pytest
from fake_venue import FakeSigner
from fakes import DESK_A, GIVE_UP_MS, World
from virtual_time import let_run, on_virtual_time

from gateway.core.idempotency import Record, State
from gateway.core.model import By, Wait
from gateway.core.outcome import AuthRefused, Facts, OrderState, Outcome, Seen, Settled, Unclear
from gateway.core.resolution import DID_NOTHING, GRACE_MS
from gateway.core.wire import Unconfirmed
from gateway.ports import NoSigner, Unlocked


async def left_open(world: World, by: By = By.ORDER_ID, *, key: str | None = None) -> Record:
    """A cancel that left, and nobody knows what came of it."""
    world.sender.on_cancel = [Unclear("HTML"), Settled(Outcome.CANCELLED)]
    await world.pipeline.cancel(world.ask(by=by, key=key))
    return world.records.one()


def walking(world: World) -> "asyncio.Task[None]":
    return asyncio.create_task(world.watchman.walk())


# -- looks -----------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_an_unknown_is_resolved_without_anybody_asking() -> None:
    world = World()
    await left_open(world)
    walk = walking(world)

    await asyncio.sleep(3)

    record = world.records.one()
    assert (record.state, record.outcome) == (State.TERMINAL, Outcome.CANCELLED)
    assert [(step.what, step.result) for step in record.steps] == [("look", "cancelled")]
    assert len(world.sender.reads) == 1
    assert world.meter.unknown == {DESK_A: 0}
    walk.cancel()


@on_virtual_time
async def test_two_replicas_look_no_more_often_than_one() -> None:
    world = World()
    other = World(beside=world)
    world.sender.on_read = [Seen(OrderState.OPEN)]
    await left_open(world)
    walks = [walking(each) for each in (world, other)]

    await asyncio.sleep(60)

    looks = len(world.sender.reads)
    assert 5 < looks < 30
    assert len(world.records.one().steps) == min(looks, 20)
    for walk in walks:
        walk.cancel()


@on_virtual_time
async def test_a_denial_is_believed_only_after_a_grace() -> None:
    world = World()
    world.sender.on_read = [Seen(OrderState.MISSING)]
    await left_open(world)
    walk = walking(world)

    await asyncio.sleep(GRACE_MS / 1000 - 1)
    early = world.records.one().state
    await asyncio.sleep(GRACE_MS / 1000)

    assert early is State.UNKNOWN
    assert world.records.one().outcome is Outcome.NOT_FOUND
    walk.cancel()


@on_virtual_time
async def test_what_is_never_proven_is_given_up_stays_unknown_and_is_counted() -> None:
    world = World()
    world.sender.on_read = [Seen(OrderState.OPEN)]
    await left_open(world)
    walk = walking(world)

    await asyncio.sleep(GIVE_UP_MS / 1000 + 120)
    looks = len(world.sender.reads)
    await asyncio.sleep(GIVE_UP_MS / 1000)

    record = world.records.one()
    assert (record.state, record.steps[-1].what, record.steps[-1].result) == (State.UNKNOWN, "give_up", DID_NOTHING)
    assert [outcome for outcome, _ in world.meter.resolutions] == [Outcome.UNKNOWN]
    assert len(world.sender.reads) == looks
    assert world.meter.unknown == {DESK_A: 0}
    walk.cancel()


@on_virtual_time
async def test_a_look_that_got_no_slot_is_not_the_last_one() -> None:
    world = World()
    await left_open(world)
    await asyncio.sleep(GIVE_UP_MS / 1000)
    world.limiter.too_far_us = 60_000_000
    walk = walking(world)

    await asyncio.sleep(10)
    waited = world.records.one()
    world.limiter.too_far_us = None
    await asyncio.sleep(15)

    assert (waited.state, waited.steps[-1].what) == (State.UNKNOWN, "look")
    assert world.records.one().outcome is Outcome.CANCELLED
    walk.cancel()


@on_virtual_time
async def test_without_a_signer_it_is_tried_again_until_it_is_too_late() -> None:
    world = World()
    await left_open(world)
    world.credentials.known[DESK_A] = NoSigner(Outcome.SECRET_UNAVAILABLE, "store down")
    walk = walking(world)

    await asyncio.sleep(20)
    trying = world.records.one().steps[-1]
    await asyncio.sleep(GIVE_UP_MS / 1000)

    assert (trying.what, trying.result) == ("look", "secret_unavailable")
    assert world.records.one().steps[-1].what == "give_up"
    assert world.sender.reads == []
    walk.cancel()


@on_virtual_time
async def test_a_refused_credential_is_renewed_for_the_next_look() -> None:
    world = World()
    world.sender.on_read = [AuthRefused(), Seen(OrderState.CANCELLED)]
    await left_open(world)
    walk = walking(world)

    await asyncio.sleep(10)

    assert len(world.credentials.refused) == 1
    assert world.records.one().outcome is Outcome.CANCELLED
    walk.cancel()


@on_virtual_time
async def test_a_late_answer_of_the_venue_after_a_takeover_is_kept() -> None:
    world = World()
    slow = asyncio.create_task(world.pipeline.cancel(world.ask()))
    world.sender.takes_s = 60.0
    world.sender.on_cancel = [Settled(Outcome.TOO_LATE_FILLED, Facts(filled="3"))]
    await let_run()
    world.sender.on_read = [Unconfirmed("reset")]
    walk = walking(world)
    await asyncio.sleep(30)
    assert (world.records.one().state, world.records.one().fence > 1) == (State.UNKNOWN, True)

    await asyncio.sleep(60)

    assert (await slow).outcome is Outcome.TOO_LATE_FILLED
    assert (world.records.one().state, world.records.one().outcome) == (State.TERMINAL, Outcome.TOO_LATE_FILLED)
    walk.cancel()


@on_virtual_time
async def test_a_late_answer_after_a_proven_end_overwrites_nothing_and_the_caller_hears_the_end() -> None:
    world = World()
    world.sender.takes_s = 20.0
    world.sender.on_cancel = [Settled(Outcome.NOT_FOUND)]
    slow = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=19.0)))
    await let_run()
    world.sender.takes_s = 0.0
    record = world.records.one()
    world.clock.wall_ahead_ms = 60_000

    resolved = await world.resolver.look_once(record, world.clock.monotonic() + 5)
    await asyncio.sleep(25)

    assert resolved.outcome is Outcome.CANCELLED
    assert world.records.one().outcome is Outcome.CANCELLED
    assert (await slow).outcome is Outcome.CANCELLED


@on_virtual_time
async def test_an_order_of_the_same_client_id_that_was_made_later_proves_nothing() -> None:
    world = World()
    world.credentials.known[DESK_A] = Unlocked(FakeSigner(reads_client_ids=True), "1")
    record = await left_open(world, By.CLIENT_ID)
    made_later = Seen(OrderState.FILLED, created_ms=(record.sent_ms or 0) + 1)
    world.sender.on_read = [made_later, Seen(OrderState.FILLED, created_ms=record.sent_ms)]

    first = await world.resolver.look_once(record, world.clock.monotonic() + 5)
    await asyncio.sleep(2)
    second = await world.resolver.look_once(first, world.clock.monotonic() + 5)

    assert (first.state, "made after" in first.steps[-1].result) == (State.UNKNOWN, True)
    assert second.outcome is Outcome.TOO_LATE_FILLED


@on_virtual_time
async def test_waiting_for_the_end_goes_on_after_an_answer_that_cannot_be_trusted() -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]
    world.sender.on_read = [Unconfirmed("reset"), Seen(OrderState.CANCELLED)]

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert answer.outcome is Outcome.CANCELLED


@on_virtual_time
async def test_walking_ends_with_its_work_and_a_bug_in_it_is_told() -> None:
    world = World()
    await left_open(world)
    world.desks.clear()
    walk = walking(world)

    await asyncio.sleep(2)
    walk.cancel()
    await asyncio.gather(walk, return_exceptions=True)

    assert [type(bug) for bug in world.log.bugs] == [KeyError] * len(world.log.bugs)
    assert world.log.bugs


@on_virtual_time
async def test_a_cancel_that_the_venue_took_is_looked_at_when_it_is_read_and_only_then() -> None:
    world = World()
    world.sender.on_cancel = [Settled(Outcome.ACCEPTED)]
    world.sender.on_read = [Seen(OrderState.OPEN), Seen(OrderState.CANCELLED)]
    await world.pipeline.cancel(world.ask())
    walk = walking(world)
    await asyncio.sleep(30)
    assert world.sender.reads == []

    first = await world.resolver.look_once(world.records.one(), world.clock.monotonic() + 5)
    at_once = await world.resolver.look_once(first, world.clock.monotonic() + 5)
    await asyncio.sleep(2)
    later = await world.resolver.look_once(at_once, world.clock.monotonic() + 5)

    assert [each.state for each in (first, at_once, later)] == [State.ACKNOWLEDGED, State.ACKNOWLEDGED, State.TERMINAL]
    assert len(world.sender.reads) == 2
    assert (world.meter.resolutions, len(world.meter.terminals)) == ([], 1)
    walk.cancel()


@pytest.mark.parametrize("verb", ["take", "postpone"])
@on_virtual_time
async def test_a_store_that_is_away_while_looking_is_asked_again_later(verb: str) -> None:
    world = World()
    world.sender.on_read = [Seen(OrderState.OPEN), Seen(OrderState.CANCELLED)]
    await left_open(world)
    world.records.down = {verb}
    walk = walking(world)

    await asyncio.sleep(5)
    world.records.down.clear()
    await asyncio.sleep(30)

    assert world.records.one().outcome is Outcome.CANCELLED
    walk.cancel()


# -- without the store -----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_without_the_store_equal_cancels_of_one_process_are_one_request() -> None:
    world = World()
    world.continuity.degraded = True
    world.sender.takes_s = 0.1

    answers = await asyncio.gather(*(world.pipeline.cancel(world.ask(key=key)) for key in ("a", "a", "b", None)))

    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    assert len({answer.record for answer in answers}) == 1
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_without_the_store_a_key_still_means_one_request() -> None:
    world = World()
    world.continuity.degraded = True
    first = await world.pipeline.cancel(world.ask("1", key="k"))

    again = await world.pipeline.cancel(world.ask("1", key="k"))
    other = await world.pipeline.cancel(world.ask("2", key="k"))

    assert (again.body is not None, again.record) == (True, first.record)
    assert other.outcome is Outcome.KEY_REUSED


@on_virtual_time
async def test_what_was_done_without_the_store_is_written_when_it_is_back() -> None:
    world = World()
    world.continuity.degraded = True
    answer = await world.pipeline.cancel(world.ask(key="k"))
    assert world.records.kept == {}

    world.continuity.degraded = False
    await asyncio.sleep(1)

    assert answer.record is not None
    assert world.records.kept[answer.record].outcome is Outcome.CANCELLED
    assert world.restored == [(1, 0)]
    again = await world.pipeline.cancel(world.ask(key="k"))
    assert (again.record, len(world.sender.cancels)) == (answer.record, 1)


@on_virtual_time
async def test_what_is_under_way_when_the_store_is_back_ends_there() -> None:
    world = World()
    world.continuity.degraded = True
    world.sender.takes_s = 0.5
    work = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await asyncio.sleep(0.2)

    world.continuity.degraded = False
    await asyncio.sleep(0.2)
    under_way = world.records.one().state
    await work

    assert under_way is State.SENT
    assert world.records.one().state is State.TERMINAL


@on_virtual_time
async def test_a_result_that_could_not_be_told_is_told_later() -> None:
    world = World()
    world.records.down = {"settle"}
    answer = await world.pipeline.cancel(world.ask(key="k"))
    assert answer.record is not None
    shown = await world.steady.get(answer.record)

    world.records.down.clear()
    world.continuity.degraded = False
    await asyncio.sleep(1)

    assert shown is not None
    assert shown.outcome is Outcome.CANCELLED
    assert (world.records.one().state, world.records.one().outcome) == (State.TERMINAL, Outcome.CANCELLED)


@on_virtual_time
async def test_a_record_that_went_with_the_stores_data_is_written_anew_with_what_came_of_it() -> None:
    world = World()
    world.sender.takes_s = 0.5
    work = asyncio.create_task(world.pipeline.cancel(world.ask(key="k")))
    await asyncio.sleep(0.2)
    world.records.forget()
    answer = await work
    await asyncio.sleep(1)

    assert answer.record is not None
    assert world.records.kept[answer.record].outcome is Outcome.CANCELLED
    again = await world.pipeline.cancel(world.ask(key="k"))
    assert (again.record, len(world.sender.cancels)) == (answer.record, 1)


@on_virtual_time
async def test_what_the_store_was_never_told_is_told_at_the_end() -> None:
    world = World()
    world.continuity.degraded = True
    await world.pipeline.cancel(world.ask())

    await world.steady.aclose()

    assert world.restored == [(0, 1)]
