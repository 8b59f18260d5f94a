"""What Loopring's replies mean: each row of its tables, what its documentation leaves open, and anything else."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import By, OrderRef, Scope
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
    Unlisted,
    Untimely,
    Verdict,
)
from gateway.core.wire import Reply
from gateway.venues.loopring import LOOPRING
from gateway.venues.loopring_replies import CODES, WORDS

HASHES = [f"0x{n:064x}" for n in range(5, 8)]
HASH, OTHER_HASH, _ = HASHES
ORDER = OrderRef(By.ORDER_ID, HASH)
CLIENT = OrderRef(By.CLIENT_ID, "my-1")
CLIENTS = tuple(OrderRef(By.CLIENT_ID, f"my-{n}") for n in range(1, 4))
ORDERS = tuple(OrderRef(By.ORDER_ID, text) for text in HASHES)

NOTHING_DONE = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)
UNCERTAIN = ReadBack(Outcome.CANCELLED)

# By hash, by client id; None stands for Unclear.
CODE_CASES: dict[str, tuple[Verdict | None, Verdict | None]] = {
    "100000": (None, None),
    "100001": (Settled(Outcome.REJECTED), Settled(Outcome.REJECTED)),
    "100206": (AuthRefused(), AuthRefused()),
    "102003": (AuthRefused(), AuthRefused()),
    "102004": (NOTHING_DONE, Settled(Outcome.REJECTED)),
    "102117": (NOTHING_DONE, Settled(Outcome.NOT_FOUND)),
    "102118": (NOTHING_DONE, Settled(Outcome.REJECTED)),
    "102119": (NOTHING_DONE, Settled(Outcome.REJECTED)),
    "102120": (NOTHING_DONE, Settled(Outcome.REJECTED)),
    "102122": (Settled(Outcome.ACCEPTED), Settled(Outcome.ACCEPTED)),
    "104001": (AuthRefused(), AuthRefused()),
    "104002": (AuthRefused(), AuthRefused()),
    "104003": (AuthRefused(), AuthRefused()),
    "104004": (AuthRefused(), AuthRefused()),
    "104005": (AuthRefused(), AuthRefused()),
    "104209": (UNCERTAIN, None),
    "107001": (Settled(Outcome.REJECTED), Settled(Outcome.REJECTED)),
    "107002": (Settled(Outcome.REJECTED), Settled(Outcome.REJECTED)),
    "107003": (NOTHING_DONE, Settled(Outcome.NOT_FOUND)),
}
# In the reply to a cancel (by hash, by client id), in the text of a 100001, of an order read back.
WORD_CASES: dict[str, tuple[Verdict, Verdict | None, Outcome, OrderState]] = {
    "cancelled": (
        Settled(Outcome.CANCELLED),
        Settled(Outcome.CANCELLED),
        Outcome.ALREADY_CANCELLED,
        OrderState.CANCELLED,
    ),
    "cancelling": (
        Settled(Outcome.ACCEPTED),
        Settled(Outcome.ACCEPTED),
        Outcome.ACCEPTED,
        OrderState.PENDING_CANCEL,
    ),
    "processing": (Settled(Outcome.ACCEPTED), Settled(Outcome.ACCEPTED), Outcome.REJECTED, OrderState.OPEN),
    "waiting": (Settled(Outcome.ACCEPTED), Settled(Outcome.ACCEPTED), Outcome.REJECTED, OrderState.OPEN),
    "expired": (Settled(Outcome.CLOSED), Settled(Outcome.CLOSED), Outcome.CLOSED, OrderState.CLOSED),
    "processed": (UNCERTAIN, None, Outcome.TOO_LATE_FILLED, OrderState.FILLED),
    "failed": (UNCERTAIN, None, Outcome.CLOSED, OrderState.CLOSED),
}


def reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers or {}, raw, at_ms=1_700_000_000_000)


def fault(code: object, message: str = "said so") -> dict[str, object]:
    return {"resultInfo": {"code": code, "message": message}}


def taken(status: object, **more: object) -> dict[str, object]:
    return {"hash": HASH, "clientOrderId": "my-1", "status": status, "isIdempotent": False, **more}


def bare(verdict: Verdict) -> Verdict | None:
    """Without what was said, and None for Unclear: the decision alone."""
    match verdict:
        case Settled(outcome=outcome):
            return Settled(outcome)
        case ReadBack(if_cancelled=a, if_open=b, if_missing=c):
            return ReadBack(a, if_open=b, if_missing=c)
        case AuthRefused():
            return AuthRefused()
        case Untimely():
            return Untimely()
        case Throttled(scope=scope, banned=banned, retry_after_ms=wait):
            return Throttled(scope, banned=banned, retry_after_ms=wait)
        case Unclear():
            return None


def test_every_row_of_the_tables_has_a_case() -> None:
    assert set(CODE_CASES) == set(CODES)
    assert set(WORD_CASES) == set(WORDS)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("code", "expected"), CODE_CASES.items())
def test_a_code_means_its_row_with_http_200_and_400(
    code: str, expected: tuple[Verdict | None, Verdict | None], status: int
) -> None:
    answer = reply(fault(int(code)), status)

    assert (bare(LOOPRING.interpret(answer, ORDER)), bare(LOOPRING.interpret(answer, CLIENT))) == expected


@pytest.mark.parametrize(("code", "expected"), CODE_CASES.items())
@pytest.mark.parametrize("form", ["top", "top-message", "text"])
def test_the_other_forms_of_an_error_mean_the_same(
    form: str, code: str, expected: tuple[Verdict | None, Verdict | None]
) -> None:
    forms: dict[str, object] = {
        "top": {"code": int(code), "msg": "said so"},
        "top-message": {"code": code, "message": "said so"},
        "text": fault(code),
    }

    verdict = LOOPRING.interpret(reply(forms[form], 400), ORDER)

    assert bare(verdict) == expected[0]
    assert (verdict.facts.venue_code, verdict.facts.venue_message) == (code, "said so")


@pytest.mark.parametrize("code", ["999999", "102117.0", -1, 102117.5, "0x1"])
@pytest.mark.parametrize("order", [ORDER, CLIENT])
def test_an_unknown_code_is_unclear(code: object, order: OrderRef) -> None:
    verdict = LOOPRING.interpret(reply(fault(code) | taken("cancelled")), order)

    assert isinstance(verdict, Unclear)
    assert verdict.facts.venue_code == str(code)


@pytest.mark.parametrize(("word", "expected"), WORD_CASES.items())
def test_a_status_in_the_reply_to_a_cancel_means_its_row(
    word: str, expected: tuple[Verdict, Verdict | None, Outcome, OrderState]
) -> None:
    answer = reply(taken(word))

    verdicts = [LOOPRING.interpret(answer, order) for order in (ORDER, CLIENT)]

    assert [bare(verdict) for verdict in verdicts] == list(expected[:2])
    assert {verdict.facts for verdict in verdicts} == {Facts(venue_status=word, order_id=HASH, client_id="my-1")}


@pytest.mark.parametrize("code", [0, "0"])
def test_code_zero_is_no_error(code: object) -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled") | fault(code, "SUCCESS")), ORDER)

    assert bare(verdict) == Settled(Outcome.CANCELLED)
    assert verdict.facts.venue_code is None


@pytest.mark.parametrize("text", ["order in status {} can't be cancelled", "Order IN status {} cannot be canceled."])
@pytest.mark.parametrize(("word", "expected"), WORD_CASES.items())
@pytest.mark.parametrize("order", [ORDER, CLIENT])
def test_the_status_in_the_text_of_100001_is_read(
    text: str, word: str, expected: tuple[Verdict, Verdict | None, Outcome, OrderState], order: OrderRef
) -> None:
    verdict = LOOPRING.interpret(reply(fault(100001, text.format(word.upper())), 400), order)

    assert bare(verdict) == Settled(expected[2])


def test_an_unknown_status_in_the_text_of_100001_is_read_back_or_unclear() -> None:
    answer = reply(fault(100001, "order in status LIMBO can't be cancelled"), 400)

    assert bare(LOOPRING.interpret(answer, ORDER)) == UNCERTAIN
    assert bare(LOOPRING.interpret(answer, CLIENT)) is None


@pytest.mark.parametrize("message", ["", "clientOrderId is wrong", "cancelled", "in status cancelled"])
def test_100001_without_a_status_that_rules_a_cancel_out_is_a_refusal(message: str) -> None:
    verdict = LOOPRING.interpret(reply(fault(100001, message), 400), CLIENT)

    assert bare(verdict) == Settled(Outcome.REJECTED)


@pytest.mark.parametrize(
    "body", [{}, taken(None), taken("closed"), taken(["cancelled"]), taken("cancelled!"), {"a": 1}]
)
def test_a_status_that_is_unknown_or_absent_is_read_back_or_unclear(body: object) -> None:
    assert bare(LOOPRING.interpret(reply(body), ORDER)) == UNCERTAIN
    assert bare(LOOPRING.interpret(reply(body), CLIENT)) is None


@pytest.mark.parametrize("named", [OTHER_HASH, "0x12", "", 7, 5.0, True, {}, [HASH], HASH + "0"])
def test_a_reply_with_another_hash_is_unclear(named: object) -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", hash=named)), ORDER)

    assert verdict == Unclear("the reply names another order")


@pytest.mark.parametrize("named", ["my-2", "my-1 ", "", 1, True, {}, ["my-1"], "my-1" + "x" * 500])
def test_a_reply_with_another_client_id_is_unclear(named: object) -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", clientOrderId=named)), CLIENT)

    assert verdict == Unclear("the reply names another order")


@pytest.mark.parametrize("named", [HASH, "5", 5, "0005", None, HASH.replace("5", "5")])
@pytest.mark.parametrize("asked", [HASH, "5", "005"])
def test_a_hash_is_the_same_in_each_of_its_spellings(named: object, asked: str) -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", hash=named)), OrderRef(By.ORDER_ID, asked))

    assert bare(verdict) == Settled(Outcome.CANCELLED)


def test_a_hash_is_the_same_in_either_case_of_its_digits() -> None:
    upper = OrderRef(By.ORDER_ID, "0x" + "AB" * 32)

    verdict = LOOPRING.interpret(reply(taken("cancelled", hash="0x" + "ab" * 32)), upper)

    assert bare(verdict) == Settled(Outcome.CANCELLED)


def test_a_client_id_of_digits_may_come_as_a_number() -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", clientOrderId=42)), OrderRef(By.CLIENT_ID, "42"))

    assert bare(verdict) == Settled(Outcome.CANCELLED)


def test_a_boolean_is_no_client_id_even_where_it_is_spelled_like_one() -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", clientOrderId=True)), OrderRef(By.CLIENT_ID, "True"))

    assert bare(verdict) is None


def test_an_id_that_is_none_is_not_passed_on_as_a_fact() -> None:
    verdict = LOOPRING.interpret(reply(taken("cancelled", hash="<script>")), CLIENT)

    assert verdict.facts.order_id is None


@pytest.mark.parametrize("status", [201, 204, 302, 400, 404])
def test_success_words_without_http_200_are_unclear(status: int) -> None:
    assert bare(LOOPRING.interpret(reply(taken("cancelled"), status), ORDER)) is None
    assert bare(LOOPRING.interpret(reply(b"<html>", status), ORDER)) is None
    assert isinstance(LOOPRING.interpret_read(reply(taken("cancelled"), status), ORDER), Unclear)


@pytest.mark.parametrize("body", [b"", b"Too Many Requests", json.dumps(taken("cancelled")).encode()])
def test_429_throttles_the_account_whatever_it_says(body: bytes) -> None:
    answer = reply(body, 429, {"retry-after": "3"})

    expected = Throttled(Scope.ACCOUNT, retry_after_ms=3000)
    assert bare(LOOPRING.interpret(answer, ORDER)) == expected
    assert [bare(verdict) for verdict in LOOPRING.interpret_batch(answer, CLIENTS)] == [expected] * 3
    assert isinstance(LOOPRING.interpret_read(answer, ORDER), Throttled)


def test_403_without_a_word_of_the_venues_keeps_the_address_out() -> None:
    verdict = LOOPRING.interpret(reply(b"<html>Forbidden</html>", 403), ORDER)

    assert bare(verdict) == Throttled(Scope.EGRESS, banned=True)


@pytest.mark.parametrize("status", [401, 403])
def test_a_401_or_403_in_the_venues_form_refuses_the_credential(status: int) -> None:
    assert bare(LOOPRING.interpret(reply({"error": "denied"}, status), ORDER)) == AuthRefused()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "body", [b"<html>", json.dumps(taken("cancelled")).encode(), json.dumps(fault(102117)).encode()]
)
def test_5xx_is_unclear_whatever_it_says(status: int, body: bytes) -> None:
    assert bare(LOOPRING.interpret(reply(body, status), ORDER)) is None
    assert isinstance(LOOPRING.interpret_read(reply(body, status), ORDER), Unclear)


@pytest.mark.parametrize(("word", "expected"), WORD_CASES.items())
def test_an_order_read_back_is_in_the_state_of_its_row(
    word: str, expected: tuple[Verdict, Verdict | None, Outcome, OrderState]
) -> None:
    volumes = {"baseAmount": "1000000000000000000000", "baseFilled": "1", "quoteAmount": "5", "quoteFilled": "0"}

    sighting = LOOPRING.interpret_read(reply(taken(word, volumes=volumes)), ORDER)

    facts = Facts(venue_status=word, order_id=HASH, client_id="my-1", filled="1", remaining="999999999999999999999")
    assert sighting == Seen(expected[3], facts)


@pytest.mark.parametrize(
    ("volumes", "filled", "remaining"),
    [
        ({"baseAmount": "5", "baseFilled": "5"}, "5", "0"),
        ({"baseAmount": "1.5", "baseFilled": "0.25"}, "0.25", "1.25"),
        ({"baseAmount": "5", "baseFilled": "6"}, "6", None),
        ({"baseAmount": "5"}, None, None),
        ({"baseFilled": "5"}, "5", None),
        ({"baseAmount": "x", "baseFilled": "-1"}, None, None),
        ({"baseAmount": "9" * 500, "baseFilled": "9" * 500}, None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_amounts_are_shown_only_where_they_are_plain(
    volumes: object, filled: str | None, remaining: str | None
) -> None:
    sighting = LOOPRING.interpret_read(reply(taken("cancelled", volumes=volumes)), ORDER)

    assert isinstance(sighting, Seen)
    assert (sighting.facts.filled, sighting.facts.remaining) == (filled, remaining)


@pytest.mark.parametrize("status", [200, 400])
def test_an_order_that_the_venue_does_not_know_is_missing(status: int) -> None:
    sighting = LOOPRING.interpret_read(reply(fault(107003, "order does not exist"), status), ORDER)

    assert sighting == Seen(OrderState.MISSING, Facts(venue_code="107003", venue_message="order does not exist"))


@pytest.mark.parametrize("code", [107001, 107002, 100000, 102117, 100001, 999999])
def test_a_read_that_failed_for_another_reason_proves_nothing(code: int) -> None:
    """A 107001 or 107002 says that the read was incomplete, not that the order is gone."""
    assert isinstance(LOOPRING.interpret_read(reply(fault(code), 400), ORDER), Unclear)


@pytest.mark.parametrize("code", [code for code, (by_hash, _) in CODE_CASES.items() if by_hash == AuthRefused()])
def test_a_read_with_a_credential_code_is_refused(code: str) -> None:
    assert isinstance(LOOPRING.interpret_read(reply(fault(code), 400), ORDER), AuthRefused)


@pytest.mark.parametrize("body", [taken("cancelled", hash=OTHER_HASH), taken("limbo"), taken(None), {}, b"[]", b"nope"])
def test_a_read_that_shows_no_known_state_of_this_order_is_unclear(body: object) -> None:
    assert isinstance(LOOPRING.interpret_read(reply(body), ORDER), Unclear)


def listed(*rows: dict[str, object], total: object = None) -> dict[str, object]:
    return {"totalNum": len(rows) if total is None else total, "orders": list(rows)}


def row(client_id: str, status: str = "cancelled") -> dict[str, object]:
    return {"hash": HASHES[0], "clientOrderId": client_id, "status": status}


def test_an_order_is_found_by_its_client_id_among_the_listed() -> None:
    sighting = LOOPRING.interpret_read(reply(listed(row("my-2"), row("my-1", "processed"))), CLIENTS[0])

    assert isinstance(sighting, Seen)
    assert (sighting.state, sighting.facts.client_id, sighting.facts.order_id) == (OrderState.FILLED, "my-1", HASHES[0])


def test_an_order_is_missing_only_from_a_list_that_is_whole() -> None:
    whole, part = listed(row("my-2")), listed(row("my-2"), total=51)

    assert LOOPRING.interpret_read(reply(whole), CLIENTS[0]) == Seen(OrderState.MISSING)
    assert LOOPRING.interpret_read(reply(part), CLIENTS[0]) == Unlisted(
        "not among the orders that the venue lists", pages=2
    )


@pytest.mark.parametrize(
    "body", [{"totalNum": 0}, listed(total=51), listed(row("my-2"), total="many"), listed(row("my-2"), total=-1)]
)
def test_a_list_that_makes_no_sense_is_not_leafed_through(body: dict[str, object]) -> None:
    assert LOOPRING.interpret_read(reply(body), CLIENTS[0]) == Unlisted("not among the orders that the venue lists")


def test_two_orders_of_one_client_id_show_nothing() -> None:
    assert isinstance(LOOPRING.interpret_read(reply(listed(row("my-1"), row("my-1"))), CLIENTS[0]), Unclear)


def test_a_list_that_is_refused_shows_nothing() -> None:
    assert LOOPRING.interpret_read(reply(fault(104001), 400), CLIENTS[0]) == AuthRefused(
        LOOPRING.interpret_read(reply(fault(104001), 400), ORDER).facts
    )
    assert isinstance(LOOPRING.interpret_read(reply({}, 500), CLIENTS[0]), Unclear)


def batch_of(*items: object) -> list[object]:
    return list(items)


MIXED = batch_of(
    {"id": "my-3", "result": False, "error": {"code": 102117, "message": "no order"}},
    {"id": "my-1", "result": True},
    {"id": "my-2", "result": True, "error": None},
)


@pytest.mark.parametrize("wrap", ["list", "data", "orders", "104209"])
def test_a_batch_gives_each_order_its_own_item_in_the_order_asked(wrap: str) -> None:
    forms: dict[str, object] = {
        "list": MIXED,
        "data": {"resultInfo": {"code": 0}, "data": MIXED},
        "orders": {"orders": MIXED},
        "104209": fault(104209) | {"data": MIXED},
    }

    verdicts = LOOPRING.interpret_batch(reply(forms[wrap], 400 if wrap == "104209" else 200), CLIENTS)

    accepted = Settled(Outcome.ACCEPTED)
    assert [bare(verdict) for verdict in verdicts] == [accepted, accepted, Settled(Outcome.NOT_FOUND)]
    assert verdicts[2].facts == Facts(venue_code="102117", venue_message="no order")


def test_a_batch_by_hash_reads_back_what_failed() -> None:
    items = batch_of(
        {"id": HASHES[0], "result": True},
        {"id": HASHES[1], "result": False, "error": {"code": 102117, "message": ""}},
        {"id": HASHES[2], "result": False, "error": {"code": 100001, "message": "order in status CANCELLED can't be"}},
    )

    verdicts = LOOPRING.interpret_batch(reply(items), ORDERS)

    assert [bare(verdict) for verdict in verdicts] == [
        Settled(Outcome.ACCEPTED),
        NOTHING_DONE,
        Settled(Outcome.ALREADY_CANCELLED),
    ]


def test_a_batch_item_like_the_reply_to_one_cancel_is_read_as_such() -> None:
    items = batch_of(
        {"hash": HASHES[0], "status": "cancelled"},
        {"hash": HASHES[1], "status": "processing"},
        {"hash": HASHES[2]},
    )

    verdicts = LOOPRING.interpret_batch(reply({"data": items}), ORDERS)

    assert [bare(verdict) for verdict in verdicts] == [
        Settled(Outcome.CANCELLED),
        Settled(Outcome.ACCEPTED),
        UNCERTAIN,
    ]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"id": "my-2", "result": True}],
        [{"id": "my-1", "result": True}, {"id": "my-1", "result": False}],
        [{"result": True}],
        [{"id": None, "result": True}],
        [{"id": "my-1", "clientOrderId": "my-2", "result": True}],
        [{"id": "my-1", "result": "true"}],
        [{"id": "my-1", "result": 1}],
        [{"id": "my-1", "result": False}],
        [{"id": "my-1", "result": False, "status": "cancelled"}],
        [{"id": "my-1", "result": True, "error": {"code": 102118}}],
        [{"id": "my-1"}],
        ["my-1", 7, None, []],
    ],
)
def test_an_item_that_is_missing_or_contradicts_itself_is_unclear(items: list[object]) -> None:
    (verdict,) = LOOPRING.interpret_batch(reply(items), (CLIENT,))

    assert bare(verdict) is None


@pytest.mark.parametrize("body", [{"a": MIXED, "b": MIXED}, {"data": {"deeper": MIXED}}, {}, b"7", b"null", b"<html>"])
def test_a_batch_reply_without_one_list_is_unclear_for_all(body: object) -> None:
    assert [bare(verdict) for verdict in LOOPRING.interpret_batch(reply(body), CLIENTS)] == [None] * 3


def test_a_batch_refused_for_its_credential_is_refused_for_all() -> None:
    verdicts = LOOPRING.interpret_batch(reply(fault(104005) | {"data": MIXED}, 400), CLIENTS)

    assert [bare(verdict) for verdict in verdicts] == [AuthRefused()] * 3


@pytest.mark.parametrize("code", [102117, 102118, 102122, 100001])
def test_a_code_of_one_order_for_a_whole_batch_settles_none_of_them(code: int) -> None:
    """It does not say which order it means."""
    answer = reply(fault(code, "order in status CANCELLED can't be cancelled"), 400)

    assert [bare(verdict) for verdict in LOOPRING.interpret_batch(answer, ORDERS)] == [UNCERTAIN] * 3
    assert [bare(verdict) for verdict in LOOPRING.interpret_batch(answer, CLIENTS)] == [None] * 3


@pytest.mark.parametrize("code", ["100000", "102117", "102122", "100001"])
def test_a_batch_of_one_is_read_like_one_cancel(code: str) -> None:
    answer = reply(fault(code), 400)

    assert LOOPRING.interpret_batch(answer, (ORDER,)) == (LOOPRING.interpret(answer, ORDER),)


def test_success_of_a_batch_without_http_200_is_unclear() -> None:
    verdicts = LOOPRING.interpret_batch(reply(MIXED, 400), CLIENTS)

    assert [bare(verdict) for verdict in verdicts] == [None] * 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["hash", "clientOrderId", "status", "resultInfo", "code", "message", "msg", "error", "volumes", "data", "id"]
near_misses = st.dictionaries(st.sampled_from([*KEYS, "result", "baseFilled"]), json_values, max_size=6)
statuses = st.sampled_from([200, 204, 301, 400, 401, 403, 404, 418, 429, 500, 503]) | st.integers(100, 599)
header_sets = st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text(max_size=20))
bodies = st.binary(max_size=60) | (near_misses | json_values).map(lambda value: json.dumps(value).encode())


def says_success(verdict: Verdict) -> bool:
    return isinstance(verdict, Settled) and verdict.outcome in {
        Outcome.CANCELLED,
        Outcome.ALREADY_CANCELLED,
        Outcome.ACCEPTED,
    }


@given(statuses, header_sets, bodies, st.sampled_from([ORDER, CLIENT]))
def test_any_reply_is_interpreted_without_raising(
    status: int, headers: dict[str, str], body: bytes, order: OrderRef
) -> None:
    answer = reply(body, status, headers)

    assert isinstance(LOOPRING.interpret(answer, order), Verdict)
    assert isinstance(LOOPRING.interpret_read(answer, order), Seen | AuthRefused | Throttled | Unclear)
    assert len(LOOPRING.interpret_batch(answer, CLIENTS)) == len(CLIENTS)


@given(st.integers(100, 599), st.binary(max_size=80))
def test_what_is_no_json_is_never_a_success(status: int, noise: bytes) -> None:
    answer = reply(b"<" + noise, status)

    assert not says_success(LOOPRING.interpret(answer, ORDER))
    assert not isinstance(LOOPRING.interpret_read(answer, ORDER), Seen)
    assert not any(says_success(verdict) for verdict in LOOPRING.interpret_batch(answer, CLIENTS))


@given(st.integers(100, 599).filter(lambda status: status != 200))
def test_a_cancelled_with_any_other_http_status_is_no_success(status: int) -> None:
    assert not says_success(LOOPRING.interpret(reply(taken("cancelled"), status), ORDER))
