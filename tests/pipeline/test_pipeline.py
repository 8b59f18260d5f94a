"""The path of one cancel, with every port by hand: what a venue's word becomes, and in which order things go."""

import asyncio

import pytest
from fake_venue import FakeSigner
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.idempotency import SETTLED_AS, State
from gateway.core.model import By, Lane, Op, Scope
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    Verdict,
)
from gateway.core.wire import NotSent, Unconfirmed
from gateway.dispatch import Bounds
from gateway.ports import NoSigner, Unlocked

TOKENS, READS, WINDOW_S = 10, 20, 1.02
SAID = Facts(venue_code="-1", venue_message="no")
REFUSED_KEY = AuthRefused(Facts(venue_message="bad key"))

VERDICTS: list[tuple[Verdict | NotSent | Unconfirmed, Outcome, int | None]] = [
    *((Settled(outcome, SAID), outcome, None) for outcome in (
        Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED, Outcome.TOO_LATE_FILLED, Outcome.CLOSED,
        Outcome.NOT_FOUND, Outcome.REJECTED, Outcome.UNKNOWN)),
    (Unclear("a page of HTML", SAID), Outcome.UNKNOWN, None),
    (Unconfirmed("reset"), Outcome.UNKNOWN, None),
    (NotSent("no route"), Outcome.VENUE_UNAVAILABLE, 1000),
    (Throttled(Scope.ACCOUNT, facts=SAID), Outcome.VENUE_LIMITED, 1000),
    (Throttled(Scope.ACCOUNT, retry_after_ms=2500), Outcome.VENUE_LIMITED, 2500),
    (Throttled(Scope.EGRESS, banned=True, retry_after_ms=60_000), Outcome.VENUE_BANNED, 60_000),
    (AuthRefused(SAID), Outcome.VENUE_AUTH, None),
    (ReadBack(Outcome.ALREADY_CANCELLED, facts=SAID), Outcome.ALREADY_CANCELLED, None),
]  # fmt: skip


@pytest.mark.parametrize(("said", "outcome", "retry_after_ms"), VERDICTS)
@on_virtual_time
async def test_what_the_venue_says_becomes_the_answer_and_the_record(
    said: Verdict | NotSent | Unconfirmed, outcome: Outcome, retry_after_ms: int | None
) -> None:
    world = World()
    world.sender.on_cancel = [said]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.retry_after_ms, answer.degraded) == (outcome, retry_after_ms, False)
    assert answer.facts == getattr(said, "facts", Facts())
    assert answer.detail == getattr(said, "reason", None)
    record = world.records.one()
    assert answer.record == record.id
    assert (record.state, record.outcome, record.attempts) == (SETTLED_AS[outcome], outcome, answer.attempts)
    assert record.body == world.encode(world.ask(), answer)


@on_virtual_time
async def test_with_a_free_slot_the_claim_is_all_that_comes_before_the_send() -> None:
    world = World()

    answer = await world.pipeline.cancel(world.ask())

    assert world.story == ["unlock", "claim", "send", "settle"]
    assert (answer.attempts, answer.batch, answer.waited_ms) == (1, 1, 0.0)
    assert world.records.one().sent_ms is not None
    assert [verb for verb, _ in world.meter.phases] == ["unlock", "claim", "sign", "send", "interpret", "settle"]
    assert (world.meter.slots, world.meter.batches, len(world.meter.sends)) == ({"used": 1}, [1], 1)


@on_virtual_time
async def test_after_a_wait_sent_is_written_before_any_byte_leaves() -> None:
    world = World()
    world.spend(TOKENS)
    world.sender.takes_s = 0.25
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask())

    assert world.story.index("claim") < world.story.index("mark_sent") < world.story.index("send")
    assert answer.outcome is Outcome.CANCELLED
    assert answer.waited_ms == pytest.approx(1020)
    assert answer.venue_ms == pytest.approx(250)
    assert world.sender.cancels[0].at == pytest.approx(began + WINDOW_S)
    ((lane, waited_s),) = world.meter.waits
    assert lane is Lane.NORMAL
    assert waited_s == pytest.approx(WINDOW_S)


