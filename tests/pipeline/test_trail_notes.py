"""What a cancel leaves in the audit trail, and that a replay of it comes to the same outcome."""

import asyncio
import hashlib

import orjson
import pytest
from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core.idempotency import Fresh, Known
from gateway.core.model import By, Op, Scope, Wait
from gateway.core.outcome import (
    AuthRefused,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Throttled,
    Unclear,
    Verdict,
)
from gateway.core.trail import (
    GENESIS,
    Began,
    Claiming,
    Decision,
    Exchanged,
    Gap,
    Settling,
    Slotted,
    Tree,
    link,
    read,
)
from gateway.core.wire import NotSent, Unconfirmed
from gateway.replay import Replay, Tally


def trees(decisions: list[Decision], body_most: int = 4096) -> list[Tree]:
    return [read(link(number, 1, GENESIS, what, body_most).data) or {} for number, what in enumerate(decisions, 1)]


def replayed(world: World, *more: Decision, body_most: int = 4096) -> Tally:
    return replay_of(world, trees([Began("1", {}), *world.trail.decisions, *more], body_most))


def replay_of(world: World, content: list[Tree]) -> Tally:
    replay = Replay([world.venue])
    for tree in content:
        replay.take(tree)
    return replay.end()


@on_virtual_time
async def test_cancel_with_a_free_slot_leaves_three_notes() -> None:
    world = World()

    answer = await world.pipeline.cancel(world.ask())

    claiming, exchanged, settling = world.trail.decisions
    assert isinstance(claiming, Claiming)
    assert isinstance(claiming.claimed, Fresh)
    assert claiming.claimed.slot is not None
    assert isinstance(exchanged, Exchanged)
    assert (exchanged.op, exchanged.account, exchanged.read_as) == (Op.CANCEL, DESK_A, (Settled(Outcome.CANCELLED),))
    assert exchanged.request == world.sender.cancels[0].request
    assert settling == Settling(world.ask().cancel, answer.record, Outcome.CANCELLED, 1)
    assert claiming.record == answer.record


@on_virtual_time
async def test_cancel_that_waited_tells_its_slot() -> None:
    world = World()
    world.spend(10)

    await world.pipeline.cancel(world.ask())

    assert [type(what) for what in world.trail.decisions] == [Claiming, Slotted, Exchanged, Settling]


@on_virtual_time
async def test_batch_is_one_exchange_with_a_verdict_for_each() -> None:
    world = World(reserve=0, batch_most=4)
    world.spend(10)

    await asyncio.gather(*(world.pipeline.cancel(world.ask(str(number))) for number in range(4)))

    (exchanged,) = (what for what in world.trail.decisions if isinstance(what, Exchanged))
    assert (exchanged.op, len(exchanged.orders), len(exchanged.read_as)) == (Op.BATCH, 4, 4)
    assert replayed(world) == Tally(replies=1, outcomes=4)


@on_virtual_time
async def test_cancel_without_the_store_is_told_as_well() -> None:
    world = World()
    world.continuity.degraded = True

    await world.pipeline.cancel(world.ask())

    claiming, *_, settling = world.trail.decisions
    assert isinstance(claiming, Claiming)
    assert isinstance(settling, Settling)
    assert claiming.record == settling.record is not None


@on_virtual_time
async def test_replay_of_a_key_is_a_claim_and_no_more() -> None:
    world = World()
    await world.pipeline.cancel(world.ask(key="k"))
    world.trail.decisions.clear()

    await world.pipeline.cancel(world.ask(key="k"))

    (claiming,) = world.trail.decisions
    assert isinstance(claiming, Claiming)
    assert isinstance(claiming.claimed, Known)


VERDICTS: list[Verdict | NotSent | Unconfirmed] = [
    *map(Settled, (Outcome.CANCELLED, Outcome.ACCEPTED, Outcome.TOO_LATE_FILLED, Outcome.NOT_FOUND, Outcome.REJECTED)),
    *(Unclear("?"), Unconfirmed("reset"), NotSent("dns"), Throttled(Scope.ACCOUNT), AuthRefused()),
    ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.ACCEPTED, if_missing=Outcome.NOT_FOUND),
]


