from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.gate import (
    BANNED_MOST_US,
    BANNED_US,
    LIMITED_MOST_US,
    LIMITED_US,
    SCOPES,
    Closure,
    Gate,
    close,
    holders,
    probe,
    reopen,
    shut_us,
)
from gateway.core.model import Account, Scope, VenueId

T = 1_790_000_000_000_000
SECOND_US = 1_000_000
LEASE_US = 5 * SECOND_US
LIMITED = Closure(banned=False, stated_us=None, floor_us=0)
BANNED = Closure(banned=True, stated_us=None, floor_us=0)

closures = st.builds(Closure, st.booleans(), st.none() | st.integers(0, 10**16), st.integers(0, 90 * SECOND_US))


def paused_us(closure: Closure, gate: Gate | None = None) -> int:
    return close(gate, closure, T).until_us - T


def test_account_stands_behind_its_own_gate_its_address_and_its_venue() -> None:
    own = Account(VenueId("orderly"), "desk")

    assert SCOPES == (Scope.ACCOUNT, Scope.EGRESS, Scope.VENUE)
    assert [(each.venue, each.name) for each in holders(own)] == [
        ("orderly", "desk"),
        ("orderly", "@egress"),
        ("orderly", "@venue"),
    ]


@pytest.mark.parametrize(
    ("closure", "paused"),
    [
        (LIMITED, LIMITED_US),
        (BANNED, BANNED_US),
        (replace(LIMITED, stated_us=7 * SECOND_US), 7 * SECOND_US),
        (replace(LIMITED, stated_us=0), LIMITED_US),
        (replace(LIMITED, floor_us=3 * SECOND_US), 3 * SECOND_US),
        (replace(LIMITED, stated_us=1, floor_us=3 * SECOND_US), 3 * SECOND_US),
        (replace(LIMITED, stated_us=10**15), LIMITED_MOST_US),
        (replace(BANNED, stated_us=10**15), BANNED_MOST_US),
        (replace(BANNED, stated_us=30 * SECOND_US), 30 * SECOND_US),
    ],
)
def test_refusal_closes_for_what_was_stated_floored_and_capped(closure: Closure, paused: int) -> None:
    assert paused_us(closure) == paused


def test_gate_is_shut_until_its_time_and_then_half_open() -> None:
    closed = close(None, LIMITED, T)

    assert shut_us(None, T, LEASE_US) == 0
    assert shut_us(closed, T, LEASE_US) == LIMITED_US
    assert shut_us(closed, T + LIMITED_US - 1, LEASE_US) == 1
    assert shut_us(closed, T + LIMITED_US, LEASE_US) == 0


def test_probe_shuts_the_gate_for_others_until_its_lease_ends() -> None:
    half_open_us = T + LIMITED_US
    probing = probe(close(None, LIMITED, T), half_open_us + LEASE_US)

    assert shut_us(probing, half_open_us, LEASE_US) == LEASE_US
    assert shut_us(probing, half_open_us + LEASE_US, LEASE_US) == 0


def test_refused_probe_closes_for_twice_as_long_each_time_up_to_the_most() -> None:
    gate, pauses, now_us = None, [], T

    for _ in range(9):
        gate = close(gate, LIMITED, now_us)
        pauses.append(gate.until_us - now_us)
        now_us = gate.until_us

    assert pauses == [min(LIMITED_MOST_US, LIMITED_US * 2**turn) for turn in range(9)]


def test_refusals_that_were_under_way_together_count_once_and_only_lengthen() -> None:
    closed = close(None, replace(LIMITED, stated_us=9 * SECOND_US), T)

    again = close(closed, LIMITED, T + SECOND_US)
    longer = close(again, replace(BANNED, stated_us=20 * SECOND_US), T + SECOND_US)

    assert (again.until_us, again.closures, again.banned) == (T + 9 * SECOND_US, 0, False)
    assert (longer.until_us, longer.closures, longer.banned) == (T + 21 * SECOND_US, 0, True)
    assert close(longer, LIMITED, T + 2 * SECOND_US).banned


def test_ban_that_is_over_does_not_make_a_new_closure_a_ban() -> None:
    banned = close(None, BANNED, T)

    assert not close(banned, LIMITED, banned.until_us).banned


def test_probe_that_was_let_in_opens_the_gate_unless_it_was_closed_meanwhile() -> None:
    closed = close(None, LIMITED, T)
    half_open_us = T + LIMITED_US

    assert reopen(None, T) is None
    assert reopen(closed, half_open_us) is None
    assert reopen(close(closed, LIMITED, half_open_us), half_open_us + 1) is not None


def test_clock_that_went_back_half_opens_the_gate_instead_of_freezing_it() -> None:
    closed = close(None, LIMITED, T)
    probing = probe(closed, T + LIMITED_US + LEASE_US)

    assert shut_us(closed, T - 600 * SECOND_US, LEASE_US) == 0
    assert shut_us(probing, T - 600 * SECOND_US, LEASE_US) == 0


@given(st.lists(st.tuples(closures, st.integers(0, 400 * SECOND_US)), max_size=30))
def test_gate_never_opens_earlier_than_before_nor_later_than_the_most(history: list[tuple[Closure, int]]) -> None:
    gate, now_us = None, T

    for closure, gap_us in history:
        before_us = shut_us(gate, now_us, LEASE_US)
        gate = close(gate, closure, now_us)

        after_us = shut_us(gate, now_us, LEASE_US)
        assert before_us <= after_us
        assert closure.least_us <= after_us <= BANNED_MOST_US
        now_us += gap_us


@given(st.lists(st.integers(0, 3 * SECOND_US), max_size=60))
def test_half_open_gate_lets_one_through_per_lease(gaps: list[int]) -> None:
    """Whoever finds the gate not shut goes as the probe, and says so."""
    gate, now_us, probes = close(None, LIMITED, T), T, list[int]()

    for gap_us in gaps:
        now_us += gap_us
        if shut_us(gate, now_us, LEASE_US) == 0:
            gate = probe(gate, now_us + LEASE_US)
            probes.append(now_us)

    assert all(later - earlier >= LEASE_US for earlier, later in pairwise(probes))
    assert all(at >= T + LIMITED_US for at in probes)
