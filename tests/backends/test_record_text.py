"""Records as they lie in Redis: whatever stands there is a record of ours or none."""

from hypothesis import given
from hypothesis import strategies as st
from made_up import bodies

from gateway.backends.record_text import fields_of, read
from gateway.core.idempotency import Record, State
from gateway.core.outcome import Outcome

GOOD = {
    b"id": b"01ARZ3NDEKTSV4RRFFQ69G5FAV.orderly.desk-a",
    b"state": b"sent",
    b"by": b"order_id",
    b"ref": b"1",
    b"created_ms": b"1",
    b"fence": b"1",
    b"lease_until_ms": b"1",
}
NAMES = st.sampled_from(
    [*GOOD, b"sent_ms", b"settled_ms", b"attempts", b"outcome", b"steps", b"body", b"x_ms", b"\xff"]
)
WORDS = st.sampled_from(
    [*(each.value.encode() for each in (*State, *Outcome)), b"", b"9" * 5000, b"-1", b" 1 ", b"\xff"]
)
VALUES = WORDS | bodies("0", "1") | st.binary(max_size=30)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_any_fields_are_a_record_or_none(odd: dict[bytes, bytes]) -> None:
    assert isinstance(read(GOOD | odd), Record | None)


def test_the_fields_that_the_others_start_from_are_a_record() -> None:
    assert isinstance(read(GOOD), Record)


@given(st.lists(st.none() | st.integers() | st.binary(max_size=10), max_size=9))
def test_any_answer_of_redis_is_a_table(flat: list[int | bytes | None]) -> None:
    assert all(isinstance(each, bytes) for pair in fields_of(flat).items() for each in pair)
