"""ETNA Trader against its manual: references, material, exact requests and the token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import AT_MS, JSON_VALUES, STATUSES, Vector, raw, said, vectors

from gateway.core.admission import Charge, Quota
from gateway.core.model import By, Op, OrderRef, Scope
from gateway.core.outcome import (
    AuthRefused,
    Facts,
    Outcome,
    Throttled,
    Unclear,
)
from gateway.core.wire import Reply
from gateway.venues.base import BadMaterial, RefFault, Signer, Site, Token, Venue, at
from gateway.venues.etna import ETNA, EtnaLogin, EtnaSigner

ORDER = OrderRef(By.ORDER_ID, "73552")
SITE = Site("https://pub-api-et-demo-prod.etnasoft.us/api")
PASSWORD = {"account_id": "6303", "app_key": "app-key-marker", "username": "user-marker", "password": "pass marker"}
TOKEN = {"account_id": "6303", "app_key": "app-key-marker", "token": "token+marker/=="}
NO_APP_KEY = {"error": "Application key is not defined or does not exist"}
PAGE = b"<!DOCTYPE html><html><title>Attention Required</title></html>"


def login() -> EtnaLogin:
    unlocked = ETNA.unlock(PASSWORD, SITE)
    assert isinstance(unlocked, EtnaLogin)
    return unlocked


# -- what it is ------------------------------------------------------------------------------------------------


def test_etna_is_a_venue() -> None:
    venue: Venue = ETNA

    assert venue.id == "etna"
    assert venue.batch_most == 0
    assert venue.quotas == dict.fromkeys(("cancel", "read", "list"), Quota(5, 1000))
    assert venue.options["form"].default == "orders"
    assert venue.options["form"].choices == ("orders", "syncorders")


@pytest.mark.parametrize(
    ("op", "charges"),
    [
        (Op.CANCEL, (Charge("cancel"),)),
        (Op.READ, (Charge("read"),)),
        (Op.LIST, (Charge("list"),)),
        (Op.BATCH, ()),
        (Op.CANCEL_ALL, ()),
    ],
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
