"""Breakers, retries and clocks on the path of a cancel: what is not sent, what is sent again, and what it costs."""

import asyncio
from email.utils import formatdate

import pytest
from fake_venue import VENUE
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.breaker import FAILURES, BreakerScope
from gateway.core.idempotency import State
from gateway.core.model import Account, By, Lane, OrderRef, Scope, Wait
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Throttled,
    Unclear,
    Untimely,
    Verdict,
)
from gateway.core.shut import Shut
from gateway.core.wire import NotSent, Reply, Unconfirmed
from gateway.ports import NoSigner, Unlocked
from gateway.reader import Look

DEAD = NotSent("the venue could not be connected")
REFUSED_KEY = AuthRefused(Facts(venue_message="suspended"))
GONE = Settled(Outcome.CANCELLED)


async def _host_down(world: World) -> None:
    """Enough failures for the breaker of the host."""
    world.sender.on_cancel = [Unconfirmed("no whole reply in time")]
    for number in range(FAILURES):
        await world.pipeline.cancel(world.ask(f"down-{number}"))
    world.sender.cancels.clear()


async def _key_refused(world: World) -> None:
    world.credentials.renewed = NoSigner(Outcome.VENUE_AUTH, "no newer one")
    world.sender.on_cancel = [REFUSED_KEY]
    for number in range(FAILURES):
        await world.pipeline.cancel(world.ask(f"auth-{number}"))
    world.sender.cancels.clear()


# -- retries ---------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_what_was_provably_not_sent_is_tried_again_with_a_slot_for_each_attempt() -> None:
    world = World()
    world.sender.on_cancel = [DEAD, DEAD, GONE]
    began = world.clock.monotonic()

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.CANCELLED, 3)
    assert world.meter.retries == {"not_sent": 2}
    assert (world.limiter.calls["reserve"], world.meter.slots["returned"]) == (2, 2)
    assert world.clock.monotonic() - began == pytest.approx(0.05 + 0.1)
    assert world.records.one().attempts == 3


@on_virtual_time
async def test_nobody_is_tried_more_than_three_times() -> None:
    world = World()
    world.sender.on_cancel = [DEAD]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts, answer.detail) == (Outcome.VENUE_UNAVAILABLE, 3, DEAD.reason)
    assert len(world.sender.cancels) == 3


@on_virtual_time
async def test_an_ambiguous_send_is_never_repeated_without_a_look() -> None:
    world = World()
    world.sender.on_cancel = [Unconfirmed("reset"), GONE]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, len(world.sender.cancels), world.meter.retries) == (Outcome.UNKNOWN, 1, {})


@on_virtual_time
async def test_an_order_that_a_look_shows_open_is_asked_for_again() -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED), GONE]
    world.sender.on_read = [Seen(OrderState.OPEN)]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.CANCELLED, 2)
    assert world.story.index("send") < world.story.index("read")
    assert world.meter.retries == {"still_open": 1}


@on_virtual_time
async def test_one_that_stays_open_ends_as_the_venue_said() -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED)]
    world.sender.on_read = [Seen(OrderState.OPEN)]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.REJECTED, 3)


@pytest.mark.parametrize(
    "then", [NotSent("no connection"), Throttled(Scope.ACCOUNT), AuthRefused(), Settled(Outcome.REJECTED)], ids=repr
)
@on_virtual_time
async def test_an_attempt_that_did_nothing_takes_nothing_back_of_one_that_may_still_be_acted_on(
    then: Verdict | NotSent,
) -> None:
    world = World()
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED), then]
    world.sender.on_read = [Seen(OrderState.OPEN)]

    answer = await world.pipeline.cancel(world.ask(key="k"))

    assert answer.outcome is Outcome.UNKNOWN
    assert world.records.one().state is State.UNKNOWN


@on_virtual_time
async def test_whoever_goes_on_looking_is_not_told_of_a_refusal_while_an_earlier_attempt_may_be_acted_on() -> None:
    world = World()
    refused = ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED)
    world.sender.on_cancel = [ReadBack(Outcome.CANCELLED), refused]
    world.sender.on_read = [Seen(OrderState.OPEN), Unclear("HTML"), Seen(OrderState.OPEN)]

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert (answer.outcome, answer.attempts) == (Outcome.UNKNOWN, 2)


