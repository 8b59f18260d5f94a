"""ETNA Trader against its manual: exact requests, a reply per row of each table, and anything else that could come."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import AT_MS, JSON_VALUES, STATUSES, Vector, raw, said, vectors

from gateway.core.admission import Charge, Quota
from gateway.core.model import By, Op, OrderRef, Scope
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
from gateway.venues.base import BadMaterial, RefFault, Signer, Site, Token, Venue, at
from gateway.venues.etna import DAY_END, ETNA, NUMBERED, READ_BACK, STATES, Etna, EtnaLogin, EtnaSigner

ORDER = OrderRef(By.ORDER_ID, "73552")
SITE = Site("https://pub-api-et-demo-prod.etnasoft.us/api")
SYNC = at(ETNA, replace(SITE, options={"form": "syncorders"}))
PASSWORD = {"account_id": "6303", "app_key": "app-key-marker", "username": "user-marker", "password": "pass marker"}
TOKEN = {"account_id": "6303", "app_key": "app-key-marker", "token": "token+marker/=="}
DENIED = {"Message": "Authorization has been denied for this request."}
NO_APP_KEY = {"error": "Application key is not defined or does not exist"}
PAGE = b"<!DOCTYPE html><html><title>Attention Required</title></html>"
SUCCESSES = {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED}


def login() -> EtnaLogin:
    unlocked = ETNA.unlock(PASSWORD, SITE)
    assert isinstance(unlocked, EtnaLogin)
    return unlocked


def order(status: object = "New", **more: object) -> dict[str, object]:
    """The manual's example of an order, with another status."""
    shown = {"Id": 73552, "Quantity": 150, "ClientId": "1045239786", "ExecutedQuantity": 50, "LeavesQuantity": 0}
    return {**shown, "Status": status, "ExecutionStatus": status, "TimeInForce": "Day", **more}


def read(status: object = "New", **more: object) -> Sighting:
    return ETNA.interpret_read(said(200, order(status, **more)), ORDER)


# -- what it is ------------------------------------------------------------------------------------------------


def test_etna_is_a_venue() -> None:
    venue: Venue = ETNA

    assert venue.id == "etna"
    assert venue.batch_most == 0
    assert venue.quotas == {"cancel": Quota(5, 1000), "read": Quota(5, 1000)}
    assert venue.options["form"].default == "orders"
    assert venue.options["form"].choices == ("orders", "syncorders")


@pytest.mark.parametrize(
    ("op", "charges"), [(Op.CANCEL, (Charge("cancel"),)), (Op.READ, (Charge("read"),)), (Op.BATCH, ())]
)
def test_each_request_spends_from_its_own_limit(op: Op, charges: tuple[Charge, ...]) -> None:
    assert ETNA.charges(op, By.ORDER_ID) == charges
    assert {charge.limit for charge in charges} <= ETNA.quotas.keys()


@pytest.mark.parametrize("options", [{}, {"form": "orders"}])
def test_without_the_slow_form_the_venue_stays_as_it_is(options: dict[str, str | int | bool]) -> None:
    assert at(ETNA, Site(SITE.base_url, options)) == ETNA


# -- references ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["1", "73552", "2147483647"])
@pytest.mark.parametrize("by", [By.ORDER_ID, None])
def test_a_32_bit_integer_is_an_order_id(ref: str, by: By | None) -> None:
    assert ETNA.order_ref(ref, by, "AAPL") == OrderRef(By.ORDER_ID, ref)


