"""What a caller gets for a cancel: outcome, status, members, headers, record, plan. The service is a process."""

from typing import Any

import pytest
from service_rig import ACKNOWLEDGING, READABLE, Rig, Said

from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS

MEMBERS = {
    "outcome", "final", "venue", "account", "ref", "by", "order_id", "client_id", "venue_status", "filled", "remaining",
    "record", "request_id", "attempts", "batch", "waited_ms", "venue_ms", "degraded",
}  # fmt: skip
PROBLEM = {"type", "title", "status", "detail", "instance"}
HINTS = {"retry_after_ms", "earliest_at", "venue_code", "venue_message"}
RECORD = {
    "id", "state", "outcome", "final", "venue", "account", "ref", "by", "symbol", "caller", "request_id", "created_at",
    "sent_at", "settled_at", "attempts", "steps", "answer",
}  # fmt: skip
BOTH_IDS = [(venue, "order_id") for venue in VENUE_IDS] + [
    (venue, "client_id") for venue in ("orderly", "hashkey", "loopring")
]
OPEN_FIELDS = {"account_id", "username"}
MISSING_REF = {
    "orderly": "424242",
    "hashkey": "424242",
    "loopring": "0x" + "0" * 63 + "1",
    "etna": "424242",
    "b2trader": "0" * 26,
}


def problem_of(said: Said) -> dict[str, Any]:
    """The members of an answer that is no success, checked."""
    told: dict[str, Any] = said.json
    assert said.headers["Content-Type"] == "application/problem+json"
    assert set(told) - HINTS == MEMBERS | PROBLEM
    assert (told["type"], told["status"]) == (f"urn:cancel-gateway:{told['outcome']}", said.status)
    assert told["request_id"] == said.headers["X-Request-ID"]
    return told


@pytest.mark.parametrize(("venue", "by"), BOTH_IDS)
async def test_open_order_is_cancelled_by_either_id(rig: Rig, venue: str, by: str) -> None:
    order = await rig.order(venue)

    said = await rig.desk().cancel(venue, order[by], by=by)

    expected = (202, "accepted") if venue in ACKNOWLEDGING else (200, "cancelled")
    told = said.json
    assert (said.status, said.outcome, told["final"]) == (*expected, expected[0] == 200)
    assert (said.headers["Content-Type"], set(told)) == ("application/json", MEMBERS)
    assert (told["venue"], told["account"], told["ref"], told["by"]) == (venue, "desk-a", order[by], by)
    assert told[by] == order[by]
    assert (told["attempts"], told["batch"], told["degraded"]) == (1, 1, False)
    assert isinstance(told["waited_ms"], float)
    assert told["venue_ms"] > 0
    assert said.headers.get("Location") == (told["record"] if said.status == 202 else None)
    assert await rig.venue(venue).status_of(order["order_id"]) == "cancelled"
    assert await rig.cancels_of(venue, order["order_id"]) == 1


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_order_that_does_not_exist_is_not_found_and_never_cancelled(rig: Rig, venue: str) -> None:
    said = await rig.desk().cancel(venue, MISSING_REF[venue])

    assert (said.status, problem_of(said)["outcome"]) == (404, "not_found")


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_second_cancel_of_the_same_order_says_that_it_was_gone_before(rig: Rig, venue: str) -> None:
    order = await rig.order(venue)
    await rig.desk().cancel(venue, order["order_id"])

    said = await rig.desk().cancel(venue, order["order_id"])

    assert (said.status, said.outcome) == (200, "already_cancelled")


@pytest.mark.parametrize("venue", sorted(READABLE))
async def test_filled_order_is_too_late_and_tells_the_amounts(rig: Rig, venue: str) -> None:
    order = await rig.order(venue, status="filled", quantity="3")

    said = await rig.desk().cancel(venue, order["order_id"])

    told = problem_of(said)
    assert (said.status, told["outcome"]) == (409, "too_late_filled")
    # HashKey's refusal names no amounts, and Loopring counts in the token's smallest unit.
    if venue in {"orderly", "etna"}:
        assert (told["filled"], told["remaining"]) == ("3", "0")