@pytest.mark.parametrize("said", [Unclear("http 502"), Unconfirmed("reset")])
@on_virtual_time
async def test_whoever_waits_for_the_end_has_an_unclear_cancel_looked_at_and_repeated_while_open(
    said: Unclear | Unconfirmed,
) -> None:
    world = World()
    world.sender.on_cancel = [said, GONE]
    world.sender.on_read = [Seen(OrderState.OPEN)]

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert (answer.outcome, answer.attempts, len(world.sender.reads)) == (Outcome.CANCELLED, 2, 1)


@on_virtual_time
async def test_whoever_waits_for_the_end_goes_on_looking_where_a_look_shows_nothing() -> None:
    world = World()
    world.sender.on_cancel = [Unclear("http 502")]
    world.sender.on_read = [Seen(OrderState.MISSING), Seen(OrderState.MISSING), Seen(OrderState.CANCELLED)]

    answer = await world.pipeline.cancel(world.ask(wait=Wait.TERMINAL))

    assert (answer.outcome, answer.attempts, len(world.sender.reads)) == (Outcome.CANCELLED, 1, 3)


@on_virtual_time
async def test_retries_are_at_most_ten_of_a_hundred() -> None:
    world = World(reserve=0)
    world.sender.on_cancel = [DEAD]
    asks = [world.ask(str(number), within_s=60.0) for number in range(4)]
    for ask in asks:
        world.breakers.felt(VENUE, Reply(200, {}, b""))
        await world.pipeline.cancel(ask)
        for _ in range(10):
            world.breakers.felt(VENUE, Reply(200, {}, b""))

    spent = world.meter.retries["not_sent"]
    for number in range(20):
        for _ in range(10):
            world.breakers.felt(VENUE, Reply(200, {}, b""))
        await world.pipeline.cancel(world.ask(f"more-{number}", within_s=60.0))

    assert spent == 8
    assert world.meter.retries["not_sent"] == 10
    assert world.meter.retries["over_budget"] > 0


@on_virtual_time
async def test_no_retry_outlives_the_callers_deadline() -> None:
    world = World()
    world.sender.on_cancel = [DEAD, GONE]
    world.sender.connects_s = 0.005

    answer = await world.pipeline.cancel(world.ask(within_s=0.05))

    assert (answer.outcome, answer.attempts) == (Outcome.VENUE_UNAVAILABLE, 1)


# -- the breaker of a host -------------------------------------------------------------------------------------------


@on_virtual_time
async def test_five_silences_open_the_breaker_and_newcomers_are_told_at_once_without_a_slot() -> None:
    world = World()
    await _host_down(world)
    world.story.clear()

    answer = await world.pipeline.cancel(world.ask("late"))

    assert (answer.outcome, answer.attempts) == (Outcome.VENUE_UNAVAILABLE, 0)
    assert answer.retry_after_ms == 1000
    assert world.story == ["unlock", "claim", "settle"]
    assert world.records.kept[answer.record].state is State.REFUSED if answer.record else False
    assert [(change.scope, change.shut is not None) for change in world.changes] == [(BreakerScope.HOST, True)]


@on_virtual_time
async def test_a_replayed_key_is_answered_while_the_breaker_is_open() -> None:
    world = World()
    first = await world.pipeline.cancel(world.ask(key="k"))
    await _host_down(world)

    again = await world.pipeline.cancel(world.ask(key="k"))

    assert (again.outcome, again.body is not None) == (first.outcome, True)


@on_virtual_time
async def test_who_waits_in_line_when_it_opens_is_told_at_once_and_the_slot_is_not_burnt() -> None:
    world = World(reserve=0)
    world.sender.on_cancel = [Unconfirmed("silence")]
    for number in range(FAILURES - 1):
        await world.pipeline.cancel(world.ask(f"down-{number}"))
    world.sender.takes_s = 0.1
    last = asyncio.create_task(world.pipeline.cancel(world.ask("last")))
    await let_run()
    world.spend(10)
    waiting = asyncio.create_task(world.pipeline.cancel(world.ask("waiting")))
    await last
    told_at = world.clock.monotonic()

    answer = await waiting

    assert answer.outcome is Outcome.VENUE_UNAVAILABLE
    assert world.clock.monotonic() - told_at < 0.01
    assert "waiting" not in {sent.ref for sent in world.sender.cancels}


