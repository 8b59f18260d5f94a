"""Records whose end is not known, on a real server: who may take them, who may settle them, when they come again."""

import asyncio
from dataclasses import replace
from itertools import product
from typing import cast

import pytest
from real_valkey import Server
from record_rig import ACCOUNT, AT_MS, LEASE_MS, ONE, TTL_SECONDS, admittance, run_out, settled, state_of, wish

from gateway.backends.awaited import QUICK
from gateway.backends.claim_words import FIRST_LOOK_MS
from gateway.backends.local_records import record_of
from gateway.backends.records import REST_MS, RedisRecords
from gateway.backends.redis.link import Link
from gateway.core import keys
from gateway.core.idempotency import (
    FACTS,
    Claim,
    Fresh,
    Gone,
    Known,
    Record,
    Settlement,
    State,
    Step,
    may_restore,
    may_settle,
    settled_record,
)
from gateway.core.model import Account, By, OrderRef
from gateway.core.outcome import Outcome
from gateway.ports import LocalRecord, Unavailable

TOOK_MS = 4000
WIDE = replace(ONE, tokens=100, keep=100)


@pytest.fixture
def records(link: Link, valkey: Server) -> RedisRecords:
    valkey.rest(ACCOUNT)
    return RedisRecords(link, TTL_SECONDS, admittance())


async def sent(records: RedisRecords, claim: Claim) -> Claim:
    answer = await records.claim(claim, (WIDE,), 0)
    assert isinstance(answer, Fresh)
    assert answer.slot is not None
    return claim


async def take(records: RedisRecords, most: int = 10, named: Claim | None = None) -> list[Record]:
    taken = await records.take(ACCOUNT, AT_MS, TOOK_MS, most=most, named=None if named is None else named.id)
    return list(taken.records)


async def awaited(records: RedisRecords, accounts: tuple[Account, ...]) -> list[Account]:
    return [account async for account in records.awaited(accounts)]


def index(valkey: Server, name: str) -> dict[str, float]:
    rows = cast("list[tuple[bytes, float]]", valkey.client.zrange(name, 0, -1, withscores=True))
    return {member.decode(): score for member, score in rows}


def come_due(valkey: Server, claim: Claim) -> None:
    """Let the lease and the pause of a record end now."""
    run_out(valkey, claim)
    for name in (keys.leases(ACCOUNT), keys.unknown(ACCOUNT)):
        valkey.client.zadd(name, {claim.id.ulid: 1}, xx=True)


# -- which accounts ---------------------------------------------------------------------------------------------------


async def test_accounts_with_something_open_are_found_among_many(
    records: RedisRecords, link: Link, valkey: Server
) -> None:
    others = [Account(ACCOUNT.venue, f"other-{number}") for number in range(2 * QUICK.accounts)]
    asked = (*others[: QUICK.accounts + 7], ACCOUNT, *others[QUICK.accounts + 7 :])
    assert await awaited(records, asked) == []

    claim = await sent(records, wish(1))
    assert await awaited(records, asked) == [ACCOUNT]
    come_due(valkey, claim)
    assert [record.state for record in await take(records)] == [State.UNKNOWN]
    assert await awaited(records, asked) == [ACCOUNT], "it is unknown, and in work"

    assert await records.settle(claim.id, 2, settled(State.TERMINAL))
    before = link.calls["awaited"]
    assert await awaited(records, asked) == []
    assert link.calls["awaited"] - before == 3
    assert await awaited(records, ()) == []


# -- the index -------------------------------------------------------------------------------------------------------


async def test_lease_is_indexed_as_long_as_somebody_works(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))
    lease = valkey.client.hget(keys.record(claim.id), "lease_until_ms")
    working = index(valkey, keys.leases(ACCOUNT))

    await records.settle(claim.id, 1, settled(State.TERMINAL))

    assert working == {claim.id.ulid: float(cast("bytes", lease))}
    assert index(valkey, keys.leases(ACCOUNT)) == index(valkey, keys.unknown(ACCOUNT)) == {}


