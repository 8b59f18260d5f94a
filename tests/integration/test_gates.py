"""Gates on a real server: what closes, for whom, and that one request alone tries whether a venue lets us in again."""

import asyncio
from dataclasses import replace

import pytest
from real_valkey import Server, spent

from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.gates import RedisGates
from gateway.backends.limiter import RedisLimiter
from gateway.backends.records import RedisRecords
from gateway.backends.redis.link import Link, Reply
from gateway.core import keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.gate import holders
from gateway.core.idempotency import Claim, Claimed, Fresh, Known, record_id
from gateway.core.model import Account, By, Cancel, OrderRef, Scope, VenueId
from gateway.core.outcome import Throttled
from gateway.ports import Unavailable

ACCOUNT = Account(VenueId("venue"), "a")
SIBLING = Account(VenueId("venue"), "b")
STRANGER = Account(VenueId("elsewhere"), "a")
AT_MS = 1_790_000_000_000
PROBE_US = 10_000_000
ONE = Demand("cancel", ACCOUNT, tokens=5, window_us=200_000, weight=1, keep=5)


@pytest.fixture
def gates(link: Link, valkey: Server) -> RedisGates:
    for account in (ACCOUNT, SIBLING, STRANGER):
        valkey.rest(account)
    return RedisGates(link, probe_us=PROBE_US)


@pytest.fixture
def limiter(link: Link) -> RedisLimiter:
    return RedisLimiter(link, Admittance(SystemClock(), ahead=0, probe_us=PROBE_US))


@pytest.fixture
def records(link: Link) -> RedisRecords:
    return RedisRecords(link, 600, Admittance(SystemClock(), ahead=0, probe_us=PROBE_US))


def wish(number: int, account: Account = ACCOUNT) -> Claim:
    cancel = Cancel(account, OrderRef(By.ORDER_ID, f"order-{number}"))
    return Claim(record_id(AT_MS, number.to_bytes(10, "big"), account), cancel, "desk", None, "req", AT_MS, 5000)


async def ask(limiter: RedisLimiter, account: Account = ACCOUNT, most: int = 1) -> tuple[Slot, ...] | Gated:
    """Slots, or which gate is shut."""
    answer = await limiter.reserve((replace(ONE, holder=account),), 0, most)
    assert isinstance(answer, tuple | Gated)
    return answer


async def claim(records: RedisRecords, number: int, account: Account = ACCOUNT) -> Claimed | Gated:
    return await records.claim(wish(number, account), (replace(ONE, holder=account),), 0)


def half_open(valkey: Server, account: Account = ACCOUNT, *, banned: int = 0, closures: int = 0) -> None:
    """A gate whose time has just come."""
    seconds, micros = valkey.client.time()
    valkey.client.set(keys.gate(account), f"{seconds * 1_000_000 + micros} 1000000 {banned} {closures} 0")


async def test_open_gates_cost_nothing_and_let_everybody_through(limiter: RedisLimiter, gates: RedisGates) -> None:
    slots = await ask(limiter, most=9)

    assert isinstance(slots, tuple)
    assert [slot.probe for slot in slots] == [False] * 5
    assert await gates.standing(ACCOUNT) == []


@pytest.mark.parametrize(
    ("scope", "shut"),
    [
        (Scope.ACCOUNT, [True, False, False]),
        (Scope.EGRESS, [True, True, False]),
        (Scope.VENUE, [True, True, False]),
    ],
)
async def test_refusal_shuts_the_scope_that_it_names_and_no_other(
    limiter: RedisLimiter, gates: RedisGates, scope: Scope, shut: list[bool]
) -> None:
    wait_ms = await gates.close(ACCOUNT, Throttled(scope, retry_after_ms=5000))

    answers = [await ask(limiter, account) for account in (ACCOUNT, SIBLING, STRANGER)]

    assert wait_ms == 5000
    assert [isinstance(answer, Gated) for answer in answers] == shut
    first = answers[0]
    assert isinstance(first, Gated)
    assert (first.scope, first.banned) == (scope, False)
    assert 4_900_000 < first.wait_us <= 5_000_000
    assert [each.scope for each in await gates.standing(ACCOUNT)] == [scope]


