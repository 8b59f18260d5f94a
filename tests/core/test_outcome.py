"""What outcomes mean to a caller, and how a reply and a look at the order become one."""

from dataclasses import fields
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Scope
from gateway.core.outcome import (
    MEANINGS,
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    conclude,
)

# The contract's table, copied by hand so that a change in the code has to be made twice.
STATUSES = {
    "cancelled": 200,
    "already_cancelled": 200,
    "accepted": 202,
    "too_late_filled": 409,
    "closed": 409,
    "not_found": 404,
    "rejected": 422,
    "invalid_request": 400,
    "ambiguous_ref": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown_venue": 404,
    "unknown_account": 404,
    "key_reused": 422,
    "in_progress": 409,
    "over_deadline": 429,
    "venue_limited": 503,
    "venue_banned": 503,
    "venue_unavailable": 503,
    "venue_auth": 502,
    "secret_unavailable": 503,
    "overloaded": 503,
    "draining": 503,
    "unknown": 504,
    "internal": 500,
}
FINAL = {
    Outcome.CANCELLED,
    Outcome.ALREADY_CANCELLED,
    Outcome.TOO_LATE_FILLED,
    Outcome.CLOSED,
    Outcome.NOT_FOUND,
    Outcome.REJECTED,
}
SUCCESSES = {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.ACCEPTED}

facts = st.builds(Facts, *[st.none() | st.text(max_size=3)] * len(fields(Facts)))
outcomes = st.sampled_from(Outcome)
asked_back = st.builds(ReadBack, outcomes, outcomes, outcomes, facts)
sightings = (
    st.builds(Seen, st.sampled_from(OrderState), facts)
    | st.builds(AuthRefused, facts)
    | st.builds(Throttled, st.sampled_from(Scope), st.booleans(), st.none(), facts)
    | st.builds(Unclear, st.text(max_size=5), facts)
)


def test_the_outcomes_and_their_statuses_are_the_contracts() -> None:
    assert {outcome.value: meaning.status for outcome, meaning in MEANINGS.items()} == STATUSES
    assert {outcome.value for outcome in Outcome} == STATUSES.keys()


def test_titles_are_told_apart() -> None:
    titles = [meaning.title for meaning in MEANINGS.values()]

    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_only_what_the_venue_settled_is_final() -> None:
    assert {outcome for outcome, meaning in MEANINGS.items() if meaning.final} == FINAL


def test_a_replayed_key_gets_what_the_venue_said_and_nothing_else() -> None:
    assert {outcome for outcome, meaning in MEANINGS.items() if meaning.kept} == FINAL | {Outcome.ACCEPTED}


def expected(asked: ReadBack, sighting: Sighting) -> Outcome:
    """The matrix of `conclude`, written down a second time."""
    if not isinstance(sighting, Seen):
        return Outcome.UNKNOWN
    return {
        OrderState.OPEN: asked.if_open,
        OrderState.PENDING_CANCEL: Outcome.ACCEPTED,
        OrderState.CANCELLED: asked.if_cancelled,
        OrderState.FILLED: Outcome.TOO_LATE_FILLED,
        OrderState.CLOSED: Outcome.CLOSED,
        OrderState.MISSING: asked.if_missing,
    }[sighting.state]


VENUES_ASK_FOR = (*sorted(FINAL), Outcome.ACCEPTED, Outcome.UNKNOWN)
LOOKS: list[Sighting] = [
    *(Seen(state) for state in OrderState),
    AuthRefused(),
    Throttled(Scope.ACCOUNT),
    Throttled(Scope.EGRESS, banned=True, retry_after_ms=1),
    Unclear("nothing"),
]


@pytest.mark.parametrize("sighting", LOOKS)
def test_a_look_at_the_order_decides_over_the_whole_matrix(sighting: Sighting) -> None:
    for if_cancelled, if_open, if_missing in product(VENUES_ASK_FOR, repeat=3):
        asked = ReadBack(if_cancelled, if_open, if_missing)

        assert conclude(asked, sighting).outcome is expected(asked, sighting)


@given(asked_back, sightings)
def test_what_was_seen_stands_over_what_was_said(asked: ReadBack, sighting: Sighting) -> None:
    settled = conclude(asked, sighting)

    seen = sighting.facts if isinstance(sighting, Seen) else Facts()
    for name in (one.name for one in fields(Facts)):
        now, before = getattr(seen, name), getattr(asked.facts, name)
        assert getattr(settled.facts, name) == (before if now is None else now)


@given(sightings)
def test_an_unlooked_for_success_never_comes_of_a_look(sighting: Sighting) -> None:
    settled = conclude(ReadBack(Outcome.UNKNOWN), sighting)

    assert settled.outcome not in SUCCESSES or sighting == Seen(OrderState.PENDING_CANCEL, settled.facts)


def test_what_nobody_can_tell_is_unknown_by_default() -> None:
    asked = ReadBack(Outcome.CANCELLED)

    assert conclude(asked, Seen(OrderState.OPEN)) == Settled(Outcome.UNKNOWN)
    assert conclude(asked, Seen(OrderState.MISSING)) == Settled(Outcome.UNKNOWN)


@given(facts)
def test_facts_over_nothing_and_nothing_over_facts_are_those_facts(told: Facts) -> None:
    assert told.over(Facts()) == told
    assert Facts().over(told) == told
    assert told.over(told) == told


@given(facts, facts, facts)
def test_the_order_of_telling_matters_the_grouping_does_not(first: Facts, second: Facts, third: Facts) -> None:
    assert third.over(second).over(first) == third.over(second.over(first))
