"""`gateway.client` against real gateways and the sandbox: what it tells is true, also where a gateway dies under it."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from real_valkey import Server
from service_process import Gateway, put_secrets, rested, serving, token_of, tree_of
from service_rig import Rig

from gateway.client import Answer, By, CancelClient, Order, Outcome, ReadRefused, Unreachable, Wait
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

VENUE = "hashkey"
Another = Callable[..., Gateway]


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[CancelClient]:
    async with CancelClient(gateway.url, token_of("desk")) as made:
        yield made


@pytest.fixture
def another(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> Iterator[Another]:
    """Gateways of a test's own, which share a store and may be killed."""
    url = rested(valkey_session)
    secrets = put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    with ExitStack() as ends:

        def start(drain_lag_ms: int = 0, **venue: Any) -> Gateway:
            tree = tree_of(sandbox, url, secrets, **({"timeout_ms": 800} | venue))
            tree["server"] |= {"drain_lag_ms": drain_lag_ms}
            folder = tmp_path / f"gateway-{time.monotonic_ns()}"
            return ends.enter_context(serving(tree, folder, ends_well=False))

        yield start


def _nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


async def _order(rig: Rig, key: str | None = None, wait: Wait | None = None) -> Order:
    return Order(VENUE, (await rig.order(VENUE))["order_id"], By.ORDER_ID, key=key, wait=wait)


async def test_cancel_tells_the_outcome_and_the_same_key_replays(rig: Rig, client: CancelClient) -> None:
    order = await _order(rig, key="01ARZ3NDEKTSV4RRFFQ69G5FAV")

    first, again = await client.cancel(order), await client.cancel(order)

    assert (first.outcome, first.status, first.gone, first.final) == (Outcome.CANCELLED, 200, True, True)
    assert (again.outcome, again.record, again.said) == (first.outcome, first.record, first.said)
    assert await rig.cancels_of(VENUE, order.ref) == 1


