"""Idempotency-Key, and equal requests at once: one venue request, one truth. The service is a process."""

import asyncio

import pytest
from service_rig import Rig

KEYS = ("k-1", "!" * 255, "a b".replace(" ", "~"), "{}[]()<>?;:,/\\|`'^")


@pytest.mark.parametrize("venue", ["orderly", "hashkey", "etna"])
async def test_replay_of_a_key_repeats_the_answer_and_asks_the_venue_nothing(rig: Rig, venue: str) -> None:
    order = await rig.order(venue)
    key = {"Idempotency-Key": f"replay-{order['order_id']}"}
    first = await rig.desk().cancel(venue, order["order_id"], key)
    asked = await rig.asked(venue)

    again = await rig.desk().cancel(venue, order["order_id"], key | {"X-Request-ID": "second"})

    assert (again.status, again.body) == (first.status, first.body)
    assert (again.headers.get("Location"), again.headers["X-Request-ID"]) == (first.headers.get("Location"), "second")
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert (first.headers.get("Idempotency-Replayed"), again.headers.get("Idempotency-Replayed")) == (None, "true")
    assert await rig.asked(venue) == asked


async def test_replay_of_a_problem_repeats_it(rig: Rig) -> None:
    key = {"Idempotency-Key": "replay-missing"}
    first = await rig.desk().cancel("etna", "77", key)
    asked = await rig.asked("etna")

    again = await rig.desk().cancel("etna", "77", key)

    assert (first.status, again.status, again.body) == (404, 404, first.body)
    assert again.headers["Content-Type"] == "application/problem+json"
    assert await rig.asked("etna") == asked


async def test_key_with_and_without_quotes_is_the_same_key(rig: Rig) -> None:
    order = await rig.order("b2trader")
    await rig.desk().cancel("b2trader", order["order_id"], {"Idempotency-Key": "quoted-1"})

    again = await rig.desk().cancel("b2trader", order["order_id"], {"Idempotency-Key": '"quoted-1"'})

    assert again.headers.get("Idempotency-Replayed") == "true"


@pytest.mark.parametrize("key", KEYS)
async def test_any_visible_ascii_is_a_key(rig: Rig, key: str) -> None:
    order = await rig.order("b2trader")

    said = await rig.desk().cancel("b2trader", order["order_id"], {"Idempotency-Key": key})

    assert said.outcome == "cancelled"


@pytest.mark.parametrize("key", ["", '"', '""', "a" * 256, "two words", "caf\u00e9", '"open', 'shut"', "\t"])
async def test_bad_key_is_refused_and_nothing_is_sent(rig: Rig, key: str) -> None:
    order = await rig.order("b2trader")
    asked = await rig.asked("b2trader")

    said = await rig.desk().cancel("b2trader", order["order_id"], {"Idempotency-Key": key})

    assert (said.status, said.outcome) == (400, "invalid_request")
    assert "Idempotency-Key" in said.json["detail"]
    assert await rig.asked("b2trader") == asked


@pytest.mark.parametrize("changed", ["ref", "by", "account", "symbol"])
async def test_key_with_another_request_is_refused(rig: Rig, changed: str) -> None:
    order, other = await rig.orders("orderly", 2)
    key = {"Idempotency-Key": f"reused-{order['order_id']}"}
    await rig.desk().cancel("orderly", order["order_id"], key)
    asked = await rig.asked("orderly")
    query = {"by": {"by": "client_id"}, "account": {"account": "desk-b"}, "symbol": {"symbol": "PERP_BTC_USDC"}}
    ref = other["order_id"] if changed == "ref" else order["order_id"]

    said = await rig.desk().cancel("orderly", ref, key, **query.get(changed, {}))

    assert (said.status, said.outcome) == (422, "key_reused")
    assert said.headers["Content-Type"] == "application/problem+json"
    assert await rig.asked("orderly") == asked


