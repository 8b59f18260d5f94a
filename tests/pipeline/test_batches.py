"""One request for many: only where a queue exists, each order its own verdict, nobody somebody else's."""

import asyncio

from fakes import World
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import on_virtual_time

from gateway.core.answer import Answer
from gateway.core.outcome import Outcome, Settled, Unclear, Verdict
from gateway.core.wire import Unconfirmed

GOOD, BAD = Settled(Outcome.ACCEPTED), Settled(Outcome.NOT_FOUND)


def batching(*, reserve: int = 0) -> World:
    world = World(reserve=reserve, batch_most=4)
    world.sender.on_cancel = [GOOD]
    world.spend(10)
    return world


async def storm(world: World, count: int) -> list[Answer]:
    return list(await asyncio.gather(*(world.pipeline.cancel(world.ask(str(number))) for number in range(count))))


@on_virtual_time
async def test_without_a_queue_nothing_is_batched() -> None:
    world = World(batch_most=4)

    answers = await storm(world, 8)

    assert [answer.batch for answer in answers] == [1] * 8
    assert world.sender.batches == []


@on_virtual_time
async def test_what_queues_goes_together_in_full_requests() -> None:
    world = batching()

    answers = await storm(world, 40)

    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert [len(refs) for refs in world.sender.batches] == [4] * 10
    assert sorted(ref for refs in world.sender.batches for ref in refs) == sorted(str(number) for number in range(40))
    assert {answer.batch for answer in answers} == {4}
    assert world.sender.cancels == []


@on_virtual_time
async def test_each_gets_its_own_verdict() -> None:
    world = batching()
    world.venue.by_ref = {"1": BAD, "2": Unclear("odd")}

    answers = await storm(world, 4)

    outcomes = [answer.outcome for answer in answers]
    assert outcomes == [Outcome.ACCEPTED, Outcome.NOT_FOUND, Outcome.UNKNOWN, Outcome.ACCEPTED]


@on_virtual_time
async def test_a_whole_request_without_an_answer_leaves_each_unknown() -> None:
    world = batching()
    world.sender.on_batch = Unconfirmed("reset")

    answers = await storm(world, 4)

    assert [answer.outcome for answer in answers] == [Outcome.UNKNOWN] * 4
    assert len(world.sender.batches) == 1


@on_virtual_time
async def test_whoever_lost_its_record_stays_out_and_the_others_go() -> None:
    world = batching()
    world.records.stolen_refs = {"2"}

    answers = await storm(world, 4)

    assert [answer.outcome for answer in answers].count(Outcome.OVER_DEADLINE) == 1
    assert sorted(ref for refs in world.sender.batches for ref in refs) == ["0", "1", "3"]


@on_virtual_time
async def test_a_slot_that_all_of_a_party_stay_away_from_goes_back() -> None:
    world = batching()
    world.records.stolen = True

    answers = await storm(world, 4)

    assert {answer.outcome for answer in answers} == {Outcome.OVER_DEADLINE}
    assert world.sender.batches == []
    assert world.limiter.calls["give_back"] == 1


@on_virtual_time
async def test_a_lone_waiter_goes_alone() -> None:
    world = batching()

    (answer,) = await storm(world, 1)

    assert (answer.batch, world.sender.batches) == (1, [])


@settings(max_examples=60)
@given(st.lists(st.sampled_from([GOOD, BAD, Unclear("odd")]), min_size=1, max_size=30))
def test_nobody_gets_somebody_elses_outcome(verdicts: list[Verdict]) -> None:
    @on_virtual_time
    async def run() -> None:
        world = batching()
        world.venue.by_ref = {str(number): verdict for number, verdict in enumerate(verdicts)}

        answers = await storm(world, len(verdicts))

        wanted = [each.outcome if isinstance(each, Settled) else Outcome.UNKNOWN for each in verdicts]
        assert [answer.outcome for answer in answers] == wanted

    run()
