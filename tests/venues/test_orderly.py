"""Orderly against vectors from its own connector, its documented answers, and anything else that could come."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

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
from gateway.venues import base58
from gateway.venues.base import BadMaterial, RefFault, Signer, Site, Venue
from gateway.venues.orderly import CODES, LIMITS, ORDERLY, STATES, OrderlySigner

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "orderly.json").read_text())["vectors"]
BY_ID = {vector["id"]: vector for vector in VECTORS}
PLAIN = [vector for vector in VECTORS if not vector.get("encoding_ambiguous")]
AMBIGUOUS = [vector for vector in VECTORS if vector.get("encoding_ambiguous")]

ORDER = OrderRef(By.ORDER_ID, "78151", "PERP_WOO_USDC")
CLIENT = OrderRef(By.CLIENT_ID, "my-order-1", "PERP_ETH_USDC")
SITE = Site("https://api.orderly.org")
ACCOUNT_ID = "0x" + "7b" * 32
SEED = bytes(range(1, 33))


def signer_of(vector: dict[str, Any]) -> OrderlySigner:
    fields = {"account_id": vector["account_id"], "private_key": vector["orderly_secret"]}
    return ORDERLY.unlock(fields, Site(vector["host"]))


def params_of(vector: dict[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    path, _, query = vector["path_with_query"].partition("?")
    return path, tuple(parse_qsl(query, strict_parsing=bool(query)))


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers or {}, raw, at_ms=1_700_000_000_000)


def sent(status: object = "CANCEL_SENT", **more: object) -> dict[str, object]:
    return {"success": True, "timestamp": 1702989203989, "data": {"status": status, **more}}


def failed(code: object, message: str = "said so") -> dict[str, object]:
    return {"success": False, "code": code, "message": message}


def shown(status: str = "NEW", **more: object) -> dict[str, object]:
    data = {"order_id": 78151, "client_order_id": "my-order-1", "status": status, "quantity": 0.5, "executed": 0.2}
    return {"success": True, "timestamp": 1702989203989, "data": {**data, **more}}


def test_venue_meets_the_protocol() -> None:
    venue: Venue = ORDERLY
    signer: Signer = signer_of(BY_ID["order-id"])

    assert venue.id == "orderly"
    assert venue.fields == (frozenset({"account_id", "private_key"}),)
    assert venue.options == {}
    assert venue.batch_most == 10
    assert signer.cancel(ORDER, 1).method == "DELETE"


class TestSigning:
    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
    def test_every_vector_is_reproduced_byte_for_byte(self, vector: dict[str, Any]) -> None:
        path, params = params_of(vector)

        request = signer_of(vector).request(vector["method"], path, params, vector["timestamp"])

        assert request == WireRequest(vector["method"], vector["url"], tuple(vector["headers"].items()))
        assert dict(request.headers)["orderly-signature"] == vector["signature_base64url_nopad"]

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
    def test_signature_covers_the_documented_text(self, vector: dict[str, Any]) -> None:
        path, params = params_of(vector)

        request = signer_of(vector).request(vector["method"], path, params, vector["timestamp"])

        at, target = dict(request.headers)["orderly-timestamp"], request.url.removeprefix(vector["host"])
        assert f"{at}{request.method}{target}" == vector["message"]
        key = VerifyKey(bytes.fromhex(vector["public_key_hex"]))
        assert key.verify(vector["message"].encode(), bytes.fromhex(vector["signature_hex"]))

    @pytest.mark.parametrize(
        "vector", [v for v in PLAIN if v["path_with_query"].partition("?")[0].endswith("/order")], ids=lambda v: v["id"]
    )
    def test_cancel_of_an_accepted_reference_is_the_vector(self, vector: dict[str, Any]) -> None:
        _, ((name, ref), (_, symbol)) = params_of(vector)
        by = By.ORDER_ID if name == "order_id" else By.CLIENT_ID
        order = ORDERLY.order_ref(ref, by, symbol)
        assert isinstance(order, OrderRef)

        request = signer_of(vector).cancel(order, vector["timestamp"])

        assert request == WireRequest("DELETE", vector["url"], tuple(vector["headers"].items()))

    def test_read_by_order_id_is_the_vector(self) -> None:
        vector = BY_ID["get-order-id"]

        request = signer_of(vector).read(ORDER, vector["timestamp"])

        assert request == WireRequest("GET", vector["url"], tuple(vector["headers"].items()))

    def test_read_by_client_id_has_its_own_path(self) -> None:
        request = signer_of(BY_ID["order-id"]).read(CLIENT, 1)

        assert request.url == "https://api.orderly.org/v1/client/order/my-order-1"

    @pytest.mark.parametrize(("name", "by"), [("batch-1", By.ORDER_ID), ("client-batch-10", By.CLIENT_ID)])
    def test_batch_is_the_vector(self, name: str, by: By) -> None:
        vector = BY_ID[name]
        _, ((_, ids),) = params_of(vector)
        orders = tuple(OrderRef(by, ref, "PERP_ETH_USDC") for ref in ids.split(","))

        request = signer_of(vector).batch(orders, vector["timestamp"])

        assert request == WireRequest("DELETE", vector["url"], tuple(vector["headers"].items()))

    @pytest.mark.parametrize("orders", [(), (ORDER, CLIENT), (ORDER,) * 11], ids=["none", "both kinds", "eleven"])
    def test_set_that_no_batch_takes_is_refused(self, orders: tuple[OrderRef, ...]) -> None:
        assert signer_of(BY_ID["order-id"]).batch(orders, 1) is None

    @pytest.mark.parametrize("vector", AMBIGUOUS, ids=lambda vector: vector["id"])
    def test_reference_that_clients_sign_differently_never_gets_a_signer(self, vector: dict[str, Any]) -> None:
        _, ((_, ref), (_, symbol)) = params_of(vector)

        refused = ORDERLY.order_ref(ref, By.CLIENT_ID, symbol)

        assert isinstance(refused, RefFault)
        assert refused.outcome is Outcome.INVALID_REQUEST


class TestUnlock:
    def test_repr_shows_no_secret_and_no_signature(self) -> None:
        vector = BY_ID["order-id"]
        signer = signer_of(vector)

        text = repr(signer) + repr(signer.cancel(ORDER, vector["timestamp"]))

        for secret in (vector["orderly_secret"][8:], vector["seed_hex"], vector["signature_base64url_nopad"]):
            assert secret not in text
        assert "SigningKey" not in text

    @pytest.mark.parametrize("prefix", ["", "ed25519:"])
    @pytest.mark.parametrize("seed", [SEED, bytes(32), b"\x00" * 3 + bytes(range(29))], ids=["plain", "zeros", "some"])
    def test_seed_alone_or_with_its_public_key_gives_the_same_key(self, seed: bytes, prefix: str) -> None:
        public = SigningKey(seed).verify_key.encode()

        signers = [
            ORDERLY.unlock({"account_id": ACCOUNT_ID, "private_key": prefix + base58.encode(raw)}, SITE)
            for raw in (seed, seed + public)
        ]

        assert [signer.key.encode() for signer in signers] == [seed, seed]
        assert {signer.public_key for signer in signers} == {"ed25519:" + base58.encode(public)}

    def test_trailing_slash_of_the_site_gives_no_double_slash(self) -> None:
        fields = {"account_id": ACCOUNT_ID, "private_key": base58.encode(SEED)}

        request = ORDERLY.unlock(fields, Site("https://api.orderly.org/")).read(ORDER, 1)

        assert request.url == "https://api.orderly.org/v1/order/78151"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("account_id", ""),
            ("account_id", "7b" * 32),
            ("account_id", "0x" + "7b" * 31),
            ("account_id", "0x" + "7g" * 32),
            ("account_id", "0x" + "7b" * 32 + "\n"),
            ("private_key", ""),
            ("private_key", "ed25519:"),
            ("private_key", "ed25519:0OIl"),
            ("private_key", base58.encode(SEED[:31])),
            ("private_key", base58.encode(SEED + b"\x01")),
            ("private_key", base58.encode(SEED + SEED)),
            ("private_key", "secp256k1:" + base58.encode(SEED)),
            ("private_key", "2" * 100_000),
        ],
    )
    def test_bad_material_names_the_field_and_never_the_value(self, name: str, value: str) -> None:
        fields = {"account_id": ACCOUNT_ID, "private_key": base58.encode(SEED), name: value}

        with pytest.raises(BadMaterial) as caught:
            ORDERLY.unlock(fields, SITE)

        assert caught.value.field == name
        assert len(value) < 10 or value not in str(caught.value)

    @pytest.mark.parametrize("name", ["account_id", "private_key"])
    def test_missing_field_is_named(self, name: str) -> None:
        fields = {"account_id": ACCOUNT_ID, "private_key": base58.encode(SEED)}
        del fields[name]

        with pytest.raises(BadMaterial, match=name):
            ORDERLY.unlock(fields, SITE)


class TestOrderRef:
    @pytest.mark.parametrize("ref", ["0", "1", "78151", "9" * 20])
    def test_order_id_is_taken(self, ref: str) -> None:
        assert ORDERLY.order_ref(ref, By.ORDER_ID, "PERP_X_USDC") == OrderRef(By.ORDER_ID, ref, "PERP_X_USDC")

    @pytest.mark.parametrize("by", [None, By.CLIENT_ID])
    @pytest.mark.parametrize("ref", ["a", "my-order-1", "_", "~.", "0f8fad5b-d9cb-469f-a165-70867728950e", "1-1"])
    def test_client_id_is_taken(self, ref: str, by: By | None) -> None:
        assert ORDERLY.order_ref(ref, by, "PERP_X_USDC") == OrderRef(By.CLIENT_ID, ref, "PERP_X_USDC")

    def test_digits_alone_need_by(self) -> None:
        fault = ORDERLY.order_ref("78151", None, "PERP_X_USDC")

        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.AMBIGUOUS_REF
        assert ORDERLY.order_ref("78151", By.CLIENT_ID, "PERP_X_USDC") == OrderRef(By.CLIENT_ID, "78151", "PERP_X_USDC")

    @pytest.mark.parametrize(
        ("ref", "by"),
        [
            ("", By.ORDER_ID),
            ("", None),
            ("007", By.ORDER_ID),
            ("9" * 21, By.ORDER_ID),
            ("-1", By.ORDER_ID),
            ("1\n", By.ORDER_ID),
            ("٣", By.ORDER_ID),
            ("٣", None),
            ("a", By.ORDER_ID),
            ("-a", None),
            ("..", None),
            (".", By.CLIENT_ID),
            ("a/b", None),
            ("a,b", None),
            ("a b", None),
            ("a%2e", None),
            ("a\n", None),
            ("é", None),
            ("a" * 37, None),
        ],
    )
    def test_reference_outside_the_alphabet_is_refused(self, ref: str, by: By | None) -> None:
        fault = ORDERLY.order_ref(ref, by, "PERP_X_USDC")

        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.INVALID_REQUEST

    @pytest.mark.parametrize("symbol", [None, "", "PERP ETH", "PERP&x=1", "a" * 65, "PERP_ETH_USDC\n"])
    def test_symbol_that_is_missing_or_odd_is_said_clearly(self, symbol: str | None) -> None:
        fault = ORDERLY.order_ref("my-1", None, symbol)

        assert isinstance(fault, RefFault)
        assert fault.outcome is Outcome.INVALID_REQUEST
        assert "symbol" in fault.detail


class TestLimits:
    def test_quotas_are_the_published_ones(self) -> None:
        names = {"cancel", "cancel_client", "batch", "batch_client", "read", "read_client", "list", "cancel_all"}

        assert ORDERLY.quotas == {name: Quota(10, 1000, scope=Scope.ACCOUNT) for name in names}

    @pytest.mark.parametrize(
        ("op", "by", "limit"),
        [
            (Op.CANCEL, By.ORDER_ID, "cancel"),
            (Op.CANCEL, By.CLIENT_ID, "cancel_client"),
            (Op.BATCH, By.ORDER_ID, "batch"),
            (Op.BATCH, By.CLIENT_ID, "batch_client"),
            (Op.READ, By.ORDER_ID, "read"),
            (Op.READ, By.CLIENT_ID, "read_client"),
            (Op.LIST, By.ORDER_ID, "list"),
            (Op.CANCEL_ALL, By.ORDER_ID, "cancel_all"),
        ],
    )
    def test_each_endpoint_spends_from_its_own_limit(self, op: Op, by: By, limit: str) -> None:
        assert ORDERLY.charges(op, by) == (Charge(limit, 1),)

    def test_every_operation_has_a_limit(self) -> None:
        assert set(LIMITS) == {(op, by) for op in Op for by in By}
        assert set(LIMITS.values()) == set(ORDERLY.quotas)


GONE = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.NOT_FOUND)
RETRY = ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)

# code in the table -> (HTTP status, code as sent, what it means)
CODE_CASES: dict[str, tuple[int, object, Verdict]] = {
    "-1000": (400, -1000, Unclear("unknown error at the venue")),
    "-1001": (401, -1001, AuthRefused()),
    "-1002": (401, -1002, AuthRefused()),
    "-1003": (400, -1003, Throttled(Scope.ACCOUNT, banned=False)),
    "-1004": (400, -1004, Settled(Outcome.REJECTED)),
    "-1005": (400, -1005, Settled(Outcome.REJECTED)),
    "-1006": (400, -1006, GONE),
    "-1007": (409, -1007, ReadBack(Outcome.CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.UNKNOWN)),
    "-1011": (400, "-1011", RETRY),
    "-1012": (400, -1012, RETRY),
    "2": (400, 2, Untimely()),
    "3": (400, 3, AuthRefused()),
    "9": (400, "9", AuthRefused()),
}


def with_facts(verdict: Verdict, facts: Facts) -> Verdict:
    return type(verdict)(**{name: getattr(verdict, name) for name in verdict.__slots__} | {"facts": facts})


class TestInterpret:
    def test_every_code_has_a_case(self) -> None:
        assert set(CODE_CASES) == set(CODES)

    @pytest.mark.parametrize("code", CODE_CASES)
    def test_code_means_what_is_documented(self, code: str) -> None:
        status, said, expected = CODE_CASES[code]

        verdict = ORDERLY.interpret(reply(failed(said), status), ORDER)

        assert verdict == with_facts(expected, Facts(venue_code=code, venue_message="said so"))

    @pytest.mark.parametrize("said", [-1006, "-1006", " -1006 ", "-01006"])
    def test_code_is_read_as_number_or_text(self, said: object) -> None:
        verdict = ORDERLY.interpret(reply(failed(said), 400), ORDER)

        assert isinstance(verdict, ReadBack)
        assert verdict.facts.venue_code == "-1006"

    def test_success_is_accepted_and_nothing_more(self) -> None:
        verdict = ORDERLY.interpret(reply(sent()), ORDER)

        assert verdict == Settled(Outcome.ACCEPTED, Facts(venue_status="CANCEL_SENT"))

    def test_success_that_names_the_order_is_accepted(self) -> None:
        assert ORDERLY.interpret(reply(sent(order_id=78151)), ORDER) == Settled(
            Outcome.ACCEPTED, Facts(venue_status="CANCEL_SENT", order_id="78151")
        )

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (sent(order_id=78152), 200),
            (sent("CANCELLED"), 200),
            (sent("CANCEL_ALL_SENT"), 200),
            (sent(None), 200),
            (sent(["CANCEL_SENT"]), 200),
            (sent(), 400),
            (sent(), 202),
            ({"success": True}, 200),
            ({"success": True, "data": "CANCEL_SENT"}, 200),
            ({"success": "true", "data": {"status": "CANCEL_SENT"}}, 200),
            ({"success": 1, "data": {"status": "CANCEL_SENT"}}, 200),
            ({"success": None, "code": -1006}, 400),
            ({"data": {"status": "CANCEL_SENT"}}, 200),
            ({}, 200),
            ([], 200),
            (b"", 200),
            (b"<html>CANCEL_SENT</html>", 200),
            (b"<html>no route</html>", 404),
            (failed(-1101), 400),
            (failed(-1006.5), 400),
            (failed(None), 400),
            (failed({}), 403),
            (failed(True), 400),
        ],
    )
    def test_anything_odd_is_unclear(self, body: object, status: int) -> None:
        assert isinstance(ORDERLY.interpret(reply(body, status), ORDER), Unclear)

    @pytest.mark.parametrize("code", [-1001, -1002, 2])
    def test_stale_timestamp_is_a_matter_of_clocks_and_no_fault_of_the_credential(self, code: int) -> None:
        verdict = ORDERLY.interpret(reply(failed(code, "Timestamp expired"), 401), ORDER)

        assert verdict == Untimely(Facts(venue_code=str(code), venue_message="Timestamp expired"))

    def test_error_without_a_success_flag_counts_by_its_code(self) -> None:
        verdict = ORDERLY.interpret(reply({"code": "-1011", "message": "The system is under maintenance."}, 400), ORDER)

        assert isinstance(verdict, ReadBack)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("body", [failed(-1000), failed(-1006), sent(), b"bad gateway"])
    def test_server_error_proves_nothing(self, status: int, body: object) -> None:
        assert isinstance(ORDERLY.interpret(reply(body, status), ORDER), Unclear)

    def test_429_closes_the_account_for_the_stated_time(self) -> None:
        verdict = ORDERLY.interpret(reply(failed(-1003), 429, {"retry-after": "2"}), ORDER)

        assert isinstance(verdict, Throttled)
        assert (verdict.scope, verdict.banned, verdict.retry_after_ms) == (Scope.ACCOUNT, False, 2000)

    def test_rate_limit_code_takes_the_stated_time_too(self) -> None:
        verdict = ORDERLY.interpret(reply(failed("-1003"), 400, {"retry-after": "3"}), ORDER)

        assert isinstance(verdict, Throttled)
        assert verdict.retry_after_ms == 3000

    def test_418_is_a_ban(self) -> None:
        verdict = ORDERLY.interpret(reply(b"", 418), ORDER)

        assert verdict == Throttled(Scope.EGRESS, banned=True)

    def test_403_page_is_a_ban_of_our_address(self) -> None:
        verdict = ORDERLY.interpret(reply(b"<html>Forbidden</html>", 403, {"retry-after": "7"}), ORDER)

        assert verdict == Throttled(Scope.EGRESS, banned=True, retry_after_ms=7000)


class TestRead:
    @pytest.mark.parametrize(
        ("word", "state"),
        [
            ("NEW", OrderState.OPEN),
            ("PARTIAL_FILLED", OrderState.OPEN),
            ("INCOMPLETE", OrderState.OPEN),
            ("PENDING_CANCEL", OrderState.PENDING_CANCEL),
            ("FILLED", OrderState.FILLED),
            ("CANCELLED", OrderState.CANCELLED),
            ("REJECTED", OrderState.CLOSED),
        ],
    )
    def test_status_is_the_state_with_its_facts(self, word: str, state: OrderState) -> None:
        sighting = ORDERLY.interpret_read(reply(shown(word)), ORDER)

        assert sighting == Seen(
            state, Facts(word, order_id="78151", client_id="my-order-1", filled="0.2", remaining="0.3")
        )

    def test_every_status_has_a_case(self) -> None:
        case = TestRead.test_status_is_the_state_with_its_facts.pytestmark[0]  # type: ignore[attr-defined]

        assert dict(case.args[1]) == STATES

    @pytest.mark.parametrize(
        ("amounts", "filled", "remaining"),
        [
            ({"quantity": 1e-05, "executed": 0.0}, "0.0", "0.00001"),
            ({"quantity": "0.3", "executed": "0.1"}, "0.1", "0.2"),
            ({"quantity": 3, "executed": 9, "total_executed_quantity": 1}, "1", "2"),
            ({"quantity": 1, "executed": 2}, "2", None),
            ({"quantity": None, "executed": 0}, "0", None),
            ({"quantity": 1, "executed": "much"}, None, None),
            ({"quantity": 1, "executed": 1e300}, None, None),
            ({"quantity": 1, "executed": -1.5}, None, None),
        ],
    )
    def test_amounts_are_plain_and_exact(
        self, amounts: dict[str, object], filled: str | None, remaining: str | None
    ) -> None:
        sighting = ORDERLY.interpret_read(reply(shown("NEW", **amounts)), ORDER)

        assert isinstance(sighting, Seen)
        assert (sighting.facts.filled, sighting.facts.remaining) == (filled, remaining)

    def test_read_by_client_id_checks_the_client_id(self) -> None:
        assert isinstance(ORDERLY.interpret_read(reply(shown()), CLIENT), Seen)
        assert isinstance(ORDERLY.interpret_read(reply(shown(client_order_id="my-order-2")), CLIENT), Unclear)

    def test_unknown_order_is_missing(self) -> None:
        sighting = ORDERLY.interpret_read(reply(failed(-1006), 400), ORDER)

        assert sighting == Seen(OrderState.MISSING, Facts(venue_code="-1006", venue_message="said so"))

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (shown(order_id=78152), 200),
            (shown(order_id=None), 200),
            (shown("COMPLETED"), 200),
            (shown("cancelled"), 200),
            (shown("CANCELLED"), 404),
            ({"success": True, "data": None}, 200),
            (failed(-1005), 400),
            (failed(-1007), 409),
            (failed(-1011), 400),
            (failed(-1000), 500),
            (failed(-1006), 500),
            (b"CANCELLED", 200),
        ],
    )
    def test_anything_odd_is_unclear(self, body: object, status: int) -> None:
        assert isinstance(ORDERLY.interpret_read(reply(body, status), ORDER), Unclear)

    def test_refusals_keep_their_meaning(self) -> None:
        assert isinstance(ORDERLY.interpret_read(reply(failed(-1002), 401), ORDER), AuthRefused)
        assert isinstance(ORDERLY.interpret_read(reply(failed(-1003), 429), ORDER), Throttled)


class TestBatch:
    def test_success_is_accepted_for_each(self) -> None:
        verdicts = ORDERLY.interpret_batch(reply(sent("CANCEL_ALL_SENT")), (ORDER, ORDER))

        assert verdicts == (Settled(Outcome.ACCEPTED, Facts(venue_status="CANCEL_ALL_SENT")),) * 2

    def test_failure_of_the_whole_is_the_verdict_of_each(self) -> None:
        verdicts = ORDERLY.interpret_batch(reply(failed(-1006), 400), (ORDER, CLIENT, ORDER))

        assert verdicts == (with_facts(GONE, Facts(venue_code="-1006", venue_message="said so")),) * 3

    @pytest.mark.parametrize("body", [sent("CANCEL_SENT"), sent(None), b"CANCEL_ALL_SENT", [sent("CANCEL_ALL_SENT")]])
    def test_anything_odd_is_unclear_for_each(self, body: object) -> None:
        verdicts = ORDERLY.interpret_batch(reply(body), (ORDER, CLIENT))

        assert [type(verdict) for verdict in verdicts] == [Unclear, Unclear]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=10,
)
WORDS = st.sampled_from([*CODES, *STATES, "CANCEL_SENT", "CANCEL_ALL_SENT", "78151", -1006, 78151, True, False])
NAMES = ["success", "code", "message", "data", "status", "order_id", "client_order_id", "quantity", "executed"]
FLAT = st.dictionaries(st.sampled_from(NAMES), WORDS | JSON)
NEAR = st.builds(sent, st.sampled_from(["CANCEL_SENT", "CANCEL_ALL_SENT", "CANCELLED"]))
LIKELY = NEAR | FLAT | st.fixed_dictionaries({"success": WORDS | JSON, "data": FLAT, "code": WORDS | JSON})
STATUSES = st.sampled_from([200, 202, 204, 301, 400, 401, 403, 404, 409, 418, 429, 500, 503]) | st.integers(100, 999)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "content-type", "date"]), st.text())
GOOD = (Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED)


def all_three(answer: Reply) -> list[object]:
    verdicts = ORDERLY.interpret_batch(answer, (ORDER, CLIENT))
    assert len(verdicts) == 2
    return [*verdicts, ORDERLY.interpret(answer, ORDER), ORDERLY.interpret_read(answer, CLIENT)]


@given(body=st.binary(), status=STATUSES, headers=HEADERS)
def test_bytes_that_are_no_json_are_never_a_fact(body: bytes, status: int, headers: dict[str, str]) -> None:
    for said in all_three(Reply(status, headers, b"<" + body)):
        assert isinstance(said, Throttled | Unclear)


@example(body=sent(), status=200, headers={})
@given(body=JSON | LIKELY, status=st.just(200) | STATUSES, headers=HEADERS)
def test_any_json_is_read_without_raising_and_proves_no_cancel(
    body: object, status: int, headers: dict[str, str]
) -> None:
    """No answer to a cancel settles more than `accepted` here, and that only from a 200 with its one word."""
    for said in all_three(reply(body, status, headers)):
        if isinstance(said, Settled) and said.outcome in GOOD:
            assert (said.outcome, status) == (Outcome.ACCEPTED, 200)
            assert said.facts.venue_status in {"CANCEL_SENT", "CANCEL_ALL_SENT"}


REFS = st.text("aZ09._~-", min_size=1, max_size=36) | st.text("aZ09._~-,%+&=/ \n", max_size=40) | st.text(max_size=40)


@example(ref="my-order-1", by=None, symbol="PERP_ETH_USDC")
@given(ref=REFS, by=st.sampled_from([None, *By]), symbol=st.sampled_from(["PERP_ETH_USDC", "a&b", None]))
def test_any_reference_is_refused_or_needs_no_escaping(ref: str, by: By | None, symbol: str | None) -> None:
    order = ORDERLY.order_ref(ref, by, symbol)

    if isinstance(order, OrderRef):
        url = signer_of(BY_ID["order-id"]).cancel(order, 1).url
        assert url == unquote(url)
        assert url.endswith(f"={ref}&symbol={symbol}")
