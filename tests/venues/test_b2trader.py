"""B2TRADER against the vendor's page: references, material, exact requests and the access token."""

from base64 import urlsafe_b64encode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import AT_MS, JSON_VALUES, STATUSES, Vector, raw, said, vectors

from gateway.core.admission import Charge, Quota
from gateway.core.model import By, Op, OrderRef, Scope
from gateway.core.outcome import AuthRefused, Facts, Outcome, Throttled, Unclear
from gateway.core.wire import Reply
from gateway.venues.b2trader import B2TRADER, B2TraderLogin, B2TraderSigner
from gateway.venues.base import BadMaterial, RefFault, Signer, Site, Token, Venue, at, looks_by_cancelling

ULID = "01K2PF9XS29WN4JZRHMCTTQYJB"
ORDER = OrderRef(By.ORDER_ID, ULID)
SITE = Site("https://trade.example.com")
OFFLINE = {"account_id": "65f1a2b3c4d5e6f708192a3b", "offline_token": "offline-marker"}
JWT = {"account_id": "65f1a2b3c4d5e6f708192a3b", "jwt": "jwt-marker.a.b"}
PAGE = b"<html><body>404</body></html>"


def login() -> B2TraderLogin:
    unlocked = B2TRADER.unlock(OFFLINE, SITE)
    assert isinstance(unlocked, B2TraderLogin)
    return unlocked


def jwt(claims: object) -> str:
    payload = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def grant(token: object, status: int = 200) -> object:
    return login().interpret(said(status, {"accessToken": token}))


# -- what it is ------------------------------------------------------------------------------------------------


def test_b2trader_is_a_venue() -> None:
    venue: Venue = B2TRADER

    assert venue.id == "b2trader"
    assert venue.batch_most == 0
    assert venue.quotas == {"cancel": Quota(5, 1000)}
    assert venue.options == {}
    assert at(venue, SITE) is venue


@pytest.mark.parametrize("op", Op)
def test_only_the_cancel_spends(op: Op) -> None:
    assert B2TRADER.charges(op, By.ORDER_ID) == ((Charge("cancel"),) if op in {Op.CANCEL, Op.READ} else ())


# -- references ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", [ULID, "a", "0", "007", "Z" * 64])
@pytest.mark.parametrize("by", [By.ORDER_ID, None])
def test_letters_and_digits_are_an_order_id(ref: str, by: By | None) -> None:
    assert B2TRADER.order_ref(ref, by, "spot.eth_usdt") == OrderRef(By.ORDER_ID, ref)


