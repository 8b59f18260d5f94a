from hypothesis import given
from hypothesis import strategies as st

from gateway.core.server_clock import DRIFT_PER_US, ServerClock

THERE_US = 1_790_000_000_000_000
HERE = 5000.0


def there_us(here: float) -> int:
    """The truth: both clocks tick alike."""
    return THERE_US + round((here - HERE) * 1e6)


def test_unknown_clock_expects_nothing() -> None:
    assert ServerClock().expected_us(HERE) == 0


def test_first_reply_counts_as_made_when_it_came() -> None:
    assert abs(ServerClock().learn(HERE, HERE + 0.3, THERE_US) - (HERE + 0.3)) < 2e-6


def test_quick_replies_tell_how_far_the_distance_may_be_off() -> None:
    clock = ServerClock()
    clock.learn(HERE, HERE + 0.3, there_us(HERE + 0.1))
    first = clock.apart_s()

    clock.learn(HERE + 1, HERE + 1.002, there_us(HERE + 1.001))

    assert 0.3 <= first < 0.3001
    assert 0.002 <= clock.apart_s() < 0.0021


def test_slow_reply_is_placed_by_what_quick_ones_have_shown() -> None:
    clock = ServerClock()
    clock.learn(HERE, HERE + 0.0001, there_us(HERE + 0.00005))

    latest = clock.learn(HERE + 1, HERE + 1.5, there_us(HERE + 1.01))

    assert 1.01 <= latest - HERE < 1.01 + 0.0002 + 1.5 * DRIFT_PER_US


def test_expectation_is_never_behind_the_truth_and_drifts_apart_slowly() -> None:
    clock = ServerClock()
    clock.learn(HERE, HERE + 0.0001, there_us(HERE + 0.00005))

    ahead_us = clock.expected_us(HERE + 10) - there_us(HERE + 10)

    assert 0 <= ahead_us <= 100 + 10_000_000 * DRIFT_PER_US + 2


def test_clock_that_was_moved_is_believed_at_once() -> None:
    clock = ServerClock()
    clock.learn(HERE, HERE + 0.0001, THERE_US)

    latest = clock.learn(HERE + 1, HERE + 1.2, THERE_US - 5_000_000)
    back_us = clock.expected_us(HERE + 1.2)
    clock.learn(HERE + 2, HERE + 2.2, THERE_US + 900_000_000)

    assert abs(latest - (HERE + 1.2)) < 2e-6
    assert abs(back_us - (THERE_US - 5_000_000)) <= 200_002
    assert abs(clock.expected_us(HERE + 2.2) - (THERE_US + 900_000_000)) <= 200_002


calls = st.tuples(
    st.floats(0.0, 5.0, allow_subnormal=False),
    st.floats(0.0, 0.3, allow_subnormal=False),
    st.floats(0.0, 0.3, allow_subnormal=False),
)


@given(st.lists(calls, max_size=40), st.floats(-0.9, 0.9))
def test_no_instant_is_ever_placed_before_it_was(history: list[tuple[float, float, float]], drift: float) -> None:
    """However long the ways there and back, and where the other clock runs too fast or slow within what is assumed."""
    clock, asked = ServerClock(), HERE

    for pause, out, back in history:
        asked += pause
        granted, answered = asked + out, asked + out + back
        there = there_us(HERE + (granted - HERE) * (1 + drift * DRIFT_PER_US))

        latest = clock.learn(asked, answered, there)

        assert granted - 3e-6 <= latest <= answered + 3e-6
        asked = answered
