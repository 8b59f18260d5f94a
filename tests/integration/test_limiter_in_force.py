"""What lowers a limit on a real server, large limits, and clocks that jump."""

import asyncio
from dataclasses import replace

import pytest
from admission_histories import most_in_any_window
from real_valkey import Server, spent

from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.limiter import RedisLimiter
from gateway.backends.redis.link import Link
from gateway.core import keys
from gateway.core.admission import Demand, Slot
from gateway.core.model import Account, VenueId
from gateway.ports import TooFar, Unavailable

HOLDER, OTHER = (Account(VenueId("venue"), name) for name in ("a", "b"))
SECOND_US = 1_000_000
ONE = Demand("cancel", HOLDER, tokens=10, window_us=300_000, weight=1, keep=10)
LARGE = Demand("large", HOLDER, tokens=300, window_us=300_000, weight=1, keep=300)
LEAP_US = 600 * SECOND_US


class Lessons(list[tuple[str, int]]):
    """What the limiter told of what was learned."""

    def __call__(self, demand: Demand, tokens: int) -> None:
        self.append((demand.limit, tokens))


@pytest.fixture
def lessons() -> Lessons:
    return Lessons()


@pytest.fixture
def limiter(link: Link, lessons: Lessons, valkey: Server) -> RedisLimiter:
    valkey.rest(HOLDER)
    return replica(link, lessons)


def replica(link: Link, lessons: Lessons | None = None) -> RedisLimiter:
    admittance = Admittance(SystemClock(), ahead=0)
    return RedisLimiter(link, admittance) if lessons is None else RedisLimiter(link, admittance, lessons)


async def take(limiter: RedisLimiter, demand: Demand, patience_us: int = 0, most: int = 1) -> tuple[Slot, ...]:
    """What is granted; nothing where it is too far."""
    answer = await limiter.reserve((demand,), patience_us, most)
    return answer if isinstance(answer, tuple) else ()


def leap(valkey: Server, by_us: int) -> None:
    """What a jump of the server's clock is to a holder."""
    valkey.client.hincrby(keys.holder(HOLDER), "offset_us", by_us)


async def test_old_and_new_replicas_never_pass_the_smaller_limit(link: Link, valkey: Server) -> None:
    """A rolling update changes 10 to 4, and later back."""
    valkey.rest(HOLDER)
    larger, smaller = replica(link), replica(link)
    new = replace(ONE, tokens=4, keep=4, window_us=400_000)
    await take(smaller, new)

    granted = []
    for _ in range(300):
        granted += [slot.granted_us for slot in await take(larger, ONE, most=3)]
        granted += [slot.granted_us for slot in await take(smaller, new)]
        await asyncio.sleep(0.003)

    assert len(granted) >= 8
    assert most_in_any_window(granted, new.window_us) == 4


async def test_replica_that_starts_announces_its_smaller_limit(link: Link, valkey: Server) -> None:
    valkey.rest(HOLDER)

    await replica(link).arm((replace(ONE, tokens=4, keep=4),))

    assert len(await take(replica(link), ONE, most=30)) == 4


async def test_refusal_inside_the_limit_tightens_for_all_and_is_told(
    limiter: RedisLimiter, link: Link, lessons: Lessons
) -> None:
    first = await limiter.tighten(ONE, None)
    at_once = await limiter.tighten(ONE, None)

    assert (first, at_once) == (8, 8)
    assert lessons == [("cancel", 8), ("cancel", 8)]
    assert len(await take(replica(link), ONE, most=30)) == 8


async def test_stated_limit_tightens_and_never_loosens(limiter: RedisLimiter, link: Link) -> None:
    assert await limiter.tighten(ONE, 3) == 3
    assert await limiter.tighten(ONE, 50) == 3
    assert await limiter.tighten(ONE, 0) == 1
    assert len(await take(replica(link), ONE, most=30)) == 1


