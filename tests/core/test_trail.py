"""What stands in an entry of the audit trail, and what may not."""

import base64
import tracemalloc
from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Demand, Gated, Slot
from gateway.core.answer import Asked
from gateway.core.idempotency import Fresh, Gone, Known, Late, Mismatch, Record, RecordId, State
from gateway.core.model import Account, By, Cancel, Lane, Op, OrderRef, Scope, VenueId
from gateway.core.outcome import AuthRefused, OrderState, Outcome, ReadBack, Seen, Settled, Throttled, Unclear, Untimely
from gateway.core.trail import (
    GENESIS,
    Began,
    Claiming,
    Decision,
    Ended,
    Exchanged,
    Gap,
    Settling,
    Slotted,
    Tree,
    Trimmed,
    _parted,
    chained,
    digest_of,
    link,
    path_of,
    read,
    reply_in,
    word,
    written,
)
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed, WireRequest

ACCOUNT = Account(VenueId("plain"), "desk-a")
ORDER = OrderRef(By.ORDER_ID, "17", "X-Y")
CANCEL = Cancel(ACCOUNT, ORDER)
ASKED = Asked(CANCEL, "desk", Lane.NORMAL, "request-1", 5.0, key="my-key")
RECORD = RecordId("0" * 26, ACCOUNT)
SLOT = Slot(1.0, 1234, (Demand("cancel", ACCOUNT, 10, window_us=1_000_000, keep=10, weight=1),))
SECRET = "0123456789abcdef"
REQUEST = WireRequest(
    "DELETE",
    f"https://venue.example/v1/order?order_id=17&signature={SECRET}",
    (("Authorization", "Bearer token-0123456789"), ("Accept", "application/json"), ("X-Short", "yes")),
)


def tree_of(what: Decision, body_most: int = 4096) -> Tree:
    entry = link(1, 99, GENESIS, what, body_most)
    tree = read(entry.data)
    assert tree is not None
    assert entry.hash == chained(GENESIS, entry.data)
    assert written(tree) == entry.data
    return tree


def exchanged(result: SendResult, request: WireRequest = REQUEST) -> Exchanged:
    return Exchanged(Op.CANCEL, ACCOUNT, (ORDER,), request, SLOT, result, (Settled(Outcome.CANCELLED),))


def reply_of(body: bytes, headers: Mapping[str, str] | None = None, body_most: int = 4096) -> Mapping[str, object]:
    said = tree_of(exchanged(Reply(200, headers or {}, body, 7)), body_most)["reply"]
    assert isinstance(said, dict)
    return said


def test_claim_says_who_asked_for_what_and_which_slot_came_with_it() -> None:
    tree = tree_of(Claiming(ASKED, RECORD, Fresh(1, SLOT)))

    assert (tree["n"], tree["at"], tree["is"]) == (1, 99, "claim")
    assert (tree["caller"], tree["venue"], tree["account"], tree["lane"]) == ("desk", "plain", "desk-a", "normal")
    assert tree["orders"] == [["order_id", "17", "X-Y"]]
    assert (tree["claim"], tree["slot_us"], tree["limits"]) == ("fresh", 1234, ["cancel"])
    assert tree["key"] != "my-key"


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        (Fresh(1), {"claim": "fresh"}),
        (Late(5), {"claim": "late"}),
        (Mismatch(), {"claim": "mismatch"}),
        (Gated(Scope.EGRESS, banned=True, wait_us=5), {"claim": "gated", "scope": "egress"}),
        (
            Known(Record(RECORD, State.SENT, By.ORDER_ID, "17", None, "desk", "r", 1)),
            {"claim": "known", "known": "0" * 26},
        ),
        (
            Gone(Record(RECORD, State.TERMINAL, By.ORDER_ID, "17", None, "desk", "r", 1)),
            {"claim": "gone", "known": "0" * 26},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_claim_says_what_the_store_said(
    claimed: Fresh | Late | Mismatch | Gated | Known | Gone, told: Mapping[str, object]
) -> None:
    tree = tree_of(Claiming(ASKED, None, claimed))

    assert tree.items() >= told.items()
    assert tree["record"] is None


def test_claim_without_a_key_has_none() -> None:
    asked = Asked(CANCEL, "desk", Lane.NORMAL, "request-1", 5.0)

    assert tree_of(Claiming(asked, RECORD, Fresh(1)))["key"] is None


def test_slot_outcome_gap_trim_begin_and_end_are_told() -> None:
    options = {"plain": {"form": "sync"}}

    assert tree_of(Slotted(CANCEL, RECORD, SLOT))["slot_us"] == 1234
    settled = tree_of(Settling(CANCEL, RECORD, Outcome.UNKNOWN, 2))
    assert (settled["outcome"], settled["attempts"]) == ("unknown", 2)
    assert tree_of(Gap(7))["lost"] == 7
    assert tree_of(Trimmed(5, b"\x01", 3, options)).items() >= {"upto": 5, "hash": "01", "upto_at": 3}.items()
    assert tree_of(Began("1.0", options))["venues"] == options
    assert tree_of(Ended())["is"] == "end"


def test_request_is_told_by_method_path_and_digest() -> None:
    tree = tree_of(exchanged(Reply(200, {}, b"{}")))
    digest = digest_of(REQUEST, _parted(REQUEST.url)[0])

    assert tree["sent"] == {"method": "DELETE", "path": "/v1/order", "digest": digest}
    assert path_of(WireRequest("GET", "https://venue.example", ())) == "/"
    assert SECRET not in str(tree)
    assert "token-0123456789" not in str(tree)


def test_digest_does_not_depend_on_the_signature_and_on_everything_else() -> None:
    def digest(method: str = "GET", url: str = "https://v/o?id=1&signature=aa", body: bytes = b"") -> str:
        return digest_of(WireRequest(method, url, (), body), _parted(url)[0])

    assert digest() == digest(url="https://v/o?id=1&signature=bb")
    assert len({digest(), digest("PUT"), digest(url="https://v/o?id=2&signature=aa"), digest(body=b"x")}) == 4


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (NotSent("dns"), {"no_reply": "dns", "left": False}),
        (Unconfirmed("reset"), {"no_reply": "reset", "left": True}),
    ],
)
def test_request_without_a_reply_says_whether_it_left(
    result: NotSent | Unconfirmed, told: Mapping[str, object]
) -> None:
    assert tree_of(exchanged(result)).items() >= told.items()


