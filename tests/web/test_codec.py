"""HTTP's text to values and back; nothing that anybody writes breaks it."""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.answer import Answer, Asked, Planned, Standing
from gateway.core.idempotency import Record, RecordId, State
from gateway.core.model import Account, By, Cancel, Lane, OrderRef, VenueId, Wait
from gateway.core.outcome import MEANINGS, Facts, Outcome
from gateway.core.wire import Shown
from gateway.web.codec import (
    JSON,
    PROBLEM,
    About,
    Refused,
    Wish,
    answer_body,
    plan_body,
    query,
    rate_limit,
    record_body,
    refusal,
    respond,
    rfc3339,
    segment,
    shown,
    valid_request_id,
    wish,
)

NOW_MS = 1_700_000_000_000
DESK = Account(VenueId("venue"), "desk-a")
RECORD = RecordId("01HF7YAT00" + "0" * 16, DESK)
MEMBERS = {"outcome", "final", "venue", "account", "ref", "by", "order_id", "client_id", "venue_status", "filled",
           "remaining", "record", "request_id", "attempts", "batch", "waited_ms", "venue_ms", "degraded"}  # fmt: skip
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance"}

# Everything that can stand in a header or a query as Python holds it, lone surrogates included.
anything = st.text(st.characters(exclude_categories=()), max_size=300)


def asked(by: By = By.CLIENT_ID, key: str | None = None) -> Asked:
    return Asked(Cancel(DESK, OrderRef(by, "my-1")), "desk", Lane.NORMAL, "request-1", deadline=5.0, key=key)


def said(body: bytes) -> dict[str, object]:
    members = orjson.loads(body)
    assert isinstance(members, dict)
    return members


def refused(raw_query: str = "", headers: Mapping[str, str] | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        wish(raw_query, headers or {})
    return caught.value


def wish_or_refusal(raw_query: str, headers: Mapping[str, str]) -> Wish | Refused:
    try:
        return wish(raw_query, headers)
    except Refused as no:
        return no


# --- the path


def test_a_segment_is_unescaped_exactly_once() -> None:
    assert segment("a%2Fb", "ref") == "a/b"
    assert segment("a%252Fb", "ref") == "a%2Fb"
    assert segment("a+b", "ref") == "a+b"


@given(st.text(max_size=100))
def test_any_escaped_text_comes_back(text: str) -> None:
    assert segment(quote(text, safe="")[:512], "ref") == text or len(quote(text, safe="")) > 512


@pytest.mark.parametrize("raw", ["%ff", "%C3", "\udcff", "x%ED%A0%80"])
def test_a_segment_that_is_no_text_is_refused(raw: str) -> None:
    with pytest.raises(Refused, match="ref is not UTF-8") as caught:
        segment(raw, "ref")

    assert caught.value.outcome is Outcome.INVALID_REQUEST


def test_a_segment_may_be_so_long_and_no_longer() -> None:
    assert segment("x" * 512, "ref") == "x" * 512
    with pytest.raises(Refused, match="longer than 512"):
        segment("x" * 513, "ref")


@given(anything)
def test_any_segment_is_text_or_refused(raw: str) -> None:
    with suppress(Refused):
        segment(raw, "ref").encode()


# --- the query


def test_nothing_said_is_the_default_wish() -> None:
    assert wish("", {}) == Wish(None, None, None, Wait.ACK, plan=False, key=None, timeout_ms=5000, urgent=False)


def test_every_parameter_is_read() -> None:
    said_all = wish("by=order_id&account=desk-b&symbol=PERP%5FETH+X&wait=terminal&plan=true", {})

    assert said_all == Wish(By.ORDER_ID, "desk-b", "PERP_ETH X", Wait.TERMINAL, plan=True)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        ("dry=1", "unknown query parameter 'dry'; known: by, account, symbol, wait, plan"),
        ("by=", "by must be one of order_id, client_id, not ''"),
        ("by", "by must be one of order_id, client_id, not ''"),
        ("by=ORDER_ID", "by must be one of order_id, client_id, not 'ORDER_ID'"),
        ("wait=soon", "wait must be one of ack, terminal, not 'soon'"),
        ("plan=1", "plan must be one of true, false, not '1'"),
        ("symbol=a&symbol=b", "query parameter symbol stands there twice"),
        ("account=a%2Fb", "account 'a/b' is not a name"),
        ("account=", "account '' is not a name"),
        ("account=..", "account '..' is not a name"),
        ("symbol=%ff", "a query parameter is not UTF-8"),
        ("symbol=\udcff", "a query parameter is not UTF-8"),
        ("x" * 2049, "the query is longer than 2048 characters"),
    ],
)
def test_a_query_that_cannot_be_is_refused(raw: str, detail: str) -> None:
    no = refused(raw)

    assert (no.outcome, no.detail, str(no)) == (Outcome.INVALID_REQUEST, detail, detail)