@pytest.mark.parametrize("venue", sorted(READABLE))
async def test_expired_order_is_closed(rig: Rig, venue: str) -> None:
    order = await rig.order(venue, status="expired")

    said = await rig.desk().cancel(venue, order["order_id"])

    # HashKey and Orderly have no word for it but the one for a cancelled order.
    assert (said.status, said.outcome) in {(409, "closed"), (200, "already_cancelled")}
    assert said.outcome != "cancelled"


@pytest.mark.parametrize("venue", sorted(READABLE))
async def test_waiting_for_the_end_reads_until_the_order_is_gone(rig: Rig, venue: str) -> None:
    order = await rig.order(venue)
    await rig.venue(venue).fault("delayed_state", ms=150)

    said = await rig.desk().cancel(venue, order["order_id"], wait="terminal")

    assert (said.status, said.outcome, said.json["final"]) == (200, "cancelled", True)
    assert said.took_s >= 0.14
    assert await rig.cancels_of(venue, order["order_id"]) == 1


@pytest.mark.parametrize("venue", sorted(READABLE))
async def test_waiting_for_the_end_never_outlasts_the_deadline(rig: Rig, venue: str) -> None:
    order = await rig.order(venue)
    await rig.venue(venue).fault("delayed_state", ms=10_000)

    said = await rig.desk().cancel(venue, order["order_id"], {"X-Request-Timeout-Ms": "250"}, wait="terminal")

    assert (said.status, said.outcome) == (202, "accepted")
    assert said.took_s < 0.4


@pytest.mark.parametrize("venue", VENUE_IDS)
async def test_order_that_fills_before_the_cancel_is_never_called_cancelled(rig: Rig, venue: str) -> None:
    order = await rig.order(venue)
    await rig.venue(venue).fault("fill_before_cancel")

    said = await rig.desk().cancel(venue, order["order_id"], wait="terminal")

    assert await rig.venue(venue).status_of(order["order_id"]) == "filled"
    expected = {(504, "unknown"), (409, "too_late_filled")} if venue == "b2trader" else {(409, "too_late_filled")}
    assert (said.status, said.outcome) in expected


@pytest.mark.parametrize("sent", ["trace-1", "a" * 128, "A.b:c/d=e+f~g_h-i"])
async def test_good_request_id_comes_back(rig: Rig, sent: str) -> None:
    said = await rig.desk().cancel("b2trader", MISSING_REF["b2trader"], {"X-Request-ID": sent})

    assert (said.headers["X-Request-ID"], said.json["request_id"]) == (sent, sent)


@pytest.mark.parametrize("sent", ["", "two words", "a" * 129, "<script>", "caf\u00e9", '"quoted"', "a,b"])
async def test_bad_request_id_is_replaced(rig: Rig, sent: str) -> None:
    said = await rig.desk().cancel("b2trader", MISSING_REF["b2trader"], {"X-Request-ID": sent})

    given = said.headers["X-Request-ID"]
    assert given
    assert given != sent
    assert (said.json["request_id"], said.status) == (given, 404)


async def test_record_is_shown_to_its_caller_and_the_admin_alone(rig: Rig) -> None:
    order = await rig.order("hashkey")
    answer = (await rig.desk().cancel("hashkey", order["order_id"])).json

    own, others, admins = [await rig.desk(name).call("GET", answer["record"]) for name in ("desk", "other", "chief")]

    assert (own.status, others.status, admins.status) == (200, 404, 200)
    assert own.body == admins.body
    assert set(own.json) == RECORD
    assert own.json | {"sent_at": "", "created_at": "", "settled_at": ""} == own.json | {
        "id": answer["record"].removeprefix("/cancels/"),
        "state": "terminal",
        "outcome": "cancelled",
        "final": True,
        "caller": "desk",
        "attempts": 1,
        "answer": answer,
        "sent_at": "",
        "created_at": "",
        "settled_at": "",
    }
    assert own.json["created_at"] <= own.json["sent_at"] <= own.json["settled_at"]
    assert set(others.json) - HINTS == MEMBERS | PROBLEM


async def test_location_of_an_accepted_cancel_leads_to_its_record(rig: Rig) -> None:
    order = await rig.order("orderly")
    said = await rig.desk().cancel("orderly", order["order_id"])

    record = await rig.desk().call("GET", said.headers["Location"])

    assert (record.status, record.json["state"], record.json["symbol"]) == (200, "acknowledged", order["symbol"])