@given(st.binary(max_size=200), st.integers(100, 599), st.one_of(st.none(), st.text(max_size=10)))
def test_kept_reply_comes_back_as_it_was(body: bytes, status: int, retry_after: str | None) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after.encode("ascii", "replace").decode()}
    kept = reply_of(body, headers) if status == 200 else None
    reply = Reply(status, headers, body, 7)

    said = kept or tree_of(exchanged(reply))["reply"]

    assert isinstance(said, dict)
    assert reply_in(said) == reply


def test_reply_headers_that_no_venue_reads_are_left_out() -> None:
    assert reply_of(b"{}", {"set-cookie": "session=1", "retry-after": "3"})["headers"] == {"retry-after": "3"}


def test_header_that_is_no_text_does_no_harm() -> None:
    assert reply_of(b"{}", {"retry-after": "\udcff3"})["headers"] == {"retry-after": "?3"}


def test_long_reply_leaves_its_digest_only() -> None:
    said = reply_of(b"x" * 11, body_most=10)

    assert said["withheld"] == "long"
    assert reply_in(said) is None


@pytest.mark.parametrize("hidden", [SECRET, "token-0123456789", "token-01234\\56789"])
def test_reply_that_repeats_what_the_request_hides_leaves_its_digest_only(hidden: str) -> None:
    said = reply_of(b'{"you sent": "' + hidden.encode() + b'"}')

    assert said["withheld"] == "secret"
    assert reply_in(said) is None


def test_reply_to_a_request_without_a_signature_is_kept() -> None:
    request = WireRequest("GET", "https://venue.example/v1/order", ())

    said = tree_of(exchanged(Reply(200, {}, b"{}"), request))["reply"]

    assert isinstance(said, dict)
    assert said["body"] == "{}"


def test_short_values_and_harmless_headers_do_not_hide_a_reply() -> None:
    assert reply_of(b'{"short": "yes", "kind": "application/json"}')["body"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {},
        {"status": "200", "at": 1, "digest": "d", "body": ""},
        {"status": 200, "at": 1, "digest": "d", "body": "x"},
        {"status": 200, "at": 1, "digest": "d"},
        {"status": 200, "at": 1, "digest": "d", "body64": "A"},
    ],
)
def test_reply_that_is_not_what_its_digest_says_is_none(spoilt: Mapping[str, object]) -> None:
    assert reply_in(spoilt) is None


def test_binary_reply_is_kept() -> None:
    assert reply_of(b"\xff")["body64"] == base64.b64encode(b"\xff").decode()


@pytest.mark.parametrize(
    ("read_as", "told"),
    [
        (Settled(Outcome.CLOSED), "closed"),
        (ReadBack(Outcome.CANCELLED, Outcome.ACCEPTED), "read_back cancelled accepted unknown"),
        (Throttled(Scope.EGRESS, banned=True), "banned egress"),
        (Throttled(Scope.ACCOUNT), "limited account"),
        (AuthRefused(), "auth_refused"),
        (Untimely(), "untimely"),
        (Unclear("?"), "unclear"),
        (Seen(OrderState.OPEN), "seen open"),
        (NotSent("dns"), "not_sent"),
    ],
)
def test_verdicts_have_their_words(
    read_as: Settled | ReadBack | Throttled | AuthRefused | Untimely | Unclear | Seen | NotSent, told: str
) -> None:
    assert word(read_as) == told


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff"])
def test_what_is_no_entry_reads_as_none(data: bytes) -> None:
    assert read(data) is None


def test_id_is_ordered_by_time_and_number() -> None:
    assert link(12, 99, GENESIS, Ended(), 0).id == "99-12"


def test_encoding_is_canonical() -> None:
    data = link(1, 99, GENESIS, exchanged(Reply(200, {}, "ü".encode())), 10).data

    assert orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS) == data


def test_an_entry_that_waits_holds_no_more_memory_than_its_bytes() -> None:
    tracemalloc.start()
    try:
        kept = [written({"n": n, "what": "claimed"}) for n in range(500)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held / len(kept) < 500


@pytest.mark.parametrize(
    ("url", "shown", "hidden"),
    [
        ("https://v/o?id=1", "https://v/o?id=1", []),
        ("https://v/o?id=1&signature=abc", "https://v/o?id=1&signature=[redacted]", ["abc"]),
        ("https://v/o?signature=abc", "https://v/o?signature=[redacted]", ["abc"]),
        ("https://v/o?signature=abc&id=1", "https://v/o?signature=[redacted]&id=1", ["abc"]),
        ("https://v/o?signature=a&signature=b", "https://v/o?signature=[redacted]&signature=[redacted]", ["a", "b"]),
        ("https://v/o?my_signature=a&id=1", "https://v/o?my_signature=a&id=1", []),
    ],
)
def test_every_signature_of_a_url_is_parted_from_it(url: str, shown: str, hidden: list[str]) -> None:
    found, signatures = _parted(url)
    assert (found, list(signatures)) == (shown, hidden)
