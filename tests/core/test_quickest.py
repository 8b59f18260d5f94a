"""The shortest way to a venue: too little is safe, so nothing is known until enough was seen."""

from gateway.core.quickest import ENOUGH, LATELY_S, OVER_S, Quickest


def known(took_s: float = 0.04, at: float = 100.0) -> Quickest:
    quickest = Quickest()
    for number in range(ENOUGH):
        quickest.note(took_s, at + number * OVER_S / (ENOUGH - 1))
    return quickest


def test_nothing_is_known_at_first() -> None:
    assert Quickest().seconds(5.0) == 0.0


def test_many_replies_of_one_moment_may_all_have_been_slow() -> None:
    quickest = Quickest()
    for _ in range(10 * ENOUGH):
        quickest.note(0.04, 100.0)

    assert quickest.seconds(100.0 + OVER_S - 0.1) == 0.0
    assert quickest.seconds(100.0 + OVER_S) == 0.04


def test_a_few_replies_are_not_enough() -> None:
    quickest = Quickest()
    for number in range(ENOUGH - 1):
        quickest.note(0.04, 100.0 + number * OVER_S)

    assert quickest.seconds(1000.0) == 0.0


def test_a_quicker_one_counts_at_once() -> None:
    quickest = known()

    quickest.note(0.01, 106.0)

    assert quickest.seconds(106.0) == 0.01


def test_the_shortest_is_remembered_for_a_while_and_then_replaced() -> None:
    quickest = known(0.01)

    quickest.note(0.03, 150.0 + LATELY_S)
    assert quickest.seconds(150.0 + LATELY_S) == 0.01

    quickest.note(0.03, 150.0 + 2 * LATELY_S)
    assert quickest.seconds(150.0 + 2 * LATELY_S) == 0.03


def test_after_a_long_silence_nothing_is_known() -> None:
    quickest = known()

    assert quickest.seconds(200.0 + 2 * LATELY_S) == 0.0
    quickest.note(0.03, 201.0 + 2 * LATELY_S)
    assert quickest.seconds(210.0 + 2 * LATELY_S) == 0.0
