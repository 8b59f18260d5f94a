"""What a replica may use alone: never more than its part, and nothing where the part is too small."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.admission import Demand
from gateway.core.model import Account, VenueId
from gateway.core.share import share

HOLDER = Account(VenueId("venue"), "desk-a")
TEN = Demand("cancel", HOLDER, tokens=8, window_us=1_020_000, weight=1, keep=10)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    keep = draw(st.integers(1, 500))
    tokens = draw(st.integers(1, keep))
    return Demand("cancel", HOLDER, tokens, 1_000_000, draw(st.integers(1, tokens)), keep)


@given(demands(), st.integers(1, 40))
def test_all_parts_together_stay_within_the_limit(demand: Demand, replicas: int) -> None:
    part = share(demand, replicas)

    assert part is None or part.keep * replicas <= demand.keep
    assert part is None or part.weight <= part.tokens <= part.keep


@given(demands(), st.integers(1, 40))
def test_only_the_tokens_change(demand: Demand, replicas: int) -> None:
    part = share(demand, replicas)

    assume(part is not None)
    assert part is not None
    assert replace(part, tokens=demand.tokens, keep=demand.keep) == demand


@given(demands(), st.integers(1, 40))
def test_a_part_that_holds_no_request_is_none(demand: Demand, replicas: int) -> None:
    assert (share(demand, replicas) is None) == (demand.keep < demand.weight * replicas)


def test_the_only_replica_has_the_whole_limit() -> None:
    part = share(TEN, 1)

    assert part is not None
    assert part.keep == 10


def test_three_replicas_of_ten_tokens_have_three_each() -> None:
    part = share(TEN, 3)

    assert part is not None
    assert part.keep == 3


def test_more_replicas_than_tokens_send_nothing_alone() -> None:
    assert share(TEN, 10) is not None
    assert share(TEN, 11) is None
