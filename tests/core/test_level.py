from dataclasses import replace

import pytest
from admission_histories import most_in_any_window
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.level import Level, earliest, free, spend, undo
from gateway.core.terms import Terms

T = 1_790_000_000_000_000
WINDOW_US = 3_000_000
TERMS = Terms(tokens=300, keep=300, window_us=WINDOW_US, weight=1, armed_us=0, ahead=0, large=True)
BURST, INTERVAL_US = 30, 11_112


def granted_at(level: Level | None, terms: Terms, now_us: int) -> tuple[Level, int]:
    at_us = max(now_us, earliest(level, terms))
    return spend(level, terms, at_us), at_us


def test_rested_limit_gives_a_tenth_at_once_and_the_rest_one_by_one() -> None:
    level, instants = None, []

    for _ in range(BURST + 3):
        level, at_us = granted_at(level, TERMS, T)
        instants.append(at_us - T)

    assert instants == [0] * BURST + [INTERVAL_US, 2 * INTERVAL_US, 3 * INTERVAL_US]


def test_steady_load_gets_nine_tenths_of_the_limit() -> None:
    level, now_us, sends = None, T, 0

    while now_us < T + 10 * WINDOW_US:
        level, now_us = granted_at(level, TERMS, now_us)
        sends += 1

    assert 0.9 * 10 * 300 <= sends <= 0.9 * 10 * 300 + BURST + 1


def test_reserve_is_kept_for_lanes_that_may_use_it() -> None:
    normal = replace(TERMS, tokens=295)
    level = None
    for _ in range(BURST - 5):
        level, _ = granted_at(level, normal, T)

    assert earliest(level, normal) > T
    assert earliest(level, TERMS) <= T
    assert (free(level, normal, T), free(level, TERMS, T)) == (0, 5)


def test_weight_above_the_burst_waits_until_enough_has_rested() -> None:
    level, _ = granted_at(None, TERMS, T)

    assert earliest(level, replace(TERMS, weight=40)) == T + 11 * INTERVAL_US


def test_loss_holds_one_window_and_what_was_reserved_ahead() -> None:
    lost = replace(TERMS, armed_us=T)

    assert earliest(None, lost) == T + WINDOW_US
    assert free(None, lost, T + WINDOW_US - 1) == 0
    assert free(None, lost, T + WINDOW_US) == BURST
    assert free(None, replace(lost, ahead=10), T + WINDOW_US) == BURST - 10
    assert earliest(None, replace(lost, ahead=271)) >= T + 2 * WINDOW_US


def test_latest_grant_can_be_undone_once_and_leaves_no_trace() -> None:
    first, _ = granted_at(None, TERMS, T)
    second, at_us = granted_at(first, replace(TERMS, weight=7), T + 5)

    undone = undo(second, at_us)

    assert undone == Level(first.spent_us)
    assert undo(undone, T) is None
    assert undo(second, T) is None
    assert undo(None, T) is None


@st.composite
def requests(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Pause, weight, tokens held back, and how much later another limit makes it; each history of one character."""
    pause_us, heaviest = draw(st.sampled_from((0, 15_000, 400_000))), draw(st.sampled_from((1, 12, 90)))
    held_back, later_us = draw(st.sampled_from((0, 40))), draw(st.sampled_from((0, 0, 2_000_000)))
    each = st.tuples(
        st.integers(0, pause_us), st.integers(1, heaviest), st.integers(0, held_back), st.integers(0, later_us)
    )
    return draw(st.lists(each, min_size=40, max_size=80)) * (5 if heaviest == 1 else 1)


@given(requests(), st.integers(0, 20))
def test_no_window_ever_holds_more_than_the_limit(history: list[tuple[int, int, int, int]], ahead: int) -> None:
    """Weights above and below the burst, reserves, and slots that lie ahead because another limit said so."""
    level, now_us, instants = None, T, list[int]()

    for gap_us, weight, held_back, later_us in history:
        now_us += gap_us
        tokens = max(weight, 300 - held_back)
        terms = replace(TERMS, weight=weight, tokens=tokens, ahead=ahead)
        at_us = max(now_us + later_us, earliest(level, terms))
        level = spend(level, terms, at_us)
        instants += [at_us] * weight

    assert most_in_any_window(instants, WINDOW_US) <= 300


@pytest.mark.parametrize("keep", [257, 999, 60_000])
def test_burst_and_rate_never_add_up_to_more_than_the_limit(keep: int) -> None:
    terms = replace(TERMS, keep=keep, tokens=keep)
    level, instants, now_us = None, list[int](), T

    while now_us <= T + WINDOW_US:
        level, now_us = granted_at(level, terms, now_us)
        instants.append(now_us)

    assert sum(at < T + WINDOW_US for at in instants) <= keep
