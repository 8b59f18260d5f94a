"""Many orders in one request, from both sides: each caller is told of his own order, whatever became of the others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_process import Gateway, open_gates, serving, tree_of
from service_rig import Rig, Said, caller_session
from truth_rig import DID_NOTHING, GONE

from gateway.sandbox.server import Sandbox

BATCHING = ("orderly", "hashkey", "loopring")
FEW = {"orderly": 4, "hashkey": 5, "loopring": 4}
ORDERS = 16


@pytest.fixture(scope="module")
def gateway(
    sandbox: Sandbox, redis_url: str, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """So few single cancels that the others go together."""
    tree = tree_of(sandbox, redis_url, secrets, timeout_ms=300, reserve=0)
    for venue, tokens in FEW.items():
        tree["venues"][venue]["limits"]["cancel"] = {"tokens": tokens, "per_ms": 500}
    with serving(tree, tmp_path_factory.mktemp("few")) as started:
        yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox, redis_url: str) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()
        open_gates(redis_url)


async def _together(rig: Rig, venue: str, fault: dict[str, object]) -> list[tuple[Said, str, int]]:
    """Cancels at once, with what each was told, the order's status, and how often it was asked for."""
    orders = await rig.orders(venue, ORDERS)
    for name in _batches(venue):
        faults = [fault | {"endpoint": name, "times": 1}]
        assert "error" not in await rig.venue(venue).control("POST", "faults", {"faults": faults})
    said = await asyncio.gather(*(rig.desk().cancel(venue, order["order_id"]) for order in orders))
    return [(each, await rig.venue(venue).status_of(o["order_id"]), await rig.cancels_of(venue, o["order_id"]))
            for each, o in zip(said, orders, strict=True)]  # fmt: skip


def _batches(venue: str) -> tuple[str, ...]:
    return {"orderly": ("batch_by_id",), "hashkey": ("batch",), "loopring": ("batch_by_hash",)}[venue]


def _check(venue: str, cancels: list[tuple[Said, str, int]]) -> None:
    for said, status, asked in cancels:
        if said.outcome in GONE:
            assert status == "cancelled", (venue, said)
        if said.outcome in DID_NOTHING:
            assert status == "open", (venue, said)
        assert asked <= max(1, said.json["attempts"]), (venue, said, asked)
    assert any(said.json["batch"] > 1 for said, _, _ in cancels), venue


async def _at_all(rig: Rig, fault: dict[str, object]) -> dict[str, list[tuple[Said, str, int]]]:
    found = await asyncio.gather(*(_together(rig, venue, fault) for venue in BATCHING))
    seen: dict[str, Any] = dict(zip(BATCHING, found, strict=True))
    for venue, cancels in seen.items():
        _check(venue, cancels)
    return seen


async def test_a_batch_that_succeeds_in_part_tells_each_of_his_own_order(rig: Rig) -> None:
    for venue, cancels in (await _at_all(rig, {"kind": "partial_batch", "fail_ids": 2})).items():
        told = Counter(said.outcome for said, _, _ in cancels)
        assert told["accepted"] + told["cancelled"] >= ORDERS - 4, (venue, told)


async def test_an_order_that_a_batch_says_nothing_of_is_read_back_and_asked_for_again(rig: Rig) -> None:
    """Loopring alone tells of each order; who is left out of its answer was not cancelled by it, or was."""
    venue = rig.venue("loopring")
    read = (await venue.stats())["requests"].get("read_one", 0)

    cancels = await _together(rig, "loopring", {"kind": "partial_batch", "fail_ids": 3, "silent": True})

    _check("loopring", cancels)
    assert [status for _, status, _ in cancels] == ["cancelled"] * ORDERS
    again = [said for said, _, _ in cancels if said.json["attempts"] == 2]
    assert len(again) == 3
    assert {said.outcome for said in again} <= {"cancelled", "accepted"}
    assert (await venue.stats())["requests"]["read_one"] - read >= 3


@pytest.mark.parametrize("kind", ["server_error", "reset_after_read", "malformed"])
async def test_a_batch_that_fails_as_a_whole_is_unknown_for_all_in_it_and_each_is_read_back(
    rig: Rig, kind: str
) -> None:
    for venue, cancels in (await _at_all(rig, {"kind": kind})).items():
        unknown = [said for said, _, _ in cancels if said.outcome == "unknown"]
        assert len(unknown) > 1, venue
        for said in unknown:
            status = await rig.venue(venue).status_of(said.json["ref"])
            await _recorded(rig, said, "cancelled" if status == "cancelled" else "unknown")


async def _recorded(rig: Rig, said: Said, outcome: str) -> None:
    """The record tells it, at the latest when the venue's query limit has let somebody look."""
    async with asyncio.timeout(5):
        while (await rig.desk().call("GET", said.json["record"])).json["outcome"] != outcome:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_batch_that_is_refused_for_its_rate_is_told_so_to_all_in_it(rig: Rig) -> None:
    for venue, cancels in (await _at_all(rig, {"kind": "rate_limited", "retry_after": "1"})).items():
        refused = [said for said, status, _ in cancels if said.outcome == "venue_limited" and status == "open"]
        assert len(refused) > 1, venue
