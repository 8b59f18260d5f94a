"""Records on a real server: what is fresh, what is known, who may write, and what nobody can read."""

import asyncio
from dataclasses import replace
from itertools import product

import pytest
from admission_histories import most_in_any_window
from real_valkey import Server, spent
from record_rig import ACCOUNT, AT_MS, LEASE_MS, ONE, TTL_SECONDS, admittance, run_out, settled, state_of, wish

from gateway.backends.limiter import RedisLimiter
from gateway.backends.records import RedisRecords
from gateway.backends.redis import scripts
from gateway.backends.redis.link import Link, Reply
from gateway.core import keys
from gateway.core.idempotency import (
    STEPS,
    Claim,
    Fresh,
    Known,
    Late,
    Mismatch,
    Record,
    RecordId,
    State,
)
from gateway.core.model import By
from gateway.core.outcome import Outcome
from gateway.ports import Unavailable

SECOND_US = 1_000_000


def sent_by(answer: object) -> int:
    """The fence of a claim that took a slot at once."""
    assert isinstance(answer, Fresh)
    assert answer.slot is not None
    return answer.fence


@pytest.fixture
def records(link: Link, valkey: Server) -> RedisRecords:
    valkey.rest(ACCOUNT)
    return RedisRecords(link, TTL_SECONDS, admittance())


async def known(records: RedisRecords, claim: Claim) -> RecordId:
    answer = await records.claim(claim, (ONE,), 0)
    assert isinstance(answer, Known)
    return answer.record.id


async def test_free_slot_is_taken_and_the_record_says_sent(records: RedisRecords, link: Link, valkey: Server) -> None:
    claim = wish(1, key="k", symbol="PERP_BTC_USDC")
    await records.get(claim.id)
    valkey.client.script_flush()
    link.calls.clear()

    answer = await records.claim(claim, (ONE,), 0)
    commands = link.calls.total()

    assert sent_by(answer) == 1
    record = await records.get(claim.id)
    assert record is not None
    assert record.lease_until_ms > 0
    assert replace(record, lease_until_ms=0) == Record(
        id=claim.id,
        state=State.SENT,
        by=By.ORDER_ID,
        ref="order-1",
        symbol="PERP_BTC_USDC",
        caller="desk",
        request_id="req-1",
        created_ms=AT_MS,
        fence=1,
        sent_ms=AT_MS,
    )
    assert len(spent(valkey, ACCOUNT, "cancel")) == 1
    assert commands == 2  # to a server that does not know the script, its text is sent


async def test_uncontended_cancel_costs_two_commands(records: RedisRecords, link: Link) -> None:
    await records.settle(wish(1).id, 1, settled(State.TERMINAL))
    await records.claim(wish(1), (ONE,), 0)
    link.calls.clear()

    await records.claim(wish(2, ref="order-2"), (ONE,), 0)
    await records.settle(wish(2).id, 1, settled(State.TERMINAL))

    assert link.calls == {"claim": 1, "settle": 1}


async def test_no_slot_yet_is_received_and_takes_none(records: RedisRecords, valkey: Server) -> None:
    for number in (1, 2):
        await records.claim(wish(number, ref=f"order-{number}"), (ONE,), 0)

    answer = await records.claim(wish(3, ref="order-3"), (ONE,), SECOND_US)

    assert isinstance(answer, Fresh)
    assert answer.slot is None
    assert 100_000 < answer.wait_us <= 200_000
    assert await state_of(records, wish(3)) is State.RECEIVED
    assert len(spent(valkey, ACCOUNT, "cancel")) == 2


async def test_no_slot_within_patience_is_late_and_nothing_is_written(records: RedisRecords, valkey: Server) -> None:
    for number in (1, 2):
        await records.claim(wish(number, ref=f"order-{number}"), (ONE,), 0)
    before = set(valkey.client.keys())

    answer = await records.claim(wish(3, ref="order-3", key="k"), (ONE,), 1000)

    assert isinstance(answer, Late)
    assert answer.wait_us > 100_000
    assert set(valkey.client.keys()) == before


async def test_without_demands_the_caller_queues(records: RedisRecords) -> None:
    answer = await records.claim(wish(1), (), 0)

    assert answer == Fresh(fence=1)
    assert await state_of(records, wish(1)) is State.RECEIVED