async def test_unknown_is_indexed_until_its_end_is_known(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))

    await records.settle(claim.id, 1, settled(State.UNKNOWN, Outcome.UNKNOWN))
    due = index(valkey, keys.unknown(ACCOUNT))
    early = await take(records)
    await records.settle(claim.id, 1, settled(State.TERMINAL))

    seconds, microseconds = valkey.client.time()
    now_ms = seconds * 1000 + microseconds / 1000
    assert now_ms - 5000 < due[claim.id.ulid] - FIRST_LOOK_MS <= now_ms
    assert early == []
    assert index(valkey, keys.unknown(ACCOUNT)) == {}


async def test_only_whose_turn_has_come_is_taken_and_by_one_alone(records: RedisRecords, valkey: Server) -> None:
    claims = [await sent(records, wish(number, ref=f"o{number}")) for number in range(1, 6)]
    for claim in claims[:3]:
        come_due(valkey, claim)

    both = await asyncio.gather(take(records, most=2), take(records, most=2))

    assert sorted(len(each) for each in both) == [1, 2]
    assert {record.id for each in both for record in each} == {claim.id for claim in claims[:3]}
    assert {(record.state, record.fence) for each in both for record in each} == {(State.UNKNOWN, 2)}
    assert (await records.take(ACCOUNT, AT_MS, TOOK_MS)).unknown == 3