def test_a_call_without_parameters_takes_none() -> None:
    assert query("&&", {}) == {}
    with pytest.raises(Refused, match="known: none"):
        query("a=1", {})


def test_plan_false_is_no_plan() -> None:
    assert not wish("plan=false", {}).plan


def test_what_a_caller_wrote_is_shown_short_and_in_ascii() -> None:
    assert shown("ü\n" + "x" * 100) == "'\\xfc\\n" + "x" * 62 + "'"


# --- the headers


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ("a", "a"),
        ('"a"', "a"),
        ('a"b', 'a"b'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_a_key_counts_with_and_without_its_quotes(stated: str, key: str) -> None:
    assert wish("", {"Idempotency-Key": stated}).key == key


@pytest.mark.parametrize(
    "stated", ["", '"', '""', '"a', 'a"', "a b", "ä", "a\x7f", "x" * 256, '"' + "x" * 256 + '"', "\udcff"]
)
def test_a_key_that_is_none_is_refused(stated: str) -> None:
    no = refused(headers={"Idempotency-Key": stated})

    assert (no.outcome, no.detail) == (
        Outcome.INVALID_REQUEST,
        "Idempotency-Key must be 1 to 255 visible ASCII characters",
    )


@pytest.mark.parametrize(("stated", "timeout_ms"), [("1", 1), ("60000", 60_000), ("060", 60)])
def test_a_timeout_is_read(stated: str, timeout_ms: int) -> None:
    assert wish("", {"X-Request-Timeout-Ms": stated}).timeout_ms == timeout_ms


@pytest.mark.parametrize("stated", ["", "0", "-1", "+5", "60001", "1e3", "1.5", " 5", "\u0665", "9" * 5000, "1_000"])
def test_a_timeout_that_is_none_is_refused(stated: str) -> None:
    assert refused(headers={"X-Request-Timeout-Ms": stated}).detail == "X-Request-Timeout-Ms must be 1 to 60000"


@pytest.mark.parametrize("stated", ["u=0", "u=1", "u=2", "i, u=1", "u=1,i", " u=2 ", "u=1;x=y, i", "u=5, u=0"])
def test_the_first_three_urgencies_are_urgent(stated: str) -> None:
    assert wish("", {"Priority": stated}).urgent


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "u=3",
        "u=7",
        "u=9",
        "u=8",
        "i",
        "u",
        "u=",
        "u=-1",
        "u=1.5",
        "u=01",
        "U=1",
        "xu=1",
        "u=1, u=5",
        "v=1",
        "\udcff",
    ],
)
def test_other_urgencies_and_what_cannot_be_read_are_not(stated: str) -> None:
    assert not wish("", {"Priority": stated}).urgent


@given(anything, anything, anything, anything)
def test_whatever_is_written_is_a_wish_or_refused(raw: str, key: str, timeout: str, priority: str) -> None:
    headers = {"Idempotency-Key": key, "X-Request-Timeout-Ms": timeout, "Priority": priority}
    for some in ({}, headers, {"Priority": priority}):
        for text in (raw, f"symbol={raw}", f"account={raw}", f"by={raw}"):
            came = wish_or_refusal(text, some)
            if isinstance(came, Wish):
                orjson.dumps([came.account, came.symbol, came.key])
            else:
                refusal(came.outcome, came.detail, "request-1")


@pytest.mark.parametrize("stated", ["a", "x" * 128, "550e8400-e29b-41d4-a716-446655440000", "a.b_c:d/e=f~+"])
def test_a_good_request_id_is_taken(stated: str) -> None:
    assert valid_request_id(stated) == stated


