"""The limiter on a real server: the same answers as the reference, and what the reference can't know of."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import pytest
from admission_histories import (
    HOLDERS,
    KEEP,
    START_US,
    WINDOW_US,
    Flush,
    GiveBack,
    Jump,
    Pass,
    Reserve,
    Step,
    World,
    demand_sets,
    flushes,
    give_backs,
    jumps,
    most_in_any_window,
    passes,
    reserves,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from real_valkey import Server

from gateway.backends.clock import SystemClock
from gateway.backends.limiter import RedisLimiter
from gateway.backends.redis import scripts
from gateway.backends.redis.link import Link, Reply
from gateway.core import keys
from gateway.core.admission import Demand, Epoch, Ledger, Prospect
from gateway.ports import Outlook, Slot, TooFar, Unavailable

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
    return RedisLimiter(link, SystemClock(), ahead=0, lost=losses)


def lua(server: Server, script: scripts.Script, demands: tuple[Demand, ...], *arguments: int) -> list[object] | int:
    """Run a script with a made-up time as its first argument."""
    names = scripts.demand_keys(demands)
    reply = server.client.eval(script.text, len(names), *names, *arguments, *scripts.demand_arguments(demands))
    assert isinstance(reply, list | int)
    return reply


def twin(server: Server, world: World, step: Step, latest: tuple[tuple[Demand, ...], int] | None) -> object:
    """What the Lua says to a step that the reference has yet to walk."""
    match step:
        case Reserve(demands=demands, patience_us=patience_us):
            reply = lua(server, scripts.RESERVE, demands, world.server_us, patience_us, world.ahead)
            assert isinstance(reply, list)
            return tuple(reply[:-1])
        case GiveBack():
            return latest is not None and lua(server, scripts.GIVE_BACK, latest[0], world.server_us, latest[1]) == 1
        case Flush():
            server.client.flushall()
            return None
        case Pass() | Jump():
            return None
        case _:
            assert_never(step)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(reserves, reserves, reserves, passes, give_backs, jumps, flushes), min_size=10, max_size=60),
    st.integers(0, 3),
    demand_sets,
)
def test_lua_and_reference_agree_on_any_history(
    valkey_session: Server, steps: list[Step], ahead: int, looked_at: tuple[Demand, ...]
) -> None:
    valkey_session.client.flushall()
    for holder in HOLDERS:
        valkey_session.rest(holder)
    world = World(ahead=ahead, ledger=Ledger({holder: Epoch(0, 0) for holder in HOLDERS}))

    for step in steps:
        latest = world.held[-1][:2] if world.held else None
        said = twin(valkey_session, world, step, latest)

        assert said == world.walk(step), step

        prospects = lua(valkey_session, scripts.OUTLOOK, looked_at, world.server_us, ahead)
        assert isinstance(prospects, list)
        assert _pairs(prospects) == world.outlook(looked_at)


def _pairs(numbers: Sequence[object]) -> tuple[Prospect, ...]:
    whole = [number for number in numbers if isinstance(number, int)]
    return tuple(Prospect(free, wait) for free, wait in zip(whole[::2], whole[1::2], strict=True))


async def test_rested_limit_gives_all_tokens_and_then_a_slot_ahead(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    clock = SystemClock()

    slots = [await limiter.reserve((ONE,), SECOND_US) for _ in range(4)]
    after = clock.monotonic()

    matures = [slot.matures_at for slot in slots if isinstance(slot, Slot)]
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
        assert isinstance(await limiter.reserve((ONE, LINKED), 0), Slot)

    refused = await limiter.reserve((ONE, LINKED), 0)

    assert isinstance(refused, TooFar)
    assert valkey.client.llen(keys.ring(HOLDER, "cancel")) == 2


async def test_two_hundred_at_once_never_pass_the_limit(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)

    answers = await asyncio.gather(*(limiter.reserve((ONE,), 60 * SECOND_US) for _ in range(200)))

    granted = [slot.granted_us for slot in answers if isinstance(slot, Slot)]
    assert len(granted) == 200
    assert most_in_any_window(granted, ONE.window_us) == 3


async def test_flush_in_the_middle_of_a_burst_holds_one_window(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    granted = []

    for turn in range(600):
        if turn == 2:
            valkey.client.flushall()
        answer = await limiter.reserve((ONE,), 0)
        if isinstance(answer, Slot):
            granted.append(answer.granted_us)
        await asyncio.sleep(0.001)

    assert most_in_any_window(granted, ONE.window_us) == 3
    assert granted[2] - granted[1] >= ONE.window_us


async def test_flushed_scripts_come_back_by_themselves(limiter: RedisLimiter, link: Link, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await limiter.reserve((ONE,), 0)
    valkey.client.script_flush()
    before = link.calls["reserve"]

    again = await limiter.reserve((ONE,), 0)
    await limiter.reserve((ONE,), 0)

    assert isinstance(again, Slot)
    assert link.calls["reserve"] - before == 3


async def test_armed_limit_makes_the_first_cancel_wait_for_what_is_left(limiter: RedisLimiter, losses: Losses) -> None:
    await limiter.arm((ONE,))
    await asyncio.sleep(0.21)

    answer = await limiter.reserve((ONE,), 0)

    assert isinstance(answer, Slot)
    assert losses == [(keys.epoch(HOLDER), "missing")]


@pytest.mark.parametrize("value", ["", "5", "1 2", "-1", "x" * 30, "99999999999999999"])
@pytest.mark.parametrize("name", ["armed_us", "seen_us", "offset_us"])
async def test_epoch_that_nobody_can_read_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses, name: str, value: str
) -> None:
    valkey.rest(HOLDER)
    valkey.client.hset(keys.epoch(HOLDER), name, value)
    if (name, value) in {("seen_us", "5"), ("offset_us", "5")}:
        valkey.client.hset(keys.epoch(HOLDER), "armed_us", "6")

    first, second = await limiter.reserve((ONE,), 0), await limiter.reserve((ONE,), 0)

    assert isinstance(first, TooFar)
    assert isinstance(second, TooFar)
    assert losses == [(keys.epoch(HOLDER), "corrupt")]


@pytest.mark.parametrize("key", [keys.epoch(HOLDER), keys.ring(HOLDER, "cancel")])
async def test_foreign_value_under_a_key_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses, key: str
) -> None:
    valkey.rest(HOLDER)
    valkey.client.set(key, "something else")

    first, second = await limiter.reserve((ONE,), 0), await limiter.reserve((ONE,), 250_000)

    assert isinstance(first, TooFar)
    assert isinstance(second, Slot)
    assert losses == [(keys.epoch(HOLDER), "corrupt")]


@pytest.mark.parametrize("entry", ["garbage", "8" * 16, "-7"])
async def test_ring_whose_head_can_not_be_a_grant_is_replaced_and_held(
    limiter: RedisLimiter, valkey: Server, losses: Losses, entry: str
) -> None:
    valkey.rest(HOLDER)
    valkey.client.rpush(keys.ring(HOLDER, "cancel"), entry)

    answer = await limiter.reserve((ONE,), 0)

    assert isinstance(answer, TooFar)
    assert losses == [(keys.epoch(HOLDER), "corrupt")]
    assert not valkey.client.exists(keys.ring(HOLDER, "cancel"))


async def test_garbage_deep_in_a_ring_counts_as_its_newest_entry(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await limiter.reserve((ONE,), 0)
    valkey.client.rpush(keys.ring(HOLDER, "cancel"), "garbage", "garbage")

    answer = await limiter.reserve((ONE,), 0)

    assert isinstance(answer, TooFar)
    assert answer.wait_us > 150_000


async def test_given_back_slot_is_free_for_the_next(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    slots = [await limiter.reserve((ONE,), 0) for _ in range(3)]
    last, older = slots[2], slots[1]
    assert isinstance(last, Slot)
    assert isinstance(older, Slot)

    wasted = await limiter.give_back(older)
    returned = await limiter.give_back(last)

    assert (wasted, returned) == (False, True)
    assert isinstance(await limiter.reserve((ONE,), 0), Slot)
    assert isinstance(await limiter.reserve((ONE,), 0), TooFar)


def test_given_back_slot_does_not_forget_what_the_ring_pushed_out(valkey: Server) -> None:
    valkey.rest(HOLDER)
    for ago in (150_000, 0, 0):
        lua(valkey, scripts.RESERVE, (ONE,), START_US - ago, 0, 0)
    slot = lua(valkey, scripts.RESERVE, (ONE,), START_US, SECOND_US, 0)

    returned = lua(valkey, scripts.GIVE_BACK, (ONE,), START_US, START_US + 50_000)
    again = lua(valkey, scripts.RESERVE, (ONE,), START_US, SECOND_US, 0)

    assert slot == again == [1, START_US + 50_000, 50_000, []]
    assert returned == 1


def test_given_back_slot_is_found_in_the_time_of_each_holder(valkey: Server) -> None:
    """The second holder's clock once went back, so its instants are a minute ahead of the first one's."""
    valkey.rest(HOLDER)
    valkey.client.hset(keys.epoch(OTHER), mapping={"armed_us": 0, "seen_us": 0, "offset_us": 60_000_000})
    lua(valkey, scripts.RESERVE, (ONE, LINKED), START_US, 0, 0)

    returned = lua(valkey, scripts.GIVE_BACK, (ONE, LINKED), START_US + 5, START_US)

    assert returned == 1
    assert not valkey.client.exists(keys.ring(HOLDER, "cancel"), keys.ring(OTHER, "egress"))


async def test_outlook_takes_nothing_and_writes_nothing(limiter: RedisLimiter, valkey: Server) -> None:
    valkey.rest(HOLDER)
    await limiter.reserve((ONE,), 0)
    before = valkey.client.keys()

    seen = await limiter.outlook((ONE, LINKED))

    assert seen == [Outlook("cancel", 3, 2, 0), Outlook("egress", 2, 0, 200_000)]
    assert valkey.client.keys() == before


async def test_venue_without_limits_needs_no_server() -> None:
    nowhere = RedisLimiter(Link("unix:///nowhere/at/all", 100), SystemClock(), ahead=0)

    slot = await nowhere.reserve((), 0)

    assert isinstance(slot, Slot)
    assert await nowhere.give_back(slot)
    assert await nowhere.outlook(()) == ()
    await nowhere.arm(())


async def test_server_that_is_not_there_is_unavailable() -> None:
    nowhere = RedisLimiter(Link("unix:///nowhere/at/all", 100), SystemClock(), ahead=0)

    with pytest.raises(Unavailable):
        await nowhere.reserve((ONE,), 0)


class Stranger(Link):
    """A link to something that answers every script alike."""

    async def run(self, _script: object, _keys: object, _arguments: object) -> Reply:
        return [b"something else"]


async def test_answer_of_another_shape_is_unavailable() -> None:
    strange = RedisLimiter(Stranger("unix:///nowhere", 100), SystemClock(), ahead=0)

    with pytest.raises(Unavailable, match="another shape"):
        await strange.reserve((ONE,), 0)
    with pytest.raises(Unavailable, match="another shape"):
        await strange.outlook((ONE,))


def test_ring_keys_expire_a_little_after_their_window(valkey: Server) -> None:
    valkey.rest(HOLDER)
    demands = (replace(ONE, tokens=1),)

    lua(valkey, scripts.RESERVE, demands, START_US, 0, 0)
    rested = valkey.client.pttl(keys.ring(HOLDER, "cancel"))
    lua(valkey, scripts.RESERVE, demands, START_US, SECOND_US, 0)
    ahead = valkey.client.pttl(keys.ring(HOLDER, "cancel"))
    lua(valkey, scripts.RESERVE, (ONE,), START_US, 0, 0)
    behind = valkey.client.pttl(keys.ring(HOLDER, "cancel"))

    assert isinstance(rested, int)
    assert isinstance(ahead, int)
    assert isinstance(behind, int)
    assert 1100 < rested <= 1200
    assert 1300 < ahead <= 1400
    assert 1300 < behind <= 1400
    assert valkey.client.ttl(keys.epoch(HOLDER)) == -1


def test_histories_use_limits_that_the_rule_is_checked_against() -> None:
    assert KEEP.keys() == WINDOW_US.keys()
