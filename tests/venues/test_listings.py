"""The list of open orders and the cancel-all of each venue: exact requests, strict readings, no empty by mistake."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from gateway.core.listing import Breadth, Listing, Page
from gateway.core.model import By, OrderRef
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear
from gateway.core.wire import Reply
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.venues import ALL, base58
from gateway.venues.base import Login, RefFault, Signer, Site, Token, Venue

AT_MS = 1_700_000_000_000
URL = "https://venue.example"
VENUES: dict[str, Venue] = {venue.id: venue for venue in ALL}
FIRST = Page()
HASH = "0x" + "ab" * 32


def signer(venue: str) -> Signer:
    unlocked = VENUES[venue].unlock(DEFAULT_CREDENTIALS[venue]["desk-a"], Site(URL))
    return unlocked.signer(Token("a.b.c", AT_MS)) if isinstance(unlocked, Login) else unlocked


def reply(value: object, status: int = 200) -> Reply:
    return Reply(status, {}, value if isinstance(value, bytes) else orjson.dumps(value), AT_MS)


def row(venue: str, order_id: object = None, **more: object) -> dict[str, object]:
    """An open order in the venue's words."""
    shown: dict[str, dict[str, object]] = {
        "orderly": {"order_id": 7, "symbol": "PERP_ETH_USDC", "status": "NEW"},
        "hashkey": {"orderId": "7", "symbol": "ETHUSD", "status": "NEW"},
        "loopring": {"hash": HASH, "market": "LRC-ETH", "status": "processing"},
        "etna": {"Id": 7, "Symbol": "AAPL", "Status": "New"},
    }
    name = {"orderly": "order_id", "hashkey": "orderId", "loopring": "hash", "etna": "Id"}[venue]
    return shown[venue] | ({} if order_id is None else {name: order_id}) | more


def shown(venue: str, rows: Any, total: Any = None) -> object:
    """A page in the venue's shape; `total` follows the rows unless it is said."""
    count = len(rows) if total is None else total
    return {
        "orderly": {"success": True, "data": {"rows": rows, "meta": {"total": count}}},
        "hashkey": rows,
        "loopring": {"orders": rows, "totalNum": count},
        "etna": {"Result": rows, "TotalCount": count},
    }[venue]


SYMBOLS = {"orderly": "PERP_ETH_USDC", "hashkey": "ETHUSD", "loopring": "LRC-ETH", "etna": "AAPL"}
LISTING = tuple(SYMBOLS)
COUNTING = ("orderly", "loopring", "etna")


# -- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "page", "target"),
    [
        ("orderly", FIRST, "/v1/orders?status=INCOMPLETE&page=1&size=500"),
        ("orderly", Page(2, "PERP_ETH_USDC"), "/v1/orders?symbol=PERP_ETH_USDC&status=INCOMPLETE&page=3&size=500"),
        ("hashkey", FIRST, f"/api/v1/spot/openOrders?timestamp={AT_MS}&limit=1000"),
        ("hashkey", Page(symbol="ETHUSD"), f"/api/v1/spot/openOrders?timestamp={AT_MS}&symbol=ETHUSD&limit=1000"),
        (
            "loopring",
            Page(1),
            "/api/v3/orders?accountId=10005&limit=50&offset=50&status=processing%2Ccancelling%2Cwaiting",
        ),
        (
            "loopring",
            Page(symbol="LRC-ETH"),
            "/api/v3/orders?accountId=10005&limit=50&market=LRC-ETH&offset=0&status=processing%2Ccancelling%2Cwaiting",
        ),
        (
            "etna",
            Page(3, "AAPL"),
            "/v1.0/accounts/6303/orders?pageNumber=3&pageSize=100&filter=Status%20in%20(0,1,3,6,7,9,10,11,13,14)",
        ),
    ],
)
def test_a_page_is_asked_for_as_documented(venue: str, page: Page, target: str) -> None:
    request = signer(venue).listing(page, AT_MS)

    assert request is not None
    assert (request.method, request.body) == ("GET", b"")
    assert request.url.partition("&signature=")[0] == URL + target


