"""One order, one request: those who ask again get the result of whoever was first, here or on another replica."""

import asyncio

import orjson
import pytest
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.idempotency import Known, State, record_id
from gateway.core.model import By, OrderRef
from gateway.core.outcome import OrderState, Outcome, Seen, Settled, Unclear
from gateway.follow import RUNG_KEPT
from gateway.web.codec import respond

TOKENS = 10


@on_virtual_time
async def test_a_key_that_comes_again_gets_the_same_bytes_and_sends_nothing() -> None:
    world = World()
    first = await world.pipeline.cancel(world.ask(key="k"))
    await asyncio.sleep(60)

    again = world.ask(key="k")
    answer = await world.pipeline.cancel(again)

    assert respond(again, answer, 0).body == world.encode(again, first)
    assert (answer.outcome, answer.record) == (Outcome.CANCELLED, first.record)
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_a_key_with_another_order_is_refused() -> None:
    world = World()
    await world.pipeline.cancel(world.ask("1", key="k"))

    answer = await world.pipeline.cancel(world.ask("2", key="k"))

    assert (answer.outcome, answer.record) == (Outcome.KEY_REUSED, None)
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_a_key_belongs_to_its_caller() -> None:
    world = World()

    answers = [await world.pipeline.cancel(world.ask(each, caller=each, key="k")) for each in ("a", "b")]

    assert [answer.outcome for answer in answers] == [Outcome.CANCELLED] * 2


@on_virtual_time
async def test_a_refusal_before_sending_frees_the_key() -> None:
    world = World()
    world.spend(TOKENS)
    refused = await world.pipeline.cancel(world.ask(within_s=0.5, key="k"))

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert (refused.outcome, answer.outcome) == (Outcome.OVER_DEADLINE, Outcome.CANCELLED)


@on_virtual_time
async def test_the_same_order_at_once_is_one_request_and_all_hear_of_it_when_it_ends() -> None:
    world = World()
    world.sender.takes_s = 0.1
    began = world.clock.monotonic()

    answers = await asyncio.gather(*(world.pipeline.cancel(world.ask(caller=f"c{each}")) for each in range(20)))

    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    assert len({answer.record for answer in answers}) == 1
    assert len(world.sender.cancels) == 1
    assert world.clock.monotonic() == pytest.approx(began + 0.1)


@on_virtual_time
async def test_on_another_replica_the_result_is_seen_a_little_later() -> None:
    world = World()
    other = World(beside=world)
    world.sender.takes_s = 0.4
    began = world.clock.monotonic()
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()

    answer = await other.pipeline.cancel(other.ask(caller="elsewhere"))

    assert answer.outcome is Outcome.CANCELLED
    assert answer.record == (await first).record
    assert began + 0.4 <= world.clock.monotonic() < began + 0.7
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_following_asks_the_store_ever_less_often() -> None:
    world = World()
    other = World(beside=world)
    world.sender.takes_s = 1.9
    first = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=10.0)))
    await let_run()

    await other.pipeline.cancel(other.ask())

    assert world.story.count("get") < 14
    await first


@on_virtual_time
async def test_a_follower_whose_deadline_comes_first_is_told_that_it_is_in_progress() -> None:
    world = World()
    world.sender.takes_s = 1.0
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(within_s=0.2))

    assert (answer.outcome, answer.retry_after_ms) == (Outcome.IN_PROGRESS, 1000)
    assert world.clock.monotonic() == pytest.approx(began + 0.2)
    assert answer.record == (await first).record


@on_virtual_time
async def test_a_store_that_is_away_for_a_moment_does_not_stop_a_follower() -> None:
    world = World()
    world.sender.takes_s = 0.5
    world.records.down = {"get"}
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()
    asyncio.get_running_loop().call_later(0.6, world.records.down.clear)

    answer = await World(beside=world).pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.CANCELLED
    await first


@on_virtual_time
async def test_a_record_that_is_gone_is_in_progress_for_who_followed_it() -> None:
    world = World()
    world.sender.takes_s = 0.5
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()
    known = world.records.one()
    seen = asyncio.create_task(world.follower.follow(known, world.clock.monotonic() + 5))
    await first
    world.records.kept.clear()

    assert await seen is None


@on_virtual_time
async def test_a_leader_that_gave_up_before_sending_leaves_the_order_to_its_followers() -> None:
    world = World(reserve=0)
    world.limiter.trip_s = 0.05
    world.spend(TOKENS)
    leader = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=1.1)))
    await let_run()
    world.spend(TOKENS)
    follower = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=10.0, caller="patient")))

    assert (await leader).outcome is Outcome.OVER_DEADLINE
    assert (await follower).outcome is Outcome.CANCELLED


