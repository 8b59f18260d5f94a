from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Quota
from gateway.core.audit_window import MINUTE_US, RATIO_MOST, WindowAudit

TEN_A_SECOND = Quota(tokens=10, per_ms=1000)


def audited(instants: list[int], quota: Quota = TEN_A_SECOND) -> WindowAudit:
    audit = WindowAudit(quota)
    for at_us in instants:
        audit.sent(at_us, 1)
    return audit


def test_full_burst_is_exactly_the_limit() -> None:
    assert audited([0] * 10).peak(0) == 1.0


def test_send_one_window_after_the_first_is_in_another_window() -> None:
    assert audited([*range(10), 1_000_000]).peak(1_000_000) == 1.0


def test_send_just_inside_the_window_is_over_the_limit() -> None:
    assert audited([*range(10), 999_999]).peak(999_999) == 1.1


def test_weight_counts_as_so_many() -> None:
    audit = WindowAudit(TEN_A_SECOND)
    audit.sent(0, 5)
    audit.sent(1, 7)

    assert audit.peak(1) == 1.2


def test_peak_is_forgotten_after_a_quarter_of_an_hour() -> None:
    audit = audited([0] * 10)

    assert audit.peak(14 * MINUTE_US) == 1.0
    assert audit.peak(15 * MINUTE_US) == 0.0


def test_peak_lasts_while_quieter_minutes_follow() -> None:
    audit = audited([0] * 8 + [minute * MINUTE_US for minute in range(1, 15)])

    assert audit.peak(14 * MINUTE_US) == 0.8
    assert audit.peak(15 * MINUTE_US) == 0.1


def test_runaway_costs_no_memory() -> None:
    audit = audited([0] * 100_000)

    assert audit.peak(0) == RATIO_MOST
    assert len(audit._sends) == 10 * RATIO_MOST


@given(st.lists(st.integers(0, 400_000), max_size=60), st.integers(1, 20))
def test_any_sends_are_counted_as_by_hand(pauses_us: list[int], tokens: int) -> None:
    instants = [sum(pauses_us[: n + 1]) for n in range(len(pauses_us))]

    audit = audited(instants, Quota(tokens=tokens, per_ms=1000))

    by_hand = max((sum(end - 1_000_000 < at <= end for at in instants) for end in instants), default=0)
    assert all(a <= b for a, b in pairwise(instants))
    assert audit.peak(instants[-1] if instants else 0) == min(by_hand, RATIO_MOST * tokens) / tokens
