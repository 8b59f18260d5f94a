from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.window import Limit, SlidingWindow

MS = 1_000_000


def test_requests_a_window_apart_do_not_share_one() -> None:
    window = SlidingWindow(Limit(1, 1000))

    assert window.admit(0)
    assert not window.admit(1000 * MS - 1)
    assert window.admit(1000 * MS)
    assert (window.admitted, window.violations, window.most_in_any_window) == (2, 1, 2)
    assert list(window.excesses) == [(1000 * MS - 1, (0,))]


def test_burst_across_the_edge_of_a_second_is_refused() -> None:
    """A counter per calendar second would let all twenty through."""
    window = SlidingWindow(Limit(10, 1000))

    first = [window.admit(950 * MS + n) for n in range(10)]
    second = [window.admit(1050 * MS + n) for n in range(10)]

    assert all(first)
    assert not any(second)
    assert window.most_in_any_window == 20


def test_refused_request_spends_nothing() -> None:
    window = SlidingWindow(Limit(2, 1000))

    admitted = [window.admit(at * MS) for at in (0, 1, 500, 999, 1000, 1001)]

    assert admitted == [True, True, False, False, True, True]


def test_weight_counts_as_so_many_requests() -> None:
    window = SlidingWindow(Limit(10, 1000))

    assert [window.admit(n, weight) for n, weight in enumerate((5, 4, 5, 1, 1))] == [True, True, False, True, False]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 3)), max_size=60),
    tokens=st.integers(1, 6),
    per_ms=st.integers(1, 100),
)
def test_never_more_than_the_limit_in_any_window(arrivals: list[tuple[int, int]], tokens: int, per_ms: int) -> None:
    window, at_ms = SlidingWindow(Limit(tokens, per_ms)), 0
    admitted: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []
    for gap_ms, weight in arrivals:
        at_ms += gap_ms
        seen.append((at_ms, weight))
        if window.admit(at_ms * MS, weight):
            admitted.append((at_ms, weight))

    assert _most(admitted, per_ms) <= tokens
    assert _most(seen, per_ms) == window.most_in_any_window


def _most(arrivals: list[tuple[int, int]], per_ms: int) -> int:
    """By brute force: every window that begins with an arrival."""
    sums = [sum(w for at, w in arrivals if start <= at < start + per_ms) for start, _ in arrivals]
    return max(sums, default=0)
