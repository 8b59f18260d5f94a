"""How often one caller may ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ceiling import Ceiling


def taken(ceiling: Ceiling, now: float, tries: int) -> int:
    return sum(ceiling.wait_ms(now) == 0 for _ in range(tries))


@pytest.mark.parametrize("per_second", [1, 2, 3, 7, 10, 999, 5000])
def test_a_second_s_worth_may_come_at_once_and_no_more(per_second: int) -> None:
    ceiling = Ceiling(per_second)

    assert taken(ceiling, 1000.0, 2 * per_second) == per_second
    assert taken(ceiling, 1001.0, 2 * per_second) == per_second


def test_what_is_refused_does_not_count() -> None:
    ceiling = Ceiling(10)
    taken(ceiling, 1000.0, 500)

    assert taken(ceiling, 1000.1, 500) == 1


@pytest.mark.parametrize("per_second", [1, 3, 100, 5000])
def test_the_wait_it_tells_is_enough(per_second: int) -> None:
    ceiling = Ceiling(per_second)
    taken(ceiling, 1000.0, per_second)

    wait_ms = ceiling.wait_ms(1000.0)

    assert 1 <= wait_ms <= 1000
    assert ceiling.wait_ms(1000.0 + wait_ms / 1000) == 0


@given(st.integers(1, 50), st.lists(st.floats(0, 0.3), max_size=300))
def test_no_caller_ever_gets_more_than_twice_its_rate_in_a_second(per_second: int, steps: list[float]) -> None:
    ceiling, now, gone = Ceiling(per_second), 50.0, []
    for step in steps:
        now += step
        if ceiling.wait_ms(now) == 0:
            gone.append(now)

    assert all(sum(at <= other < at + 1 for other in gone) <= 2 * per_second for at in gone)