@pytest.mark.parametrize(
    "ref",
    ["", "0", "007", "-1", "+1", "2147483648", "9999999999", "99999999999", "1.0", "1e3", " 1", "1 ", "1\n", "٣", "²",
     "..", "%2e%2e", "1/../2", "1?x=1", "1#", "0x1", "1_000", "a"],
)  # fmt: skip
def test_anything_else_is_refused(ref: str) -> None:
    fault = ETNA.order_ref(ref, None, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST
    assert "2147483647" in fault.detail


def test_a_client_id_is_refused_with_the_reason() -> None:
    fault = ETNA.order_ref("73552", By.CLIENT_ID, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST
    assert "order id" in fault.detail


@given(st.text(max_size=12))
def test_only_digits_get_into_a_path(ref: str) -> None:
    found = ETNA.order_ref(ref, By.ORDER_ID, None)

    assert isinstance(found, RefFault) or str(int(found.value)) == ref


# -- requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", vectors("etna"), ids=lambda vector: vector.id)
def test_the_request_is_the_manuals_byte_for_byte(vector: Vector) -> None:
    unlocked = ETNA.unlock(vector.fields, Site(vector.base_url, vector.options))
    ref = OrderRef(By.ORDER_ID, vector.order_id)

    if isinstance(unlocked, EtnaLogin):
        made = unlocked.request(AT_MS)
    else:
        made = unlocked.cancel(ref, AT_MS) if vector.call == "cancel" else unlocked.read(ref, AT_MS)

    assert vector.source
    assert made == vector.request


def test_there_is_a_vector_for_every_call() -> None:
    assert {vector.call for vector in vectors("etna")} == {"cancel", "read", "login"}


def test_a_slash_after_the_base_url_is_not_doubled() -> None:
    signer = ETNA.unlock(TOKEN, Site("https://broker.example/api/"))

    assert isinstance(signer, EtnaSigner)
    assert signer.cancel(ORDER, AT_MS).url == "https://broker.example/api/v1.0/accounts/6303/orders/73552"


def test_there_is_no_batch() -> None:
    signer: Signer = login().signer(Token("t", AT_MS))

    assert signer.batch((ORDER, ORDER), AT_MS) is None
    assert ETNA.interpret_batch(said(200, {}), (ORDER, ORDER)) == (Unclear("no batch call"),) * 2


# -- material --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["account_id", "app_key", "username", "password"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_field_is_named(missing: str, value: str | None) -> None:
    fields = {name: text for name, text in PASSWORD.items() if name != missing}

    with pytest.raises(BadMaterial) as caught:
        ETNA.unlock(fields if value is None else {**fields, missing: value}, SITE)

    assert caught.value.field == missing


def test_password_and_token_together_fetch_tokens() -> None:
    assert isinstance(ETNA.unlock({**PASSWORD, **TOKEN}, SITE), EtnaLogin)


def test_an_empty_token_is_named() -> None:
    with pytest.raises(BadMaterial) as caught:
        ETNA.unlock({**TOKEN, "token": ""}, SITE)

    assert caught.value.field == "token"


@pytest.mark.parametrize("bad", ["q\r\nX: 1", "q\n", "\rq", " q", "q ", "q\tn", "q\x00", "qé", "q\u2028", "q" * 9000])
@pytest.mark.parametrize("field", ["app_key", "username", "password"])
def test_what_could_break_a_header_is_refused_without_being_told(field: str, bad: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        ETNA.unlock({**PASSWORD, field: bad}, SITE)

    assert caught.value.field == field
    assert bad not in str(caught.value)


@pytest.mark.parametrize("bad", ["t\r\nX: 1", "t t", "t\n", "té", "t" * 9000])
def test_a_token_has_no_blanks(bad: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        ETNA.unlock({**TOKEN, "token": bad}, SITE)

    assert caught.value.field == "token"


@pytest.mark.parametrize("bad", ["0", "06303", "2147483648", "63/03", "..", "6303\n", "abc"])
def test_an_account_id_is_a_32_bit_integer(bad: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        ETNA.unlock({**TOKEN, "account_id": bad}, SITE)

    assert caught.value.field == "account_id"


@given(st.dictionaries(st.sampled_from([*PASSWORD, "token"]), st.text(max_size=20)))
def test_any_material_signs_cleanly_or_is_bad(fields: dict[str, str]) -> None:
    try:
        unlocked = ETNA.unlock(fields, SITE)
    except BadMaterial as bad:
        assert bad.field in {*PASSWORD, "token"}  # noqa: PT017  either way out is right
        return

    request = unlocked.request(AT_MS) if isinstance(unlocked, EtnaLogin) else unlocked.cancel(ORDER, AT_MS)
    assert all(value.isascii() and value.isprintable() and value == value.strip() for _, value in request.headers)


def test_nothing_secret_shows_in_a_repr() -> None:
    shown = repr([login(), ETNA.unlock(TOKEN, SITE), login().request(AT_MS), login().signer(Token("t-marker", 0))])

    assert "marker" not in shown


# -- the token -------------------------------------------------------------------------------------------------


def test_a_token_is_renewed_before_its_day_is_over() -> None:
    granted = login().interpret(said(200, {"State": "Succeeded", "Token": "FAKE+zrIb/GZl8=="}))

    assert granted == Token("FAKE+zrIb/GZl8==", AT_MS + 23 * 3_600_000)


def test_a_fetched_token_signs_like_a_stored_one() -> None:
    signer = login().signer(Token(TOKEN["token"], AT_MS))

    assert signer == ETNA.unlock(TOKEN, SITE)


def test_a_wish_for_a_second_factor_is_told_as_such() -> None:
    wish = {
        "State": "Expecting",
        "Step": "VerificationCode",
        "Reason": "Expecting confirmation code",
        "Token": "half+way",
    }

    refused = login().interpret(said(202, wish))

    assert isinstance(refused, AuthRefused)
    assert refused.facts.venue_code == "VerificationCode"
    assert refused.facts.venue_message == (
        "a second factor is wanted: Expecting confirmation code; use a user without one"
    )
    assert "half+way" not in repr(refused)


def test_a_second_factor_without_a_reason_is_told_too() -> None:
    refused = login().interpret(said(202, {"State": "Expecting"}))

    assert isinstance(refused, AuthRefused)
    assert "no reason given" in (refused.facts.venue_message or "")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            said(401, {"State": "Failed", "Step": "BaseAuthentication", "Reason": "Invalid credentials"}),
            AuthRefused(Facts(venue_code="BaseAuthentication", venue_message="Invalid credentials")),
        ),
        (
            said(200, {"State": "BaseAuthentication", "Reason": "Your Password has expired and must be changed"}),
            AuthRefused(Facts(venue_message="Your Password has expired and must be changed")),
        ),
        (said(403, NO_APP_KEY), AuthRefused(Facts(venue_message=NO_APP_KEY["error"]))),
        (raw(401), AuthRefused()),
        (raw(403, PAGE), Throttled(Scope.EGRESS, banned=True)),
        (raw(429, b"", {"retry-after": "9"}), Throttled(Scope.ACCOUNT, retry_after_ms=9_000)),
        (raw(418), Throttled(Scope.EGRESS, banned=True)),
        (raw(500), Unclear("http 500")),
        (raw(200), Unclear("http 200 without a state")),
        (raw(200, PAGE), Unclear("http 200 without a state")),
        (said(200, {"Token": "t"}), Unclear("http 200 without a state")),
        (said(200, {"State": 1, "Token": "t"}), Unclear("http 200 without a state")),
        (said(404, {"State": "Succeeded", "Token": "t"}), Unclear("http 404 without a state")),
        (said(202, {"State": "Succeeded", "Token": "t"}), Unclear("no usable token")),
        (said(200, {"State": "Succeeded"}), Unclear("no usable token")),
        (said(200, {"State": "Succeeded", "Token": ""}), Unclear("no usable token")),
        (said(200, {"State": "Succeeded", "Token": 1}), Unclear("no usable token")),
        (said(200, {"State": "Succeeded", "Token": "t\r\nX: 1"}), Unclear("no usable token")),
        (said(200, {"State": "Succeeded", "Token": "t" * 9000}), Unclear("no usable token")),
    ],
)
def test_every_other_answer_to_a_login_is_no_token(reply: Reply, expected: object) -> None:
    assert login().interpret(reply) == expected


@given(STATUSES, st.binary(max_size=200))
def test_a_login_survives_any_bytes(status: int, body: bytes) -> None:
    assert not isinstance(login().interpret(raw(status, body)), Token)


@given(STATUSES, st.dictionaries(st.sampled_from(["State", "Token", "Step", "Reason", "error"]), JSON_VALUES))
def test_a_login_survives_any_json(status: int, value: dict[str, object]) -> None:
    granted = login().interpret(said(status, value))

    assert not isinstance(granted, Token) or (status, value["State"]) == (200, "Succeeded")


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
