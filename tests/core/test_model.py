"""The words of the contract, and that values are values."""

import pytest

from gateway.core.model import Account, By, Cancel, Lane, Op, OrderRef, Scope, VenueId, Wait


def test_lanes_stand_in_the_order_they_are_served() -> None:
    assert [lane.value for lane in Lane] == ["kill", "urgent", "normal", "reconcile"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (By, {"order_id", "client_id"}),
        (Wait, {"ack", "terminal"}),
        (Op, {"cancel", "batch", "read", "list", "cancel_all"}),
        (Scope, {"account", "egress", "venue"}),
    ],
)
def test_the_words_are_the_contracts(words: type[By | Wait | Op | Scope], expected: set[str]) -> None:
    assert {word.value for word in words} == expected


def test_equal_cancels_are_one_key_of_a_dict() -> None:
    def cancel() -> Cancel:
        return Cancel(Account(VenueId("etna"), "desk-a"), OrderRef(By.ORDER_ID, "1"))

    assert {cancel(): 1}[cancel()] == 1
