"""Records on a real cluster: a key's pointer lies in another slot, and nobody who dies between two steps does harm."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from redis_topology import RealCluster

from gateway.backends.abroad import ClusterLimiter
from gateway.backends.admittance import Admittance
from gateway.backends.awaited import ONE_BY_ONE
from gateway.backends.clock import SystemClock
from gateway.backends.cluster_records import ClusterRecords
from gateway.backends.key_pointer import Hold, KeyPointers
from gateway.backends.redis.link import Link, Reply, Runnable
from gateway.backends.redis.words import Words
from gateway.core import keys
from gateway.core.admission import Demand
from gateway.core.idempotency import (
    Claim,
    Fresh,
    Gone,
    Known,
    Late,
    Mismatch,
    Settlement,
    State,
    fingerprint,
    record_id,
)
from gateway.core.model import Account, By, Cancel, OrderRef, VenueId
from gateway.core.outcome import Outcome
from gateway.ports import Unavailable

ACCOUNT = Account(VenueId("venue"), "desk a")
AT_MS = 1_790_000_000_000
LEASE_MS = 200
TTL_SECONDS = 600
ONE = Demand("cancel", ACCOUNT, tokens=1000, window_us=200_000, weight=1, keep=1000)


class DyingLink(Link):
    """A process that dies before its n-th call from now on."""

    left = 1_000_000

    async def say(self, script: Runnable, keys: Sequence[str], said: Words) -> Reply:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        return await super().say(script, keys, said)


@pytest.fixture
async def link(cluster: RealCluster) -> AsyncIterator[DyingLink]:
    rest(cluster, ACCOUNT)
    link = DyingLink(cluster.url, timeout_ms=2000)
    await link.ping()
    yield link
    await link.aclose()


def rest(cluster: RealCluster, holder: Account) -> None:
    """Write an epoch as if the gateway had run for long."""
    name = keys.holder(holder)
    cluster.owner(name).client.hset(name, mapping={"armed_us": 0, "seen_us": 0, "offset_us": 0})


def records_on(link: Link) -> ClusterRecords:
    admittance = Admittance(SystemClock(), ahead=0)
    return ClusterRecords(link, TTL_SECONDS, admittance, ClusterLimiter(link, admittance))


@pytest.fixture
def records(link: DyingLink) -> ClusterRecords:
    return records_on(link)


def wish(number: int, ref: str = "order-1", key: str | None = "k") -> Claim:
    return Claim(
        id=record_id(AT_MS, number.to_bytes(10, "big"), ACCOUNT),
        cancel=Cancel(ACCOUNT, OrderRef(By.ORDER_ID, ref)),
        caller="desk",
        key=key,
        request_id=f"req-{number}",
        at_ms=AT_MS,
        lease_ms=LEASE_MS,
    )


def settled(state: State, outcome: Outcome = Outcome.CANCELLED) -> Settlement:
    return Settlement(state, outcome, b"{}", AT_MS + 9)


def pointer(cluster: RealCluster, claim: Claim) -> bytes | None:
    name = keys.idempotency(claim.caller, claim.key or "")
    value = cluster.owner(name).client.get(name)
    assert value is None or isinstance(value, bytes)
    return value


def leads_to(claim: Claim) -> bytes:
    return f"{fingerprint(claim.cancel)} {keys.record(claim.id)}".encode()


async def fresh(records: ClusterRecords, claim: Claim) -> Fresh:
    answer = await records.claim(claim, (ONE,), 0)
    assert isinstance(answer, Fresh)
    assert answer.slot is not None
    return answer


async def known(records: ClusterRecords, claim: Claim) -> object:
    answer = await records.claim(claim, (ONE,), 0)
    return answer.record.id if isinstance(answer, Known) else answer


async def test_key_is_fresh_once_and_known_ever_after(records: ClusterRecords, cluster: RealCluster) -> None:
    first = wish(1)
    answer = await fresh(records, first)

    assert await known(records, wish(2)) == first.id
    assert await records.settle(first.id, answer.fence, settled(State.TERMINAL))
    assert await known(records, wish(3)) == first.id
    assert await records.claim(wish(4, ref="order-2"), (ONE,), 0) == Mismatch()

    record = await records.get(first.id)
    assert record is not None
    assert record.state is State.TERMINAL
    assert pointer(cluster, first) == leads_to(first)


async def test_cancel_without_a_key_is_known_only_while_it_is_under_way(records: ClusterRecords) -> None:
    first = wish(1, key=None)
    answer = await fresh(records, first)

    assert await known(records, wish(2, key=None)) == first.id
    await records.settle(first.id, answer.fence, settled(State.TERMINAL))

    await fresh(records, wish(3, key=None))


async def test_same_order_under_another_key_is_followed_and_leaves_that_key_free(
    records: ClusterRecords, cluster: RealCluster
) -> None:
    first, second = wish(1), wish(2, key="other")
    await fresh(records, first)

    assert await known(records, second) == first.id
    assert pointer(cluster, second) is None


async def test_refused_cancel_frees_its_key(records: ClusterRecords, cluster: RealCluster) -> None:
    first = wish(1)
    answer = await fresh(records, first)

    assert await records.settle(first.id, answer.fence, settled(State.REFUSED, Outcome.VENUE_UNAVAILABLE))
    assert pointer(cluster, first) is None
    await fresh(records, wish(2, ref="order-2"))


async def test_late_cancel_leaves_nothing(records: ClusterRecords, cluster: RealCluster) -> None:
    tight = replace(ONE, tokens=1, keep=1)
    await records.claim(wish(1, key=None), (tight,), 0)
    late = wish(2, ref="order-2")

    answer = await records.claim(late, (tight,), 0)

    assert isinstance(answer, Late)
    assert answer.wait_us > 0
    assert pointer(cluster, late) is None
    assert await records.get(late.id) is None


async def die_before(records: ClusterRecords, link: DyingLink, calls: int, claim: Claim) -> None:
    link.left = calls
    with pytest.raises(asyncio.CancelledError):
        await records.claim(claim, (ONE,), 0)
    link.left = 1_000_000


async def test_death_between_key_and_record_holds_up_nobody_for_longer_than_a_lease(
    records: ClusterRecords, link: DyingLink, cluster: RealCluster
) -> None:
    dead, same, other = wish(1), wish(2), wish(3, ref="order-2")
    await die_before(records, link, 1, dead)
    assert pointer(cluster, dead) == leads_to(dead)

    assert await records.claim(other, (ONE,), 0) == Mismatch(), "it could be under way"
    answer = await fresh(records, same)

    assert pointer(cluster, same) == leads_to(same)
    await records.settle(same.id, answer.fence, settled(State.TERMINAL))
    assert await records.claim(other, (ONE,), 0) == Mismatch()


async def test_key_that_leads_nowhere_is_free_for_another_request_after_a_lease(
    records: ClusterRecords, link: DyingLink, cluster: RealCluster
) -> None:
    dead, other = wish(1), wish(2, ref="order-2")
    await die_before(records, link, 1, dead)
    await asyncio.sleep(LEASE_MS / 1000 + 0.05)

    await fresh(records, other)

    assert pointer(cluster, other) == leads_to(other)


async def test_death_after_the_record_is_read_as_sent_and_never_sent_again(
    records: ClusterRecords, link: DyingLink
) -> None:
    """Key, two gates, and the claim itself are done; only the last look at the key is not."""
    dead = wish(1)
    await die_before(records, link, 4, dead)
    await asyncio.sleep(LEASE_MS / 1000 + 0.05)

    answer = await records.claim(wish(2), (ONE,), 0)

    assert isinstance(answer, Known)
    assert (answer.record.id, answer.record.state) == (dead.id, State.SENT)
    assert await records.claim(wish(3, ref="order-2"), (ONE,), 0) == Mismatch()


async def test_death_between_refusal_and_freeing_leaves_a_key_that_counts_as_free(
    records: ClusterRecords, link: DyingLink
) -> None:
    refusal = settled(State.REFUSED, Outcome.VENUE_UNAVAILABLE)
    for number, ref in ((1, "order-1"), (3, "order-2")):
        dead = wish(number)
        answer = await fresh(records, replace(dead, cancel=replace(dead.cancel, order=OrderRef(By.ORDER_ID, ref))))
        link.left = 1
        with pytest.raises(asyncio.CancelledError):
            await records.settle(dead.id, answer.fence, refusal)
        link.left = 1_000_000
        await asyncio.sleep(LEASE_MS / 1000 + 0.05)

    await fresh(records, wish(5, ref="order-2"))


async def test_overtaken_claim_gives_way_before_anything_is_sent(
    records: ClusterRecords, link: DyingLink, cluster: RealCluster
) -> None:
    """The other replica has come and gone between our two steps: its order pointer is free, only the key tells."""
    slow, quick = wish(1), wish(2)
    admittance = Admittance(SystemClock(), ahead=0)
    halting = HaltingLimiter(link, admittance)
    ours = ClusterRecords(link, TTL_SECONDS, admittance, halting)
    waiting = asyncio.create_task(ours.claim(slow, (ONE,), 0))
    await halting.reached.wait()
    answer = await fresh(records, quick)
    await records.settle(quick.id, answer.fence, settled(State.TERMINAL))
    halting.go.set()

    overtaken = await waiting

    assert isinstance(overtaken, Known)
    assert overtaken.record.id == quick.id
    record = await records.get(slow.id)
    assert record is not None
    assert record.state is State.REFUSED
    assert pointer(cluster, slow) == leads_to(quick)


class HaltingLimiter(ClusterLimiter):
    """Stands still between the two steps of a claim."""

    def __init__(self, link: Link, admittance: Admittance) -> None:
        super().__init__(link, admittance)
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def precede(self, account: Account, abroad: Sequence[tuple[Demand, ...]], *, probing: bool) -> object:  # type: ignore[override]  # the same, later
        self.reached.set()
        await self.go.wait()
        return await super().precede(account, abroad, probing=probing)


async def test_of_many_replicas_with_one_key_exactly_one_is_fresh(cluster: RealCluster) -> None:
    rest(cluster, ACCOUNT)
    links = [Link(cluster.url, timeout_ms=5000) for _ in range(3)]
    replicas = [records_on(link) for link in links]

    for number in range(60):
        claims = [wish(10 * number + n, ref=f"order-{number}", key=f"key-{number}") for n in range(3)]
        answers = await asyncio.gather(
            *(replica.claim(claim, (ONE,), 0) for replica, claim in zip(replicas, claims, strict=True))
        )
        winners = [claim.id for claim, answer in zip(claims, answers, strict=True) if isinstance(answer, Fresh)]
        assert len(winners) == 1
        assert {answer.record.id for answer in answers if isinstance(answer, Known)} == set(winners)
    for link in links:
        await link.aclose()


async def test_last_look_that_can_not_be_made_takes_no_slot_away(
    records: ClusterRecords, cluster: RealCluster, link: DyingLink
) -> None:
    claim = wish(1)
    broken = BrokenPointers(link, TTL_SECONDS * 1000)
    records._keys = broken

    answer = await records.claim(claim, (ONE,), 0)

    assert isinstance(answer, Fresh)
    assert broken.asked == 1
    assert pointer(cluster, claim) == leads_to(claim)


class BrokenPointers(KeyPointers):
    """Can take, and no more."""

    asked = 0

    async def keep(self, hold: Hold) -> Hold | None:
        self.asked += 1
        raise Unavailable("redis", f"gone with {hold.pointer}")


async def test_settlement_that_is_followed_is_heard_whichever_master_one_listens_to(
    records: ClusterRecords, link: DyingLink
) -> None:
    heard: list[str] = []
    listening = asyncio.Event()
    ears = [link.subscription(keys.SETTLED, heard.append, lambda _: listening.set()) for _ in range(3)]
    tasks = [asyncio.create_task(ear.keep()) for ear in ears]
    async with asyncio.timeout(10):
        await listening.wait()
        await asyncio.sleep(0.2)
        first = wish(1)
        await fresh(records, first)
        await known(records, wish(2))
        await records.settle(first.id, 1, settled(State.TERMINAL))
        while len(heard) < len(ears):  # noqa: ASYNC110  messages tell nobody that they are all there
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert heard == [str(first.id)] * 3


async def test_accounts_with_something_open_are_found_in_whatever_slot_they_lie(records: ClusterRecords) -> None:
    others = tuple(Account(ACCOUNT.venue, f"other-{number}") for number in range(2 * ONE_BY_ONE.questions))
    asked = (*others[:30], ACCOUNT, *others[30:])
    assert [account async for account in records.awaited(asked)] == []

    await fresh(records, wish(1))

    assert [account async for account in records.awaited(asked)] == [ACCOUNT]


async def test_record_that_was_left_is_taken_over_and_its_far_key_freed(
    records: ClusterRecords, cluster: RealCluster
) -> None:
    left, sent = wish(1), wish(2, ref="order-2", key="l")
    await records.claim(left, (), 0)
    await fresh(records, sent)
    await asyncio.sleep(LEASE_MS / 1000 + 0.05)

    taken = await records.take(ACCOUNT, AT_MS, 1000, most=5)

    assert [record.id for record in taken.records] == [sent.id, left.id]
    assert pointer(cluster, left) is None
    for record in taken.records:
        assert await records.postpone(record, 1000, ())


async def test_order_that_is_gone_is_answered_from_memory(records: ClusterRecords) -> None:
    first = wish(1)
    await fresh(records, first)
    await records.settle(first.id, 1, replace(settled(State.TERMINAL), gone=first.cancel.order))

    answer = await records.claim(wish(2, key="another"), (ONE,), 0)

    assert isinstance(answer, Gone)
    assert answer.record.id == first.id
