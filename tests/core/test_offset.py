"""The difference of two clocks, as answers prove it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.offset import DRIFT_PER_MS, WITNESSES, Offset, Span, learn, seen

WALL = 1_700_000_000_000
GRAIN = 1000

trips = st.tuples(st.integers(0, 3000), st.integers(0, 3000))


def _answer(ahead: int, at: int, out: int, back: int, grain: int = GRAIN) -> tuple[Span, int]:
    """What one round trip shows of a venue that is so far ahead of our steady clock, and when it was back."""
    told = (at + out + ahead) // grain * grain
    return seen(told, grain, at, at + out + back), at + out + back


def _told(ahead: int, times: int = WITNESSES, at: int = 0) -> Offset:
    offset = Offset()
    for number in range(times):
        span, back = _answer(ahead, at + 7 * number, 5, 5, grain=1)
        offset = learn(offset, span, back)
    return offset


@given(st.integers(-10_000_000, 10_000_000), st.lists(trips, max_size=30), st.sampled_from([1, GRAIN]))
def test_the_true_difference_is_never_ruled_out(ahead: int, ways: list[tuple[int, int]], grain: int) -> None:
    offset, at = Offset(), 0
    for out, back in ways:
        span, at = _answer(ahead, at, out, back, grain)
        assert span.low <= ahead <= span.high
        offset = learn(offset, span, at)

    held = offset.aged(at)
    assert (held is None) is (len(ways) < WITNESSES)
    assert held is None or held.low <= ahead <= held.high
    assert not offset.settled or not offset.rivals


@given(st.integers(-100_000, 100_000), st.lists(trips, min_size=WITNESSES, max_size=30))
def test_more_answers_never_make_it_less_certain_by_more_than_the_drift(
    ahead: int, ways: list[tuple[int, int]]
) -> None:
    offset, at, widths = Offset(), 0, []
    for out, back in ways:
        span, at = _answer(ahead, at, out, back)
        offset = learn(offset, span, at)
        if offset.held is not None:
            widths.append(offset.held.high - offset.held.low)

    assert all(later <= earlier + 2 * (6000 // DRIFT_PER_MS + 1) for earlier, later in pairwise(widths))


@given(st.integers(-10_000_000, 10_000_000).filter(lambda lie: abs(lie) > 20))
def test_one_answer_that_contradicts_moves_nothing_and_neither_do_two(lie: int) -> None:
    offset = _told(0)
    for times in (1, 2):
        offset = learn(offset, Span(lie, lie), 100)

        held = offset.aged(100)
        assert held is not None
        assert held.low <= 0 <= held.high, times


def test_three_that_agree_are_believed_against_what_was_held() -> None:
    offset = _told(0)
    for at in (100, 101, 102):
        offset = learn(offset, Span(5000, 5010), at)

    assert offset == Offset(Span(5000, 5010), 102)


def test_liars_who_do_not_agree_with_each_other_begin_again() -> None:
    offset = _told(0)
    for lie in (5000, 9000, 5000, 9000, 5000):
        offset = learn(offset, Span(lie, lie), 100)

    assert offset.held == _told(0).held
    assert not offset.settled


def test_a_witness_of_the_truth_silences_the_rivals() -> None:
    offset = learn(_told(0), Span(5000, 5000), 100)
    offset = learn(offset, Span(-5, 5), 101)

    assert offset.settled


def test_a_venue_that_refuses_our_time_is_believed_at_once() -> None:
    assert learn(Offset(), Span(9000, 9010), 100, sure=True) == Offset(Span(9000, 9010), 100)
    assert learn(_told(0), Span(9000, 9010), 100, sure=True).held == Span(9000, 9010)


def test_a_wall_clock_that_is_set_shows_at_once() -> None:
    offset = _told(WALL)
    right = offset.against(WALL + 100, 100)
    jumped = offset.against(WALL + 100 + 600_000, 100)

    assert right is not None
    assert right.proven() == 0
    assert jumped is not None
    assert -600_010 <= jumped.low <= jumped.high <= -599_990
    assert jumped.proven() == jumped.high


def test_what_is_held_gets_wider_with_age() -> None:
    offset = Offset(Span(0, 0), 0)

    assert offset.aged(10 * DRIFT_PER_MS) == Span(-10, 10)
    assert offset.aged(-5) == Span(0, 0)


@given(st.integers(-5000, 5000), st.integers(0, 2000))
def test_no_more_is_proven_than_the_nearest_difference_that_is_possible(low: int, width: int) -> None:
    span = Span(low, low + width)

    assert span.proven() == min(range(low, low + width + 1), key=abs)


def test_as_long_as_nothing_is_known_nothing_is_said() -> None:
    assert Offset().against(WALL, 0) is None