async def test_nothing_is_learned_where_the_data_is_lost(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.client.flushall()

    assert await limiter.tighten(ONE, 3) == 10
    assert valkey.client.keys() == []


async def test_lesson_that_nobody_can_keep_is_unavailable() -> None:
    class Stranger(Link):
        async def run(self, _script: object, _keys: object, _arguments: object) -> bytes:
            return b"x"

    with pytest.raises(Unavailable, match="another shape"):
        await replica(Stranger("unix:///nowhere", 100)).tighten(ONE, 1)


async def test_large_limit_under_full_load_stays_inside_and_gets_nine_tenths(
    limiter: RedisLimiter, valkey: Server
) -> None:
    granted, ends = [], asyncio.get_running_loop().time() + 1.5

    while asyncio.get_running_loop().time() < ends:
        slots = await take(limiter, LARGE, 50_000, most=50)
        granted += [slot.granted_us for slot in slots]
        if slots and slots[0].matures_at > (now := SystemClock().monotonic()):
            await asyncio.sleep(slots[0].matures_at - now)

    assert most_in_any_window(granted, LARGE.window_us) <= 300
    assert len(granted) >= 0.85 * 5 * 300
    assert len(valkey.client.hgetall(keys.holder(HOLDER))[b"spent:large"]) < 60


async def test_large_slot_is_given_back_once(limiter: RedisLimiter) -> None:
    slow = replace(LARGE, window_us=30 * SECOND_US)
    (first,) = await take(limiter, slow)
    (last,) = await take(limiter, slow)

    assert await limiter.give_back(last)
    assert not await limiter.give_back(first)
    assert (await take(limiter, slow))[0].free == 28


async def test_limit_that_becomes_large_is_held_for_a_window(limiter: RedisLimiter, valkey: Server) -> None:
    await take(limiter, ONE)
    valkey.client.hdel(keys.holder(HOLDER), "ceiling:cancel")

    answer = await limiter.reserve((replace(ONE, tokens=300, keep=300),), 0)

    assert isinstance(answer, TooFar)
    assert answer.wait_us == ONE.window_us


@pytest.mark.parametrize("by_us", [LEAP_US, -LEAP_US])
async def test_jump_of_the_clock_neither_bursts_nor_freezes(limiter: RedisLimiter, valkey: Server, by_us: int) -> None:
    before = await take(limiter, ONE, most=30)
    leap(valkey, by_us)

    at_once = await take(limiter, ONE, most=30)
    await asyncio.sleep(0.31)
    later = await take(limiter, ONE, most=30)

    assert (len(before), len(at_once), len(later)) == (10, 0, 10)
    assert 300_000 <= later[0].granted_us - before[0].granted_us < 400_000


async def test_leap_between_two_replicas_questions_gains_nothing_for_either(link: Link, valkey: Server) -> None:
    valkey.rest(HOLDER)
    one, two = replica(link), replica(link)
    await take(one, ONE)
    await take(two, ONE, most=30)
    leap(valkey, LEAP_US)

    assert await take(one, ONE, most=30) == ()
    assert await take(two, ONE, most=30) == ()


async def test_replica_that_was_stopped_holds_back_for_once_and_never_bursts(link: Link, valkey: Server) -> None:
    """Its question lay unread for longer than it can explain; the holder's time then falls behind by that much."""
    valkey.rest(HOLDER)
    stopped = replica(link)
    await take(stopped, ONE, most=30)
    valkey.client.client_pause(450, all=True)

    during = await take(stopped, ONE, most=30)
    await asyncio.sleep(0.31)

    assert during == ()
    assert len(await take(stopped, ONE, most=30)) == 10


async def test_ring_is_remembered_through_any_jump(limiter: RedisLimiter, valkey: Server) -> None:
    await take(limiter, ONE, most=30)

    assert len(spent(valkey, HOLDER, "cancel")) == 10
    assert valkey.client.ttl(keys.holder(HOLDER)) == -1
