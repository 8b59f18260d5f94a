"""The limiter on a real server: the same answers as the reference, and what the reference can't know of."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from admission_histories import HOLDERS, START_US, most_in_any_window
from real_valkey import Server, spent

from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.limiter import RedisLimiter
from gateway.backends.redis import scripts
from gateway.backends.redis.link import Argument, Link, Reply, Runnable
from gateway.core import keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.ports import Outlook, TooFar, Unavailable

HOLDER, OTHER = HOLDERS
SECOND_US = 1_000_000
ONE = Demand("cancel", HOLDER, tokens=3, window_us=200_000, weight=1, keep=3)
LINKED = replace(ONE, holder=OTHER, limit="egress", tokens=2, keep=2)


class Losses(list[tuple[str, str]]):
    """What the scripts reported as lost."""

    def __call__(self, key: str, reason: str) -> None:
        self.append((key, reason))


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def limiter(link: Link, losses: Losses) -> RedisLimiter:
    return RedisLimiter(link, Admittance(SystemClock(), ahead=0, lost=losses))


def lua(server: Server, script: scripts.Script, demands: tuple[Demand, ...], *arguments: int) -> list[object] | int:
    """Run a script with a made-up time as its first argument."""
    names = scripts.holder_keys(demands)
    at_us, *before = arguments
    words = (*before, at_us, 0, 0, 0, len(names), *(0 for _ in names), *scripts.demand_arguments(demands))
    reply = server.client.eval(script.text, len(names), *names, *words)
    assert isinstance(reply, list | int)
    return reply


async def slots(limiter: RedisLimiter, patience_us: int = 0, most: int = 1) -> tuple[Slot, ...]:
    """What is granted; nothing where it is too far."""
    taken = await limiter.reserve((ONE,), patience_us, most)
    assert not isinstance(taken, Gated)
    return taken if isinstance(taken, tuple) else ()


async def test_rested_limit_gives_all_tokens_and_then_a_slot_ahead(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    clock = SystemClock()

    taken = [await slots(limiter, SECOND_US) for _ in range(4)]
    after = clock.monotonic()

    matures = [slot.matures_at for (slot,) in taken]
    assert all(at <= after for at in matures[:3])
    assert 0.15 < matures[3] - after <= 0.2


async def test_slot_beyond_patience_is_too_far(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    for _ in range(3):
        await limiter.reserve((ONE,), 0)

    answer = await limiter.reserve((ONE,), 10_000)

    assert isinstance(answer, TooFar)
    assert 150_000 < answer.wait_us <= 200_000


async def test_linked_limits_are_taken_together_or_not_at_all(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    valkey.rest(OTHER)
    for _ in range(2):
        assert isinstance(await limiter.reserve((ONE, LINKED), 0), tuple)

    refused = await limiter.reserve((ONE, LINKED), 0)

    assert isinstance(refused, TooFar)
    assert len(spent(valkey, HOLDER, "cancel")) == 2


async def test_two_hundred_at_once_never_pass_the_limit(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)

    answers = await asyncio.gather(*(slots(limiter, 60 * SECOND_US) for _ in range(200)))

    granted = [slot.granted_us for (slot,) in answers]
    assert len(granted) == 200
    assert most_in_any_window(granted, ONE.window_us) == 3


async def test_flush_in_the_middle_of_a_burst_holds_one_window(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    granted = []

    for turn in range(600):
        if turn == 2:
            valkey.client.flushall()
        granted += [slot.granted_us for slot in await slots(limiter)]
        await asyncio.sleep(0.001)

    assert most_in_any_window(granted, ONE.window_us) == 3
    assert granted[2] - granted[1] >= ONE.window_us


async def test_flushed_scripts_come_back_by_themselves(limiter: RedisLimiter, link: Link, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await limiter.reserve((ONE,), 0)
    valkey.client.script_flush()
    before = link.calls["reserve"]

    again = await slots(limiter)
    await slots(limiter)

    assert again
    assert link.calls["reserve"] - before == 3


async def test_armed_limit_makes_the_first_cancel_wait_for_what_is_left(limiter: RedisLimiter, losses: Losses) -> None:
    await limiter.arm((ONE,))
    await asyncio.sleep(0.21)

    taken = await slots(limiter)

    assert taken
    assert losses == [(keys.holder(HOLDER), "missing")]


@pytest.mark.parametrize("value", ["", "5", "1 2", "-1", "x" * 30, "99999999999999999"])
@pytest.mark.parametrize("name", ["armed_us", "seen_us", "offset_us"])
async def test_epoch_that_nobody_can_read_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses, name: str, value: str
) -> None:
    valkey.rest(HOLDER)
    valkey.client.hset(keys.holder(HOLDER), name, value)
    if (name, value) in {("seen_us", "5"), ("offset_us", "5"), ("offset_us", "-1")}:
        valkey.client.hset(keys.holder(HOLDER), "armed_us", "6")

    first, second = await limiter.reserve((ONE,), 0), await limiter.reserve((ONE,), 0)

    assert isinstance(first, TooFar)
    assert isinstance(second, TooFar)
    assert losses == [(keys.holder(HOLDER), "corrupt")]


async def test_foreign_value_under_a_key_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses
) -> None:
    valkey.client.set(keys.holder(HOLDER), "something else")

    first, second = await slots(limiter), await slots(limiter, 250_000)

    assert (first, len(second)) == ((), 1)
    assert losses == [(keys.holder(HOLDER), "corrupt")]


@pytest.mark.parametrize(
    "ring", ["garbage", "8" * 16, "-7", f"{START_US}{START_US}".replace("9", "x"), "1" * 17, "L 1 2"]
)
async def test_ring_that_can_not_be_one_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses, ring: str
) -> None:
    valkey.rest(HOLDER)
    valkey.client.hset(keys.holder(HOLDER), "spent:cancel", ring)

    answer = await limiter.reserve((ONE,), 0)

    assert isinstance(answer, TooFar)
    assert losses == [(keys.holder(HOLDER), "corrupt")]
    assert spent(valkey, HOLDER, "cancel") == []


@pytest.mark.parametrize("name", ["ceiling:cancel", "learned:cancel"])
async def test_ceiling_that_nobody_can_read_is_none(limiter: RedisLimiter, valkey: Server, name: str) -> None:
    valkey.rest(HOLDER)
    valkey.client.hset(keys.holder(HOLDER), name, "1 x")

    assert len(await slots(limiter, most=5)) == 3


async def test_given_back_slot_is_free_for_the_next(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    (_,), (older,), (last,) = [await slots(limiter) for _ in range(3)]

    returned = [await limiter.give_back(slot) for slot in (older, last, last)]

    assert returned == [True, True, False]
    assert len(await slots(limiter, most=5)) == 2


def test_given_back_slot_does_not_forget_what_the_ring_pushed_out(valkey: Server) -> None:
    valkey.rest(HOLDER)
    for ago in (150_000, 0, 0):
        lua(valkey, scripts.RESERVE, (ONE,), START_US - ago, 0, 1)
    slot = lua(valkey, scripts.RESERVE, (ONE,), START_US, SECOND_US, 1)

    returned = lua(valkey, scripts.GIVE_BACK, (ONE,), START_US, START_US + 50_000)
    again = lua(valkey, scripts.RESERVE, (ONE,), START_US, SECOND_US, 1)

    assert slot == again == [b"slots", 1, 50_000, [START_US], [], 0, 0, 200_000]
    assert returned == 1


def test_given_back_slot_is_found_in_the_time_of_each_holder(valkey: Server) -> None:
    """The second holder's clock once went back, so its instants are a minute ahead of the first one's."""
    valkey.rest(HOLDER)
    valkey.client.hset(keys.holder(OTHER), mapping={"armed_us": 0, "seen_us": 0, "offset_us": 60_000_000})
    lua(valkey, scripts.RESERVE, (ONE, LINKED), START_US, 0, 1)

    returned = lua(valkey, scripts.GIVE_BACK, (ONE, LINKED), START_US + 5, START_US)

    assert returned == 1
    assert spent(valkey, HOLDER, "cancel") == spent(valkey, OTHER, "egress") == []


async def test_outlook_takes_nothing_and_writes_nothing(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await limiter.reserve((ONE,), 0)
    before = valkey.client.keys()

    seen = await limiter.outlook((ONE, LINKED))

    assert seen == [Outlook("cancel", 3, 2, 0), Outlook("egress", 2, 0, 200_000)]
    assert valkey.client.keys() == before


async def test_venue_without_limits_needs_no_server() -> None:
    nowhere = RedisLimiter(Link("unix:///nowhere/at/all", 100), Admittance(SystemClock(), ahead=0))

    taken = await nowhere.reserve((), 0, 3)

    assert isinstance(taken, tuple)
    assert len(taken) == 3
    assert await nowhere.give_back(taken[0])
    assert await nowhere.outlook(()) == ()
    await nowhere.arm(())


async def test_server_that_is_not_there_is_unavailable() -> None:
    nowhere = RedisLimiter(Link("unix:///nowhere/at/all", 100), Admittance(SystemClock(), ahead=0))

    with pytest.raises(Unavailable):
        await nowhere.reserve((ONE,), 0)


class SlowToAnswer(Link):
    """A link whose replies arrive late."""

    delay_s = 0.0

    async def run(self, script: Runnable, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        reply = await super().run(script, keys, arguments)
        await asyncio.sleep(self.delay_s)
        return reply


class Stranger(Link):
    """A link to something that answers every script alike."""

    async def run(self, _script: object, _keys: object, _arguments: object) -> Reply:
        return [b"something else"]


async def test_answer_of_another_shape_is_unavailable() -> None:
    strange = RedisLimiter(Stranger("unix:///nowhere", 100), Admittance(SystemClock(), ahead=0))

    with pytest.raises(Unavailable, match="another shape"):
        await strange.reserve((ONE,), 0)
    with pytest.raises(Unavailable, match="another shape"):
        await strange.outlook((ONE,))


def test_nothing_of_a_holder_expires(valkey: Server) -> None:
    """A jump of the server's clock would make it be forgotten."""
    lua(valkey, scripts.RESERVE, (ONE,), START_US, 0, 1)

    assert valkey.client.keys() == [keys.holder(HOLDER).encode()]
    assert valkey.client.ttl(keys.holder(HOLDER)) == -1