@on_virtual_time
async def test_one_probe_closes_it_and_the_others_wait_for_its_answer() -> None:
    world = World()
    await _host_down(world)
    world.sender.on_cancel = [GONE]
    world.sender.takes_s = 0.2
    await asyncio.sleep(1.0)

    answers = await asyncio.gather(*(world.pipeline.cancel(world.ask(str(number))) for number in range(4)))
    after = await world.pipeline.cancel(world.ask("after"))

    assert [answer.outcome for answer in answers].count(Outcome.CANCELLED) == 1
    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED, Outcome.VENUE_UNAVAILABLE}
    assert after.outcome is Outcome.CANCELLED
    assert world.changes[-1].shut is None


@on_virtual_time
async def test_a_probe_that_fails_keeps_it_open_for_longer() -> None:
    world = World()
    await _host_down(world)
    await asyncio.sleep(1.0)

    await world.pipeline.cancel(world.ask("probe"))
    answer = await world.pipeline.cancel(world.ask("next"))

    assert answer.retry_after_ms == 2000
    assert len(world.sender.cancels) == 1


@on_virtual_time
async def test_the_kill_lane_may_probe_before_the_pause_is_over() -> None:
    world = World()
    await _host_down(world)
    world.sender.on_cancel = [GONE]
    await asyncio.sleep(0.3)

    urgent = await world.pipeline.cancel(world.ask("urgent", lane=Lane.URGENT))
    kill = await world.pipeline.cancel(world.ask("kill", lane=Lane.KILL))

    assert (urgent.outcome, kill.outcome) == (Outcome.VENUE_UNAVAILABLE, Outcome.CANCELLED)


@on_virtual_time
async def test_an_open_breaker_holds_reads_and_logins_back_at_the_wire() -> None:
    world = World()
    await _host_down(world)
    reads = len(world.sender.reads)

    unlocked = await world.credentials.unlock(DESK_A)
    assert isinstance(unlocked, Unlocked)
    order = OrderRef(By.ORDER_ID, "1")
    deadline = world.clock.monotonic() + 1.0
    look = Look(world.desk, DESK_A, order, unlocked.signer, "desk", deadline, world.clock.now_ms())
    sighting = await world.reader.read(look)

    assert isinstance(sighting, Unclear)
    assert len(world.sender.reads) == reads


@pytest.mark.parametrize("said", [Settled(Outcome.REJECTED), Settled(Outcome.NOT_FOUND), Unclear("http 500")])
@on_virtual_time
async def test_no_answer_of_the_venues_opens_the_hosts_breaker(said: Settled | Unclear) -> None:
    world = World()
    world.sender.on_cancel = [said]

    for number in range(2 * FAILURES):
        await world.pipeline.cancel(world.ask(str(number), within_s=60.0))

    assert world.changes == []


# -- the breaker of a credential -------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_credential_that_is_refused_five_times_is_left_alone_and_only_that_one() -> None:
    world = World()
    await _key_refused(world)

    answer = await world.pipeline.cancel(world.ask("late"))
    world.sender.on_cancel = [GONE]
    other = await world.pipeline.cancel(world.ask("other", account=Account(VENUE, "desk-b")))

    assert (answer.outcome, answer.attempts, answer.retry_after_ms) == (Outcome.VENUE_AUTH, 0, 1000)
    assert other.outcome is Outcome.CANCELLED
    assert [(change.scope, change.account) for change in world.changes] == [(BreakerScope.CREDENTIAL, DESK_A)]
    assert list(world.breakers.shut_ms(DESK_A)) == [BreakerScope.CREDENTIAL]