@on_virtual_time
async def test_an_urgent_cancel_takes_from_the_reserve_what_a_normal_one_may_not() -> None:
    world = World(reserve=2)
    world.spend(TOKENS - 2)
    began = world.clock.monotonic()

    await world.pipeline.cancel(world.ask("1", lane=Lane.URGENT))
    urgent_at = world.clock.monotonic()
    await world.pipeline.cancel(world.ask("2"))

    assert urgent_at == began
    assert world.clock.monotonic() == pytest.approx(began + WINDOW_S)


@on_virtual_time
async def test_no_burst_of_cancels_breaks_the_limit() -> None:
    world = World(reserve=0)

    answers = await asyncio.gather(*(world.pipeline.cancel(world.ask(str(ref))) for ref in range(45)))

    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    times = [sent.at for sent in world.sender.cancels]
    assert len(times) == 45
    assert all(later - earlier > 1.0 for earlier, later in zip(times, times[TOKENS:], strict=False))


# --- credentials


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN_ACCOUNT, Outcome.SECRET_UNAVAILABLE, Outcome.VENUE_AUTH])
@on_virtual_time
async def test_without_a_signer_nothing_is_claimed_and_nothing_is_sent(outcome: Outcome) -> None:
    world = World()
    world.credentials.known[DESK_A] = NoSigner(outcome, "why")

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.detail, answer.record) == (outcome, "why", None)
    assert world.story == ["unlock"]


@on_virtual_time
async def test_a_refused_key_is_renewed_once_and_the_second_try_pays_its_own_slot() -> None:
    world = World()
    world.sender.on_cancel = [REFUSED_KEY, Settled(Outcome.CANCELLED)]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.CANCELLED, 2)
    assert [sent.key for sent in world.sender.cancels] == ["key-1", "key-2"]
    assert [unlocked.signer for unlocked in world.credentials.refused] == [FakeSigner("key-1")]
    assert (world.meter.slots, len(world.meter.sends)) == ({"used": 2}, 2)
    assert world.records.one().attempts == 2


@on_virtual_time
async def test_a_key_that_is_refused_again_is_not_tried_a_third_time() -> None:
    world = World()
    world.sender.on_cancel = [REFUSED_KEY]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts, answer.facts) == (Outcome.VENUE_AUTH, 2, REFUSED_KEY.facts)
    assert world.story.count("renew") == 1


@pytest.mark.parametrize(
    ("outcome", "proves"),
    [
        (Outcome.CANCELLED, True),
        (Outcome.ACCEPTED, True),
        (Outcome.TOO_LATE_FILLED, True),
        (Outcome.NOT_FOUND, False),
        (Outcome.REJECTED, False),
        (Outcome.UNKNOWN, False),
    ],
)
@on_virtual_time
async def test_a_key_on_trial_is_proven_by_what_only_its_owner_is_told(outcome: Outcome, *, proves: bool) -> None:
    world = World()
    world.credentials.known[DESK_A] = Unlocked(FakeSigner(), "2", on_trial=True)
    world.sender.on_cancel = [Settled(outcome)]

    await world.pipeline.cancel(world.ask())

    assert world.credentials.proofs == ([(DESK_A, "2")] if proves else [])


@on_virtual_time
async def test_a_key_that_is_not_on_trial_is_not_told_of() -> None:
    world = World()

    await world.pipeline.cancel(world.ask())

    assert world.credentials.proofs == []


@on_virtual_time
async def test_a_store_that_hangs_in_a_renewal_does_not_outlive_the_deadline() -> None:
    world = World()
    world.sender.on_cancel = [REFUSED_KEY]
    world.credentials.renewal_s = 60.0
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(within_s=3.0))

    assert (answer.outcome, answer.attempts) == (Outcome.VENUE_AUTH, 1)
    assert world.clock.monotonic() - began < 3.5


@pytest.mark.parametrize(
    ("refused", "renewed", "detail"),
    [
        (REFUSED_KEY, NoSigner(Outcome.VENUE_AUTH, "nothing newer"), None),
        (AuthRefused(), NoSigner(Outcome.VENUE_AUTH, "nothing newer"), "nothing newer"),
        (REFUSED_KEY, NoSigner(Outcome.SECRET_UNAVAILABLE, "store down"), "store down"),
    ],
)
@on_virtual_time
async def test_without_a_newer_key_the_first_refusal_stands(
    refused: AuthRefused, renewed: NoSigner, detail: str | None
) -> None:
    world = World()
    world.sender.on_cancel = [refused]
    world.credentials.renewed = renewed

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.detail, answer.attempts) == (renewed.outcome, detail, 1)
    assert world.records.one().state is State.REFUSED