@pytest.mark.parametrize("stated", [None, "", "x" * 129, "a b", "a\nb", "ä", '"', "a\n", "{}", "\udcff"])
def test_a_bad_request_id_is_none(stated: str | None) -> None:
    assert valid_request_id(stated) is None


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW_MS, "2023-11-14T22:13:20.000Z"),
        (NOW_MS + 1, "2023-11-14T22:13:20.001Z"),
        (1_709_164_800_999, "2024-02-29T00:00:00.999Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(at_ms: int, text: str) -> None:
    assert rfc3339(at_ms) == text


# --- answers


@pytest.mark.parametrize("outcome", Outcome)
def test_every_answer_has_the_same_members(outcome: Outcome) -> None:
    spoken = respond(asked(), Answer(outcome), NOW_MS)

    members = said(spoken.body)
    success = MEANINGS[outcome].status < 300
    assert spoken.status == MEANINGS[outcome].status
    assert spoken.content_type == (JSON if success else PROBLEM)
    assert members.keys() == (MEMBERS if success else MEMBERS | PROBLEM_MEMBERS)
    assert (members["outcome"], members["final"]) == (outcome, MEANINGS[outcome].final)


@pytest.mark.parametrize("outcome", [each for each in Outcome if MEANINGS[each].status >= 300])
def test_a_problem_says_what_it_is(outcome: Outcome) -> None:
    spoken = respond(asked(), Answer(outcome), NOW_MS)

    meaning = MEANINGS[outcome]
    assert {name: said(spoken.body)[name] for name in PROBLEM_MEMBERS} == {
        "type": f"urn:cancel-gateway:{outcome}",
        "title": meaning.title,
        "status": meaning.status,
        "detail": meaning.title,
        "instance": "urn:cancel-gateway:request:request-1",
    }


@pytest.mark.parametrize("outcome", Outcome)
def test_every_refusal_has_the_members_of_an_answer(outcome: Outcome) -> None:
    spoken = refusal(outcome, "why", "request-1", About("venue", "desk-a", "my-1", By.CLIENT_ID))

    members = said(spoken.body)
    assert members.keys() == MEMBERS | PROBLEM_MEMBERS
    assert (spoken.status, spoken.content_type) == (MEANINGS[outcome].status, PROBLEM)
    assert (members["detail"], members["venue"], members["account"], members["ref"], members["by"]) == (
        "why",
        "venue",
        "desk-a",
        "my-1",
        "client_id",
    )


def test_a_refusal_may_know_nothing_and_have_a_status_of_its_own() -> None:
    spoken = refusal(Outcome.INVALID_REQUEST, None, "request-1", status=405)

    members = said(spoken.body)
    assert (spoken.status, members["status"], members["venue"]) == (405, 405, None)
    assert members["detail"] == MEANINGS[Outcome.INVALID_REQUEST].title


def test_only_a_missing_token_is_asked_for() -> None:
    asks = {each for each in Outcome if refusal(each, None, "r").headers.get("WWW-Authenticate") == "Bearer"}

    assert asks == {Outcome.UNAUTHENTICATED}


def test_the_whole_of_an_answer_is_told() -> None:
    facts = Facts("CANCELLED", "77", "my-1", "0.5", "1.5", "-1", "no more")
    answer = Answer(Outcome.CANCELLED, facts, None, RECORD, 2, 3, 1.23456, 12.34567, degraded=True)

    assert said(answer_body(asked(), answer, NOW_MS)) == {
        "outcome": "cancelled",
        "final": True,
        "venue": "venue",
        "account": "desk-a",
        "ref": "my-1",
        "by": "client_id",
        "order_id": "77",
        "client_id": "my-1",
        "venue_status": "CANCELLED",
        "filled": "0.5",
        "remaining": "1.5",
        "record": f"/cancels/{RECORD}",
        "request_id": "request-1",
        "attempts": 2,
        "batch": 3,
        "waited_ms": 1.235,
        "venue_ms": 12.346,
        "degraded": True,
    }


@pytest.mark.parametrize(("by", "ids"), [(By.CLIENT_ID, (None, "my-1")), (By.ORDER_ID, ("my-1", None))])
def test_the_reference_stands_in_for_the_id_that_the_venue_did_not_say(
    by: By, ids: tuple[str | None, str | None]
) -> None:
    members = said(answer_body(asked(by), Answer(Outcome.CANCELLED), NOW_MS))

    assert (members["order_id"], members["client_id"]) == ids


@pytest.mark.parametrize("facts", [Facts(venue_code="-1003"), Facts(venue_message="slow down")])
def test_the_venues_words_stand_in_a_problem_and_nowhere_else(facts: Facts) -> None:
    problem = said(answer_body(asked(), Answer(Outcome.REJECTED, facts), NOW_MS))
    success = said(answer_body(asked(), Answer(Outcome.CANCELLED, facts), NOW_MS))

    assert (problem["venue_code"], problem["venue_message"]) == (facts.venue_code, facts.venue_message)
    assert "venue_code" not in success


def test_a_detail_replaces_the_title() -> None:
    assert said(answer_body(asked(), Answer(Outcome.UNKNOWN, detail="silence"), NOW_MS))["detail"] == "silence"


@pytest.mark.parametrize(
    ("wait_ms", "seconds"), [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (1999, "2"), (60_000, "60")]
)
def test_retry_after_is_in_whole_seconds_rounded_up(wait_ms: int, seconds: str) -> None:
    spoken = respond(asked(), Answer(Outcome.OVER_DEADLINE, retry_after_ms=wait_ms), NOW_MS)

    members = said(spoken.body)
    assert spoken.headers == {"Retry-After": seconds}
    assert (members["retry_after_ms"], members["earliest_at"]) == (wait_ms, rfc3339(NOW_MS + wait_ms))


def test_where_waiting_does_not_help_nothing_is_said_of_it() -> None:
    spoken = respond(asked(), Answer(Outcome.REJECTED), NOW_MS)

    assert spoken.headers == {}
    assert not {"retry_after_ms", "earliest_at"} & said(spoken.body).keys()


def test_an_accepted_cancel_leads_to_its_record() -> None:
    assert respond(asked(), Answer(Outcome.ACCEPTED, record=RECORD), NOW_MS).headers == {
        "Location": f"/cancels/{RECORD}"
    }
    assert respond(asked(), Answer(Outcome.ACCEPTED), NOW_MS).headers == {}
    assert respond(asked(), Answer(Outcome.CANCELLED, record=RECORD), NOW_MS).headers == {}


def test_a_replay_is_told_byte_for_byte_and_says_so_to_its_key() -> None:
    replay = Answer(Outcome.TOO_LATE_FILLED, body=b'{"as": "it was"}')

    keyed, unkeyed = respond(asked(key="k"), replay, NOW_MS), respond(asked(), replay, NOW_MS)

    assert keyed.body == unkeyed.body == b'{"as": "it was"}'
    assert (keyed.status, keyed.headers) == (409, {"Idempotency-Replayed": "true"})
    assert unkeyed.headers == {}


# --- plans and records


def plan(wait_ms: float, would: Outcome | None = None) -> dict[str, object]:
    request = Shown("DELETE", "https://venue.example/1", {"Accept": "application/json"})
    return said(plan_body(asked(), Planned(request, wait_ms, {"cancel": 9}, would), NOW_MS))


def test_a_plan_tells_what_would_be_sent_and_when() -> None:
    assert plan(0.0) == {
        "plan": True,
        "would": "send",
        "venue": "venue",
        "account": "desk-a",
        "ref": "my-1",
        "by": "client_id",
        "lane": "normal",
        "request": {"method": "DELETE", "url": "https://venue.example/1", "headers": {"Accept": "application/json"}},
        "slot": {"wait_ms": 0.0, "earliest_at": rfc3339(NOW_MS), "free": {"cancel": 9}},
        "request_id": "request-1",
    }


def test_a_plan_says_which_refusal_it_would_meet_and_rounds_the_wait_up() -> None:
    planned = plan(0.4, Outcome.OVER_DEADLINE)

    assert planned["would"] == "over_deadline"
    assert planned["slot"] == {"wait_ms": 0.4, "earliest_at": rfc3339(NOW_MS + 1), "free": {"cancel": 9}}


def test_a_record_that_waits_has_no_times_and_no_answer() -> None:
    record = Record(RECORD, State.RECEIVED, By.ORDER_ID, "77", "SYM", "desk", "request-1", NOW_MS)

    assert said(record_body(record)) == {
        "id": str(RECORD),
        "state": "received",
        "outcome": None,
        "final": False,
        "venue": "venue",
        "account": "desk-a",
        "ref": "77",
        "by": "order_id",
        "symbol": "SYM",
        "caller": "desk",
        "request_id": "request-1",
        "created_at": rfc3339(NOW_MS),
        "sent_at": None,
        "settled_at": None,
        "attempts": 0,
        "answer": None,
        "steps": [],
    }


@pytest.mark.parametrize(("outcome", "final"), [(Outcome.CANCELLED, True), (Outcome.UNKNOWN, False)])
def test_a_settled_record_has_its_answer(outcome: Outcome, final: bool) -> None:  # noqa: FBT001  a row of the table
    answer = Answer(outcome, record=RECORD)
    body = answer_body(asked(), answer, NOW_MS)
    record = Record(
        RECORD, State.TERMINAL, By.CLIENT_ID, "my-1", None, "desk", "request-1", NOW_MS,
        attempts=1, sent_ms=NOW_MS + 1, settled_ms=NOW_MS + 2, outcome=outcome, body=body,
    )  # fmt: skip

    members = said(record_body(record))

    assert (members["outcome"], members["final"], members["attempts"]) == (outcome, final, 1)
    assert (members["sent_at"], members["settled_at"]) == (rfc3339(NOW_MS + 1), rfc3339(NOW_MS + 2))
    assert members["answer"] == orjson.loads(body)


@pytest.mark.parametrize(
    ("standing", "policy", "left"),
    [
        (Standing("cancel", 10, 1000, 7, 0), '"cancel";q=10;w=1', '"cancel";r=7;t=0'),
        (Standing("batch", 1, 1500, 0, 1001), '"batch";q=1;w=2', '"batch";r=0;t=2'),
    ],
)
def test_the_limit_is_told_in_the_drafts_own_words(standing: Standing, policy: str, left: str) -> None:
    assert rate_limit(standing) == {"RateLimit-Policy": policy, "RateLimit": left}