async def test_key_belongs_to_its_caller_alone(rig: Rig) -> None:
    first, second = await rig.orders("b2trader", 2)
    key = {"Idempotency-Key": "shared-name"}
    await rig.desk().cancel("b2trader", first["order_id"], key)

    said = await rig.desk("other").cancel("b2trader", second["order_id"], key)

    assert (said.status, said.outcome) == (200, "cancelled")


@pytest.mark.parametrize("keys", [(None, None), ("twin", "twin"), ("left", "right")], ids=["none", "same", "two"])
async def test_equal_requests_at_once_ask_the_venue_once(rig: Rig, keys: tuple[str | None, str | None]) -> None:
    order = await rig.order("hashkey")
    await rig.venue("hashkey").fault("latency", ms=150, endpoint="cancel")
    headers = [{"Idempotency-Key": f"{key}-{order['order_id']}"} if key else {} for key in keys]

    said = await asyncio.gather(*(rig.desk().cancel("hashkey", order["order_id"], each) for each in headers))

    assert [each.outcome for each in said] == ["cancelled", "cancelled"]
    assert said[0].body == said[1].body
    assert await rig.cancels_of("hashkey", order["order_id"]) == 1


async def test_hundred_equal_requests_at_once_ask_the_venue_once(rig: Rig) -> None:
    order = await rig.order("orderly")
    await rig.venue("orderly").fault("latency", ms=100, endpoint="cancel")

    said = await asyncio.gather(*(rig.desk().cancel("orderly", order["order_id"]) for _ in range(100)))

    assert {(each.status, each.outcome) for each in said} == {(202, "accepted")}
    assert len({each.json["record"] for each in said}) == 1
    assert await rig.cancels_of("orderly", order["order_id"]) == 1


async def test_follower_whose_deadline_comes_first_is_told_so(rig: Rig) -> None:
    order = await rig.order("hashkey")
    await rig.venue("hashkey").fault("latency", ms=400, endpoint="cancel")
    leading = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"]))
    await asyncio.sleep(0.1)

    said = await rig.desk().cancel("hashkey", order["order_id"], {"X-Request-Timeout-Ms": "100"})

    assert (said.status, said.outcome) == (409, "in_progress")
    assert said.json["retry_after_ms"] > 0
    assert said.took_s < 0.25
    assert (await leading).outcome == "cancelled"
    assert await rig.cancels_of("hashkey", order["order_id"]) == 1


async def test_caller_whose_deadline_comes_first_is_told_unknown_and_the_record_learns_the_truth(rig: Rig) -> None:
    order = await rig.order("hashkey")
    await rig.venue("hashkey").fault("latency", ms=300, endpoint="cancel")
    key = {"Idempotency-Key": f"early-{order['order_id']}"}

    early = await rig.desk().cancel("hashkey", order["order_id"], key | {"X-Request-Timeout-Ms": "100"})
    late = await rig.desk().cancel("hashkey", order["order_id"], key)

    assert (early.status, early.outcome) == (504, "unknown")
    assert early.took_s < 0.25
    assert (late.status, late.outcome) == (200, "cancelled")
    record = await rig.desk().call("GET", early.json["record"])
    assert (record.json["state"], record.json["outcome"]) == ("terminal", "cancelled")
    assert await rig.cancels_of("hashkey", order["order_id"]) == 1


async def test_caller_that_hangs_up_stops_nothing(rig: Rig) -> None:
    order = await rig.order("hashkey")
    await rig.venue("hashkey").fault("latency", ms=200, endpoint="cancel")
    leaving = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"], {"X-Request-ID": "hung-up"}))
    await asyncio.sleep(0.1)

    leaving.cancel()

    await asyncio.gather(leaving, return_exceptions=True)
    line = await asyncio.to_thread(rig.gateway.heard, "cancel.done", request_id="hung-up")
    assert (line["outcome"], line["status"]) == ("cancelled", 200)
    assert await rig.cancels_of("hashkey", order["order_id"]) == 1
