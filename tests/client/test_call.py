"""The client's decisions: keys, times, what may be tried again, and what is certain in the end."""

import subprocess
import sys

import pytest

from gateway.client import Answer, By, Order, Outcome, new_key
from gateway.client.call import AGAIN, pause_ms, told_ms
from gateway.client.doubt import certain
from gateway.client.heard import answer_of, killed_of, members, record_of, venues_of
from gateway.core.outcome import MEANINGS

NOTHING_SENT = {
    Outcome.OVER_DEADLINE, Outcome.VENUE_LIMITED, Outcome.VENUE_BANNED, Outcome.VENUE_UNAVAILABLE,
    Outcome.SECRET_UNAVAILABLE, Outcome.OVERLOADED, Outcome.DRAINING,
}  # fmt: skip
BLANK = Answer(Outcome.UNKNOWN, 0, "k")


def _answer(outcome: Outcome, retry_after_ms: int | None = None) -> Answer:
    return Answer(outcome, MEANINGS[outcome].status, "k", retry_after_ms=retry_after_ms)


def test_keys_are_26_letters_and_sort_by_time() -> None:
    early, late, last = new_key(1, b"\xff" * 10), new_key(2, b"\x00" * 10), new_key((1 << 48) - 1, b"\xff" * 10)

    assert (early, late) == ("0000000001ZZZZZZZZZZZZZZZZ", "00000000020000000000000000")
    assert early < late < last == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.mark.parametrize(("left_s", "ms"), [(5.0, 4900), (0.1, 90), (120.0, 60_000), (0.0001, 1)])
def test_gateway_is_told_a_little_less_than_what_is_left(left_s: float, ms: int) -> None:
    assert told_ms(left_s) == ms


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_was_not_sent_or_is_being_worked_on_is_tried_again(outcome: Outcome) -> None:
    again = outcome in NOTHING_SENT or outcome is Outcome.IN_PROGRESS

    assert (outcome in AGAIN) == again
    assert (pause_ms(_answer(outcome), 1, 0.5) is not None) == again


def test_what_the_gateway_says_of_the_wait_is_the_least() -> None:
    assert pause_ms(_answer(Outcome.VENUE_LIMITED, 1700), 1, 1.0) == 1700
    assert pause_ms(_answer(Outcome.DRAINING), 1, 1.0) == 50
    assert pause_ms(None, 3, 0.0) == 100
    assert pause_ms(None, 500, 1.0) == 1000


@pytest.mark.parametrize("outcome", Outcome)
def test_refusal_of_a_later_attempt_does_not_speak_for_one_that_was_never_answered(outcome: Outcome) -> None:
    told = certain(_answer(outcome), BLANK, in_doubt=True)

    assert told is not None
    kept = MEANINGS[outcome].kept
    assert told.outcome is (outcome if kept else Outcome.UNKNOWN)
    assert certain(_answer(outcome), BLANK, in_doubt=False) == _answer(outcome)


def test_no_answer_is_unknown_or_provably_nothing() -> None:
    assert certain(None, BLANK, in_doubt=True) is BLANK
    assert certain(None, BLANK, in_doubt=False) is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"outcome":1}', b'{"outcome":"fine"}', b"\xff"])
def test_what_is_not_of_the_closed_set_is_no_answer(body: bytes) -> None:
    assert answer_of(200, members(body), None, "k", 1) is None
    assert killed_of(200, members(body), None, "k", 1) is None


def test_wait_is_taken_from_the_body_and_else_from_the_header() -> None:
    said = {"outcome": "venue_limited"}

    assert answer_of(503, said | {"retry_after_ms": 1200}, "2", "k", 1) == Answer(
        Outcome.VENUE_LIMITED, 503, "k", retry_after_ms=1200, said=said | {"retry_after_ms": 1200}
    )
    assert getattr(answer_of(503, said, "2", "k", 1), "retry_after_ms", None) == 2000
    assert getattr(answer_of(503, said, "Wed, 21 Oct", "k", 1), "retry_after_ms", 0) is None


def test_hostile_members_are_left_out() -> None:
    killed = killed_of(200, {"outcome": "cancelled", "proven": "yes", "open_after": True, "left": "x"}, None, "k", 1)

    assert killed is not None
    assert (killed.proven, killed.open_after, killed.left) == (False, None, ())
    assert record_of({"id": 1}) is None
    assert venues_of({"venues": [1, {"venue": "etna", "limits": 3}]})[0].free == {}


def test_path_segments_are_escaped_once() -> None:
    order = Order("hashkey", "a/b?c%", By.CLIENT_ID, "desk-a")

    assert order.target == "/orders/hashkey/a%2Fb%3Fc%25?by=client_id&account=desk-a"
    assert order.item("k") == {
        "venue": "hashkey", "ref": "a/b?c%", "idempotency_key": "k", "by": "client_id", "account": "desk-a"
    }  # fmt: skip


def test_client_needs_aiohttp_and_nothing_else_of_the_gateways() -> None:
    refused = "redis hiredis orjson structlog prometheus_client nacl jwt httptools uvloop cryptography opentelemetry"
    code = f"import sys\nfor name in {refused.split()!r}: sys.modules[name] = None\nimport gateway.client\n"
    ours = "print(*sorted(n for n in sys.modules if n.startswith('gateway.') and not n.startswith('gateway.client')))"

    said = subprocess.run([sys.executable, "-c", code + ours], capture_output=True, text=True, check=True)  # noqa: S603

    assert said.stdout.split() == ["gateway.core", "gateway.core.model", "gateway.core.outcome", "gateway.core.value"]