@on_virtual_time
async def test_a_newer_version_of_the_credential_closes_it_at_once() -> None:
    world = World()
    await _key_refused(world)
    known = await world.credentials.unlock(DESK_A)
    assert isinstance(known, Unlocked)
    world.credentials.known[DESK_A] = Unlocked(known.signer, "2")
    world.sender.on_cancel = [GONE]

    answer = await world.pipeline.cancel(world.ask("after"))

    assert answer.outcome is Outcome.CANCELLED
    assert world.changes[-1].shut is None
    assert world.breakers.shut_ms(DESK_A) == {}


@on_virtual_time
async def test_a_credential_that_is_taken_again_closes_it_by_a_probe() -> None:
    world = World()
    await _key_refused(world)
    world.sender.on_cancel = [GONE]
    await asyncio.sleep(1.0)

    answer = await world.pipeline.cancel(world.ask("probe"))

    assert (answer.outcome, world.changes[-1].shut) == (Outcome.CANCELLED, None)


@on_virtual_time
async def test_refusals_of_orders_never_open_it() -> None:
    world = World()
    world.sender.on_cancel = [REFUSED_KEY, REFUSED_KEY, REFUSED_KEY, Settled(Outcome.REJECTED)]
    world.credentials.renewed = NoSigner(Outcome.VENUE_AUTH, "no newer one")

    for number in range(2 * FAILURES):
        await world.pipeline.cancel(world.ask(str(number), within_s=60.0))

    assert world.changes == []


# -- clocks ----------------------------------------------------------------------------------------------------------


def _venue_ahead(world: World, ms: int) -> None:
    """The venue's clock is the steady one plus what it was at the start, and so much more."""
    start = world.clock.now_ms() - round(world.clock.monotonic() * 1000)
    world.venue.clock_ms = lambda: start + round(world.clock.monotonic() * 1000) + ms


async def _three_answers(world: World) -> None:
    for number in range(3):
        await world.pipeline.cancel(world.ask(f"sample-{number}"))


def _signed_at(world: World) -> int:
    return int(world.sender.cancels[-1].request.url.partition("at=")[2])


@on_virtual_time
async def test_a_small_difference_is_made_up_for_when_signing_once_three_answers_agree() -> None:
    world = World()
    _venue_ahead(world, 3000)
    await _three_answers(world)
    before = _signed_at(world)

    await world.pipeline.cancel(world.ask("next"))

    assert before - world.clock.now_ms() == 0
    assert 2990 <= _signed_at(world) - world.clock.now_ms() <= 3000
    assert [word for word, _ in world.clock_words] == ["corrected"]


@on_virtual_time
async def test_a_clock_that_jumps_beyond_the_bound_signs_nothing_and_says_so() -> None:
    world = World()
    _venue_ahead(world, 0)
    await _three_answers(world)
    world.clock.wall_ahead_ms = 600_000
    await world.pipeline.cancel(world.ask("test"))
    sent = len(world.sender.cancels)

    answer = await world.pipeline.cancel(world.ask("refused"))

    assert (answer.outcome, answer.attempts, len(world.sender.cancels)) == (Outcome.VENUE_UNAVAILABLE, 0, sent)
    assert "clock" in (answer.detail or "")
    assert answer.retry_after_ms == 1000
    assert world.clock_words[-1][0] == "refused"
    assert world.offsets.standing()[VENUE][0] == "refused"


@on_virtual_time
async def test_a_clock_that_is_set_right_signs_again_at_once() -> None:
    world = World()
    _venue_ahead(world, 0)
    await _three_answers(world)
    world.clock.wall_ahead_ms = 600_000
    await world.pipeline.cancel(world.ask("test"))
    world.clock.wall_ahead_ms = 0

    answer = await world.pipeline.cancel(world.ask("after"))

    assert answer.outcome is Outcome.CANCELLED
    assert [word for word, _ in world.clock_words] == ["refused", "ok"]


@on_virtual_time
async def test_a_venue_whose_clock_was_wrong_is_found_right_by_a_request_now_and_then() -> None:
    world = World()
    _venue_ahead(world, 60_000)
    await _three_answers(world)
    _venue_ahead(world, 0)

    world.sender.on_cancel = [Unclear("a page of HTML"), Unclear("a page of HTML"), GONE]
    outcomes = []
    for number in range(6):
        outcomes.append((await world.pipeline.cancel(world.ask(f"try-{number}"))).outcome)
        await asyncio.sleep(0.6)

    assert outcomes[1] is outcomes[3] is Outcome.VENUE_UNAVAILABLE
    assert outcomes[4] is outcomes[5] is Outcome.CANCELLED
    assert world.offsets.standing()[VENUE] == ("ok", 0)