@pytest.mark.parametrize(
    ("venue", "symbol", "target"),
    [
        ("orderly", None, "/v1/orders"),
        ("orderly", "PERP_ETH_USDC", "/v1/orders?symbol=PERP_ETH_USDC"),
        ("hashkey", "ETHUSD", f"/api/v1/spot/openOrders?timestamp={AT_MS}&symbol=ETHUSD"),
    ],
)
def test_a_cancel_all_is_asked_for_as_documented(venue: str, symbol: str | None, target: str) -> None:
    request = signer(venue).cancel_all(symbol, AT_MS)

    assert request is not None
    assert (request.method, request.body) == ("DELETE", b"")
    assert request.url.partition("&signature=")[0] == URL + target


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [("hashkey", None), ("loopring", None), ("loopring", "LRC-ETH"), ("etna", None), ("b2trader", None)],
)
def test_where_a_venue_has_no_cancel_all_so_wide_there_is_none(venue: str, symbol: str | None) -> None:
    assert signer(venue).cancel_all(symbol, AT_MS) is None


def test_b2trader_has_no_list() -> None:
    assert signer("b2trader").listing(FIRST, AT_MS) is None


def test_orderlys_signature_covers_the_query_of_a_list() -> None:
    request = signer("orderly").listing(FIRST, AT_MS)
    assert request is not None
    headers = dict(request.headers)
    key = base58.decode(headers["orderly-key"].removeprefix("ed25519:"))
    assert key is not None
    parts = urlsplit(request.url)
    message = f"{AT_MS}GET{parts.path}?{parts.query}".encode()

    VerifyKey(key).verify(message, urlsafe_b64decode(headers["orderly-signature"] + "=="))


def test_hashkeys_signature_covers_the_query_of_a_cancel_all() -> None:
    request = signer("hashkey").cancel_all("ETHUSD", AT_MS)
    assert request is not None
    signed, _, signature = urlsplit(request.url).query.rpartition("&signature=")
    secret = DEFAULT_CREDENTIALS["hashkey"]["desk-a"]["secret"].encode()

    assert signature == hmac.new(secret, signed.encode(), hashlib.sha256).hexdigest()


def test_what_a_venue_offers_is_what_it_has_requests_for() -> None:
    for name, venue in VENUES.items():
        reach, own = venue.reach, signer(name)

        assert (own.listing(FIRST, AT_MS) is not None) is bool(reach.page_most)
        assert (own.cancel_all(None, AT_MS) is not None) is (reach.cancel_all is Breadth.ACCOUNT)
        assert (own.cancel_all("X", AT_MS) is not None) is (reach.cancel_all is not Breadth.NONE)


@pytest.mark.parametrize("venue", LISTING)
def test_a_symbol_is_held_against_an_alphabet(venue: str) -> None:
    assert VENUES[venue].symbol_fault(SYMBOLS[venue]) is None
    for bad in ("", "a b", "a&b=c", "a%20b", "a\r\nb", "x" * 65, "ä"):
        fault = VENUES[venue].symbol_fault(bad)
        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.INVALID_REQUEST


def test_b2trader_takes_no_symbol() -> None:
    assert isinstance(VENUES["b2trader"].symbol_fault("X"), RefFault)


# -- what a list shows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", LISTING)
def test_every_open_order_is_shown_with_its_symbol(venue: str) -> None:
    said = VENUES[venue].interpret_listing(reply(shown(venue, [row(venue)])), FIRST)

    ref = HASH if venue == "loopring" else "7"
    assert isinstance(said, Listing)
    assert said.orders == (OrderRef(By.ORDER_ID, ref, SYMBOLS[venue]),)
    assert said.more is False