async def test_same_key_finds_the_record_with_its_answer(records: RedisRecords) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)
    await records.settle(wish(1).id, 1, settled(State.TERMINAL))

    answer = await records.claim(wish(2, key="k"), (ONE,), 0)

    assert isinstance(answer, Known)
    assert answer.record.id == wish(1).id
    assert answer.record.state is State.TERMINAL
    assert answer.record.outcome is Outcome.CANCELLED
    assert answer.record.body == b'{"a":\x00\xff}'
    assert (answer.record.settled_ms, answer.record.attempts) == (AT_MS + 9, 2)
    assert await records.get(wish(2).id) is None


async def test_key_with_another_request_is_a_mismatch_and_takes_no_slot(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)

    assert await records.claim(wish(2, key="k", ref="order-2"), (ONE,), 0) == Mismatch()
    assert len(spent(valkey, ACCOUNT, "cancel")) == 1


async def test_same_key_of_another_caller_is_another_key(records: RedisRecords) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)

    answer = await records.claim(replace(wish(2, key="k", ref="order-2"), caller="other"), (ONE,), 0)

    assert isinstance(answer, Fresh)


@pytest.mark.parametrize("key", [None, "another"])
async def test_same_order_in_flight_is_known_whatever_the_key(records: RedisRecords, key: str | None) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)

    assert await known(records, wish(2, key=key)) == wish(1).id


async def test_same_order_is_fresh_once_it_is_settled(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1), (ONE,), 0)
    await records.settle(wish(1).id, 1, settled(State.UNKNOWN, Outcome.UNKNOWN))

    assert not valkey.client.exists(keys.order(ACCOUNT, By.ORDER_ID, "order-1"))
    assert sent_by(await records.claim(wish(2), (ONE,), 0)) == 1


async def test_key_whose_record_is_gone_is_fresh(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)
    valkey.client.delete(keys.record(wish(1).id))

    assert sent_by(await records.claim(wish(2, key="k"), (ONE,), 0)) == 1


@pytest.mark.parametrize("state", [State.RECEIVED, State.RESERVED])
@pytest.mark.parametrize("key", ["k", None])
async def test_record_that_was_left_before_sending_is_taken_over_with_a_higher_fence(
    records: RedisRecords, valkey: Server, state: State, key: str | None
) -> None:
    """And its owner, should it only have been slow, can't begin to send."""
    await records.claim(wish(1, key="k"), (), 0)
    valkey.client.hset(keys.record(wish(1).id), "state", state)
    run_out(valkey, wish(1))

    taken = await records.claim(wish(2, key=key), (ONE,), 0)

    assert sent_by(taken) == 2
    valkey.client.hset(keys.record(wish(1).id), "lease_until_ms", 10**15)
    assert not await records.mark_sent(wish(1).id, 1, AT_MS)
    assert await state_of(records, wish(1)) is state
    assert await known(records, wish(3, key="k")) == wish(2).id


async def test_claim_that_comes_late_leaves_what_was_written_meanwhile(records: RedisRecords) -> None:
    await records.claim(wish(1, key="k"), (), 0)
    await records.settle(wish(1).id, 1, settled(State.TERMINAL))

    assert isinstance(await records.claim(wish(1, key="k"), (), 0), Known)
    assert await state_of(records, wish(1)) is State.TERMINAL


async def test_record_taken_over_by_its_order_frees_the_key_it_had(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1, key="k"), (), 0)
    run_out(valkey, wish(1))
    await records.claim(wish(2), (ONE,), 0)
    await records.settle(wish(2).id, 2, settled(State.TERMINAL))

    assert isinstance(await records.claim(wish(3, key="k"), (ONE,), 0), Fresh)


async def test_record_left_after_sending_stays_known_under_its_key(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)
    run_out(valkey, wish(1))
    valkey.client.delete(keys.order(ACCOUNT, By.ORDER_ID, "order-1"))

    assert await known(records, wish(2, key="k")) == wish(1).id


async def test_order_left_after_sending_may_be_cancelled_again_without_the_key(
    records: RedisRecords, valkey: Server
) -> None:
    await records.claim(wish(1), (ONE,), 0)
    run_out(valkey, wish(1))

    assert sent_by(await records.claim(wish(2), (ONE,), 0)) == 2
    assert await state_of(records, wish(1)) is State.SENT