@on_virtual_time
async def test_a_second_try_without_a_slot_in_time_is_not_made() -> None:
    world = World(reserve=0)
    world.spend(TOKENS - 1)
    world.sender.on_cancel = [REFUSED_KEY]

    answer = await world.pipeline.cancel(world.ask(within_s=0.5))

    assert answer.outcome in {Outcome.VENUE_AUTH, Outcome.UNKNOWN}
    await world.pipeline.drain()
    assert len(world.sender.cancels) == 1
    assert world.records.one().outcome is Outcome.VENUE_AUTH


@on_virtual_time
async def test_a_second_try_behind_a_queue_that_is_too_long_is_not_made() -> None:
    world = World(reserve=0)
    world.spend(TOKENS - 1)
    world.sender.on_cancel = [REFUSED_KEY, Settled(Outcome.CANCELLED)]
    world.sender.takes_s = 0.1
    first = asyncio.create_task(world.pipeline.cancel(world.ask("1", within_s=0.5)))
    await let_run()
    crowd = [asyncio.create_task(world.pipeline.cancel(world.ask(f"c{each}"))) for each in range(3)]

    answer = await first

    assert (answer.outcome, answer.attempts) == (Outcome.VENUE_AUTH, 1)
    assert {(await each).outcome for each in crowd} == {Outcome.CANCELLED}


# --- what only the order itself can tell


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        (Seen(OrderState.CANCELLED), Outcome.ALREADY_CANCELLED),
        (Seen(OrderState.OPEN), Outcome.ACCEPTED),
        (Seen(OrderState.MISSING), Outcome.NOT_FOUND),
        (Seen(OrderState.FILLED), Outcome.TOO_LATE_FILLED),
        (Seen(OrderState.CLOSED), Outcome.CLOSED),
        (Unclear("HTML"), Outcome.UNKNOWN),
        (Throttled(Scope.ACCOUNT), Outcome.UNKNOWN),
        (AuthRefused(), Outcome.UNKNOWN),
        (NotSent("no route"), Outcome.UNKNOWN),
        (Unconfirmed("reset"), Outcome.UNKNOWN),
    ],
)
@on_virtual_time
async def test_a_reply_that_cannot_tell_is_settled_by_the_order(
    shown: Sighting | NotSent | Unconfirmed, outcome: Outcome
) -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED, Outcome.NOT_FOUND, SAID)]
    world.sender.on_read = [shown]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.facts) == (outcome, SAID)
    then = {NotSent: ["give_back"], Throttled: ["tighten"]}.get(type(shown), [])
    assert world.story == ["unlock", "claim", "send", "reserve", "read", *then, "settle"]
    assert len(world.meter.sends) == 2


@on_virtual_time
async def test_an_order_that_cannot_be_read_stays_unknown() -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED, Outcome.NOT_FOUND)]

    answer = await world.pipeline.cancel(world.ask(by=By.CLIENT_ID))

    assert answer.outcome is Outcome.UNKNOWN
    assert world.sender.reads == []


@on_virtual_time
async def test_without_a_slot_for_reading_in_time_the_answer_is_unknown_and_comes_in_time() -> None:
    world = World()
    world.spend(READS, Op.READ)
    world.sender.on_cancel = [ReadBack(Outcome.ALREADY_CANCELLED)]
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(within_s=0.5))

    assert answer.outcome is Outcome.UNKNOWN
    assert world.clock.monotonic() <= began + 0.5 + 1e-6
    await world.pipeline.drain()
    assert world.sender.reads == []


@on_virtual_time
async def test_a_limiter_that_is_lost_before_reading_leaves_it_unknown() -> None:
    world = World()
    world.limiter.down = True
    world.sender.on_cancel = [ReadBack(Outcome.ALREADY_CANCELLED)]

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.UNKNOWN


# --- deadlines and bounds