async def test_cancel_makes_a_key_and_passes_deadline_lane_and_trace_on(rig: Rig, client: CancelClient) -> None:
    order = await _order(rig)

    answer = await client.cancel(order, timeout_s=3, urgent=True, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")

    line = rig.gateway.heard("cancel.done", ref=order.ref)
    assert (line["lane"], len(answer.key), answer.tries) == ("urgent", 26, 1)


async def test_refusals_are_values_and_are_not_repeated(rig: Rig, client: CancelClient) -> None:
    told = [
        await client.cancel(Order(VENUE, "no such thing!")),
        await client.cancel(Order("nowhere", "1")),
        await client.cancel(Order(VENUE, "1", By.ORDER_ID, account="nobody")),
    ]

    outcomes = [Outcome.INVALID_REQUEST, Outcome.UNKNOWN_VENUE, Outcome.UNKNOWN_ACCOUNT]
    assert [(each.outcome, each.tries) for each in told] == [(outcome, 1) for outcome in outcomes]
    async with CancelClient(rig.gateway.url, "nonsense") as stranger:
        assert (await stranger.cancel(Order(VENUE, "1"))).outcome is Outcome.UNAUTHENTICATED
        with pytest.raises(ReadRefused, match="unauthenticated"):
            await stranger.venues()


async def test_unknown_is_told_as_such_and_its_end_can_be_waited_for(rig: Rig, client: CancelClient) -> None:
    order = await _order(rig)
    await rig.venue(VENUE).fault("reset_after_read", endpoint="cancel")

    answer = await client.cancel(order)
    await rig.calm()

    assert (answer.outcome, answer.status, answer.gone, answer.tries) == (Outcome.UNKNOWN, 504, False, 1)
    assert answer.record is not None
    record = await client.until_final(answer.record, timeout_s=10)
    assert record is not None
    assert (record.outcome, record.final) == (Outcome.CANCELLED, True)


async def test_unknown_is_not_asked_for_again_by_itself(rig: Rig, client: CancelClient) -> None:
    order = await _order(rig)
    await rig.venue(VENUE).fault("html", endpoint="cancel", applied=False)

    answer = await client.cancel(order, timeout_s=2)

    assert (answer.outcome, answer.tries) == (Outcome.UNKNOWN, 1)


async def test_record_of_nobody_is_none(client: CancelClient) -> None:
    assert await client.record("01ARZ3NDEKTSV4RRFFQ69G5FAV.hashkey.desk-a") is None


async def test_venues_tell_what_is_free(client: CancelClient) -> None:
    states = {(state.venue, state.account): state for state in await client.venues()}

    state = states[VENUE, "desk-a"]
    assert (state.credential, state.degraded) == ("ok", False)
    assert (state.free["cancel"] or 0) > 0


async def test_many_are_answered_once_each_under_the_callers_own_numbers(rig: Rig, client: CancelClient) -> None:
    orders = [await _order(rig) for _ in range(5)]
    orders.insert(2, Order(VENUE, "no such thing!"))

    answers = {answer.index: answer async for answer in client.cancel_many(orders, timeout_s=5)}

    assert sorted(answers) == list(range(6))
    assert answers[2].outcome is Outcome.INVALID_REQUEST
    assert {answers[n].outcome for n in (0, 1, 3, 4, 5)} == {Outcome.CANCELLED}
    assert len({answer.key for answer in answers.values()}) == 6


async def test_kill_is_proven_or_not_called_so(rig: Rig) -> None:
    await rig.orders(VENUE, 3)
    async with CancelClient(rig.gateway.url, token_of("killer")) as killer:
        killed = await killer.kill(VENUE, account="desk-a")
        none = await killer.kill("b2trader")

    assert (killed.outcome, killed.proven, killed.open_after, killed.left) == (Outcome.CANCELLED, True, 0, ())
    assert (none.status, none.proven) == (501, False)


async def test_wait_that_the_gateway_tells_is_kept(rig: Rig, client: CancelClient) -> None:
    order = await _order(rig)
    await rig.venue(VENUE).fault("rate_limited", endpoint="cancel", retry_after="1", times=1)
    began = time.monotonic()

    answer = await client.cancel(order, timeout_s=8)

    assert (answer.outcome, answer.tries >= 2, await rig.cancels_of(VENUE, order.ref)) == (Outcome.CANCELLED, True, 1)
    assert 1.0 <= time.monotonic() - began < 8


async def test_wait_beyond_the_deadline_is_told_at_once(rig: Rig, another: Another) -> None:
    narrow = another(0, limits={"cancel": {"tokens": 5, "per_ms": 5000}}, batching=False, reserve=0)
    async with CancelClient(narrow.url, token_of("desk")) as client:
        began = time.monotonic()
        told = [await client.cancel(await _order(rig), timeout_s=1) for _ in range(7)]

    first, last = told[0], told[-1]
    assert first.outcome is Outcome.CANCELLED
    assert (last.outcome, last.status, last.tries) == (Outcome.OVER_DEADLINE, 429, 1)
    assert (last.retry_after_ms or 0) > 1000
    assert time.monotonic() - began < 2


async def test_next_address_is_asked_where_nobody_listens(rig: Rig, gateway: Gateway) -> None:
    async with CancelClient([_nobody(), gateway.url], token_of("desk")) as client:
        first, second = await client.cancel(await _order(rig)), await client.cancel(await _order(rig))
        states = await client.venues()

    assert (first.outcome, first.tries) == (Outcome.CANCELLED, 2)
    assert (second.outcome, second.tries) == (Outcome.CANCELLED, 1)
    assert states


async def test_nobody_there_at_all_is_provably_not_sent() -> None:
    async with CancelClient([_nobody(), _nobody()], token_of("desk")) as client:
        with pytest.raises(Unreachable):
            await client.cancel(Order(VENUE, "1"), timeout_s=0.3)
        with pytest.raises(Unreachable):
            _ = [answer async for answer in client.cancel_many([Order(VENUE, "1")], timeout_s=0.3)]
        with pytest.raises(Unreachable):
            await client.venues(timeout_s=0.3)


async def test_gateway_that_drains_hands_over_to_the_next(rig: Rig, another: Another) -> None:
    leaving, staying = another(1500), another()
    async with CancelClient([leaving.url, staying.url], token_of("desk")) as client:
        assert (await client.cancel(await _order(rig))).tries == 1
        leaving.process.send_signal(signal.SIGTERM)
        await _until_it_drains(leaving, rig)
        orders = [await _order(rig) for _ in range(3)]
        answer = await client.cancel(orders[0])
        many = [each async for each in client.cancel_many(orders[1:], timeout_s=5)]

    assert (answer.outcome, answer.tries) == (Outcome.CANCELLED, 2)
    assert {each.outcome for each in many} == {Outcome.CANCELLED}


async def _until_it_drains(gateway: Gateway, rig: Rig) -> None:
    async with asyncio.timeout(5):
        while True:
            async with rig.http.get(f"{gateway.admin_url}/readyz") as ready:
                if ready.status == 503:
                    return
            await asyncio.sleep(0.02)


async def _killed_mid_call(rig: Rig, urls: list[str], victim: Gateway, order: Order, timeout_s: float) -> Answer:
    """A cancel whose gateway dies as soon as the venue has the request."""
    met = await _met(rig)
    await rig.venue(VENUE).fault("latency", endpoint="cancel", ms=400)
    async with CancelClient(urls, token_of("desk")) as client:
        call = asyncio.create_task(client.cancel(order, timeout_s=timeout_s))
        await _until_met(rig, met + 1)
        victim.process.kill()
        return await call


async def _met(rig: Rig) -> int:
    return int((await rig.venue(VENUE).stats())["faults_hit"].get("latency", 0))


async def _until_met(rig: Rig, times: int) -> None:
    async with asyncio.timeout(5):
        while await _met(rig) < times:  # noqa: ASYNC110  it happens in the sandbox
            await asyncio.sleep(0.01)


async def test_gateway_killed_mid_call_leaves_unknown_and_never_a_refusal(rig: Rig, another: Another) -> None:
    victim = another()
    order = await _order(rig)

    answer = await _killed_mid_call(rig, [victim.url], victim, order, timeout_s=1)

    assert (answer.outcome, answer.status, answer.gone) == (Outcome.UNKNOWN, 0, False)
    assert answer.tries > 1


async def test_another_gateway_tells_what_became_of_the_one_that_was_killed(rig: Rig, another: Another) -> None:
    """The same key meets the record that the dead one left, and whoever has it finds out."""
    victim, other = another(), another()
    order = await _order(rig)

    answer = await _killed_mid_call(rig, [victim.url, other.url], victim, order, timeout_s=1)

    assert answer.outcome is Outcome.UNKNOWN
    assert answer.record is not None
    async with CancelClient(other.url, token_of("desk")) as client:
        record = await client.until_final(answer.record, timeout_s=12)
    assert record is not None
    assert record.outcome in {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED}
    assert await rig.cancels_of(VENUE, order.ref) == 1
    assert await rig.venue(VENUE).status_of(order.ref) == "cancelled"


async def test_many_go_on_at_another_gateway_where_the_first_dies(rig: Rig, another: Another) -> None:
    victim, other = another(), another()
    orders = [await _order(rig, wait=Wait.ACK) for _ in range(20)]
    async with CancelClient([victim.url, other.url], token_of("desk")) as client:
        told: list[Answer] = []
        async for answer in client.cancel_many(orders, timeout_s=2):
            told.append(answer)
            if len(told) == 1:
                victim.process.kill()

    assert sorted(answer.index for answer in told) == list(range(20))
    gone = [answer for answer in told if answer.gone]
    assert all([await rig.venue(VENUE).status_of(orders[answer.index].ref) == "cancelled" for answer in gone])
    assert {answer.outcome for answer in told} <= {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.UNKNOWN}
    assert gone