@on_virtual_time
async def test_a_bell_for_what_nobody_waits_for_is_nobodys_business() -> None:
    world = World()
    await world.pipeline.cancel(world.ask())

    world.follower.bell.ring(world.records.one().id)

    assert await world.follower.follow(world.records.one(), world.clock.monotonic()) == world.records.one()


@on_virtual_time
async def test_whoever_hears_the_bell_of_another_replica_knows_at_once_and_asks_once_for_all() -> None:
    world = World()
    other = World(beside=world)
    other.follower.bell.heard = True
    world.sender.takes_s = 0.4
    began = world.clock.monotonic()
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()

    answers = await asyncio.gather(*(other.pipeline.cancel(other.ask(caller=f"c{each}")) for each in range(50)))

    assert {answer.record for answer in answers} == {(await first).record}
    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    assert world.clock.monotonic() == pytest.approx(began + 0.4)
    assert world.story.count("get") == 1
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_a_bell_that_rings_before_somebody_begins_to_wait_is_not_missed() -> None:
    world = World()
    world.follower.bell.heard = True
    world.sender.takes_s = 0.2
    first = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()
    early = world.records.one()
    await first
    world.follower.bell.ring_from_afar(early.id)
    began = world.clock.monotonic()

    seen = await world.follower.follow(early, began + 5)

    assert seen is not None
    assert (seen.state, world.clock.monotonic()) == (State.TERMINAL, began)


@on_virtual_time
async def test_bells_that_nobody_waits_for_are_remembered_only_for_so_many() -> None:
    bell = World().follower.bell
    ids = [record_id(number, b"", DESK_A) for number in range(RUNG_KEPT + 1)]

    for each in ids:
        bell.ring_from_afar(each)

    began = asyncio.get_running_loop().time()
    await bell.wait(ids[1], 1.0)
    assert asyncio.get_running_loop().time() == began
    await bell.wait(ids[0], 1.0)
    assert asyncio.get_running_loop().time() == began + 1.0


@on_virtual_time
async def test_a_leader_that_dies_before_sending_leaves_the_order_to_its_followers() -> None:
    world = World()
    world.spend(TOKENS)
    dead = asyncio.create_task(world.pipeline.cancel(world.ask(within_s=3.0)))
    await let_run()
    dead.cancel()
    await let_run()

    answer = await World(beside=world).pipeline.cancel(world.ask(within_s=30.0))

    assert answer.outcome is Outcome.CANCELLED
    assert {record.state for record in world.records.kept.values()} == {State.RECEIVED, State.TERMINAL}
    assert len(world.sender.cancels) == 1


# --- what was left open


@on_virtual_time
async def test_an_unknown_is_resolved_by_reading_when_its_key_comes_again() -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]
    unknown = await world.pipeline.cancel(world.ask(key="k"))
    await asyncio.sleep(3)

    again = world.ask(key="k")
    answer = await world.pipeline.cancel(again)

    assert (unknown.outcome, answer.outcome) == (Outcome.UNKNOWN, Outcome.CANCELLED)
    assert (len(world.sender.cancels), len(world.sender.reads)) == (1, 1)
    record = world.records.one()
    assert (record.state, record.outcome) == (State.TERMINAL, Outcome.CANCELLED)
    assert orjson.loads(record.body)["outcome"] == "cancelled"
    ((outcome, age_s),) = world.meter.resolutions
    assert outcome is Outcome.CANCELLED
    assert age_s == pytest.approx(3)


@pytest.mark.parametrize(
    ("state", "outcome", "settled"),
    [
        (OrderState.FILLED, Outcome.TOO_LATE_FILLED, State.TERMINAL),
        (OrderState.CLOSED, Outcome.CLOSED, State.TERMINAL),
        (OrderState.PENDING_CANCEL, Outcome.ACCEPTED, State.ACKNOWLEDGED),
        (OrderState.OPEN, Outcome.UNKNOWN, State.UNKNOWN),
        (OrderState.MISSING, Outcome.UNKNOWN, State.UNKNOWN),
    ],
)
@on_virtual_time
async def test_a_look_at_the_order_settles_only_what_it_proves(
    state: OrderState, outcome: Outcome, settled: State
) -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]
    world.sender.on_read = [Seen(state)]
    await world.pipeline.cancel(world.ask(key="k"))

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert answer.outcome is outcome
    assert world.records.one().state is settled
    assert len(world.meter.resolutions) == (outcome is not Outcome.UNKNOWN)