@pytest.mark.parametrize("venue", LISTING)
def test_an_empty_list_is_empty(venue: str) -> None:
    said = VENUES[venue].interpret_listing(reply(shown(venue, [])), FIRST)

    assert isinstance(said, Listing)
    assert (said.orders, said.more) == ((), False)


@pytest.mark.parametrize("venue", LISTING)
@pytest.mark.parametrize("bad", [{}, "x", 7, None, [], {"status": "NEW"}])
def test_a_row_that_cannot_be_read_spoils_the_list(venue: str, bad: object) -> None:
    said = VENUES[venue].interpret_listing(reply(shown(venue, [row(venue), bad])), FIRST)

    assert isinstance(said, Unclear)


@pytest.mark.parametrize("venue", LISTING)
@pytest.mark.parametrize("order_id", ["", "../x", "1 2", -1, 1.5, True, [], {}, "x" * 200])
def test_an_id_outside_the_alphabet_spoils_the_list(venue: str, order_id: object) -> None:
    said = VENUES[venue].interpret_listing(reply(shown(venue, [row(venue, order_id)])), FIRST)

    assert isinstance(said, Unclear)


@pytest.mark.parametrize("venue", COUNTING)
@pytest.mark.parametrize("total", ["1", -1, 1.0, True, [], {}])
def test_without_a_number_in_all_a_list_proves_nothing(venue: str, total: object) -> None:
    assert isinstance(VENUES[venue].interpret_listing(reply(shown(venue, [row(venue)], total)), FIRST), Unclear)


@pytest.mark.parametrize("venue", COUNTING)
def test_no_rows_of_many_is_not_empty(venue: str) -> None:
    assert isinstance(VENUES[venue].interpret_listing(reply(shown(venue, [], 3)), FIRST), Unclear)


@pytest.mark.parametrize("venue", COUNTING)
def test_more_pages_come_as_long_as_the_number_says_so(venue: str) -> None:
    most = VENUES[venue].reach.page_most
    answer = reply(shown(venue, [row(venue)], 2 * most))

    seen = [VENUES[venue].interpret_listing(answer, Page(number)) for number in range(2)]

    assert [isinstance(each, Listing) and each.more for each in seen] == [True, False]


def test_a_full_list_of_hashkeys_may_hide_more() -> None:
    rows = [row("hashkey", str(number)) for number in range(1, 1001)]

    seen = [VENUES["hashkey"].interpret_listing(reply(shown("hashkey", some)), FIRST) for some in (rows, rows[1:])]

    assert [isinstance(each, Listing) and each.more for each in seen] == [True, False]


@pytest.mark.parametrize(
    ("venue", "done"),
    [
        ("orderly", {"status": "FILLED"}),
        ("hashkey", {"status": "CANCELED"}),
        ("loopring", {"status": "cancelled"}),
        ("etna", {"Status": "Filled"}),
        ("etna", {"Status": "DoneForDay", "TimeInForce": "Day"}),
    ],
)
def test_what_is_done_is_left_out_and_an_unknown_state_is_not(venue: str, done: dict[str, object]) -> None:
    name = next(iter(done))
    rows = [row(venue, **done), row(venue, **{name: "Marvellous"})]

    said = VENUES[venue].interpret_listing(reply(shown(venue, rows)), FIRST)

    assert isinstance(said, Listing)
    assert len(said.orders) == 1


def test_etna_is_listed_whole_and_one_symbol_picked_out() -> None:
    rows = [row("etna"), row("etna", 8, Symbol="MSFT")]

    said = VENUES["etna"].interpret_listing(reply(shown("etna", rows)), Page(symbol="MSFT"))

    assert isinstance(said, Listing)
    assert [order.value for order in said.orders] == ["8"]


def test_a_symbol_that_was_not_asked_for_spoils_hashkeys_list() -> None:
    said = VENUES["hashkey"].interpret_listing(reply(shown("hashkey", [row("hashkey")])), Page(symbol="BTCUSD"))

    assert isinstance(said, Unclear)


