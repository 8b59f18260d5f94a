import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.venues import base58


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\x00", "1"),
        (bytes(32), "1" * 32),
        (b"\x00\x00\x28\x7f\xb4\xcd", "11233QC4"),
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
    ],
)
def test_known_pair_is_written_and_read(raw: bytes, text: str) -> None:
    assert base58.encode(raw) == text
    assert base58.decode(text) == raw


@given(zeros=st.integers(0, 4), rest=st.binary(max_size=64))
def test_any_bytes_survive_the_round_trip(zeros: int, rest: bytes) -> None:
    raw = bytes(zeros) + rest

    assert base58.decode(base58.encode(raw)) == raw


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "2NEpo7 ZRR", "+", "é", "\n"])
def test_letter_outside_the_alphabet_is_refused(text: str) -> None:
    assert base58.decode(text) is None
