"""Many who want the same: one request to the venue, and a bounded cost for each who follows. Real processes."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from service_process import Gateway, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.server import Sandbox

FULL = os.environ.get("CANCEL_GATEWAY_TRUTH") == "full"
PAIRS, TOGETHER = (1000, 50) if FULL else (200, 50)
CALLERS, COMMANDS_EACH = 1000, 5
PATIENCE = {"X-Request-Timeout-Ms": "30000"}


@pytest.fixture(scope="module")
def two(
    sandbox: Sandbox, redis_url: str, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Gateway]]:
    tree, folder = tree_of(sandbox, redis_url, secrets), tmp_path_factory.mktemp("crowds")
    with serving(tree, folder / "one") as one, serving(tree, folder / "other") as other:
        yield one, other


@asynccontextmanager
async def _seen(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


async def test_pairs_of_equal_keys_on_two_replicas_are_one_venue_request_each(
    two: tuple[Gateway, Gateway], sandbox: Sandbox
) -> None:
    async with _seen(two[0], sandbox) as rig, _seen(two[1], sandbox) as beside:
        orders = [order["order_id"] for order in await rig.orders("hashkey", PAIRS)]
        told: Counter[tuple[str, ...]] = Counter()
        for start in range(0, PAIRS, TOGETHER):
            await asyncio.gather(*(_pair(rig, beside, order, told) for order in orders[start : start + TOGETHER]))
        by_order = (await rig.venue("hashkey").stats())["cancels_by_order"]

    assert Counter(by_order.get(order, 0) for order in orders) == {1: PAIRS}
    # On a slow machine some go in batches, which this venue only acknowledges.
    assert told.keys() <= {("cancelled",), ("accepted",)}
    assert told.total() == PAIRS


async def _pair(rig: Rig, beside: Rig, order: str, told: Counter[tuple[str, ...]]) -> None:
    headers = PATIENCE | {"Idempotency-Key": f"pair-{order}"}
    said = await asyncio.gather(*(each.desk().cancel("hashkey", order, headers) for each in (rig, beside)))
    assert said[0].json["record"] == said[1].json["record"]
    told[tuple(sorted({each.outcome for each in said}))] += 1


@pytest.mark.parametrize("spread", [False, True], ids=["one-replica", "two-replicas"])
async def test_a_thousand_callers_of_one_order_are_one_venue_request_and_five_redis_commands_each_at_most(
    two: tuple[Gateway, Gateway],
    sandbox: Sandbox,
    spread: bool,  # noqa: FBT001
) -> None:
    async with _seen(two[0], sandbox) as rig, _seen(two[1], sandbox) as beside:
        order = (await rig.order("hashkey"))["order_id"]
        await rig.venue("hashkey").fault("latency", ms=1500, endpoint="cancel", times=1)
        before = await _commands(rig) + await _commands(beside)
        said = await asyncio.gather(
            *(
                (beside if spread and number % 2 else rig).desk().cancel("hashkey", order, PATIENCE)
                for number in range(CALLERS)
            )
        )
        spent = await _commands(rig) + await _commands(beside) - before
        asked = await rig.cancels_of("hashkey", order)

    # Who came after the end is told that the order was gone already, which costs nothing either.
    assert {each.outcome for each in said} <= {"cancelled", "already_cancelled"}
    assert asked == 1
    assert spent <= COMMANDS_EACH * CALLERS


async def _commands(rig: Rig) -> float:
    """What the process asked of Redis so far, whatever for."""
    figures = await rig.metrics()
    return sum(value for name, value in figures.items() if name.startswith("cancel_gateway_redis_seconds_count"))