@on_virtual_time
async def test_a_record_whose_owner_died_while_sending_is_resolved_and_never_sent_again() -> None:
    world = World()
    world.sender.takes_s = 1e6
    dead = asyncio.create_task(world.pipeline.cancel(world.ask(key="k")))
    await let_run()
    dead.cancel()
    await let_run()
    world.sender.takes_s = 0.0
    assert world.records.one().state is State.SENT

    early = asyncio.create_task(World(beside=world).pipeline.cancel(world.ask(key="k", within_s=60.0)))
    await asyncio.sleep(1.0)
    assert not early.done()
    answer = await early

    assert answer.outcome is Outcome.CANCELLED
    assert (len(world.sender.cancels), len(world.sender.reads)) == (1, 1)


@on_virtual_time
async def test_what_its_sender_did_not_live_to_settle_is_unknown_while_the_order_is_open() -> None:
    world = World()
    world.sender.takes_s = 1e6
    dead = asyncio.create_task(world.pipeline.cancel(world.ask(key="k")))
    await let_run()
    dead.cancel()
    await let_run()
    world.sender.takes_s, world.sender.on_read = 0.0, [Seen(OrderState.OPEN)]

    answer = await World(beside=world).pipeline.cancel(world.ask(key="k", within_s=60.0))

    assert (answer.outcome, answer.record, len(world.sender.cancels)) == (Outcome.UNKNOWN, world.records.one().id, 1)


@on_virtual_time
async def test_whoever_comes_while_somebody_looks_waits_for_what_he_sees() -> None:
    world = World()
    world.sender.takes_s = 1e6
    dead = asyncio.create_task(world.pipeline.cancel(world.ask(key="k")))
    await let_run()
    dead.cancel()
    await asyncio.sleep(60.0)
    world.sender.takes_s = 0.3
    looking = asyncio.create_task(world.resolver.look_once(world.records.one(), world.clock.monotonic() + 5.0))
    await asyncio.sleep(0.1)

    answer = await World(beside=world).pipeline.cancel(world.ask(key="k"))

    assert (answer.outcome, len(world.sender.reads)) == (Outcome.CANCELLED, 1)
    await looking


@on_virtual_time
async def test_an_unknown_order_may_be_cancelled_anew_under_another_key() -> None:
    """A double cancel is harmless, a missing one is not."""
    world = World()
    world.sender.on_cancel = [Unclear("HTML"), Settled(Outcome.ALREADY_CANCELLED)]
    await world.pipeline.cancel(world.ask(key="k"))

    answer = await world.pipeline.cancel(world.ask(key="l"))

    assert answer.outcome is Outcome.ALREADY_CANCELLED


@pytest.mark.parametrize("verb", ["settle", "get"])
@on_virtual_time
async def test_what_was_found_out_is_told_even_where_it_cannot_be_kept(verb: str) -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]
    await world.pipeline.cancel(world.ask(key="k"))
    world.records.down = {verb}

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert answer.outcome is Outcome.CANCELLED
    assert answer.body is not None
    assert orjson.loads(answer.body)["outcome"] == "cancelled"


@on_virtual_time
async def test_without_a_desk_or_a_signer_a_record_stays_as_it_is() -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]
    await world.pipeline.cancel(world.ask(key="k"))
    record, deadline = world.records.one(), world.clock.monotonic() + 5

    world.desks.clear()

    assert await world.resolver.look_once(record, deadline) is record
    assert world.sender.reads == []


@on_virtual_time
async def test_what_cannot_be_read_stays_unknown() -> None:
    world = World()
    world.sender.on_cancel = [Unclear("HTML")]

    first = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID, key="k"))
    again = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID, key="k"))

    assert (first.outcome, again.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert len(world.sender.cancels) == 1


@pytest.mark.parametrize(
    ("state", "lease_left_ms", "due"),
    [
        (State.SENT, -1, True),
        (State.SENT, 1, False),
        (State.UNKNOWN, 1, True),
        (State.RECEIVED, -1, True),
        (State.RECEIVED, 1, False),
        (State.TERMINAL, -1, False),
        (State.ACKNOWLEDGED, -1, False),
    ],
)
@on_virtual_time
async def test_due_is_what_has_no_end_and_nobody_who_answers_for_it(
    state: State,
    lease_left_ms: int,
    due: bool,  # noqa: FBT001  a row of the table
) -> None:
    world = World()
    await world.pipeline.cancel(world.ask())
    record = world.records.one()
    aged = type(record)(
        record.id, state, By.ORDER_ID, "1", None, "desk", "request-1", record.created_ms,
        lease_until_ms=world.clock.now_ms() + lease_left_ms,
    )  # fmt: skip

    assert world.resolver.due(aged) is due
    assert aged.order == OrderRef(By.ORDER_ID, "1")
    assert Known(aged).record.id.account == DESK_A