@pytest.mark.parametrize("wait", Wait)
@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("said", VERDICTS, ids=repr)
@on_virtual_time
async def test_every_outcome_follows_from_the_stored_replies(
    said: Verdict | NotSent | Unconfirmed, state: OrderState, wait: Wait
) -> None:
    world = World()
    world.sender.on_cancel, world.sender.on_read = [said], [Seen(state)]

    answer = await world.pipeline.cancel(world.ask(wait=wait))
    if answer.record is not None and answer.outcome is Outcome.UNKNOWN:
        record = await world.records.get(answer.record)
        assert record is not None
        await world.resolver.resolve(record, world.clock.monotonic() + 5)

    tally = replayed(world)
    assert (tally.differs, tally.withheld, tally.unproven) == ((), 0, 0)


@on_virtual_time
async def test_order_that_cannot_be_read_is_told_without_an_exchange() -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED)]

    answer = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID))

    assert answer.outcome is Outcome.UNKNOWN
    assert replayed(world).differs == ()


@on_virtual_time
async def test_outcome_that_no_reply_supports_is_found() -> None:
    world = World()
    asked = world.ask()
    await world.pipeline.cancel(asked)

    tally = replayed(world, Settling(asked.cancel, None, Outcome.TOO_LATE_FILLED, 1))

    (differs,) = tally.differs
    assert (differs.number, differs.said, differs.follows) == (5, "too_late_filled", "cancelled")


@on_virtual_time
async def test_success_of_an_order_that_nothing_was_heard_of_is_found() -> None:
    world = World()

    (differs,) = replayed(world, Settling(world.ask().cancel, None, Outcome.CANCELLED, 1)).differs

    assert differs.follows == "nothing was heard of this order"


@on_virtual_time
async def test_reply_that_is_read_otherwise_now_is_found() -> None:
    world = World()
    await world.pipeline.cancel(world.ask())
    world.venue.verdicts[0] = Settled(Outcome.NOT_FOUND)

    said = [differs.said for differs in replayed(world).differs]

    assert said == ["cancelled", "cancelled"]


@on_virtual_time
async def test_what_was_not_kept_is_unproven_and_no_fault() -> None:
    world = World()
    await world.pipeline.cancel(world.ask())

    assert replayed(world, body_most=0) == Tally(withheld=1, unproven=1)


@on_virtual_time
async def test_after_a_gap_an_outcome_may_be_unproven() -> None:
    world = World()
    outcome = Settling(world.ask().cancel, None, Outcome.CANCELLED, 1)

    assert replayed(world, Gap(1), outcome) == Tally(unproven=1)
    assert replay_of(world, trees([outcome])) == Tally(unproven=1)


@pytest.mark.parametrize(
    "spoilt",
    [
        b'{"is":"send","n":1,"venue":"venue","read_as":[],"reply":{}}',
        b'{"is":"send","n":1,"venue":"venue","op":"dance","read_as":[],"orders":[["order_id","1",null]],"reply":REPLY}',
        b'{"is":"send","n":1,"venue":"venue","op":"cancel","read_as":[],"orders":[["order_id"],7],"reply":REPLY}',
        b'{"is":"settle","n":1,"outcome":"lost"}',
        b'{"is":"settle"}',
    ],
)
@on_virtual_time
async def test_hostile_trail_is_no_trouble(spoilt: bytes) -> None:
    reply = {"status": 200, "at": 1, "digest": hashlib.sha256(b"0").hexdigest(), "body": "0"}

    tally = replay_of(World(), [orjson.loads(spoilt.replace(b"REPLY", orjson.dumps(reply)))])

    assert (tally.outcomes, tally.differs) == (0, ())
