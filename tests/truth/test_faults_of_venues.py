"""What a venue can do to a cancel, row by row, from both sides: what the caller was told, and what the venue saw.

The service is a process, the venues are the sandbox, and the truth is their book. Each row is played at every venue
where it can happen.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from service_rig import ACKNOWLEDGING, READABLE, Rig
from truth_rig import GONE, Sides, again, both_sides, check_true, record_of

from gateway.sandbox.config import VENUE_IDS

SHORT, LONG = {"X-Request-Timeout-Ms": "1500"}, {"X-Request-Timeout-Ms": "2500"}
UNKNOWN = (504, "unknown")
SAYS_AMOUNTS = frozenset({"orderly", "etna"})  # the others say that the order is filled, and no more


async def _everywhere(row: Callable[[str], Awaitable[None]]) -> None:
    await asyncio.gather(*map(row, VENUE_IDS))


def _sent_as_often_as_told(venue: str, sides: Sides) -> None:
    """Where orders can't be read a look is a repeated cancel, and what other rows left open is looked at meanwhile."""
    if venue in READABLE:
        assert sides.requests == sides.told.json["attempts"], (venue, sides)


async def _unknown_and_found_out(rig: Rig, venue: str, fault: dict[str, object], *, took_effect: bool) -> None:
    """Told unknown, sent once; and the record learns the truth by a look, without another send where it can be read."""
    sides = await both_sides(rig, venue, fault)

    assert sides.said == UNKNOWN, (venue, sides)
    assert (sides.status == "cancelled") == took_effect, (venue, sides)
    record = await record_of(rig, sides)
    status = await rig.venue(venue).status_of(sides.order_id)
    if record["outcome"] in GONE:
        assert status == "cancelled", (venue, record)
    if venue in READABLE:
        expected = ("terminal", "cancelled") if took_effect else ("unknown", "unknown")
        assert (record["state"], record["outcome"]) == expected, (venue, record)
        assert await rig.cancels_of(venue, sides.order_id) <= 1, venue


# -- no answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("took_effect", [False, True])
async def test_timeout_before_headers_is_unknown_until_the_order_is_read_back(rig: Rig, took_effect: bool) -> None:  # noqa: FBT001
    async def row(venue: str) -> None:
        await _unknown_and_found_out(rig, venue, {"kind": "hang", "applied": took_effect}, took_effect=took_effect)

    await _everywhere(row)


@pytest.mark.parametrize(
    ("kind", "took_effect"),
    [("reset_before_read", False), ("reset_after_read", True), ("reset_after_read_untouched", False)],
)
async def test_reset_after_send_is_one_request_for_one_slot_and_unknown(
    rig: Rig,
    kind: str,
    took_effect: bool,  # noqa: FBT001
) -> None:
    async def row(venue: str) -> None:
        met = await _met(rig, venue, kind)
        sides = await both_sides(rig, venue, {"kind": kind})

        assert sides.said == UNKNOWN, (venue, sides)
        assert sides.told.json["attempts"] == 1, venue
        if venue in READABLE:  # elsewhere what earlier rows left open is asked for again meanwhile
            assert await _met(rig, venue, kind) - met == 1, venue
        assert (sides.status == "cancelled") == took_effect, (venue, sides)

    await _everywhere(row)
    assert await rig.count("hidden_resends_total") == 0


async def _met(rig: Rig, venue: str, kind: str) -> int:
    return int((await rig.venue(venue).stats())["faults_hit"].get(kind, 0))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "slow_body", "bytes_per_s": 20},
        {"kind": "huge_body", "bytes": 32 << 20},
        {"kind": "huge_body", "bytes": 1 << 60},
        {"kind": "gzip_bomb", "bytes": 8 << 20},
    ],
    ids=["slow_body", "huge_body", "endless_body", "gzip_bomb"],
)
async def test_a_body_that_trickles_or_never_ends_is_not_waited_for_and_unknown(
    rig: Rig, fault: dict[str, object]
) -> None:
    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, fault)

        assert sides.said == UNKNOWN or fault["kind"] == "slow_body", (venue, sides)
        assert sides.told.took_s < 1.5
        check_true(sides)
        _sent_as_often_as_told(venue, sides)

    await _everywhere(row)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [
        ("absent", 1, 60),
        ("3", 3, 60),
        ("date", 1, 60),
        ("99999999", 60, 3600),
        ("-5", 1, 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 60),
        ("soon", 1, 60),
    ],
)
async def test_any_429_closes_the_accounts_gate_for_a_bounded_time_and_no_other_accounts(
    rig: Rig, retry_after: str, least_s: int, most_s: int
) -> None:
    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, {"kind": "rate_limited", "retry_after": retry_after})
        after = await again(rig, venue, {"order_id": sides.order_id})
        elsewhere = await both_sides(rig, venue, account="desk-b")

        assert (sides.said, sides.status) == ((503, "venue_limited"), "open"), (venue, sides)
        _sent_as_often_as_told(venue, sides)
        assert least_s <= int(sides.told.headers["Retry-After"]) <= most_s, venue
        assert (after.said, after.requests, after.status) == ((503, "venue_limited"), 0, "open"), (venue, after)
        assert elsewhere.told.status in {200, 202}, (venue, elsewhere)
        check_true(elsewhere)

    await _everywhere(row)


