"""Replies are read without trust: nothing raises, nothing is believed that is not plainly there."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from os import environ

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_rig import AT_MS, JSON_VALUES, STATUSES, raw, said

from gateway.core.model import Scope
from gateway.core.outcome import AuthRefused, Facts, Throttled, Unclear
from gateway.core.wire import Reply
from gateway.venues.reading import (
    MESSAGE_MOST,
    RETRY_AFTER_MOST_S,
    amount,
    clean,
    difference,
    in_own_voice,
    inner,
    items,
    json_object,
    refused_by_credential,
    refused_by_status,
    retry_after_ms,
    text,
    without_object,
)

FACTS = Facts(venue_message="as it was said")
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture
def far_west() -> Iterator[None]:
    """A machine that does not run on GMT."""
    before = environ.get("TZ")
    environ["TZ"] = "Etc/GMT+11"
    time.tzset()
    yield
    if before is None:
        del environ["TZ"]
    else:
        environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"null", b"[]", b'"text"', b"1", b"{", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xff{}",
     b"\xef\xbb\xbf{}", b"<html></html>", b'{"a":1}{"b":2}', DEEP],
    ids=lambda body: repr(body[:16]),
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_none(body: bytes) -> None:
    assert json_object(body) is None


def test_a_json_object_is_read() -> None:
    assert json_object(b' {"a": [1, {"b": null}]} ') == {"a": [1, {"b": None}]}


@given(st.binary(max_size=200) | JSON_VALUES.map(orjson.dumps))
def test_any_body_is_an_object_or_none(body: bytes) -> None:
    read = json_object(body)

    assert read is None or orjson.loads(body) == read


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_inner_of_anything_else_is_empty(value: object) -> None:
    assert inner({"key": value}, "key") == {}


def test_inner_of_an_object_is_the_object() -> None:
    assert inner({"key": {"a": 1}}, "key") == {"a": 1}
    assert inner({}, "key") == {}


@pytest.mark.parametrize("value", [None, 1, "xyz", {}, True])
def test_items_of_anything_else_are_none(value: object) -> None:
    assert items({"key": value}, "key") == []


def test_items_of_a_list_are_the_list() -> None:
    assert items({"key": [1, "a"]}, "key") == [1, "a"]
    assert items({}, "key") == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.10", "0.10"),
        (18446744073709551615, "18446744073709551615"),
        (-7, "-7"),
        (0.5, "0.5"),
        (" a\r\nb ", "a b"),
        ("", None),
        ("\x00\x1b", None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_text_of_a_scalar_keeps_its_digits(value: object, expected: str | None) -> None:
    assert text({"key": value}, "key") == expected


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("plain", "plain"),
        ("two\r\nlines\ttab", "two lines tab"),
        ("esc\x1b[31mred", "esc [31mred"),
        ("bidi\u202etext", "bidi text"),
        ("zero\u200bwidth soft\u00adhyphen no\u00a0break", "zero width soft hyphen no break"),
        ("größer", "größer"),
        ("\ud800", ""),
        ("x" * 10_000, "x" * MESSAGE_MOST),
        ("x" * (MESSAGE_MOST - 1) + " y", "x" * (MESSAGE_MOST - 1)),
    ],
    ids=range(9),
)
def test_venue_text_is_printable_one_line_and_cut(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@given(st.text(max_size=900))
def test_any_text_comes_out_clean(message: str) -> None:
    cleaned = clean(message)

    assert len(cleaned) <= MESSAGE_MOST
    assert cleaned.isprintable()
    assert cleaned == cleaned.strip()
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (150, "150"),
        ("0.10", "0.10"),
        (0.5, "0.5"),
        (1e-05, "0.00001"),
        (1e22, "10000000000000000000000"),
        (1e300, None),
        (-1, None),
        (-0.5, None),
        ("1e5", None),
        ("NaN", None),
        ("٣", None),
        ("9" * 41, None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_an_amount_is_plain_digits_or_none(value: object, expected: str | None) -> None:
    assert amount({"key": value}, "key") == expected


@pytest.mark.parametrize(
    ("whole", "part", "left"),
    [
        ("0.1", "0.1", "0"),
        ("150", "50", "100"),
        ("0.30", "0.1", "0.2"),
        ("1000000000000000000000000000000000000000", "0." + "0" * 39 + "1", "9" * 39 + "." + "9" * 40),
        ("150", "0", "150"),
        ("0150", "0", "150"),
        ("00", "0", "0"),
        ("1.50", "0", "1.5"),
        ("1", "2", None),
        (None, "1", None),
        ("1", None, None),
        ("1", "1e3", None),
        ("1E999999999", "1", None),
        ("-1", "1", None),
        ("", "", None),
    ],
)
def test_a_difference_is_exact_or_none(whole: str | None, part: str | None, left: str | None) -> None:
    assert difference(whole, part) == left


DECIMALS = st.decimals(min_value=0, max_value=10**30, places=18, allow_nan=False).map(lambda value: f"{value:f}")


@given(DECIMALS, DECIMALS)
def test_a_difference_and_its_part_make_the_whole(whole: str, part: str) -> None:
    left = difference(whole, part)

    if left is None:
        assert Decimal(part) > Decimal(whole)
    else:
        assert difference(whole, left) == difference(part, "0")


@pytest.mark.parametrize(
    ("stated", "wait_ms"),
    [
        ("0", 0),
        ("120", 120_000),
        (" 5 ", 5_000),
        (str(RETRY_AFTER_MOST_S), RETRY_AFTER_MOST_S * 1000),
        (str(RETRY_AFTER_MOST_S + 1), RETRY_AFTER_MOST_S * 1000),
        ("9" * 5_000, RETRY_AFTER_MOST_S * 1000),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60_000),
        ("Tue, 14 Nov 2023 22:14:20", 60_000),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60_000),
        ("Tue, 14 Nov 2003 22:14:20 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MOST_S * 1000),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("Tue, 14 Nov 2023 22:14:20 +99999999999999999", None),
        ("1 Jan 2020 99999999999999999999999:1:1", None),
    ],
)
def test_retry_after_is_read_in_either_form(stated: str, wait_ms: int | None) -> None:
    assert retry_after_ms(raw(429, headers={"retry-after": stated})) == wait_ms


def test_no_retry_after_is_none() -> None:
    assert retry_after_ms(raw(429)) is None


@pytest.mark.usefixtures("far_west")
def test_a_date_without_zone_is_gmt_wherever_we_run() -> None:
    assert retry_after_ms(raw(429, headers={"retry-after": "Tue, 14 Nov 2023 22:14:20"})) == 60_000


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  bounds are naive
def test_any_http_date_gives_a_wait_or_none(moment: datetime) -> None:
    wait_ms = retry_after_ms(raw(429, headers={"retry-after": format_datetime(moment, usegmt=True)}))

    ahead_ms = int(moment.timestamp()) * 1000 - AT_MS
    assert wait_ms == min(max(0, ahead_ms), RETRY_AFTER_MOST_S * 1000)


@given(st.text(max_size=100))
def test_any_retry_after_is_bounded_or_none(stated: str) -> None:
    wait_ms = retry_after_ms(raw(429, headers={"retry-after": stated}))

    assert wait_ms is None or 0 <= wait_ms <= RETRY_AFTER_MOST_S * 1000


def test_429_throttles_the_account() -> None:
    assert refused_by_status(raw(429, headers={"retry-after": "7"}), FACTS) == Throttled(
        Scope.ACCOUNT, retry_after_ms=7_000, facts=FACTS
    )


def test_418_bans_our_address() -> None:
    assert refused_by_status(raw(418), FACTS) == Throttled(Scope.EGRESS, banned=True, facts=FACTS)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_server_error_proves_nothing(status: int) -> None:
    assert refused_by_status(raw(status), FACTS) == Unclear(f"http {status}", FACTS)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 409, 422])
def test_other_statuses_alone_decide_nothing(status: int) -> None:
    assert refused_by_status(raw(status)) is None


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b'"Not found"', b"[]", b'{"Message":"x"}'])
def test_json_or_silence_is_the_venues_own_voice(body: bytes) -> None:
    assert in_own_voice(body)


@pytest.mark.parametrize("body", [b"<html>blocked</html>", b"404 page not found", b"\xff", b"{", DEEP], ids=range(5))
def test_a_page_is_somebody_elses_voice(body: bytes) -> None:
    assert not in_own_voice(body)


@pytest.mark.parametrize("reply", [raw(401), raw(401, b"<html>"), said(403, {"error": "x"}), raw(403)])
def test_401_or_403_in_the_venues_voice_refuses_the_credential(reply: Reply) -> None:
    assert refused_by_credential(reply, FACTS) == AuthRefused(FACTS)


def test_403_with_a_page_is_a_ban_of_our_address() -> None:
    reply = raw(403, b"<html>Request blocked</html>", {"retry-after": "60"})

    assert refused_by_credential(reply) == Throttled(Scope.EGRESS, banned=True, retry_after_ms=60_000)


@pytest.mark.parametrize("status", [200, 400, 402, 404, 407, 429, 500])
def test_other_statuses_say_nothing_of_the_credential(status: int) -> None:
    assert refused_by_credential(raw(status)) is None


def test_403_without_an_object_is_a_ban_of_our_address() -> None:
    assert without_object(raw(403, b"<html>", {"retry-after": "1"})) == Throttled(
        Scope.EGRESS, banned=True, retry_after_ms=1_000
    )


@pytest.mark.parametrize("status", [200, 204, 302, 404])
def test_no_object_is_unclear_otherwise(status: int) -> None:
    assert without_object(raw(status, b"<html>")) == Unclear(f"http {status} without a json object")


@given(STATUSES, st.binary(max_size=100), st.text(max_size=40))
def test_no_reply_makes_reading_raise(status: int, body: bytes, stated: str) -> None:
    reply = raw(status, body, {"retry-after": stated})

    assert isinstance(refused_by_status(reply), Throttled | Unclear | None)
    assert isinstance(refused_by_credential(reply), AuthRefused | Throttled | None)
    assert isinstance(without_object(reply), Throttled | Unclear)
