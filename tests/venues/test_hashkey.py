"""HashKey against vectors from ccxt and the venue's own examples, its documented answers, and anything else."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
    Throttled,
    Unclear,
    Untimely,
    Verdict,
)
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import BadMaterial, Option, RefFault, Signer, Site, Venue, looks_by_cancelling
from gateway.venues.hashkey import AFTER_CANCEL, CODES, HASHKEY, STATES, HashkeySigner

FILE: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "hashkey.json").read_text())
VECTORS: list[dict[str, Any]] = FILE["vectors"]
BY_ID = {vector["id"]: vector for vector in VECTORS}
AMBIGUOUS = [vector for vector in VECTORS if vector.get("encoding_ambiguous")]
SINGLE = [
    vector
    for vector in VECTORS
    if vector not in AMBIGUOUS and vector["path"] == "/api/v1/spot/order" and len(vector["params"]) == 1
]

ORDER = OrderRef(By.ORDER_ID, "1563291927536863744")
OTHER = OrderRef(By.ORDER_ID, "1563291927536863745")
CLIENT = OrderRef(By.CLIENT_ID, "99999888912")
SITE = Site("https://api-pro.hashkey.com")
FIELDS = {"api_key": "key", "secret": "secret"}


def signer_of(vector: dict[str, Any]) -> HashkeySigner:
    options = {"recv_window_ms": vector["recv_window"]} if vector["recv_window"] else {}
    fields = {"api_key": vector["api_key"], "secret": vector["secret"]}
    return HASHKEY.unlock(fields, Site(vector["host"], options))


def params_of(vector: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in vector["params"])


def request_in(vector: dict[str, Any]) -> WireRequest:
    return WireRequest(vector["method"], vector["query_form"]["url"], tuple(vector["headers"].items()))


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers or {}, raw, at_ms=1_700_000_000_000)


def shown(status: object = "NEW", **more: object) -> dict[str, object]:
    return {
        "accountId": "1464567707961719552",
        "symbol": "ETHUSD",
        "clientOrderId": "99999888912",
        "orderId": "1563291927536863744",
        "transactTime": "1701094920045",
        "price": "1900",
        "origQty": "1",
        "executedQty": "0.25",
        "status": status,
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        **more,
    }


def failed(code: object, msg: str = "said so") -> dict[str, object]:
    return {"code": code, "msg": msg}


def facts_of(status: str) -> Facts:
    return Facts(status, order_id="1563291927536863744", client_id="99999888912", filled="0.25", remaining="0.75")


def with_facts(verdict: Verdict, facts: Facts) -> Verdict:
    return type(verdict)(**{name: getattr(verdict, name) for name in verdict.__slots__} | {"facts": facts})


def test_venue_meets_the_protocol() -> None:
    venue: Venue = HASHKEY
    signer: Signer = HASHKEY.unlock(FIELDS, SITE)

    assert venue.id == "hashkey"
    assert venue.fields == (frozenset({"api_key", "secret"}),)
    assert venue.options == {"recv_window_ms": Option(0, least=0, most=60_000)}
    assert venue.batch_most == 100
    assert signer.cancel(ORDER, 1).method == "DELETE"


class TestSigning:
    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
    def test_every_vector_is_reproduced_byte_for_byte(self, vector: dict[str, Any]) -> None:
        signer = signer_of(vector)

        signed = signer.signed_text(params_of(vector), vector["timestamp"])
        request = signer.request(vector["method"], vector["path"], params_of(vector), vector["timestamp"])

        assert signed == vector["signed_text"]
        assert request == request_in(vector)
        assert request.url.endswith("&signature=" + vector["signature"])

    @pytest.mark.parametrize("known", FILE["published_known_answers"], ids=lambda known: known["label"])
    def test_examples_of_the_documentation_are_reproduced(self, known: dict[str, Any]) -> None:
        keyed = HASHKEY.unlock({"api_key": "key", "secret": known["secret"]}, SITE).keyed.copy()

        keyed.update(known["signed_text"].encode())

        assert keyed.hexdigest() == known["published_signature"]

    @pytest.mark.parametrize("vector", SINGLE, ids=lambda vector: vector["id"])
    def test_cancel_or_read_of_an_accepted_reference_is_the_vector(self, vector: dict[str, Any]) -> None:
        ((name, ref),) = params_of(vector)
        order = HASHKEY.order_ref(ref, By.ORDER_ID if name == "orderId" else By.CLIENT_ID, None)
        assert isinstance(order, OrderRef)

        signer = signer_of(vector)
        made = signer.cancel if vector["method"] == "DELETE" else signer.read

        assert made(order, vector["timestamp"]) == request_in(vector)

    def test_a_look_is_no_cancel(self) -> None:
        assert not looks_by_cancelling(HASHKEY.unlock(FIELDS, SITE), CLIENT)

    def test_read_by_client_id_uses_its_other_name(self) -> None:
        request = HASHKEY.unlock(FIELDS, SITE).read(CLIENT, 5)

        assert request.method == "GET"
        assert request.url.startswith(
            "https://api-pro.hashkey.com/api/v1/spot/order?timestamp=5&origClientOrderId=99999888912&signature="
        )

    @pytest.mark.parametrize("name", ["batch-1", "batch-100"])
    def test_batch_is_the_vector(self, name: str) -> None:
        vector = BY_ID[name]
        orders = tuple(OrderRef(By.ORDER_ID, ref) for ref in vector["params"][0][1].split(","))

        assert signer_of(vector).batch(orders, vector["timestamp"]) == request_in(vector)

    @pytest.mark.parametrize(
        "orders", [(), (CLIENT,), (ORDER, CLIENT), (ORDER,) * 101], ids=["none", "client ids", "both", "too many"]
    )
    def test_set_that_no_batch_takes_is_refused(self, orders: tuple[OrderRef, ...]) -> None:
        assert HASHKEY.unlock(FIELDS, SITE).batch(orders, 1) is None

    @pytest.mark.parametrize("vector", AMBIGUOUS, ids=lambda vector: vector["id"])
    def test_reference_whose_hash_is_not_documented_never_gets_a_signer(self, vector: dict[str, Any]) -> None:
        refused = HASHKEY.order_ref(vector["params"][0][1], By.CLIENT_ID, None)

        assert isinstance(refused, RefFault)
        assert refused.outcome is Outcome.INVALID_REQUEST

    def test_second_request_is_signed_afresh(self) -> None:
        signer = HASHKEY.unlock(FIELDS, SITE)

        urls = [signer.cancel(ORDER, at_ms).url for at_ms in (1, 2, 1)]

        assert urls[0] == urls[2] != urls[1]


class TestUnlock:
    def test_repr_shows_no_key_no_secret_and_no_signature(self) -> None:
        vector = BY_ID["order-id"]
        signer = signer_of(vector)

        text = repr(signer) + repr(signer.cancel(ORDER, vector["timestamp"]))

        for secret in (vector["api_key"], vector["secret"], vector["signature"]):
            assert secret not in text

    def test_trailing_slash_of_the_site_gives_no_double_slash(self) -> None:
        request = HASHKEY.unlock(FIELDS, Site("https://api-pro.hashkey.com/")).cancel(ORDER, 1)

        assert request.url.startswith("https://api-pro.hashkey.com/api/v1/spot/order?")

    @pytest.mark.parametrize("name", ["api_key", "secret"])
    @pytest.mark.parametrize("value", ["", "with blank", "line\n", "ünicode", "tab\t", "\x00"])
    def test_bad_material_names_the_field_and_never_the_value(self, name: str, value: str) -> None:
        with pytest.raises(BadMaterial) as caught:
            HASHKEY.unlock({**FIELDS, name: value}, SITE)

        assert caught.value.field == name
        assert not value or value not in str(caught.value)

    @pytest.mark.parametrize("name", ["api_key", "secret"])
    def test_missing_field_is_named(self, name: str) -> None:
        fields = {key: value for key, value in FIELDS.items() if key != name}

        with pytest.raises(BadMaterial, match=name):
            HASHKEY.unlock(fields, SITE)


class TestOrderRef:
    @pytest.mark.parametrize("ref", ["0", "1", "1563291927536863744", "9" * 20])
    def test_order_id_is_taken_without_a_symbol(self, ref: str) -> None:
        assert HASHKEY.order_ref(ref, By.ORDER_ID, "ETHUSD") == OrderRef(By.ORDER_ID, ref, None)

    @pytest.mark.parametrize("by", [None, By.CLIENT_ID])
    @pytest.mark.parametrize("ref", ["a", "-a", "HASHKEY-2b6f0cc9", "~._-", "x" * 255])
    def test_client_id_is_taken(self, ref: str, by: By | None) -> None:
        assert HASHKEY.order_ref(ref, by, None) == OrderRef(By.CLIENT_ID, ref)

    def test_digits_alone_need_by(self) -> None:
        """The venue makes client ids of digits when none is given, so the shape tells nothing."""
        fault = HASHKEY.order_ref("99999888912", None, None)

        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.AMBIGUOUS_REF
        assert HASHKEY.order_ref("99999888912", By.CLIENT_ID, None) == CLIENT

    @pytest.mark.parametrize(
        ("ref", "by"),
        [
            ("", By.ORDER_ID),
            ("", None),
            ("007", By.ORDER_ID),
            ("9" * 21, By.ORDER_ID),
            ("1\n", By.ORDER_ID),
            ("٣", By.ORDER_ID),
            ("a", By.ORDER_ID),
            ("..", None),
            (".", By.CLIENT_ID),
            ("a&orderId=1", None),
            ("a,b", None),
            ("a+b", None),
            ("a\n", None),
            ("é", None),
            ("x" * 256, None),
        ],
    )
    def test_reference_outside_the_alphabet_is_refused(self, ref: str, by: By | None) -> None:
        fault = HASHKEY.order_ref(ref, by, None)

        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.INVALID_REQUEST


class TestLimits:
    def test_quotas_are_the_published_ones(self) -> None:
        assert HASHKEY.quotas == {"cancel": Quota(10, 1000), "read": Quota(2, 1000)}

    @pytest.mark.parametrize("by", By)
    @pytest.mark.parametrize(
        ("op", "charge"),
        [
            (Op.CANCEL, Charge("cancel", 1)),
            (Op.BATCH, Charge("cancel", 5)),
            (Op.READ, Charge("read", 1)),
            (Op.LIST, Charge("read", 1)),
            (Op.CANCEL_ALL, Charge("cancel", 5)),
        ],
    )
    def test_operation_costs_its_weight(self, op: Op, charge: Charge, by: By) -> None:
        """Only order ids go in batches, so those of client ids cost nothing because there are none."""
        assert HASHKEY.charges(op, by) == (() if (op, by) == (Op.BATCH, By.CLIENT_ID) else (charge,))


GONE = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.NOT_FOUND)
RETRY = ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)
IN_DOUBT = ReadBack(Outcome.CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.UNKNOWN)
LIMITED = Throttled(Scope.ACCOUNT, banned=False, retry_after_ms=60_000)

# code in the table -> (code as sent, what it means); all of them come with HTTP 400
CODE_CASES: dict[str, tuple[object, Verdict]] = {
    "0001": ("0001", Settled(Outcome.REJECTED)),
    "0002": ("0002", AuthRefused()),
    "0003": ("0003", LIMITED),
    "0102": ("0102", AuthRefused()),
    "0103": ("0103", AuthRefused()),
    "0104": ("0104", AuthRefused()),
    "0202": ("0202", AuthRefused()),
    "0211": ("0211", GONE),
    "-1000": (-1000, IN_DOUBT),
    "-1001": (-1001, IN_DOUBT),
    "-1002": ("-1002", AuthRefused()),
    "-1005": (-1005, AuthRefused()),
    "-1006": (-1006, IN_DOUBT),
    "-1007": ("-1007", IN_DOUBT),
    "-1021": (-1021, Untimely()),
    "-1024": (-1024, IN_DOUBT),
    "-1101": (-1101, RETRY),
    "-1138": (-1138, Settled(Outcome.ALREADY_CANCELLED)),
    "-1139": ("-1139", Settled(Outcome.TOO_LATE_FILLED)),
    "-1142": ("-1142", Settled(Outcome.ALREADY_CANCELLED)),
    "-1143": (-1143, GONE),
    "-1144": (-1144, RETRY),
    "-1145": (-1145, Settled(Outcome.REJECTED)),
    "-1147": (-1147, IN_DOUBT),
    "-1150": (-1150, RETRY),
    "-2001": (-2001, RETRY),
    "-2011": (-2011, RETRY),
    "-2013": (-2013, GONE),
    "-2040": (-2040, RETRY),
    "-3145": (-3145, LIMITED),
}

STATUS_CASES: dict[str, Verdict] = {
    "NEW": Settled(Outcome.ACCEPTED),
    "PARTIALLY_FILLED": Settled(Outcome.ACCEPTED),
    "PENDING_CANCEL": Settled(Outcome.ACCEPTED),
    "CANCELED": Settled(Outcome.CANCELLED),
    "PARTIALLY_CANCELED": Settled(Outcome.CANCELLED),
    "FILLED": Settled(Outcome.TOO_LATE_FILLED),
    "REJECTED": IN_DOUBT,
}


class TestInterpret:
    def test_every_code_and_status_has_a_case(self) -> None:
        assert set(CODE_CASES) == set(CODES)
        assert set(STATUS_CASES) == set(AFTER_CANCEL)

    @pytest.mark.parametrize("code", CODE_CASES)
    @pytest.mark.parametrize("status", [200, 400])
    def test_code_means_what_is_documented(self, code: str, status: int) -> None:
        said, expected = CODE_CASES[code]

        verdict = HASHKEY.interpret(reply(failed(said), status), ORDER)

        assert verdict == with_facts(expected, Facts(venue_code=code, venue_message="said so"))

    @pytest.mark.parametrize("status", STATUS_CASES)
    @pytest.mark.parametrize("order", [ORDER, CLIENT])
    def test_status_of_the_order_is_the_outcome(self, status: str, order: OrderRef) -> None:
        verdict = HASHKEY.interpret(reply(shown(status)), order)

        assert verdict == with_facts(STATUS_CASES[status], facts_of(status))

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("0211", "0211"),
            ("211", "0211"),
            (211, "0211"),
            ("00211", "0211"),
            (-1142, "-1142"),
            ("-1142", "-1142"),
            (" -1142 ", "-1142"),
            ("-01142", "-1142"),
            (3, "0003"),
        ],
    )
    def test_code_is_one_code_however_it_is_spelled(self, said: object, code: str) -> None:
        verdict = HASHKEY.interpret(reply(failed(said), 400), ORDER)

        assert verdict == with_facts(CODE_CASES[code][1], Facts(venue_code=code, venue_message="said so"))

    @pytest.mark.parametrize("said", ["0000", 0, "0", 200, "200", None])
    def test_code_of_success_beside_the_order_is_no_error(self, said: object) -> None:
        verdict = HASHKEY.interpret(reply(shown("CANCELED", code=said)), ORDER)

        assert isinstance(verdict, Settled)
        assert verdict.outcome is Outcome.CANCELLED

    def test_error_code_beside_a_cancelled_order_is_an_error(self) -> None:
        verdict = HASHKEY.interpret(reply(shown("CANCELED", code="-1145")), ORDER)

        assert verdict == Settled(Outcome.REJECTED, Facts(venue_code="-1145"))

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ("Incorrect signature", AuthRefused),
            ("0001: incorrect SIGNATURE.", AuthRefused),
            ("Required field 'signature' missing or invalid.", Settled),
            ("Required field 'orderId' missing or invalid.", Settled),
            ("", Settled),
        ],
    )
    def test_0001_is_told_apart_by_its_text(self, message: str, expected: type[Verdict]) -> None:
        assert isinstance(HASHKEY.interpret(reply(failed("0001", message), 400), ORDER), expected)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (shown("CANCELED", orderId="1563291927536863745"), 200),
            (shown("CANCELED", orderId=None), 200),
            (shown("CANCELLED"), 200),
            (shown("canceled"), 200),
            (shown("EXPIRED"), 200),
            (shown(None), 200),
            (shown(["CANCELED"]), 200),
            (shown("CANCELED"), 202),
            (shown("CANCELED"), 400),
            (shown("CANCELED", code="-99"), 200),
            (shown("CANCELED", code="zero"), 200),
            (shown("CANCELED", code={}), 200),
            (shown("CANCELED", code=""), 200),
            (shown("CANCELED", code=False), 200),
            (shown("CANCELED", code=0.5), 200),
            ({"code": "0000"}, 200),
            ({"code": "0000", "result": []}, 200),
            ({"code": "0000"}, 400),
            ({"success": True}, 200),
            ({}, 200),
            ([shown("CANCELED")], 200),
            (b"", 200),
            (b"<html>CANCELED</html>", 200),
            (b"<html>no route</html>", 404),
        ],
    )
    def test_anything_odd_is_unclear(self, body: object, status: int) -> None:
        assert isinstance(HASHKEY.interpret(reply(body, status), ORDER), Unclear)

    def test_cancel_by_client_id_checks_the_client_id(self) -> None:
        verdict = HASHKEY.interpret(reply(shown("CANCELED", clientOrderId="99999888913")), CLIENT)

        assert isinstance(verdict, Unclear)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("body", [failed("0211"), failed(-1145), shown("CANCELED"), b"bad gateway"])
    def test_server_error_proves_nothing(self, status: int, body: object) -> None:
        assert isinstance(HASHKEY.interpret(reply(body, status), ORDER), Unclear)

    @pytest.mark.parametrize(("headers", "expected"), [({}, 60_000), ({"retry-after": "5"}, 5000)])
    @pytest.mark.parametrize("status", [400, 429])
    def test_rate_limit_rests_for_the_stated_time_or_a_minute(
        self, status: int, headers: dict[str, str], expected: int
    ) -> None:
        verdict = HASHKEY.interpret(reply(failed("0003"), status, headers), ORDER)

        assert isinstance(verdict, Throttled)
        assert (verdict.scope, verdict.banned, verdict.retry_after_ms) == (Scope.ACCOUNT, False, expected)

    @pytest.mark.parametrize("status", [418, 403])
    @pytest.mark.parametrize(("headers", "expected"), [({}, None), ({"retry-after": "5"}, 5000)])
    def test_ban_of_our_address_closes_the_egress(
        self, status: int, headers: dict[str, str], expected: int | None
    ) -> None:
        verdict = HASHKEY.interpret(reply(b"<html></html>", status, headers), ORDER)

        assert verdict == Throttled(Scope.EGRESS, banned=True, retry_after_ms=expected)


class TestRead:
    STATE_CASES = (
        ("NEW", OrderState.OPEN),
        ("PARTIALLY_FILLED", OrderState.OPEN),
        ("PENDING_CANCEL", OrderState.PENDING_CANCEL),
        ("CANCELED", OrderState.CANCELLED),
        ("PARTIALLY_CANCELED", OrderState.CANCELLED),
        ("FILLED", OrderState.FILLED),
        ("REJECTED", OrderState.CLOSED),
    )

    def test_every_status_has_a_case(self) -> None:
        assert dict(self.STATE_CASES) == STATES

    @pytest.mark.parametrize(("word", "state"), STATE_CASES)
    @pytest.mark.parametrize("order", [ORDER, CLIENT])
    def test_status_is_the_state_with_its_facts(self, word: str, state: OrderState, order: OrderRef) -> None:
        assert HASHKEY.interpret_read(reply(shown(word)), order) == Seen(state, facts_of(word))

    @pytest.mark.parametrize("code", ["0211", 211, -2013])
    def test_unknown_order_is_missing(self, code: object) -> None:
        sighting = HASHKEY.interpret_read(reply(failed(code), 400), ORDER)

        assert isinstance(sighting, Seen)
        assert sighting.state is OrderState.MISSING

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (shown("CANCELED", orderId="1563291927536863745"), 200),
            (shown("CANCELED", orderId=1563291927536863745), 200),
            (shown("EXPIRED"), 200),
            (shown("CANCELED"), 404),
            (failed("-1143"), 400),
            (failed("-1139"), 400),
            (failed("0001"), 400),
            (failed("-1000"), 400),
            (failed("0211"), 500),
            ({}, 200),
            (b"FILLED", 200),
        ],
    )
    def test_anything_odd_is_unclear(self, body: object, status: int) -> None:
        assert isinstance(HASHKEY.interpret_read(reply(body, status), ORDER), Unclear)

    def test_refusals_keep_their_meaning(self) -> None:
        assert isinstance(HASHKEY.interpret_read(reply(failed("0102"), 400), ORDER), AuthRefused)
        assert HASHKEY.interpret_read(reply(b"", 429), ORDER) == LIMITED

    def test_order_id_may_come_as_a_number(self) -> None:
        sighting = HASHKEY.interpret_read(reply(shown("FILLED", orderId=1563291927536863744)), ORDER)

        assert sighting == Seen(OrderState.FILLED, facts_of("FILLED"))


class TestBatch:
    @pytest.mark.parametrize("result", [[], None])
    @pytest.mark.parametrize("code", ["0000", 0])
    def test_empty_list_of_failures_is_accepted_for_each(self, code: object, result: object) -> None:
        verdicts = HASHKEY.interpret_batch(reply({"code": code, "result": result}), (ORDER, OTHER))

        assert verdicts == (Settled(Outcome.ACCEPTED),) * 2

    @pytest.mark.parametrize("code", CODE_CASES)
    def test_listed_order_gets_its_own_verdict_and_the_rest_is_accepted(self, code: str) -> None:
        said, expected = CODE_CASES[code]
        body = {"code": "0000", "result": [{"orderId": OTHER.value, "code": said}]}

        verdicts = HASHKEY.interpret_batch(reply(body), (ORDER, OTHER))

        assert verdicts == (
            Settled(Outcome.ACCEPTED),
            with_facts(expected, Facts(order_id=OTHER.value, venue_code=code)),
        )

    def test_listed_order_that_was_done_is_accepted(self) -> None:
        body = {"code": "0000", "result": [{"orderId": ORDER.value, "code": "0000"}]}

        assert HASHKEY.interpret_batch(reply(body), (ORDER,)) == (
            Settled(Outcome.ACCEPTED, Facts(order_id=ORDER.value, venue_code="0000")),
        )

    @pytest.mark.parametrize("row", [{}, {"code": None}, {"code": "7777"}, {"code": []}])
    def test_listed_order_without_a_known_code_is_unclear(self, row: dict[str, object]) -> None:
        body = {"code": "0000", "result": [{"orderId": ORDER.value, **row}]}

        first, second = HASHKEY.interpret_batch(reply(body), (ORDER, OTHER))

        assert isinstance(first, Unclear)
        assert second == Settled(Outcome.ACCEPTED)

    @pytest.mark.parametrize("code", ["0001", "0003", "-1142", "0102", "0211", "-1147"])
    def test_failure_of_the_whole_is_the_verdict_of_each(self, code: str) -> None:
        verdicts = HASHKEY.interpret_batch(reply(failed(code), 400), (ORDER, OTHER))

        expected = with_facts(CODE_CASES[code][1], Facts(venue_code=code, venue_message="said so"))
        assert verdicts == (expected, expected)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"result": []}, 200),
            ({"code": "0000", "result": []}, 400),
            ({"code": "0000", "result": []}, 503),
            ({"code": "0000", "result": {}}, 200),
            ({"code": "0000", "result": "all"}, 200),
            ({"code": "0000", "result": ["0211"]}, 200),
            ({"code": "0000", "result": [{"code": "0211"}]}, 200),
            ({"code": "0000", "result": [{"orderId": "42", "code": "0211"}]}, 200),
            (
                {
                    "code": "0000",
                    "result": [{"orderId": ORDER.value, "code": "0211"}, {"orderId": ORDER.value, "code": "-1139"}],
                },
                200,
            ),
            (b"0000", 200),
            (b"", 200),
        ],
    )
    def test_list_that_cannot_be_trusted_is_unclear_for_each(self, body: object, status: int) -> None:
        verdicts = HASHKEY.interpret_batch(reply(body, status), (ORDER, OTHER))

        assert [type(verdict) for verdict in verdicts] == [Unclear, Unclear]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=10,
)
WORDS = st.sampled_from([*CODES, *STATES, "0000", 0, 211, ORDER.value, CLIENT.value, int(ORDER.value)])
NAMES = ["code", "msg", "status", "orderId", "clientOrderId", "executedQty", "origQty", "result"]
FLAT = st.dictionaries(st.sampled_from(NAMES), WORDS | JSON)
NEAR = st.fixed_dictionaries(
    {"orderId": st.sampled_from([ORDER.value, OTHER.value, None]), "status": st.sampled_from([*STATES, "canceled"])},
    optional={"code": WORDS, "clientOrderId": WORDS},
)
LIKELY = NEAR | FLAT | st.fixed_dictionaries({"code": WORDS, "result": st.lists(FLAT, max_size=3)})
STATUSES = st.sampled_from([200, 202, 204, 301, 400, 401, 403, 404, 409, 418, 429, 500, 503]) | st.integers(100, 999)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "content-type", "date"]), st.text())


def all_three(answer: Reply) -> list[object]:
    verdicts = HASHKEY.interpret_batch(answer, (ORDER, OTHER))
    assert len(verdicts) == 2
    return [*verdicts, HASHKEY.interpret(answer, ORDER), HASHKEY.interpret_read(answer, CLIENT)]


@given(body=st.binary(), status=STATUSES, headers=HEADERS)
def test_bytes_that_are_no_json_are_never_a_fact(body: bytes, status: int, headers: dict[str, str]) -> None:
    for said in all_three(Reply(status, headers, b"<" + body)):
        assert isinstance(said, Throttled | Unclear)


@example(body=shown("CANCELED"), status=200, headers={})
@given(body=JSON | LIKELY, status=st.just(200) | STATUSES, headers=HEADERS)
def test_any_json_is_read_without_raising_and_no_cancel_is_made_up(
    body: object, status: int, headers: dict[str, str]
) -> None:
    """`cancelled` needs a 200 about this very order with one of two words."""
    answer = reply(body, status, headers)

    for said in all_three(answer):
        if isinstance(said, Settled) and said.outcome is Outcome.CANCELLED:
            assert (status, said.facts.order_id) == (200, ORDER.value)
            assert said.facts.venue_status in {"CANCELED", "PARTIALLY_CANCELED"}


REFS = st.text("aZ09._~-", min_size=1, max_size=36) | st.text("aZ09._~-,%+&=/ \n", max_size=40) | st.text(max_size=40)


@example(ref="my-order-1", by=None)
@given(ref=REFS, by=st.sampled_from([None, *By]))
def test_any_reference_is_refused_or_needs_no_escaping(ref: str, by: By | None) -> None:
    order = HASHKEY.order_ref(ref, by, None)

    if isinstance(order, OrderRef):
        url = HASHKEY.unlock(FIELDS, SITE).cancel(order, 1).url
        assert url == unquote(url)
        assert f"rderId={ref}&signature=" in url