@on_virtual_time
async def test_a_venue_that_takes_our_time_against_what_we_believed_is_believed_at_once() -> None:
    world = World()
    _venue_ahead(world, 60_000)
    await _three_answers(world)
    _venue_ahead(world, 0)

    answers = [await world.pipeline.cancel(world.ask(str(number))) for number in range(2)]

    assert {answer.outcome for answer in answers} == {Outcome.CANCELLED}
    assert world.offsets.standing()[VENUE] == ("ok", 0)


@on_virtual_time
async def test_a_venue_that_finds_our_time_stale_is_believed_and_asked_again_with_the_right_one() -> None:
    world = World()
    world.clock.wall_ahead_ms = -3000
    world.venue.headers["date"] = formatdate((world.clock.now_ms() + 3000) / 1000, usegmt=True)
    world.sender.on_cancel = [Untimely(), GONE]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.CANCELLED, 2)
    assert 1900 <= _signed_at(world) - world.clock.now_ms() <= 3000
    assert world.meter.retries == {"clock": 1}


@on_virtual_time
async def test_a_stale_time_that_cannot_be_made_up_for_is_told_as_a_clock_matter() -> None:
    world = World()
    _venue_ahead(world, 600_000)
    world.sender.on_cancel = [Untimely(Facts(venue_code="-1021"))]

    answer = await world.pipeline.cancel(world.ask())

    assert (answer.outcome, answer.attempts) == (Outcome.VENUE_UNAVAILABLE, 1)
    assert "clock" in (answer.detail or "")
    assert answer.facts.venue_code == "-1021"
    assert world.records.one().state is State.REFUSED


@on_virtual_time
async def test_one_wild_answer_moves_nothing() -> None:
    world = World()
    _venue_ahead(world, 0)
    await _three_answers(world)
    await asyncio.sleep(6.0)
    _venue_ahead(world, 900_000)
    await world.pipeline.cancel(world.ask("wild"))
    _venue_ahead(world, 0)

    await world.pipeline.cancel(world.ask("next"))

    assert _signed_at(world) == world.clock.now_ms()
    assert world.clock_words == []


@on_virtual_time
async def test_the_date_of_an_answer_serves_where_there_is_no_stamp_unless_a_cache_kept_it() -> None:
    world, cached = World(), World()
    for each in (world, cached):
        each.clock.wall_ahead_ms = -3000
        each.venue.headers["date"] = formatdate((each.clock.now_ms() + 3000) / 1000, usegmt=True)
    cached.venue.headers["age"] = "3"
    for each in (world, cached):
        await _three_answers(each)

    assert 2000 <= world.offsets.proven_ms(VENUE) <= 3000
    assert cached.offsets.proven_ms(VENUE) == 0


# -- handing over ----------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_who_is_handed_over_in_line_leaves_the_key_to_another_replica() -> None:
    world = World()
    world.spend(10)
    waiting = asyncio.create_task(world.pipeline.cancel(world.ask(key="k")))
    await let_run()

    world.dispatcher.turn_away(Shut(Outcome.DRAINING, "this process ends", 1), lambda _: True)
    answer = await waiting

    assert (answer.outcome, answer.retry_after_ms, world.records.one().state) == (
        Outcome.DRAINING,
        1,
        State.REFUSED,
    )
    assert world.records.keys == {}
    assert world.sender.cancels == []


@on_virtual_time
async def test_the_one_request_that_may_find_out_is_not_spent_where_its_slot_went_stale_before_it_left() -> None:
    world = World()
    _venue_ahead(world, 60_000)
    await _three_answers(world)
    sent = len(world.sender.cancels)
    world.sender.connects_s = 1.5
    asyncio.get_running_loop().call_later(0.1, setattr, world.sender, "connects_s", 0.0)

    answer = await world.pipeline.cancel(world.ask("late"))

    assert len(world.sender.cancels) == sent + 1
    assert answer.outcome is Outcome.CANCELLED