@pytest.mark.parametrize(
    ("refusal", "wait_ms"),
    [
        (Throttled(Scope.ACCOUNT), 3000),
        (Throttled(Scope.ACCOUNT, retry_after_ms=0), 3000),
        (Throttled(Scope.ACCOUNT, retry_after_ms=-5), 3000),
        (Throttled(Scope.ACCOUNT, retry_after_ms=10**12), 120_000),
        (Throttled(Scope.EGRESS, banned=True), 120_000),
        (Throttled(Scope.EGRESS, banned=True, retry_after_ms=10**12), 3_600_000),
    ],
)
async def test_wait_is_floored_by_the_window_and_capped(
    link: Link, valkey: Server, refusal: Throttled, wait_ms: int
) -> None:
    gates = RedisGates(link, {ACCOUNT.venue: 3000})

    waits = [await gates.close(account, refusal) for account in (ACCOUNT, STRANGER)]

    assert waits[0] == wait_ms
    assert waits[1] == (1000 if wait_ms == 3000 else wait_ms)
    ttl_ms = valkey.client.pttl(valkey.client.keys("*venue*gate")[0])
    assert isinstance(ttl_ms, int)
    assert wait_ms + 3_590_000 < ttl_ms <= wait_ms + 3_600_000


async def test_longest_of_several_gates_is_told(limiter: RedisLimiter, gates: RedisGates) -> None:
    await gates.close(ACCOUNT, Throttled(Scope.ACCOUNT, retry_after_ms=5000))
    await gates.close(SIBLING, Throttled(Scope.EGRESS, banned=True))

    answer = await ask(limiter)

    assert isinstance(answer, Gated)
    assert (answer.scope, answer.banned) == (Scope.EGRESS, True)
    assert [each.scope for each in await gates.standing(ACCOUNT)] == [Scope.ACCOUNT, Scope.EGRESS]


async def test_gated_claim_writes_nothing_and_a_known_one_is_still_known(
    records: RedisRecords, gates: RedisGates, valkey: Server
) -> None:
    await claim(records, 1)
    await gates.close(ACCOUNT, Throttled(Scope.ACCOUNT, retry_after_ms=5000))
    before = set(valkey.client.keys())

    again, new = await claim(records, 1), await claim(records, 2)
    queued = await records.claim(wish(3), (), 0)

    assert isinstance(again, Known)
    assert isinstance(new, Gated)
    assert isinstance(queued, Gated)
    assert set(valkey.client.keys()) == before
    assert len(spent(valkey, ACCOUNT, "cancel")) == 1


async def test_half_open_gate_lets_exactly_one_through_over_all_replicas(
    link: Link, gates: RedisGates, valkey: Server
) -> None:
    await gates.standing(ACCOUNT)
    half_open(valkey)
    replicas = [RedisLimiter(link, Admittance(SystemClock(), ahead=0, probe_us=PROBE_US)) for _ in range(3)]
    stores = [RedisRecords(link, 600, Admittance(SystemClock(), ahead=0, probe_us=PROBE_US)) for _ in range(3)]

    reserved = await asyncio.gather(*(ask(replica, most=5) for replica in replicas for _ in range(5)))
    claimed = await asyncio.gather(*(claim(store, 10 * n + m) for n, store in enumerate(stores) for m in range(5)))

    probes = [answer for answer in reserved if isinstance(answer, tuple)]
    assert [[slot.probe for slot in probe] for probe in probes] == [[True]]
    refused = [answer for answer in (*reserved, *claimed) if isinstance(answer, Gated)]
    assert len(refused) == 29
    assert all(9_000_000 < answer.wait_us <= PROBE_US for answer in refused)
    assert [each.scope for each in await gates.standing(ACCOUNT)] == [Scope.ACCOUNT]


async def test_claim_can_be_the_probe(records: RedisRecords, gates: RedisGates, valkey: Server) -> None:
    await gates.standing(ACCOUNT)
    half_open(valkey, holders(ACCOUNT)[2])

    first, second = await claim(records, 1), await claim(records, 2, SIBLING)

    assert isinstance(first, Fresh)
    assert first.slot is not None
    assert first.slot.probe
    assert isinstance(second, Gated)
    assert second.scope is Scope.VENUE


async def test_claim_that_only_queues_does_not_use_up_the_probe(
    records: RedisRecords, limiter: RedisLimiter, gates: RedisGates, valkey: Server
) -> None:
    await gates.standing(ACCOUNT)
    half_open(valkey)

    queued = await records.claim(wish(1), (), 0)
    slots = await ask(limiter)

    assert isinstance(queued, Fresh)
    assert queued.slot is None
    assert isinstance(slots, tuple)
    assert slots[0].probe