@pytest.mark.parametrize(
    "fault",
    [{"kind": "banned", "status": 418, "retry_after": "2"}, {"kind": "html", "status": 403, "applied": False}],
    ids=lambda fault: str(fault["kind"]),
)
async def test_a_ban_closes_our_address_for_all_accounts_and_one_probe_opens_it(
    rig: Rig, fault: dict[str, object]
) -> None:
    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, fault)
        order = await rig.order(venue, account="desk-b")
        after = await asyncio.gather(
            rig.desk().cancel(venue, sides.order_id), rig.desk().cancel(venue, order["order_id"], account="desk-b")
        )
        asked = await rig.cancels_of(venue, order["order_id"])

        assert (sides.said, sides.status) == ((503, "venue_banned"), "open"), (venue, sides)
        _sent_as_often_as_told(venue, sides)
        assert {said.outcome for said in after} == {"venue_banned"}, venue
        assert asked == 0, venue
        if "retry_after" in fault:
            await asyncio.sleep(float(str(fault["retry_after"])) + 0.1)
            probed = await rig.desk().cancel(venue, sides.order_id)
            assert probed.status in {200, 202}, (venue, probed)
            assert (await rig.desk().cancel(venue, order["order_id"], account="desk-b")).status in {200, 202}, venue

    await _everywhere(row)


# -- answers that say nothing, or too little -------------------------------------------------------------------------


@pytest.mark.parametrize("took_effect", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_5xx_is_unknown_and_tried_again_only_after_a_look(rig: Rig, status: int, took_effect: bool) -> None:  # noqa: FBT001
    fault = {"kind": "server_error", "status": status, "applied": took_effect}

    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, fault)
        assert sides.said == UNKNOWN, (venue, sides)
        assert (sides.status == "cancelled") == took_effect, (venue, sides)
        if venue in READABLE:
            waiting = await both_sides(rig, venue, fault | {"times": 1}, wait="terminal")
            assert (waiting.told.outcome, waiting.status) == ("cancelled", "cancelled"), (venue, waiting)
            assert waiting.requests == waiting.told.json["attempts"] == (1 if took_effect else 2), (venue, waiting)

    await _everywhere(row)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "malformed"},
        {"kind": "malformed", "applied": False},
        {"kind": "html", "status": 200},
        {"kind": "html", "status": 200, "applied": False},
        {"kind": "html", "status": 404, "applied": False},
        {"kind": "wrong_content_type"},
        {"kind": "wrong_content_type", "applied": False},
        {"kind": "error_code", "status": 200},
        {"kind": "error_code", "status": 200, "applied": True},
        {"kind": "string_codes", "status": 200},
        {"kind": "error_code", "code": 999999, "status": 200},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
async def test_a_200_that_is_an_error_or_not_the_venues_own_is_never_a_success(
    rig: Rig, fault: dict[str, object]
) -> None:
    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, fault)
        check_true(sides)
        _sent_as_often_as_told(venue, sides)
        record = await record_of(rig, sides)
        if record["outcome"] in GONE:
            assert await rig.venue(venue).status_of(sides.order_id) == "cancelled", (venue, record)

    await _everywhere(row)


# -- what the market does meanwhile ----------------------------------------------------------------------------------


async def test_an_order_that_shows_open_right_after_the_acknowledgement_is_accepted_until_it_is_gone(rig: Rig) -> None:
    delayed = {"kind": "delayed_state", "ms": 700}

    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, delayed)
        waited = await both_sides(rig, venue, delayed, wait="terminal", headers=LONG)

        if venue in ACKNOWLEDGING:
            assert (sides.said, sides.status) == ((202, "accepted"), "open"), (venue, sides)
            assert sides.told.headers["Location"] == sides.told.json["record"]
        check_true(waited)
        assert waited.told.outcome in {"cancelled", "accepted", "unknown"}, (venue, waited)
        for each in (sides, waited):
            _sent_as_often_as_told(venue, each)
        if waited.told.outcome == "cancelled":
            assert waited.status == "cancelled", venue

    await _everywhere(row)


async def test_a_fill_that_is_faster_than_the_cancel_is_told_as_one_with_amounts_and_never_as_cancelled(
    rig: Rig,
) -> None:
    async def row(venue: str) -> None:
        sides = await both_sides(rig, venue, {"kind": "fill_before_cancel"}, wait="terminal", headers=SHORT)

        assert sides.status == "filled", (venue, sides)
        assert sides.told.outcome not in GONE, (venue, sides)
        if venue in READABLE:
            assert sides.said == (409, "too_late_filled"), (venue, sides)
        if venue in SAYS_AMOUNTS:
            assert sides.told.json["filled"] is not None, (venue, sides)
        record = await record_of(rig, sides)
        assert record["outcome"] not in GONE, (venue, record)

    await _everywhere(row)


async def test_no_row_made_the_service_stumble(rig: Rig) -> None:
    """Runs last in this file."""
    assert not rig.gateway.lines("request.broke")
    assert await rig.count("hidden_resends_total") == 0
    for venue in VENUE_IDS:
        assert (await rig.venue(venue).stats())["violations"] == 0
