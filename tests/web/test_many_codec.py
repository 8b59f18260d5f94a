"""`POST /cancels` as bytes: what is understood, what is refused as a whole, and what is refused alone."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import By, Wait
from gateway.core.outcome import Outcome
from gateway.web.codec import Refused, Spoken, Wish, refusal
from gateway.web.many_codec import Flaw, Item, items_of, line_of, wish_of_all

COMMON = Wish(timeout_ms=700, urgent=True)


def body(*items: object) -> bytes:
    return orjson.dumps({"cancels": list(items)})


def one(**members: object) -> Item | Flaw:
    (item,) = items_of(body({"venue": "v", "ref": "1"} | members), COMMON)
    return item


def refused(raw: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        items_of(raw, COMMON)
    return caught.value


def test_an_item_has_what_the_single_call_has() -> None:
    item = one(by="order_id", account="desk-a", symbol="S", idempotency_key='"k"', wait="terminal")

    assert item == Item("v", "1", Wish(By.ORDER_ID, "desk-a", "S", Wait.TERMINAL, False, "k", 700, True))


def test_what_is_left_out_or_null_is_as_for_all() -> None:
    common = wish_of_all("wait=terminal", {"X-Request-Timeout-Ms": "900", "Priority": "u=1"})

    (item,) = items_of(body({"venue": "v", "ref": "1", "account": None, "wait": None}), common)

    assert item == Item("v", "1", Wish(wait=Wait.TERMINAL, timeout_ms=900, urgent=True))


@pytest.mark.parametrize(
    "item",
    [
        7,
        None,
        [],
        {},
        {"venue": "v"},
        {"ref": "1"},
        {"venue": "v", "ref": 1},
        {"venue": "v", "ref": "1", "by": "name"},
        {"venue": "v", "ref": "1", "wait": "long"},
        {"venue": "v", "ref": "1", "account": "../x"},
        {"venue": "v", "ref": "1", "idempotency_key": ""},
        {"venue": "v", "ref": "1", "idempotency_key": "ä"},
        {"venue": "v", "ref": "x" * 513},
        {"venue": "v", "ref": "1", "plan": "true"},
    ],
)
def test_one_bad_item_spoils_nothing_but_itself(item: object) -> None:
    first, bad, last = items_of(body({"venue": "v", "ref": "1"}, item, {"venue": "v", "ref": "2"}), COMMON)

    assert isinstance(bad, Flaw)
    assert [each.ref for each in (first, last) if isinstance(each, Item)] == ["1", "2"]


def test_a_flaw_shows_what_it_was_about_as_far_as_it_may_stand_there() -> None:
    flaw = one(by="order_id", account="desk-a", wait="long")
    wild = one(account="a/b", by="x")

    assert isinstance(flaw, Flaw)
    assert isinstance(wild, Flaw)
    assert (flaw.about.venue, flaw.about.account, flaw.about.ref, flaw.about.by) == ("v", "desk-a", "1", By.ORDER_ID)
    assert (wild.about.account, wild.about.by) == (None, None)


@pytest.mark.parametrize(
    ("raw", "where"),
    [(b"", "line 1, column 1"), (b'{"cancels": [\n{"venue": }]}', "line 2, column 11"), (b"\xff", "line 1")],
)
def test_what_is_not_json_is_told_with_its_place(raw: bytes, where: str) -> None:
    error = refused(raw)

    assert (error.outcome, error.status) == (Outcome.INVALID_REQUEST, None)
    assert where in error.detail


@pytest.mark.parametrize("raw", [b"[]", b"{}", b"null", b'{"cancels": {}}', b'{"cancels": [], "more": 1}', b"1"])
def test_any_other_shape_is_refused_as_a_whole(raw: bytes) -> None:
    assert refused(raw).outcome is Outcome.INVALID_REQUEST


def test_a_thousand_is_the_most() -> None:
    item = {"venue": "v", "ref": "1"}

    assert len(items_of(body(*[item] * 1000), COMMON)) == 1000
    assert refused(body(*[item] * 1001)).status == 413


def test_nothing_is_nothing() -> None:
    assert items_of(body(), COMMON) == ()


@pytest.mark.parametrize(
    ("query", "headers"),
    [("by=order_id", {}), ("wait=long", {}), ("", {"Idempotency-Key": "k"}), ("", {"X-Request-Timeout-Ms": "0"})],
)
def test_what_holds_for_all_is_checked_once(query: str, headers: dict[str, str]) -> None:
    with pytest.raises(Refused):
        wish_of_all(query, headers)


def test_a_line_is_the_single_answer_with_its_place() -> None:
    good = line_of(3, Spoken(202, b'{"outcome":"accepted"}', "application/json", {"Idempotency-Replayed": "true"}))
    bad = line_of(4, refusal(Outcome.FORBIDDEN, "no", "r"))

    assert good == b'{"index":3,"status":202,"replayed":true,"outcome":"accepted"}\n'
    assert bad.endswith(b"}\n")
    assert bad.count(b"\n") == 1
    assert orjson.loads(bad) == {"index": 4} | orjson.loads(refusal(Outcome.FORBIDDEN, "no", "r").body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cancels", "venue", "ref", "by", "account", "symbol", "wait", "x"]), inner)
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200) | JSON.map(orjson.dumps) | st.lists(JSON, max_size=5).map(lambda each: body(*each)))
def test_any_body_is_items_or_a_refusal(raw: bytes) -> None:
    try:
        items = items_of(raw, COMMON)
    except Refused:
        return
    assert len(items) == len(orjson.loads(raw)["cancels"])
    assert all(isinstance(each, Flaw) or len(each.ref) <= 512 for each in items)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=20))
def test_what_was_meant_is_what_is_read(wanted: list[tuple[str, str]]) -> None:
    items = items_of(body(*({"venue": venue, "ref": ref} for venue, ref in wanted)), COMMON)

    assert [(each.venue, each.ref) for each in items if isinstance(each, Item)] == wanted
