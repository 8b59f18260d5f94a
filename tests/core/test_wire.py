"""What may be seen of a request: enough to know it, nothing to repeat it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.wire import PLAIN_HEADERS, REDACTED, Reply, Shown, WireRequest

SECRET = "marker-of-a-secret"

header_names = st.sampled_from(["X-API-KEY", "X-API-SIG", "Authorization", "Et-App-Key", "Password", "orderly-key",
                                "orderly-signature", "X-HK-APIKEY", "Cookie", "X-New"])  # fmt: skip


def test_harmless_headers_are_shown_whatever_their_case() -> None:
    request = WireRequest("DELETE", "https://v.example/x", (("Accept", "application/json"), ("accountId", "a-1")))

    assert request.shown() == Shown("DELETE", "https://v.example/x", {"Accept": "application/json", "accountId": "a-1"})


def test_the_harmless_headers_are_these() -> None:
    assert {"accept", "content-type", "orderly-timestamp", "orderly-account-id", "accountid"} == PLAIN_HEADERS


@given(st.lists(header_names))
def test_every_other_header_is_hidden(names: list[str]) -> None:
    shown = WireRequest("GET", "https://v.example/", tuple((name, SECRET) for name in names)).shown()

    assert shown.headers == dict.fromkeys(names, REDACTED)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://v.example/o?signature={SECRET}", "https://v.example/o?signature=[redacted]"),
        (f"https://v.example/o?id=1&signature={SECRET}&t=2", "https://v.example/o?id=1&signature=[redacted]&t=2"),
        ("https://v.example/o?signature=", "https://v.example/o?signature=[redacted]"),
        ("https://v.example/o?id=1", "https://v.example/o?id=1"),
        ("https://v.example/signature=1", "https://v.example/signature=1"),
    ],
)
def test_a_signature_in_the_url_is_hidden(url: str, shown: str) -> None:
    assert WireRequest("DELETE", url, ()).shown().url == shown


def test_a_body_is_never_shown() -> None:
    request = WireRequest("POST", "https://v.example/token", (), SECRET.encode())

    assert SECRET not in repr(request.shown())


def test_reprs_keep_urls_headers_and_bodies_to_themselves() -> None:
    request = WireRequest("GET", f"https://v.example/?a={SECRET}", (("A", SECRET),), SECRET.encode())
    reply = Reply(200, {"a": SECRET}, SECRET.encode())

    assert SECRET not in repr([request, reply])