async def test_burst_takes_what_is_free_and_no_more(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await slots(limiter)

    burst, ahead = await slots(limiter, SECOND_US, most=5), await slots(limiter, SECOND_US, most=5)

    assert [slot.free for slot in burst] == [0, 0]
    assert len(ahead) == 1
    assert burst[0].granted_us < ahead[0].granted_us


async def test_grant_tells_what_is_left_of_the_first_limit(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)

    told = [(slot.free, slot.reset_us) for _ in range(3) for slot in await slots(limiter)]

    assert told[:2] == [(2, None), (1, None)]
    free, reset_us = told[2]
    assert free == 0
    assert reset_us is not None
    assert 150_000 < reset_us <= 200_000


async def test_slot_matures_after_the_server_granted_it_even_where_the_answer_is_late(valkey: Server) -> None:
    """The server's clock and ours tick alike here, so the truth is known to within the distance of two readings."""
    valkey.rest(HOLDER)
    clock, link = SystemClock(), SlowToAnswer(valkey.url, 2000)
    limiter = RedisLimiter(link, Admittance(clock, ahead=0))
    await slots(limiter)
    link.delay_s = 0.08

    before = clock.monotonic()
    (late,) = await slots(limiter)
    after = clock.monotonic()
    await link.aclose()

    assert before <= late.matures_at < after - 0.07
