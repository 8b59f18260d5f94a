"""Deadlines, limits and lanes as a caller meets them, on a gateway with few slots. The service is a process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from real_valkey import Server
from service_process import Gateway, put_secrets, rested, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

WINDOW_S = 30.0
NOW_S = 0.1  # "at once"


@pytest.fixture(scope="module")
def tight(sandbox: Sandbox, valkey_session: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Three slots in half a minute at each venue, one of them for what is urgent; a venue is used up by one test."""
    folder = tmp_path_factory.mktemp("tight")
    secrets = put_secrets(folder / "secrets", DEFAULT_CREDENTIALS)
    tree = tree_of(sandbox, rested(valkey_session), secrets, reserve=1)
    for venue in ("b2trader", "etna", "orderly"):
        tree["venues"][venue]["limits"]["cancel"] = {"tokens": 3, "per_ms": int(WINDOW_S * 1000)}
    with serving(tree, folder) as started:
        yield started


@pytest.fixture
async def few(tight: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(tight, sandbox, http)
        yield rig
        await rig.calm()


async def test_used_up_limit_is_told_at_once_and_the_reserve_is_for_the_urgent(few: Rig) -> None:
    orders = await few.orders("b2trader", 5)
    urgent = {"Priority": "u=1"}
    used = [await few.desk().cancel("b2trader", order["order_id"]) for order in orders[:2]]
    asked = await few.asked("b2trader")

    refused = await few.desk().cancel("b2trader", orders[2]["order_id"], {"Idempotency-Key": "again"})
    plan = await few.desk().cancel("b2trader", orders[2]["order_id"], plan="true")
    asked_then = await few.asked("b2trader")
    saved = await few.desk().cancel("b2trader", orders[3]["order_id"], urgent)
    none_left = await few.desk().cancel("b2trader", orders[4]["order_id"], urgent)

    assert [said.outcome for said in used] == ["cancelled", "cancelled"]
    assert (refused.status, refused.outcome, refused.took_s < NOW_S) == (429, "over_deadline", True)
    assert asked_then == asked
    assert (plan.status, plan.json["would"]) == (200, "over_deadline")
    assert plan.json["slot"]["wait_ms"] > 20_000
    assert (saved.status, saved.outcome) == (200, "cancelled")
    assert (none_left.status, none_left.outcome, none_left.took_s < NOW_S) == (429, "over_deadline", True)
    assert await few.asked("b2trader") == asked + 1
    _check_hint(refused.headers["Retry-After"], refused.json)


def _check_hint(retry_after: str, told: dict[str, str | int]) -> None:
    left_ms = int(told["retry_after_ms"])
    assert 20_000 < left_ms <= WINDOW_S * 1000 + 100
    assert int(retry_after) == -(-left_ms // 1000)
    earliest = datetime.fromisoformat(str(told["earliest_at"]))
    assert abs(earliest - datetime.now(UTC) - timedelta(milliseconds=left_ms)) < timedelta(seconds=2)
    assert told["attempts"] == 0
    assert told["record"] is None


async def test_refusal_for_want_of_a_slot_is_not_stored_under_its_key(few: Rig) -> None:
    orders = await few.orders("etna", 3)
    key = {"Idempotency-Key": "not-stored"}
    for order in orders[:2]:
        await few.desk().cancel("etna", order["order_id"])
    refused = await few.desk().cancel("etna", orders[2]["order_id"], key)

    sent = await few.desk().cancel("etna", orders[2]["order_id"], key | {"Priority": "u=0"})

    assert (refused.outcome, sent.outcome) == ("over_deadline", "accepted")
    assert "Idempotency-Replayed" not in sent.headers


async def test_hundred_callers_are_told_at_once_that_their_deadline_is_too_near(few: Rig) -> None:
    orders = await few.orders("orderly", 100)
    for order in orders[:2]:
        await few.desk().cancel("orderly", order["order_id"])

    said = await asyncio.gather(*(few.desk().cancel("orderly", order["order_id"]) for order in orders[2:]))

    assert {(each.status, each.outcome) for each in said} == {(429, "over_deadline")}
    assert max(each.took_s for each in said) < 1.0


@pytest.mark.parametrize("stated", ["0", "60001", "-1", "1.5", "abc", "", "1e3", " ", "\u0661", "9" * 30])
async def test_bad_deadline_is_refused(rig: Rig, stated: str) -> None:
    asked = await rig.asked("b2trader")

    said = await rig.desk().cancel("b2trader", "1", {"X-Request-Timeout-Ms": stated})

    assert (said.status, said.outcome) == (400, "invalid_request")
    assert "X-Request-Timeout-Ms" in said.json["detail"]
    assert await rig.asked("b2trader") == asked


async def test_longest_deadline_is_taken(rig: Rig) -> None:
    order = await rig.order("b2trader")

    said = await rig.desk().cancel("b2trader", order["order_id"], {"X-Request-Timeout-Ms": "60000"})

    assert said.outcome == "cancelled"


async def test_shortest_deadline_is_answered_with_what_is_true(rig: Rig) -> None:
    orders = await rig.orders("b2trader", 20)

    said = [await rig.desk().cancel("b2trader", order["order_id"], {"X-Request-Timeout-Ms": "1"}) for order in orders]

    for order, each in zip(orders, said, strict=True):
        assert each.outcome in {"cancelled", "unknown", "over_deadline"}
        if each.outcome == "over_deadline":
            assert await rig.cancels_of("b2trader", order["order_id"]) == 0


@pytest.mark.parametrize(
    ("stated", "lane"),
    [
        ("u=0", "urgent"), ("u=2", "urgent"), ("u=3", "normal"), ("u=7", "normal"), ("i, u=1", "urgent"),
        ("u=1;x, i", "urgent"), ("", "normal"), ("u=9", "normal"), ("urgent", "normal"), ("u=-1", "normal"),
        ("u=1u=1", "normal"), ("\u00fc=1", "normal"),
    ],
)  # fmt: skip
async def test_priority_chooses_the_lane_and_what_cannot_be_read_is_ignored(rig: Rig, stated: str, lane: str) -> None:
    said = await rig.desk().cancel("etna", "1", {"Priority": stated}, plan="true")

    assert (said.status, said.json["lane"]) == (200, lane)
