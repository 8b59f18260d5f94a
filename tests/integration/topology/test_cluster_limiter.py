"""Limits and gates over the slots of a real cluster: all or none, one probe, and never over a limit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic

import pytest
from admission_histories import most_in_any_window
from redis_topology import RealCluster

from gateway.backends.abroad import ClusterLimiter
from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.cluster_records import ClusterRecords
from gateway.backends.gates import RedisGates
from gateway.backends.redis.link import Link
from gateway.core import keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.idempotency import Claim, Fresh, Known, Late, record_id
from gateway.core.model import Account, By, Cancel, OrderRef, Scope, VenueId
from gateway.core.outcome import Throttled
from gateway.ports import TooFar

VENUE = VenueId("venue")
ACCOUNTS = tuple(Account(VENUE, f"desk-{number}") for number in range(3))
ACCOUNT, EGRESS = ACCOUNTS[0], Account(VENUE, "@egress")
WINDOW_US = 200_000
SECOND_US = 1_000_000


@pytest.fixture
async def link(cluster: RealCluster) -> AsyncIterator[Link]:
    for holder in (*ACCOUNTS, EGRESS):
        name = keys.holder(holder)
        cluster.owner(name).client.hset(name, mapping={"armed_us": 0, "seen_us": 0, "offset_us": 0})
    link = Link(cluster.url, timeout_ms=2000)
    await link.ping()
    yield link
    await link.aclose()


@pytest.fixture
def limiter(link: Link) -> ClusterLimiter:
    return ClusterLimiter(link, Admittance(SystemClock(), ahead=0))


@pytest.fixture
def gates(link: Link) -> RedisGates:
    return RedisGates(link)


def demand(holder: Account, tokens: int) -> Demand:
    return Demand("cancel", holder, tokens=tokens, window_us=WINDOW_US, weight=1, keep=tokens)


def claim(number: int) -> Claim:
    cancel = Cancel(ACCOUNT, OrderRef(By.ORDER_ID, f"order-{number}"))
    return Claim(record_id(1, number.to_bytes(10, "big"), ACCOUNT), cancel, "desk", None, "req", 1, 5000)


def slots(answer: tuple[Slot, ...] | TooFar | Gated) -> tuple[Slot, ...]:
    assert isinstance(answer, tuple)
    return answer


async def test_own_limits_are_reserved_ahead_and_in_bursts(limiter: ClusterLimiter) -> None:
    alone = (demand(ACCOUNT, 3),)

    taken = slots(await limiter.reserve(alone, SECOND_US, 5))
    (ahead,) = slots(await limiter.reserve(alone, SECOND_US, 5))

    assert len(taken) == 3
    assert 0 < ahead.matures_at - monotonic() <= WINDOW_US / SECOND_US
    assert await limiter.give_back(ahead)
    assert isinstance(await limiter.reserve(alone, 0), TooFar)


async def test_linked_limits_are_taken_together_or_not_at_all(limiter: ClusterLimiter) -> None:
    linked = (demand(ACCOUNT, 1), demand(EGRESS, 3))

    (slot,) = slots(await limiter.reserve(linked, SECOND_US))
    refused = await limiter.reserve(linked, SECOND_US)
    own, shared = await limiter.outlook(linked)

    assert slot.demands == linked
    assert isinstance(refused, TooFar)
    assert (own.free, shared.free) == (0, 2), "what the refused one took of the shared limit is back"


async def test_shared_limit_is_never_exceeded_over_accounts_in_different_slots(limiter: ClusterLimiter) -> None:
    sends: list[int] = []

    async def account(each: Account) -> None:
        linked = (demand(each, 4), demand(EGRESS, 6))
        until = monotonic() + 1
        while monotonic() < until:
            match await limiter.reserve(linked, SECOND_US):
                case (slot,):
                    await asyncio.sleep(max(0.0, slot.matures_at - monotonic()))
                    sends.append(int(monotonic() * SECOND_US))
                case TooFar(wait_us):
                    await asyncio.sleep(wait_us / SECOND_US)
                case other:
                    pytest.fail(str(other))

    await asyncio.gather(*(account(each) for each in ACCOUNTS))

    # The guard that every window has is for the way of a reply: here it is 5 ms.
    assert most_in_any_window(sorted(sends), WINDOW_US - 5000) <= 6
    assert len(sends) >= 20


async def test_claim_takes_linked_limits_together(link: Link, limiter: ClusterLimiter) -> None:
    records = ClusterRecords(link, 60, Admittance(SystemClock(), ahead=0), limiter)
    linked = (demand(ACCOUNT, 1), demand(EGRESS, 3))

    first = await records.claim(claim(1), linked, 0)
    second = await records.claim(claim(2), linked, 0)
    third = await records.claim(claim(3), linked, SECOND_US)
    _, shared = await limiter.outlook(linked)

    assert isinstance(first, Fresh)
    assert first.slot is not None
    assert first.slot.demands == linked
    assert isinstance(second, Late)
    assert isinstance(third, Fresh)
    assert third.slot is None
    assert shared.free == 2


async def test_claim_that_has_to_wait_for_the_shared_limit_says_so(link: Link, limiter: ClusterLimiter) -> None:
    records = ClusterRecords(link, 60, Admittance(SystemClock(), ahead=0), limiter)
    linked = (demand(ACCOUNT, 3), demand(EGRESS, 1))
    await records.claim(claim(1), linked, 0)

    late = await records.claim(claim(2), linked, 0)
    waits = await records.claim(claim(3), linked, SECOND_US)
    own, _ = await limiter.outlook(linked)

    assert isinstance(late, Late)
    assert isinstance(waits, Fresh)
    assert waits.slot is None
    assert 0 < waits.wait_us <= WINDOW_US
    assert own.free == 2


@pytest.mark.parametrize("scope", [Scope.ACCOUNT, Scope.EGRESS, Scope.VENUE])
async def test_closed_gate_stops_everyone_behind_it_but_not_what_is_known(
    link: Link, limiter: ClusterLimiter, gates: RedisGates, scope: Scope
) -> None:
    records = ClusterRecords(link, 60, Admittance(SystemClock(), ahead=0), limiter)
    alone = (demand(ACCOUNT, 9),)
    await records.claim(claim(1), alone, 0)

    closed_ms = await gates.close(ACCOUNT, Throttled(scope, banned=False, retry_after_ms=1000))
    shut = await limiter.reserve(alone, SECOND_US)
    other = await limiter.reserve((demand(ACCOUNTS[1], 9),), SECOND_US)

    assert 900 <= closed_ms <= 1000
    assert isinstance(shut, Gated)
    assert (shut.scope, shut.banned) == (scope, False)
    assert isinstance(other, tuple if scope is Scope.ACCOUNT else Gated)
    assert isinstance(await records.claim(claim(1), alone, 0), Known)
    assert isinstance(await records.claim(claim(2), alone, 0), Gated)
    assert isinstance(await records.claim(claim(3), (), 0), Gated)
    assert [gate.scope for gate in await gates.standing(ACCOUNT)] == [scope]
    assert await records.get(claim(2).id) is None


@pytest.mark.parametrize("scope", [Scope.ACCOUNT, Scope.EGRESS, Scope.VENUE])
async def test_half_open_gate_lets_one_probe_through_and_its_answer_decides(
    link: Link, limiter: ClusterLimiter, gates: RedisGates, scope: Scope
) -> None:
    records = ClusterRecords(link, 60, Admittance(SystemClock(), ahead=0), limiter)
    alone = (demand(ACCOUNT, 9),)
    await gates.close(ACCOUNT, Throttled(scope, banned=False, retry_after_ms=1000))
    await asyncio.sleep(1.01)

    first = await limiter.reserve(alone, SECOND_US, 5)
    second = await limiter.reserve(alone, SECOND_US)

    (probe,) = slots(first)
    assert probe.probe
    assert isinstance(second, Gated)
    assert await limiter.give_back(probe), "a probe that was not sent"
    claimed = await records.claim(claim(1), alone, 0)
    assert isinstance(claimed, Fresh)
    assert claimed.slot is not None
    assert claimed.slot.probe
    await gates.reopen(ACCOUNT)
    assert len(slots(await limiter.reserve(alone, SECOND_US, 3))) == 3
    assert await gates.standing(ACCOUNT) == []


async def test_probe_is_not_lost_to_a_request_that_gets_no_slot(limiter: ClusterLimiter, gates: RedisGates) -> None:
    spent = (replace(demand(ACCOUNT, 1), window_us=60 * SECOND_US),)
    slots(await limiter.reserve(spent, 0))
    await gates.close(ACCOUNT, Throttled(Scope.EGRESS, banned=False, retry_after_ms=1000))
    await asyncio.sleep(1.01)

    refused = await limiter.reserve(spent, 0)
    (probe,) = slots(await limiter.reserve((demand(ACCOUNTS[1], 1),), 0))

    assert isinstance(refused, TooFar)
    assert probe.probe
