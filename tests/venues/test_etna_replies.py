"""ETNA Trader's answers: a reply per row of each table, and anything else that could come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import JSON_VALUES, STATUSES, raw, said

from gateway.core.model import By, OrderRef, Scope
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    Verdict,
    conclude,
)
from gateway.core.wire import Reply
from gateway.venues.base import Site, at
from gateway.venues.etna import DAY_END, ETNA, NUMBERED, READ_BACK, STATES, Etna

ORDER = OrderRef(By.ORDER_ID, "73552")
SYNC = at(ETNA, Site("https://broker.example/api", {"form": "syncorders"}))
DENIED = {"Message": "Authorization has been denied for this request."}
NO_APP_KEY = {"error": "Application key is not defined or does not exist"}
PAGE = b"<!DOCTYPE html><html><title>Attention Required</title></html>"
SUCCESSES = {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED}


def order(status: object = "New", **more: object) -> dict[str, object]:
    """The manual's example of an order, with another status."""
    shown = {"Id": 73552, "Quantity": 150, "ClientId": "1045239786", "ExecutedQuantity": 50, "LeavesQuantity": 0}
    return {**shown, "Status": status, "ExecutionStatus": status, "TimeInForce": "Day", **more}


def read(status: object = "New", **more: object) -> Sighting:
    return ETNA.interpret_read(said(200, order(status, **more)), ORDER)


# -- replies to a cancel ---------------------------------------------------------------------------------------


def test_204_of_the_quick_form_is_accepted_only() -> None:
    assert ETNA.interpret(raw(204), ORDER) == Settled(Outcome.ACCEPTED, Facts(order_id="73552"))


def test_204_of_the_slow_form_is_cancelled() -> None:
    assert SYNC.interpret(raw(204), ORDER) == Settled(Outcome.CANCELLED, Facts(order_id="73552"))


CANCEL_REPLIES: list[tuple[Reply, Verdict]] = [
    (said(200, {}), Settled(Outcome.ACCEPTED, Facts(order_id="73552"))),
    (said(200, order("PendingCancel")), Settled(Outcome.ACCEPTED, Facts("PendingCancel", "73552"))),
    (said(200, {"Id": 73553}), Unclear("a success that says something else")),
    (
        said(200, {"error": "Unexpected"}),
        Unclear("a success that says something else", Facts(venue_message="Unexpected")),
    ),
    (said(400, {"Message": "Bad id"}), Settled(Outcome.REJECTED, Facts(venue_message="Bad id"))),
    (said(401, DENIED), AuthRefused(Facts(venue_message=DENIED["Message"]))),
    (said(403, NO_APP_KEY), AuthRefused(Facts(venue_message=NO_APP_KEY["error"]))),
    (raw(403), AuthRefused()),  # "No Content" in the manual's table
    (raw(403, PAGE, {"retry-after": "30"}), Throttled(Scope.EGRESS, banned=True, retry_after_ms=30_000)),
    (raw(429, PAGE, {"retry-after": "2"}), Throttled(Scope.ACCOUNT, retry_after_ms=2_000)),
    (raw(418), Throttled(Scope.EGRESS, banned=True)),
    (said(500, {"message": "An error occurred"}), Unclear("http 500", Facts(venue_message="An error occurred"))),
    (raw(200, PAGE), Unclear("http 200 with no known meaning")),
    (raw(200), Unclear("http 200 with no known meaning")),
    (raw(400, PAGE), Unclear("http 400 with no known meaning")),
    (said(202, {}), Unclear("http 202 with no known meaning")),
    (raw(302), Unclear("http 302 with no known meaning")),
    (said(405, DENIED), Unclear("http 405 with no known meaning", Facts(venue_message=DENIED["Message"]))),
]


@pytest.mark.parametrize(("reply", "verdict"), CANCEL_REPLIES)
@pytest.mark.parametrize("venue", [ETNA, SYNC])
def test_a_reply_to_a_cancel_means_what_the_manual_says(reply: Reply, verdict: Verdict, venue: Etna) -> None:
    assert venue.interpret(reply, ORDER) == verdict


@pytest.mark.parametrize("status", READ_BACK)
@pytest.mark.parametrize(("body", "message"), [(b'{"Message":"no"}', "no"), (b"", None), (PAGE, None)])
def test_a_refusal_without_a_cause_is_read_back(status: int, body: bytes, message: str | None) -> None:
    verdict = ETNA.interpret(raw(status, body), ORDER)

    assert verdict == ReadBack(
        Outcome.ALREADY_CANCELLED, Outcome.REJECTED, Outcome.NOT_FOUND, Facts(venue_message=message)
    )


def test_the_statuses_that_are_read_back_are_these() -> None:
    assert READ_BACK.keys() == {404, 409, 422}


@given(STATUSES, st.binary(max_size=200))
def test_any_bytes_get_a_verdict_and_never_a_success(status: int, body: bytes) -> None:
    verdict = ETNA.interpret(raw(status, body), ORDER)

    assert isinstance(verdict, Verdict)
    assert status == 204 or not (isinstance(verdict, Settled) and verdict.outcome in SUCCESSES)


@given(STATUSES, JSON_VALUES)
def test_any_json_gets_a_verdict_and_never_cancelled(status: int, value: object) -> None:
    verdict = ETNA.interpret(said(status, value), ORDER)

    assert isinstance(verdict, Verdict)
    assert not (isinstance(verdict, Settled) and verdict.outcome is Outcome.CANCELLED)


# -- reading back ----------------------------------------------------------------------------------------------