async def test_pointers_and_records_expire(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1, key="k"), (ONE,), 0)

    lives = [
        valkey.client.pttl(key)
        for key in (
            keys.record(wish(1).id),
            keys.idempotency("desk", "k"),
            keys.order(ACCOUNT, By.ORDER_ID, "order-1"),
        )
    ]

    assert all(isinstance(life, int) for life in lives)
    assert [round(int(str(life)) / 1000) for life in lives] == [TTL_SECONDS, TTL_SECONDS, LEASE_MS // 1000]


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
async def test_steps_in_lua_are_the_steps_of_the_table(
    records: RedisRecords, valkey: Server, before: State, after: State
) -> None:
    await records.claim(wish(1), (), 0)
    valkey.client.hset(keys.record(wish(1).id), "state", before)

    done = await records.settle(wish(1).id, 1, settled(after))

    assert done == (after in STEPS[before])
    assert await state_of(records, wish(1)) is (after if done else before)


@pytest.mark.parametrize("before", list(State))
async def test_only_what_waits_can_be_marked_sent(records: RedisRecords, valkey: Server, before: State) -> None:
    await records.claim(wish(1), (), 0)
    valkey.client.hset(keys.record(wish(1).id), "state", before)

    done = await records.mark_sent(wish(1).id, 1, AT_MS + 5)

    record = await records.get(wish(1).id)
    assert record is not None
    assert done == (before in {State.RECEIVED, State.RESERVED})
    assert record.sent_ms == (AT_MS + 5 if done else None)


async def test_all_who_leave_in_one_request_are_written_in_one_call(
    records: RedisRecords, link: Link, valkey: Server
) -> None:
    for number in range(3):
        await records.claim(wish(number, ref=f"order-{number}"), (), 0)
    run_out(valkey, wish(1, ref="order-1"))
    before = link.calls.total()

    marked = await asyncio.gather(*(records.mark_sent(wish(number).id, 1, AT_MS + 5) for number in range(3)))

    assert marked == [True, False, True]
    assert link.calls.total() - before in {1, 2}  # the first EVALSHA of a server's life answers NOSCRIPT
    assert await state_of(records, wish(0)) is State.SENT


async def test_stranger_without_the_fence_can_not_write(records: RedisRecords) -> None:
    await records.claim(wish(1), (), 0)

    assert not await records.mark_sent(wish(1).id, 2, AT_MS)
    assert not await records.settle(wish(1).id, 2, settled(State.REFUSED))
    assert not await records.settle(wish(2).id, 1, settled(State.REFUSED))
    assert await state_of(records, wish(1)) is State.RECEIVED


async def test_record_whose_lease_ran_out_can_not_begin_to_send(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1), (), 0)
    run_out(valkey, wish(1))

    assert not await records.mark_sent(wish(1).id, 1, AT_MS)


async def test_refused_frees_the_key_and_the_order(records: RedisRecords) -> None:
    await records.claim(wish(1, key="k"), (), 0)

    await records.settle(wish(1).id, 1, settled(State.REFUSED, Outcome.OVER_DEADLINE))

    assert sent_by(await records.claim(wish(2, key="k"), (ONE,), 0)) == 1


async def test_late_settlement_leaves_the_pointers_of_the_next_record(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1), (ONE,), 0)
    run_out(valkey, wish(1))
    await records.claim(wish(2), (ONE,), 0)

    assert await records.settle(wish(1).id, 1, settled(State.REFUSED))
    assert await known(records, wish(3)) == wish(2).id


@pytest.mark.parametrize(
    ("name", "value"),
    [("state", "sleeping"), ("fence", "x"), ("by", "name"), ("id", "1"), ("outcome", "fine"), ("ref", b"\xff")],
)
async def test_record_that_nobody_can_read_is_treated_as_not_there(
    records: RedisRecords, valkey: Server, name: str, value: str | bytes
) -> None:
    await records.claim(wish(1, key="k"), (), 0)
    valkey.client.hset(keys.record(wish(1).id), name, value)

    assert await records.get(wish(1).id) is None
    assert sent_by(await records.claim(wish(2, key="k"), (ONE,), 0)) == 1