async def test_taken_record_comes_again_when_its_taker_died(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    await take(records)
    assert await take(records) == []

    come_due(valkey, claim)

    assert [record.fence for record in await take(records)] == [3]


@pytest.mark.parametrize("state", [State.RECEIVED, State.RESERVED])
async def test_what_has_no_note_that_it_was_sent_frees_its_key_and_is_looked_at_after_all_else(
    records: RedisRecords, valkey: Server, state: State
) -> None:
    claim = wish(1, key="k")
    await records.claim(claim, (), 0)
    valkey.client.hset(keys.record(claim.id), "state", state)
    come_due(valkey, claim)
    noted = [await sent(records, wish(number, ref=f"o{number}")) for number in (2, 3)]
    for each in noted:
        come_due(valkey, each)

    first, *others = [await take(records, most=most) for most in (1, 3)]

    assert [record.id for record in (*first, *others[0])] == [noted[0].id, noted[1].id, claim.id]
    record = others[0][-1]
    assert (record.state, record.fence) == (state, 2)
    assert (await records.take(ACCOUNT, AT_MS, TOOK_MS)).unknown == 2
    assert isinstance(await records.claim(wish(4, key="k"), (WIDE,), 0), Fresh)
    assert not await records.mark_sent(claim.id, 1, AT_MS)
    assert await records.settle(claim.id, 2, settled(State.REFUSED))
    assert claim.id.ulid not in index(valkey, keys.leases(ACCOUNT))


async def test_what_has_no_note_that_it_was_sent_comes_again_until_it_is_settled(
    records: RedisRecords, valkey: Server
) -> None:
    claim = wish(1)
    await records.claim(claim, (), 0)
    run_out(valkey, claim)
    (record,) = await take(records, named=claim)
    assert await take(records) == []

    assert await records.postpone(record, 0, (Step(AT_MS, "look", "open"),))

    assert index(valkey, keys.unknown(ACCOUNT)) == {}
    run_out(valkey, claim)
    (again,) = await take(records)
    assert again.steps == (Step(AT_MS, "look", "open"),)
    assert await records.postpone(again, None, ())
    assert index(valkey, keys.leases(ACCOUNT)) == {}


async def test_whoever_made_a_record_may_still_say_that_he_did_not_send(records: RedisRecords, valkey: Server) -> None:
    await records.claim(wish(1), (), 0)
    come_due(valkey, wish(1))
    await take(records)

    assert await records.settle(wish(1).id, 1, settled(State.REFUSED))


async def test_named_record_is_taken_before_its_turn_but_not_from_who_works(
    records: RedisRecords, valkey: Server
) -> None:
    claim = await sent(records, wish(1))
    assert await take(records, named=claim) == []
    await records.settle(claim.id, 1, settled(State.ACKNOWLEDGED, Outcome.ACCEPTED))
    run_out(valkey, claim)

    (record,) = await take(records, named=claim)

    assert (record.state, record.fence) == (State.ACKNOWLEDGED, 2)
    assert index(valkey, keys.unknown(ACCOUNT)) == {}
    assert await take(records, named=wish(9)) == []


async def test_record_that_is_given_back_rests_and_comes_again_after_its_pause(
    records: RedisRecords, valkey: Server
) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    (record,) = await take(records)
    steps = (Step(AT_MS, "look", "open"),)

    assert await records.postpone(record, 60_000, steps)

    resting = await records.get(claim.id)
    assert resting is not None
    assert resting.steps == steps
    assert await take(records, named=claim) == []
    due = index(valkey, keys.unknown(ACCOUNT))[claim.id.ulid]
    assert due - resting.lease_until_ms == pytest.approx(60_000 - REST_MS)
    run_out(valkey, claim)
    assert await take(records) == []
    assert len(await take(records, named=claim)) == 1


async def test_record_that_is_given_up_is_never_taken_but_by_name(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    (record,) = await take(records)

    await records.postpone(record, None, ())
    run_out(valkey, claim)

    assert await take(records) == []
    assert (await records.take(ACCOUNT, AT_MS, TOOK_MS)).unknown == 0
    assert len(await take(records, named=claim)) == 1


async def test_only_its_taker_gives_a_record_back(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    (record,) = await take(records)

    assert not await records.postpone(replace(record, fence=1), 1, ())
    assert not await records.postpone(replace(record, id=wish(9).id), 1, ())


# -- fences: the twin of may_settle --------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after", "held"), list(product(State, State, (1, 2, 3))))
async def test_who_may_settle_in_lua_is_who_may_in_the_table(
    records: RedisRecords, valkey: Server, before: State, after: State, held: int
) -> None:
    claim = await sent(records, wish(1))
    valkey.client.hset(keys.record(claim.id), mapping={"state": before, "fence": 2})

    done = await records.settle(claim.id, held, settled(after))

    assert done == may_settle(before, 2, after, held)
    assert await state_of(records, claim) is (after if done else before)


async def test_late_word_of_the_venue_is_not_lost_and_overwrites_no_end(records: RedisRecords, valkey: Server) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    (record,) = await take(records)

    assert not await records.settle(claim.id, 1, settled(State.UNKNOWN, Outcome.UNKNOWN))
    assert await records.settle(claim.id, 1, settled(State.TERMINAL, Outcome.TOO_LATE_FILLED))
    assert not await records.settle(claim.id, record.fence, settled(State.TERMINAL, Outcome.CANCELLED))

    kept = await records.get(claim.id)
    assert kept is not None
    assert kept.outcome is Outcome.TOO_LATE_FILLED
    assert index(valkey, keys.unknown(ACCOUNT)) == {}


# -- what nobody can read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("state", "asleep"), ("fence", "x"), ("id", ""), ("lease_until_ms", "y")])
async def test_record_that_cannot_be_read_is_unknown_while_it_names_its_order(
    records: RedisRecords, valkey: Server, name: str, value: str
) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    valkey.client.hset(keys.record(claim.id), name, value)

    (record,) = await take(records)

    assert (record.id, record.state, record.order) == (claim.id, State.UNKNOWN, OrderRef(By.ORDER_ID, "order-1"))
    assert await records.settle(claim.id, record.fence, settled(State.TERMINAL))


async def test_record_that_names_no_order_is_dropped_and_told_once(records: RedisRecords, valkey: Server) -> None:
    claims = [await sent(records, wish(number, ref=f"o{number}")) for number in (1, 2, 3)]
    for claim in claims:
        come_due(valkey, claim)
    valkey.client.hdel(keys.record(claims[0].id), "state", "ref")
    valkey.client.set(keys.record(claims[1].id), "something else")
    valkey.client.delete(keys.record(claims[2].id))

    first = await records.take(ACCOUNT, AT_MS, TOOK_MS, most=10)
    second = await records.take(ACCOUNT, AT_MS, TOOK_MS, most=10)

    assert (first.records, first.lost, second.lost) == ((), 2, 0)
    assert index(valkey, keys.leases(ACCOUNT)) == {}


@pytest.mark.parametrize(("name", "value"), [("by", "name"), ("outcome", "fine"), ("ref", b"\xff")])
async def test_record_that_makes_no_sense_is_dropped_and_told_once(
    records: RedisRecords, valkey: Server, name: str, value: str | bytes
) -> None:
    claim = await sent(records, wish(1))
    come_due(valkey, claim)
    valkey.client.hset(keys.record(claim.id), name, value)

    first = await records.take(ACCOUNT, AT_MS, TOOK_MS)
    come_due(valkey, claim)
    second = await records.take(ACCOUNT, AT_MS, TOOK_MS)

    assert (first.records, first.lost, second.lost, second.unknown) == ((), 1, 0, 0)


async def test_history_that_cannot_be_read_is_no_reason_to_give_a_record_up(
    records: RedisRecords, valkey: Server
) -> None:
    claim = await sent(records, wish(1))
    valkey.client.hset(keys.record(claim.id), "steps", "[[1]]")

    record = await records.get(claim.id)

    assert record is not None
    assert record.steps == ()


# -- memory --------------------------------------------------------------------------------------------------------


async def test_order_that_is_gone_is_answered_by_the_claim(records: RedisRecords) -> None:
    claim = await sent(records, wish(1))
    gone = replace(settled(State.TERMINAL), gone=claim.cancel.order)
    await records.settle(claim.id, 1, gone)

    for number, key in ((2, None), (3, "k")):
        answer = await records.claim(wish(number, key=key), (WIDE,), 0)
        assert isinstance(answer, Gone)
        assert (answer.record.id, answer.record.body) == (claim.id, gone.body)


async def test_order_is_remembered_by_its_other_name(records: RedisRecords) -> None:
    claim = await sent(records, wish(1, ref="client-7"))
    await records.settle(claim.id, 1, replace(settled(State.TERMINAL), gone=OrderRef(By.ORDER_ID, "7")))

    assert isinstance(await records.claim(wish(2, ref="7"), (WIDE,), 0), Gone)
    assert isinstance(await records.claim(wish(3, ref="client-7"), (WIDE,), 0), Fresh)


# -- without the store ---------------------------------------------------------------------------------------------


def kept(claim: Claim, settlement: Settlement | None) -> LocalRecord:
    record = replace(record_of(claim), state=State.SENT, sent_ms=AT_MS + 1)
    return LocalRecord(record if settlement is None else settled_record(record, settlement), claim)


async def test_what_was_done_without_the_store_is_there_and_answers_its_key(records: RedisRecords) -> None:
    claim = wish(1, key="k", symbol="X")

    assert await records.restore(kept(claim, settled(State.TERMINAL)), 0)

    record = await records.get(claim.id)
    assert record is not None
    assert (record.state, record.outcome, record.symbol, record.sent_ms) == (
        State.TERMINAL, Outcome.CANCELLED, "X", AT_MS + 1,
    )  # fmt: skip
    answer = await records.claim(wish(2, key="k", symbol="X"), (WIDE,), 0)
    assert isinstance(answer, Known)
    assert answer.record == record


async def test_unknown_and_sent_from_without_the_store_come_to_be_resolved(
    records: RedisRecords, valkey: Server
) -> None:
    open_ones = [kept(wish(1), settled(State.UNKNOWN, Outcome.UNKNOWN)), kept(wish(2, ref="o2"), None)]
    for each in open_ones:
        assert await records.restore(each, LEASE_MS if each.record.state is State.SENT else 0)

    assert [record.id for record in await take(records)] == [wish(1).id]
    come_due(valkey, wish(2))
    assert [record.id for record in await take(records)] == [wish(2).id]


@pytest.mark.parametrize(("before", "after"), list(product(State, (State.TERMINAL, State.UNKNOWN, State.REFUSED))))
async def test_what_lies_there_takes_only_a_legal_step_from_what_was_done_without_it(
    records: RedisRecords, valkey: Server, before: State, after: State
) -> None:
    claim = await sent(records, wish(1, key="k"))
    valkey.client.hset(keys.record(claim.id), "state", before)

    done = await records.restore(kept(claim, settled(after)), 0)

    assert done == may_restore(before, 1, after, 1)
    assert await state_of(records, claim) is (after if done else before)


def test_facts_are_what_a_venue_says() -> None:
    assert {State.ACKNOWLEDGED, State.TERMINAL} == FACTS


async def test_answers_of_another_shape_are_unavailable(records: RedisRecords, valkey: Server) -> None:
    del records
    strange = RedisRecords(Odd(valkey.url, 1000), TTL_SECONDS, admittance())

    with pytest.raises(Unavailable, match="another shape"):
        await strange.take(ACCOUNT, AT_MS, TOOK_MS)


class Odd(Link):
    """A link to something that answers every script alike."""

    async def run(self, _script: object, _keys: object, _arguments: object) -> int:
        return 7