@pytest.mark.parametrize(
    "record",
    [
        "x", "0" * 26, "0" * 26 + ".orderly.desk-a", "0" * 26 + ".nowhere.desk-a", "0" * 26 + ".orderly.", "%00",
        "0" * 26 + ".orderly.%2e%2e", "..%2fvenues", "a" * 5000, "\u20ac".encode().hex(), "%ff", "*", "{x}",
    ],
)  # fmt: skip
async def test_record_that_is_none_is_not_found(rig: Rig, record: str) -> None:
    said = await rig.desk().call("GET", f"/cancels/{record}")

    assert (said.status, "orderly" in said.json["title"]) == (404, False)
    assert said.outcome == "not_found" or "%2f" in record or "{" in record  # these fit no route


@pytest.mark.parametrize(("venue", "by"), BOTH_IDS)
async def test_plan_shows_the_request_without_secrets_and_sends_nothing(rig: Rig, venue: str, by: str) -> None:
    order = await rig.order(venue)
    claims = await rig.count('redis_seconds_count{operation="claim"')

    said = await rig.desk().cancel(venue, order[by], by=by, plan="true")

    told = said.json
    assert (said.status, told["plan"], told["would"], told["by"]) == (200, True, "send", by)
    assert told["request"]["method"] == "DELETE"
    assert told["request"]["url"].startswith(rig.sandbox.venues[venue].base_url)
    assert order[by] in told["request"]["url"]
    assert set(told["slot"]) == {"wait_ms", "earliest_at", "free"}
    secrets = {value for name, value in DEFAULT_CREDENTIALS[venue]["desk-a"].items() if name not in OPEN_FIELDS}
    assert not [value for value in secrets if value in said.body.decode()]
    hidden = {name.lower() for name, value in told["request"]["headers"].items() if value != "[redacted]"}
    assert hidden <= {"accept", "content-type", "orderly-timestamp", "orderly-account-id", "accountid"}
    assert "signature=" not in told["request"]["url"].replace("signature=[redacted]", "")
    assert await rig.cancels_of(venue, order["order_id"]) == 0
    assert await rig.count('redis_seconds_count{operation="claim"') == claims
    assert await rig.venue(venue).status_of(order["order_id"]) == "open"


async def test_plan_needs_the_same_permission_as_the_cancel(rig: Rig) -> None:
    said = await rig.desk("reader").cancel("etna", "1", plan="true")

    assert (said.status, problem_of(said)["outcome"]) == (403, "forbidden")


async def test_venues_are_those_that_the_caller_may_use(rig: Rig) -> None:
    said = await rig.desk().call("GET", "/venues")

    states = said.json["venues"]
    pairs = {(venue, account) for venue in VENUE_IDS for account in ("desk-a", "desk-b")}
    assert (said.status, {(state["venue"], state["account"]) for state in states}) == (200, pairs)
    members = {"venue", "account", "default", "limits", "reserve", "queue", "credential", "degraded"}
    assert all(members <= set(state) for state in states)
    assert {state["credential"] for state in states} == {"ok"}
    assert all(limit["free"] is not None for state in states for limit in state["limits"].values())


async def test_account_in_the_query_is_the_one_that_signs(rig: Rig) -> None:
    order = await rig.order("etna", account="desk-b")

    wrong = await rig.desk().cancel("etna", order["order_id"])
    right = await rig.desk().cancel("etna", order["order_id"], account="desk-b")

    assert wrong.outcome == "not_found"
    assert (right.outcome, right.json["account"]) == ("accepted", "desk-b")


async def test_unknown_account_and_venue_are_told_apart(rig: Rig) -> None:
    before = await rig.asked("etna")

    account = await rig.desk().cancel("etna", "1", account="desk-z")
    venue = await rig.desk().cancel("nowhere", "1")

    assert (account.status, problem_of(account)["outcome"]) == (404, "unknown_account")
    assert (venue.status, problem_of(venue)["outcome"]) == (404, "unknown_venue")
    assert await rig.asked("etna") == before
