"""The share of retries: never more than ten of any hundred requests in a row."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retries import LAST, PAUSE_MOST_S, RETRIES_MOST, Traffic, pause_s


@given(st.lists(st.booleans(), max_size=400))
def test_no_hundred_requests_in_a_row_hold_more_than_ten_retries(wanted: list[bool]) -> None:
    traffic, sent = Traffic(), []
    for wants in wanted:
        retry = wants and traffic.may_retry()
        traffic = traffic.after(retry=retry)
        sent.append(retry)

    assert all(sum(sent[at : at + LAST]) <= RETRIES_MOST for at in range(max(1, len(sent) - LAST + 1)))


def test_a_quiet_venue_has_its_share_at_once_and_earns_it_again_by_traffic() -> None:
    traffic = Traffic()
    for _ in range(RETRIES_MOST):
        assert traffic.may_retry()
        traffic = traffic.after(retry=True)
    refused = traffic.may_retry()
    for _ in range(LAST - RETRIES_MOST):
        traffic = traffic.after(retry=False)

    assert not refused
    assert traffic.may_retry()


def test_traffic_without_retries_costs_nothing() -> None:
    traffic = Traffic()

    assert traffic.after(retry=False) is traffic


@given(st.integers(1, 50), st.floats(0, 1))
def test_pauses_grow_from_25_ms_to_half_a_second(attempts: int, roll: float) -> None:
    assert 0.025 <= pause_s(attempts, roll) <= PAUSE_MOST_S