@on_virtual_time
async def test_a_deadline_before_the_venues_answer_is_unknown_and_the_work_goes_on() -> None:
    world = World()
    world.sender.takes_s = 1.0
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(within_s=0.3))

    assert answer.outcome is Outcome.UNKNOWN
    assert answer.detail == "the deadline came before the venue's answer"
    assert world.clock.monotonic() == pytest.approx(began + 0.3)
    assert world.records.one().state is State.SENT
    await world.pipeline.drain()
    assert world.clock.monotonic() == pytest.approx(began + 1.0)
    assert (world.records.one().state, world.records.one().outcome) == (State.TERMINAL, Outcome.CANCELLED)
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_an_answer_just_before_the_deadline_is_the_venues() -> None:
    world = World()
    world.sender.takes_s = 0.29

    answer = await world.pipeline.cancel(world.ask(within_s=0.3))

    assert answer.outcome is Outcome.CANCELLED


@on_virtual_time
async def test_no_slot_in_time_is_told_at_once_with_nothing_written() -> None:
    world = World()
    world.spend(TOKENS)
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask(within_s=1.0))

    assert (answer.outcome, answer.retry_after_ms, answer.record) == (Outcome.OVER_DEADLINE, 1020, None)
    assert world.clock.monotonic() == began
    assert (world.records.kept, world.sender.cancels) == ({}, [])


@on_virtual_time
async def test_behind_a_long_queue_no_slot_in_time_is_told_at_once_and_frees_the_order() -> None:
    world = World(reserve=0)
    crowd = [
        asyncio.create_task(world.pipeline.cancel(world.ask(str(ref), lane=Lane.URGENT, within_s=50)))
        for ref in range(40)
    ]
    await let_run()
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask("late", within_s=2.0))

    assert answer.outcome is Outcome.OVER_DEADLINE
    assert answer.retry_after_ms is not None
    assert answer.retry_after_ms > 2000
    assert world.clock.monotonic() == began
    assert answer.record is not None
    assert world.records.kept[answer.record].state is State.REFUSED
    assert answer.record not in world.records.orders.values()
    await asyncio.gather(*crowd)


@on_virtual_time
async def test_too_many_who_wait_are_overloaded() -> None:
    world = World(bounds=Bounds(waiting=1))
    world.spend(TOKENS)
    first = asyncio.create_task(world.pipeline.cancel(world.ask("1")))
    await let_run()

    answer = await world.pipeline.cancel(world.ask("2"))

    assert (answer.outcome, answer.detail, answer.retry_after_ms) == (
        Outcome.OVERLOADED,
        "1 cancels wait already",
        1000,
    )
    assert (await first).outcome is Outcome.CANCELLED


@on_virtual_time
async def test_draining_waits_for_nothing_where_nothing_is_left() -> None:
    await World().pipeline.drain()


# --- the store


@on_virtual_time
async def test_without_the_store_the_cancel_goes_all_the_same_and_is_degraded() -> None:
    world = World()
    world.records.down = {"claim"}

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert (answer.outcome, answer.degraded) == (Outcome.CANCELLED, True)
    assert world.continuity.losses == ["claim does not answer"]
    assert world.records.kept == {}
    assert world.story == ["unlock", "claim", "reserve", "send"]
    assert answer.record is not None
    kept = await world.steady.get(answer.record)
    assert kept is not None
    assert (kept.state, kept.outcome) == (State.TERMINAL, Outcome.CANCELLED)


@on_virtual_time
async def test_while_degraded_the_store_is_not_asked() -> None:
    world = World()
    world.continuity.degraded = True

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.degraded) == (Outcome.CANCELLED, True)
    assert world.story == ["unlock", "reserve", "send"]


@on_virtual_time
async def test_a_store_that_is_lost_while_waiting_stops_nothing() -> None:
    world = World()
    world.spend(TOKENS)
    world.records.down = {"mark_sent", "settle"}

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.degraded) == (Outcome.CANCELLED, True)
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_a_store_that_is_lost_at_the_end_takes_no_answer_away() -> None:
    world = World()
    world.records.down = {"settle"}

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.CANCELLED
    assert world.continuity.losses == ["settle does not answer"]
    assert world.records.one().state is State.SENT


@on_virtual_time
async def test_a_record_that_somebody_else_took_over_is_not_sent_a_second_time() -> None:
    world = World()
    world.spend(TOKENS)
    world.records.stolen = True

    answer = await world.pipeline.cancel(world.ask())

    assert answer.outcome is Outcome.OVER_DEADLINE
    assert world.sender.cancels == []
