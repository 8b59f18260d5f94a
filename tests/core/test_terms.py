import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.terms import FRESH_US, QUIET_US, RELAX_EVERY_US, Ceiling, Learned, learn, refresh, relaxed

T = 1_790_000_000_000_000
SECOND_US = 1_000_000


def test_first_replica_writes_its_own_configuration() -> None:
    assert refresh(None, 10, SECOND_US, T) == Ceiling(10, T + FRESH_US, SECOND_US, T + FRESH_US)


def test_freshness_outlasts_the_window() -> None:
    assert refresh(None, 10, 2 * FRESH_US, T).tokens_until_us == T + 2 * FRESH_US


@pytest.mark.parametrize(
    ("keep", "window_us", "after_us", "expected"),
    [
        (10, SECOND_US, 9 * SECOND_US, (10, 0, SECOND_US, 0)),
        (10, SECOND_US, 11 * SECOND_US, (10, 11, SECOND_US, 11)),
        (5, SECOND_US, SECOND_US, (5, 1, SECOND_US, 0)),
        (10, 3 * SECOND_US, SECOND_US, (10, 0, 3 * SECOND_US, 1)),
        (20, SECOND_US // 2, 59 * SECOND_US, (10, 0, SECOND_US, 0)),
        (20, SECOND_US // 2, 60 * SECOND_US, (20, 60, SECOND_US // 2, 60)),
    ],
)
def test_smaller_configuration_counts_while_fresh(
    keep: int, window_us: int, after_us: int, expected: tuple[int, int, int, int]
) -> None:
    known = refresh(None, 10, SECOND_US, T)

    tokens, tokens_s, window, window_s = expected
    assert refresh(known, keep, window_us, T + after_us) == Ceiling(
        tokens, T + FRESH_US + tokens_s * SECOND_US, window, T + FRESH_US + window_s * SECOND_US
    )


def test_refusal_inside_the_limit_takes_a_fifth_once_per_window_and_never_all() -> None:
    learned, left = None, []

    for turn in range(12):
        learned = learn(learned, 10, SECOND_US, None, T + turn * SECOND_US // 2)
        left.append(learned.tokens)

    assert left[:6] == [8, 8, 6, 6, 4, 4]
    assert learn(Learned(1, T + QUIET_US), 10, SECOND_US, None, T + SECOND_US).tokens == 1


def test_stated_limit_counts_as_stated_but_never_loosens() -> None:
    learned = learn(None, 10, SECOND_US, 6, T)

    assert learned == Learned(6, T + QUIET_US)
    assert learn(learned, 10, SECOND_US, 9, T + SECOND_US) == Learned(6, T + SECOND_US + QUIET_US)
    assert learn(learned, 10, SECOND_US, 0, T).tokens == 1


def test_learned_limit_is_relaxed_step_by_step_after_a_quiet_time() -> None:
    learned, quiet_us = Learned(7, T + QUIET_US), T + QUIET_US

    assert relaxed(None, 10, T) == 10
    assert relaxed(learned, 10, quiet_us - 1) == 7
    assert [relaxed(learned, 10, quiet_us + step * RELAX_EVERY_US) for step in range(4)] == [8, 9, 10, 10]


@given(st.lists(st.tuples(st.none() | st.integers(0, 400), st.integers(0, QUIET_US)), max_size=30), st.integers(1, 300))
def test_what_is_learned_never_exceeds_the_configuration(history: list[tuple[int | None, int]], keep: int) -> None:
    learned, now_us = None, T

    for said, gap_us in history:
        before = relaxed(learned, keep, now_us)
        learned = learn(learned, keep, SECOND_US, said, now_us)

        assert 1 <= relaxed(learned, keep, now_us) <= before <= keep
        now_us += gap_us