READS: dict[str, OrderState | None] = {
    "New": OrderState.OPEN,
    "PartiallyFilled": OrderState.OPEN,
    "Filled": OrderState.FILLED,
    "DoneForDay": OrderState.CLOSED,
    "Canceled": OrderState.CANCELLED,
    "Replaced": OrderState.CLOSED,
    "PendingCancel": OrderState.PENDING_CANCEL,
    "Stopped": OrderState.OPEN,
    "Rejected": OrderState.CLOSED,
    "Suspended": OrderState.OPEN,
    "PendingNew": OrderState.OPEN,
    "Calculated": OrderState.CLOSED,
    "Expired": OrderState.CLOSED,
    "AcceptedForBidding": OrderState.OPEN,
    "PendingReplace": OrderState.OPEN,
    "Error": None,
}


def state(sighting: Sighting) -> OrderState | None:
    return sighting.state if isinstance(sighting, Seen) else None


@pytest.mark.parametrize("name", READS)
def test_a_status_shows_the_state_by_name_and_by_number(name: str) -> None:
    number = NUMBERED.index(name)

    assert [state(read(name)), state(read(number)), state(read(str(number)))] == [READS[name]] * 3


def test_every_row_of_the_tables_has_a_case() -> None:
    assert tuple(READS) == NUMBERED
    assert READS.keys() == STATES.keys() | DAY_END | {"Error"}


def test_names_may_have_blanks_as_in_the_manual() -> None:
    assert state(read("Partially Filled")) is OrderState.OPEN


@pytest.mark.parametrize(
    "status", [16, -1, "16", "004", "٤", 4.0, True, None, "", "CANCELED", "Cancelled?", [], {"a": 1}]
)
def test_an_unknown_status_is_unclear(status: object) -> None:
    assert isinstance(read(status), Unclear)


@pytest.mark.parametrize("name", sorted(DAY_END))
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"TimeInForce": "Day"}, OrderState.CLOSED),
        ({"TimeInForce": "GoodTillCancel"}, OrderState.OPEN),
        ({"TimeInForce": None}, OrderState.OPEN),
        ({"ExecutedQuantity": 150}, OrderState.FILLED),
        ({"ExecutedQuantity": 150.0, "TimeInForce": "GTC"}, OrderState.FILLED),
    ],
)
def test_the_end_of_the_day_ends_day_orders_only(name: str, more: dict[str, object], expected: OrderState) -> None:
    assert state(read(name, **more)) is expected


def test_a_read_tells_amounts_and_names() -> None:
    sighting = read("Canceled", Description="Cancelled by user")

    assert sighting == Seen(
        OrderState.CANCELLED,
        Facts("Canceled", "73552", "1045239786", filled="50", remaining="100", venue_message="Cancelled by user"),
    )


def test_a_fill_whose_cancel_the_market_refused_is_a_fill() -> None:
    sighting = read("Filled", ExecutionStatus="Rejected", ExecutedQuantity=150)

    settled = conclude(ReadBack(Outcome.ALREADY_CANCELLED, Outcome.REJECTED, Outcome.NOT_FOUND), sighting)

    assert settled.outcome is Outcome.TOO_LATE_FILLED
    assert (settled.facts.filled, settled.facts.remaining) == ("150", "0")


@pytest.mark.parametrize("shown", [73553, "073552", None, 73552.0, True, [73552]])
def test_another_order_is_unclear(shown: object) -> None:
    assert read("Canceled", Id=shown) == Unclear("http 200 without this order")


NO_ROUTE = {"Message": "No HTTP resource was found that matches the request URI 'https://x/api/y'."}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            said(404, {"Message": "The order is not found."}),
            Seen(OrderState.MISSING, Facts(venue_message="The order is not found.")),
        ),
        (raw(404), Seen(OrderState.MISSING)),
        (raw(404, PAGE), Unclear("http 404 without this order")),
        (said(404, NO_ROUTE), Unclear("http 404 without this order", Facts(venue_message=NO_ROUTE["Message"]))),
        (said(401, DENIED), AuthRefused(Facts(venue_message=DENIED["Message"]))),
        (said(403, NO_APP_KEY), AuthRefused(Facts(venue_message=NO_APP_KEY["error"]))),
        (raw(403, PAGE), Throttled(Scope.EGRESS, banned=True)),
        (raw(429), Throttled(Scope.ACCOUNT)),
        (raw(500), Unclear("http 500")),
        (raw(422), Unclear("http 422 without this order")),
        (raw(204), Unclear("http 204 without this order")),
        (said(201, order("Canceled")), Unclear("http 201 without this order")),
        (said(200, [order("Canceled")]), Unclear("http 200 without this order")),
    ],
)
def test_no_other_reply_shows_the_order(reply: Reply, expected: Sighting) -> None:
    assert ETNA.interpret_read(reply, ORDER) == expected


@given(STATUSES, st.binary(max_size=200))
def test_any_bytes_show_no_order(status: int, body: bytes) -> None:
    sighting = ETNA.interpret_read(raw(status, body), ORDER)

    assert not isinstance(sighting, Seen) or (status, sighting.state) == (404, OrderState.MISSING)


@given(
    STATUSES, st.dictionaries(st.sampled_from(["Id", "Status", "Quantity", "ExecutedQuantity", "Message"]), JSON_VALUES)
)
def test_any_json_gets_a_sighting(status: int, value: dict[str, object]) -> None:
    sighting = ETNA.interpret_read(said(status, {"Id": 73552, **value}), ORDER)

    assert isinstance(sighting, Sighting)
    assert not isinstance(sighting, Seen) or status in {200, 404}
