"""The plan of a soak: the same seed gives the same, everything that can be done is done, and the elder is spared."""

from bench.soak.plan import ELDER, GATEWAY, STORE, planned
from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.faults import KINDS, fault_from

HALF_AN_HOUR_S = 1800


def test_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert planned(7, 300) == planned(7, 300)
    assert planned(7, 300) != planned(8, 300)


def test_half_an_hour_does_everything_that_can_be_done() -> None:
    plan = planned(1, HALF_AN_HOUR_S)

    venue = {(deed.kind, deed.target) for deed in plan if deed.lane == "venue"}
    assert venue == {(kind, venue) for kind in KINDS for venue in VENUE_IDS}
    assert {deed.kind for deed in plan if deed.lane == "store"} == set(STORE)
    assert {deed.kind for deed in plan if deed.lane == "gateway"} == set(GATEWAY)


def test_elder_is_never_ended() -> None:
    ended = [
        deed.target for deed in planned(1, HALF_AN_HOUR_S) if deed.lane == "gateway" and deed.kind in {"kill", "term"}
    ]

    assert ended
    assert str(ELDER) not in ended


def test_every_fault_is_one_that_a_sandbox_takes() -> None:
    for deed in planned(1, HALF_AN_HOUR_S):
        if deed.lane == "venue":
            fault_from(dict(deed.fault), frozenset({"*", "cancel"}))


def test_run_ends_calmly() -> None:
    assert max(deed.at_s for deed in planned(1, 100)) < 90
