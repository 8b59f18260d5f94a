"""What a kill is called, and what its record is known by."""

import pytest

from gateway.core.model import Account, VenueId
from gateway.core.outcome import Outcome
from gateway.core.tally import Kill, Stop, called, is_kill, ref_of
from gateway.venues import ALL

DESK = Account(VenueId("venue"), "desk-a")
STOP = Stop(Outcome.VENUE_BANNED)
A, R, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN


def kill(caller: str = "desk", key: str | None = None, symbol: str | None = None) -> Kill:
    return Kill(DESK, symbol, caller, "request", 0.0, key=key)


@pytest.mark.parametrize(
    ("told", "left", "stop", "taken", "name"),
    [
        ({}, (), None, True, Outcome.CANCELLED),
        ({"1": U}, (), STOP, False, Outcome.CANCELLED),
        ({}, None, STOP, True, Outcome.ACCEPTED),
        ({"1": A}, None, STOP, False, Outcome.ACCEPTED),
        ({"1": A, "2": R}, ("1", "2"), None, False, Outcome.ACCEPTED),
        ({"1": A, "2": R}, ("2",), None, True, Outcome.REJECTED),
        ({"1": A}, ("2",), None, False, Outcome.ACCEPTED),
        ({"1": U, "2": R}, None, STOP, False, Outcome.UNKNOWN),
        ({}, None, STOP, False, Outcome.VENUE_BANNED),
        ({"2": R}, None, STOP, False, Outcome.VENUE_BANNED),
        ({}, ("1",), None, False, Outcome.OVER_DEADLINE),
    ],
)
def test_only_an_empty_list_makes_it_cancelled(
    told: dict[str, Outcome],
    left: tuple[str, ...] | None,
    stop: Stop | None,
    taken: bool,  # noqa: FBT001  a row of the table
    name: Outcome,
) -> None:
    assert called(told, left, stop, taken=taken) is name


def test_the_same_key_of_the_same_caller_is_the_same_kill() -> None:
    assert ref_of(kill(key="k"), "1") == ref_of(kill(key="k"), "2")


@pytest.mark.parametrize("other", [kill("other", "k"), kill(key="l"), kill(key="k", symbol="X"), kill()])
def test_any_other_is_another(other: Kill) -> None:
    assert ref_of(kill(key="k"), "1") != ref_of(other, "1")


def test_without_a_key_each_is_its_own() -> None:
    assert ref_of(kill(), "1") != ref_of(kill(), "2")


def test_no_venue_could_take_it_for_an_order() -> None:
    ref = ref_of(kill(), "01HF7YAT000000000000000000")

    assert is_kill(ref.value)
    assert not is_kill("7")
    assert all(not hasattr(venue.order_ref(ref.value, ref.by, "PERP_ETH_USDC"), "value") for venue in ALL)