REFUSALS = [
    ("orderly", {"success": False, "code": -1003, "message": "slow"}, 429, Throttled),
    ("orderly", {"success": False, "code": -1002, "message": "no"}, 401, AuthRefused),
    ("orderly", {"success": False, "code": -1006, "message": "?"}, 400, Unclear),
    ("hashkey", {"code": "0003", "msg": "slow"}, 400, Throttled),
    ("hashkey", {"code": "0002", "msg": "no"}, 400, AuthRefused),
    ("hashkey", {"code": "-1142", "msg": "?"}, 400, Unclear),
    ("hashkey", {"fine": True}, 200, Unclear),
    ("hashkey", [], 400, Unclear),
    ("loopring", {"resultInfo": {"code": 104005, "message": "no"}}, 400, AuthRefused),
    ("loopring", {"resultInfo": {"code": 100000, "message": "?"}}, 400, Unclear),
    ("loopring", b"Too Many Requests", 429, Throttled),
    ("etna", {"Message": "denied"}, 401, AuthRefused),
    ("etna", {"Message": "slow"}, 429, Throttled),
    ("etna", {"Result": [], "TotalCount": 0}, 400, Unclear),
    ("b2trader", {}, 200, Unclear),
]


@pytest.mark.parametrize(("venue", "body", "status", "kind"), REFUSALS)
def test_a_refusal_is_no_empty_list(venue: str, body: object, status: int, kind: type) -> None:
    assert isinstance(VENUES[venue].interpret_listing(reply(body, status), FIRST), kind)


NAMES = ["rows", "meta", "data", "success", "orders", "totalNum", "Result", "TotalCount", "total"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("venue", [*LISTING, "b2trader"])
@given(
    body=st.binary(max_size=200) | JSON.map(orjson.dumps),
    status=st.sampled_from([200, 400, 401, 403, 404, 418, 429, 500]),
)
def test_reading_is_total(venue: str, body: bytes, status: int) -> None:
    seen = VENUES[venue].interpret_listing(reply(body, status), FIRST)
    said = VENUES[venue].interpret_cancel_all(reply(body, status))

    assert isinstance(seen, Listing | AuthRefused | Throttled | Unclear)
    assert isinstance(said, Settled | ReadBack | AuthRefused | Throttled | Unclear)
    assert not isinstance(seen, Listing) or status == 200


# -- what a cancel-all's answer means --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "body", "outcome"),
    [
        ("orderly", {"success": True, "data": {"status": "CANCEL_ALL_SENT"}}, Outcome.ACCEPTED),
        ("hashkey", {"success": True}, Outcome.ACCEPTED),
    ],
)
def test_a_cancel_all_is_taken_at_best(venue: str, body: object, outcome: Outcome) -> None:
    said = VENUES[venue].interpret_cancel_all(reply(body))

    assert isinstance(said, Settled)
    assert said.outcome is outcome


@pytest.mark.parametrize(
    ("venue", "body", "status", "kind"),
    [
        ("orderly", {"success": True, "data": {"status": "MAYBE"}}, 200, Unclear),
        ("orderly", {"success": False, "code": -1005}, 400, Settled),
        ("hashkey", {"success": False}, 200, Unclear),
        ("hashkey", {"success": "true"}, 200, Unclear),
        ("hashkey", {"code": "-1150", "msg": "?"}, 400, ReadBack),
        ("loopring", {}, 200, Unclear),
        ("etna", {}, 200, Unclear),
        ("b2trader", {}, 200, Unclear),
    ],
)
def test_anything_else_is_not_called_taken(venue: str, body: object, status: int, kind: type) -> None:
    said = VENUES[venue].interpret_cancel_all(reply(body, status))

    assert isinstance(said, kind)
    assert not (isinstance(said, Settled) and said.outcome is Outcome.ACCEPTED)