@pytest.mark.parametrize(
    "ref", ["", "Z" * 65, "..", ".", "a/b", "a%2Fb", "a b", "a\n", "a?b", "a#b", "a-b", "a_b", "ä", "٣", "\x00", "a;b"]
)
def test_anything_else_is_refused(ref: str) -> None:
    fault = B2TRADER.order_ref(ref, None, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST


def test_a_client_id_is_refused_with_the_reason() -> None:
    fault = B2TRADER.order_ref(ULID, By.CLIENT_ID, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST
    assert "order id only" in fault.detail


@given(st.text(max_size=70))
def test_only_letters_and_digits_get_into_a_path(ref: str) -> None:
    found = B2TRADER.order_ref(ref, None, None)

    assert isinstance(found, RefFault) or (ref.isascii() and ref.isalnum() and len(ref) <= 64)


# -- requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", vectors("b2trader"), ids=lambda vector: vector.id)
def test_the_request_is_the_pages_byte_for_byte(vector: Vector) -> None:
    unlocked = B2TRADER.unlock(vector.fields, Site(vector.base_url, vector.options))

    if isinstance(unlocked, B2TraderLogin):
        made = unlocked.request(AT_MS)
    else:
        made = unlocked.cancel(OrderRef(By.ORDER_ID, vector.order_id), AT_MS)

    assert vector.source
    assert made == vector.request


def test_there_is_a_vector_for_every_call() -> None:
    assert {vector.call for vector in vectors("b2trader")} == {"cancel", "login"}


def test_a_slash_after_the_base_url_is_not_doubled() -> None:
    unlocked = B2TRADER.unlock(JWT, Site("https://trade.example.com/"))

    assert isinstance(unlocked, B2TraderSigner)
    assert unlocked.cancel(ORDER, AT_MS).url == f"https://trade.example.com/frontoffice/api/v3/orders/{ULID}"


def test_what_shows_an_order_is_its_cancel_once_more_since_its_id_is_never_used_again() -> None:
    signer: Signer = login().signer(Token("t", AT_MS))

    assert signer.read(ORDER, AT_MS) == signer.cancel(ORDER, AT_MS)
    assert looks_by_cancelling(signer, ORDER)
    assert By.ORDER_ID in B2TRADER.lasting


def test_there_is_no_batch() -> None:
    signer: Signer = login().signer(Token("t", AT_MS))

    assert signer.batch((ORDER, ORDER), AT_MS) is None
    assert B2TRADER.interpret_batch(said(200, {}), (ORDER, ORDER)) == (Unclear("no batch call"),) * 2


# -- material --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "account_id"),
        ({"account_id": "a"}, "offline_token"),
        ({**OFFLINE, "offline_token": ""}, "offline_token"),
        ({**JWT, "jwt": ""}, "jwt"),
        ({**JWT, "account_id": ""}, "account_id"),
        ({**JWT, "account_id": "a" * 65}, "account_id"),
        ({**JWT, "account_id": "q\r\nX: 1"}, "account_id"),
        ({**JWT, "account_id": "q\n"}, "account_id"),
        ({**JWT, "account_id": "qä"}, "account_id"),
        ({**JWT, "jwt": "q\r\nX: 1"}, "jwt"),
        ({**JWT, "jwt": "q q"}, "jwt"),
        ({**JWT, "jwt": "qä"}, "jwt"),
        ({**JWT, "jwt": "q" * 9000}, "jwt"),
        ({**OFFLINE, "offline_token": "q\ud800"}, "offline_token"),
    ],
    ids=range(14),
)
def test_bad_material_is_named_and_never_told(fields: dict[str, str], named: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        B2TRADER.unlock(fields, SITE)

    assert caught.value.field == named
    assert "q" not in str(caught.value)


def test_both_kinds_of_token_fetch_access_tokens() -> None:
    assert isinstance(B2TRADER.unlock({**OFFLINE, **JWT}, SITE), B2TraderLogin)


def test_nothing_secret_shows_in_a_repr() -> None:
    shown = repr([login(), B2TRADER.unlock(JWT, SITE), login().request(AT_MS), login().signer(Token("x-marker", 0))])

    assert "marker" not in shown


# -- the access token ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life_s", "used_ms"),
    [(3600, 3_570_000), (300, 270_000), (60, 54_000), (10, 9_000), (86_400, 86_370_000), (10**9, 86_370_000)],
)
def test_a_token_is_renewed_a_little_before_it_ends(life_s: int, used_ms: int) -> None:
    token = jwt({"exp": AT_MS // 1000 + life_s})

    assert grant(token) == Token(token, AT_MS + used_ms)


@pytest.mark.parametrize("exp", [1e300, 2**64 - 1, AT_MS])
def test_an_absurd_end_counts_as_a_day(exp: float) -> None:
    token = jwt({"exp": exp})

    assert grant(token) == Token(token, AT_MS + 86_370_000)


def test_an_end_may_have_fractions() -> None:
    token = jwt({"exp": AT_MS / 1000 + 10.5})

    assert grant(token) == Token(token, AT_MS + 10_500 - 1_050)


@pytest.mark.parametrize(
    "token",
    ["opaque", "two.parts", "a.!!!.c", "a.A.c", "a.bm90IGpzb24.c", "....", jwt([]), jwt({}), jwt({"exp": None}),
     jwt({"exp": "1"}), jwt({"exp": True}), jwt({"exp": [1]})],
    ids=range(12),
)  # fmt: skip
def test_a_token_that_does_not_say_its_end_counts_as_a_minute(token: str) -> None:
    assert grant(token) == Token(token, AT_MS + 60_000)


@pytest.mark.parametrize("exp", [AT_MS // 1000, AT_MS // 1000 - 1, 0, -1, -1e300])
def test_a_token_that_has_ended_is_no_token(exp: float) -> None:
    assert grant(jwt({"exp": exp})) == Unclear("the access token has run out already")


@pytest.mark.parametrize("token", [None, "", 1, [], "t\r\nX: 1", "t t", "té", "t" * 9000])
def test_what_cannot_be_a_bearer_is_no_token(token: object) -> None:
    assert grant(token) == Unclear("http 200 without a usable access token")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said(401, {"title": "Unauthorized"}), AuthRefused(Facts(venue_message="Unauthorized"))),
        (said(403, {"code": 7, "message": "No"}), AuthRefused(Facts(venue_code="7", venue_message="No"))),
        (said(400, {"detail": "Malformed token"}), AuthRefused(Facts(venue_message="Malformed token"))),
        (raw(400, PAGE), Unclear("http 400 without a usable access token")),
        (raw(403, PAGE), Throttled(Scope.EGRESS, banned=True)),
        (raw(429, b"", {"retry-after": "3"}), Throttled(Scope.ACCOUNT, retry_after_ms=3_000)),
        (raw(503), Unclear("http 503")),
        (raw(200, PAGE), Unclear("http 200 without a usable access token")),
        (raw(204), Unclear("http 204 without a usable access token")),
        (said(201, {"accessToken": "t"}), Unclear("http 201 without a usable access token")),
    ],
)
def test_every_other_answer_to_a_login_is_no_token(reply: Reply, expected: object) -> None:
    assert login().interpret(reply) == expected


def test_a_fetched_token_signs_like_a_stored_one() -> None:
    assert login().signer(Token(JWT["jwt"], AT_MS)) == B2TRADER.unlock(JWT, SITE)


@given(STATUSES, st.binary(max_size=200))
def test_a_login_survives_any_bytes(status: int, body: bytes) -> None:
    assert not isinstance(login().interpret(raw(status, body)), Token)


@given(STATUSES, st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)) | JSON_VALUES)
def test_a_login_survives_any_token(status: int, token: object) -> None:
    granted = grant(token, status)

    assert not isinstance(granted, Token) or (status == 200 and granted.value == token)


@given(JSON_VALUES, JSON_VALUES)
def test_a_login_survives_any_claims(exp: object, claims: object) -> None:
    for token in (jwt({"exp": exp}), jwt(claims)):
        granted = grant(token)

        assert isinstance(granted, Unclear) or (
            isinstance(granted, Token) and AT_MS < granted.renew_at_ms <= AT_MS + 86_400_000
        )
