"""What the client reads, whoever answers: the gateway, a proxy's page, or something made up."""

from hypothesis import example, given
from hypothesis import strategies as st
from made_up import bodies, trees

from gateway.client.heard import (
    WAIT_MOST_MS,
    Answer,
    Killed,
    Record,
    answer_of,
    killed_of,
    members,
    record_of,
    venues_of,
)
from gateway.core.outcome import Outcome

NAMES = ["outcome", "index", "detail", "record", "retry_after_ms", "replayed", "proven", "open_after", "left", "note"]
NAMES += ["id", "state", "final", "venues", "venue", "account", "limits", "free", "credential", "degraded"]
HEADERS = st.none() | st.text(max_size=20) | st.sampled_from(["1", "0", "-1", "²", "9" * 5000, "1.5", " 1"])


@given(body=bodies(*NAMES), status=st.integers(0, 999), header=HEADERS)
@example(b"[" * 100_000, 200, None)
def test_any_body_is_members_or_none(body: bytes, status: int, header: str | None) -> None:
    said = members(body)

    assert isinstance(said, dict | None)
    assert isinstance(answer_of(status, said, header, "key", 1), Answer | None)


@given(outcome=st.sampled_from(Outcome), said=trees(*NAMES), header=HEADERS)
def test_any_members_beside_an_outcome_are_an_answer(outcome: Outcome, said: object, header: str | None) -> None:
    stated = (said if isinstance(said, dict) else dict.fromkeys(NAMES, said)) | {"outcome": outcome.value}

    answer, killed = answer_of(200, stated, header, "key", 1), killed_of(200, stated, header, "key", 1)

    assert isinstance(answer, Answer)
    assert isinstance(killed, Killed)
    assert isinstance(record_of(stated), Record | None)
    assert isinstance(venues_of(stated), tuple)
    assert answer.retry_after_ms is None or 0 <= answer.retry_after_ms <= WAIT_MOST_MS