async def test_probe_that_was_let_in_opens_every_gate_that_it_went_through(
    limiter: RedisLimiter, gates: RedisGates, valkey: Server
) -> None:
    for holder in holders(ACCOUNT):
        half_open(valkey, holder)
    await ask(limiter)

    await gates.reopen(ACCOUNT)

    slots = await ask(limiter, most=5)
    assert isinstance(slots, tuple)
    assert [slot.probe for slot in slots] == [False] * 4
    assert valkey.client.keys("*gate") == []


async def test_refused_probe_closes_for_longer(limiter: RedisLimiter, gates: RedisGates, valkey: Server) -> None:
    half_open(valkey, closures=1)
    await ask(limiter)

    wait_ms = await gates.close(ACCOUNT, Throttled(Scope.ACCOUNT))
    still_ms = await gates.close(ACCOUNT, Throttled(Scope.ACCOUNT))
    await gates.reopen(ACCOUNT)

    assert wait_ms == 4000
    assert 3900 <= still_ms <= 4000
    assert isinstance(await ask(limiter), Gated)


async def test_probe_that_was_never_sent_leaves_its_place_to_another(
    limiter: RedisLimiter, gates: RedisGates, valkey: Server
) -> None:
    await gates.standing(ACCOUNT)
    half_open(valkey)
    probe = await ask(limiter)
    assert isinstance(probe, tuple)

    returned = await limiter.give_back(probe[0])

    another = await ask(limiter)
    assert returned
    assert isinstance(another, tuple)
    assert another[0].probe


async def test_slot_that_is_too_far_is_no_probe(limiter: RedisLimiter, gates: RedisGates, valkey: Server) -> None:
    await gates.standing(ACCOUNT)
    await ask(limiter, most=5)
    half_open(valkey)

    far = await limiter.reserve((ONE,), 0)
    ahead = await limiter.reserve((ONE,), 1_000_000, 5)

    assert not isinstance(far, tuple | Gated)
    assert isinstance(ahead, tuple)
    assert [slot.probe for slot in ahead] == [True]


@pytest.mark.parametrize("value", ["", "shut", "1 2 3", "9999999999999999999 x 0 0 0"])
async def test_gate_that_nobody_can_read_is_none(
    limiter: RedisLimiter, gates: RedisGates, valkey: Server, value: str
) -> None:
    valkey.client.set(keys.gate(ACCOUNT), value)
    valkey.client.rpush(keys.gate(holders(ACCOUNT)[1]), "a list")

    assert isinstance(await ask(limiter), tuple)
    assert await gates.standing(ACCOUNT) == []
    assert await gates.close(ACCOUNT, Throttled(Scope.EGRESS)) == 1000
    assert isinstance(await ask(limiter), Gated)


async def test_only_the_own_gate_is_asked_where_the_others_lie_elsewhere(
    link: Link, gates: RedisGates, valkey: Server
) -> None:
    """On a cluster."""
    lone = RedisLimiter(link, Admittance(SystemClock(), ahead=0, gates_seen=1))
    await gates.close(ACCOUNT, Throttled(Scope.EGRESS))

    through = await ask(lone)
    await gates.close(ACCOUNT, Throttled(Scope.ACCOUNT))

    assert isinstance(through, tuple)
    assert isinstance(await ask(lone), Gated)
    assert valkey.client.exists(keys.gate(ACCOUNT))


async def test_limits_of_our_address_alone_stand_behind_its_gates(
    limiter: RedisLimiter, gates: RedisGates, valkey: Server
) -> None:
    egress = holders(ACCOUNT)[1]
    valkey.rest(egress)
    await gates.close(ACCOUNT, Throttled(Scope.EGRESS))

    answer = await ask(limiter, egress)

    assert isinstance(answer, Gated)
    assert answer.scope is Scope.EGRESS


class Stranger(Link):
    """A link to something that answers every script alike."""

    def __init__(self, answer: Reply) -> None:
        super().__init__("unix:///nowhere", 100)
        self._answer = answer

    async def run(self, _script: object, _keys: object, _arguments: object) -> Reply:
        return self._answer


async def test_answer_of_another_shape_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="another shape"):
        await RedisGates(Stranger(b"x")).close(ACCOUNT, Throttled(Scope.ACCOUNT))
    with pytest.raises(Unavailable, match="another shape"):
        await RedisGates(Stranger(b"x")).standing(ACCOUNT)
    with pytest.raises(Unavailable, match="another shape"):
        await RedisGates(Stranger([3, 0, 1])).standing(ACCOUNT)