async def test_foreign_values_under_every_key_are_replaced(records: RedisRecords, valkey: Server) -> None:
    order, key = keys.order(ACCOUNT, By.ORDER_ID, "order-1"), keys.idempotency("desk", "k")
    for name in (keys.record(wish(1).id), order, key):
        valkey.client.rpush(name, "something else")

    assert await records.get(wish(1).id) is None
    assert not await records.settle(wish(1).id, 1, settled(State.TERMINAL))
    assert await records.mark_sent(wish(1).id, 1, AT_MS) is True
    assert sent_by(await records.claim(wish(1, key="k"), (ONE,), 0)) == 1
    assert await known(records, wish(2, key="k")) == wish(1).id


async def test_record_that_was_lost_is_no_reason_to_refuse_who_waits(records: RedisRecords, valkey: Server) -> None:
    valkey.rest(ACCOUNT)
    await records.claim(wish(1), (), 0)
    valkey.client.delete(keys.record(wish(1).id))

    assert await records.mark_sent(wish(1).id, 1, AT_MS) is True
    assert await records.get(wish(1).id) is None


@pytest.mark.parametrize("value", ["", "garbage", "abc ", "zz cg1:{venue:desk a}:rec:1"])
async def test_key_pointer_that_nobody_can_read_is_replaced(records: RedisRecords, valkey: Server, value: str) -> None:
    valkey.client.set(keys.idempotency("desk", "k"), value)

    assert sent_by(await records.claim(wish(1, key="k"), (ONE,), 0)) == 1


async def test_thousand_pairs_at_once_send_once_each(link: Link, valkey: Server) -> None:
    """Two replicas get the same key at the same time."""
    wide = replace(ONE, tokens=250, keep=250)
    valkey.rest(ACCOUNT)
    replicas = [RedisRecords(link, TTL_SECONDS, admittance()) for _ in range(2)]

    pairs = [
        replica.claim(wish(2 * n + side, ref=f"o{n}", key=f"k{n}"), (wide,), 0)
        for n in range(200)
        for side, replica in enumerate(replicas)
    ]
    answers = await asyncio.gather(*pairs)

    assert all(
        sorted((type(one).__name__, type(two).__name__)) == ["Fresh", "Known"]
        for one, two in zip(answers[::2], answers[1::2], strict=True)
    )
    assert len(spent(valkey, ACCOUNT, "cancel")) == 200


async def test_claims_and_reservations_share_one_limit(records: RedisRecords, link: Link, valkey: Server) -> None:
    limiter = RedisLimiter(link, admittance())

    await asyncio.gather(
        *(records.claim(wish(n, ref=f"o{n}"), (ONE,), 0) for n in range(20)),
        *(limiter.reserve((ONE,), 0) for _ in range(20)),
    )

    granted = spent(valkey, ACCOUNT, "cancel")
    assert most_in_any_window(granted, ONE.window_us) == len(granted) == 2


async def test_lost_epoch_is_held_and_reported_by_claims_too(link: Link, valkey: Server) -> None:
    lost: list[tuple[str, str]] = []
    records = RedisRecords(link, TTL_SECONDS, admittance(lambda key, reason: lost.append((key, reason))))

    late = await records.claim(wish(1), (ONE,), 1000)
    queued = await records.claim(wish(1), (ONE,), SECOND_US)
    valkey.client.delete(keys.holder(ACCOUNT))
    again = await records.claim(wish(2, ref="order-2"), (ONE,), SECOND_US)

    assert isinstance(late, Late)
    assert isinstance(queued, Fresh)
    assert isinstance(again, Fresh)
    assert queued.slot is None
    assert again.slot is None
    assert lost == [(keys.holder(ACCOUNT), "missing")] * 2


class Stranger(Link):
    """A link to something that answers every script alike."""

    def __init__(self, answer: Reply) -> None:
        super().__init__("unix:///nowhere", 100)
        self._answer = answer

    async def run(self, _script: object, _keys: object, _arguments: object) -> Reply:
        return self._answer


@pytest.mark.parametrize("answer", [7, [b"something else"], [b"known", [b"id", b"1"]]])
async def test_answer_of_another_shape_is_unavailable(answer: Reply) -> None:
    strange = RedisRecords(Stranger(answer), TTL_SECONDS, admittance())

    with pytest.raises(Unavailable, match="redis"):
        await strange.claim(wish(1), (), 0)
    assert await strange.get(wish(1).id) is None


def test_scripts_have_names_of_their_own() -> None:
    assert (
        len({script.name for script in scripts.ALL}) == len({script.sha1 for script in scripts.ALL}) == len(scripts.ALL)
    )
