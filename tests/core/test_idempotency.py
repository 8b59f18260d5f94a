"""The table of steps as a graph, record ids as names that sort by time, and what makes two requests the same."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.idempotency import (
    CROCKFORD,
    GONE,
    SETTLED_AS,
    STEPS,
    TIME_BITS,
    ULID_LENGTH,
    Record,
    RecordId,
    State,
    fingerprint,
    made_ms,
    may_restore,
    may_settle,
    parse_record_id,
    record_id,
)
from gateway.core.model import Account, By, Cancel, OrderRef, VenueId
from gateway.core.outcome import Outcome

ENDS = {State.TERMINAL, State.REFUSED}
ACCOUNT = Account(VenueId("orderly"), "desk-a")

names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
accounts = st.builds(Account, st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True).map(VenueId), names)
times_ms = st.integers(0, 2**TIME_BITS - 1)
noises = st.binary(min_size=10, max_size=10)


def reachable(start: State) -> set[State]:
    found, edge = {start}, [start]
    while edge:
        fresh = STEPS[edge.pop()] - found
        found |= fresh
        edge.extend(fresh)
    return found


# -- steps -----------------------------------------------------------------------------------------------------


def test_every_state_has_its_row_and_is_reached() -> None:
    assert STEPS.keys() == set(State)
    assert reachable(State.RECEIVED) == set(State)


def test_what_has_ended_never_steps_on() -> None:
    assert {state for state in State if not STEPS[state]} == ENDS


@pytest.mark.parametrize("state", State)
def test_every_state_can_come_to_an_end(state: State) -> None:
    assert reachable(state) & ENDS


@pytest.mark.parametrize("state", [State.SENT, State.ACKNOWLEDGED, State.UNKNOWN])
def test_what_was_sent_is_never_unsent(state: State) -> None:
    assert not reachable(state) & {State.RECEIVED, State.RESERVED}


@pytest.mark.parametrize("state", [State.RECEIVED, State.RESERVED])
def test_what_follows_sent_may_follow_without_its_note(state: State) -> None:
    """The store may have been away when it was to be written."""
    assert STEPS[State.SENT] <= STEPS[state]


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.UNKNOWN])
def test_what_the_venue_may_have_done_is_never_refused(state: State) -> None:
    assert State.REFUSED not in reachable(state)


def test_no_state_steps_onto_itself() -> None:
    assert all(state not in STEPS[state] for state in State)


@given(st.lists(st.sampled_from(State), max_size=30))
def test_no_walk_leaves_an_end(wishes: list[State]) -> None:
    state, ended = State.RECEIVED, False
    for wish in wishes:
        if wish in STEPS[state]:
            assert not ended
            state = wish
        ended = ended or state in ENDS


@pytest.mark.parametrize(("state", "wish"), list(product(State, State)))
def test_whoever_holds_the_record_may_do_what_the_table_says(state: State, wish: State) -> None:
    assert may_settle(state, 3, wish, 3) == (wish in STEPS[state])


@pytest.mark.parametrize(("state", "wish"), list(product(State, State)))
def test_whoever_lost_the_record_may_only_bring_what_the_venue_said_or_that_he_did_not_send(
    state: State, wish: State
) -> None:
    unsent = wish is State.REFUSED and state in {State.RECEIVED, State.RESERVED}
    said = wish in {State.ACKNOWLEDGED, State.TERMINAL}
    assert may_settle(state, 3, wish, 2) == (wish in STEPS[state] and (said or unsent))


@pytest.mark.parametrize(("state", "wish"), list(product(State, State)))
def test_whoever_did_the_work_puts_right_who_knew_of_nothing(state: State, wish: State) -> None:
    """And whatever else was settled stands."""
    knew_nothing = state in {State.RECEIVED, State.RESERVED, State.REFUSED}
    allowed = may_restore(state, 3, wish, 2)

    if knew_nothing and wish not in {state, State.REFUSED}:
        assert allowed
    else:
        assert allowed == may_settle(state, 3, wish, 2)


@pytest.mark.parametrize(("state", "wish"), list(product(State, State)))
def test_whoever_never_held_the_record_may_do_nothing(state: State, wish: State) -> None:
    assert not may_settle(state, 3, wish, 4)


def test_only_what_ended_by_cancel_or_fill_is_known_as_gone() -> None:
    assert {Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.TOO_LATE_FILLED} == GONE


def test_every_outcome_settles_a_sent_record_legally() -> None:
    assert SETTLED_AS.keys() == set(Outcome)
    assert set(SETTLED_AS.values()) == STEPS[State.SENT]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.CANCELLED, State.TERMINAL),
        (Outcome.NOT_FOUND, State.TERMINAL),
        (Outcome.ACCEPTED, State.ACKNOWLEDGED),
        (Outcome.UNKNOWN, State.UNKNOWN),
        (Outcome.VENUE_UNAVAILABLE, State.REFUSED),
        (Outcome.OVER_DEADLINE, State.REFUSED),
    ],
)
def test_an_outcome_settles_as_its_state(outcome: Outcome, state: State) -> None:
    assert SETTLED_AS[outcome] is state


# -- record ids ------------------------------------------------------------------------------------------------


def test_an_id_is_the_ulid_of_its_time_and_noise() -> None:
    """The specification's own example of a time: 1469918176385 is 01ARYZ6S41."""
    made = record_id(1_469_918_176_385, bytes(10), ACCOUNT)

    assert str(made) == "01ARYZ6S41" + "0" * 16 + ".orderly.desk-a"


@given(times_ms, noises, accounts)
def test_an_id_comes_back_as_it_was(at_ms: int, noise: bytes, account: Account) -> None:
    made = record_id(at_ms, noise, account)

    assert parse_record_id(str(made)) == made
    assert len(made.ulid) == ULID_LENGTH
    assert set(made.ulid) <= set(CROCKFORD)


@given(times_ms, noises)
def test_an_id_tells_when_it_was_made(at_ms: int, noise: bytes) -> None:
    assert made_ms(record_id(at_ms, noise, ACCOUNT).ulid) == at_ms


@given(st.tuples(times_ms, noises), st.tuples(times_ms, noises))
def test_ids_sort_by_time(one: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    first, second = record_id(*one, ACCOUNT), record_id(*other, ACCOUNT)

    assert (first.ulid < second.ulid) == (one < other)


@given(times_ms, st.binary(min_size=11, max_size=20))
def test_only_ten_bytes_of_noise_count(at_ms: int, noise: bytes) -> None:
    assert record_id(at_ms, noise, ACCOUNT) == record_id(at_ms, noise[:10], ACCOUNT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "01ARYZ6S410000000000000000",
        "01ARYZ6S410000000000000000.",
        "01ARYZ6S410000000000000000.orderly",
        "01ARYZ6S410000000000000000.orderly.",
        "01ARYZ6S410000000000000000..desk-a",
        "01ARYZ6S41000000000000000.orderly.desk-a",
        "01ARYZ6S4100000000000000000.orderly.desk-a",
        "01aryz6s410000000000000000.orderly.desk-a",
        "01ARYZ6S41000000000000000U.orderly.desk-a",
        "01ARYZ6S41000000000000000٣.orderly.desk-a",
    ],
)
def test_what_cannot_be_an_id_is_none(text: str) -> None:
    assert parse_record_id(text) is None


@given(st.text(max_size=60) | st.text(max_size=20).map(lambda rest: "01ARYZ6S410000000000000000." + rest))
def test_any_text_is_an_id_that_reads_the_same_or_none(text: str) -> None:
    found = parse_record_id(text)

    assert found is None or str(found) == text


def test_an_account_name_may_hold_dots() -> None:
    assert parse_record_id("01ARYZ6S410000000000000000.etna.desk.a.b") == RecordId(
        "01ARYZ6S410000000000000000", Account(VenueId("etna"), "desk.a.b")
    )


# -- sameness --------------------------------------------------------------------------------------------------

cancels = st.builds(
    Cancel,
    st.builds(Account, st.sampled_from(["a", "b"]).map(VenueId), st.sampled_from(["x", "y", "xy"])),
    st.builds(OrderRef, st.sampled_from(By), st.sampled_from(["1", "11", "x"]), st.sampled_from([None, "S", "1"])),
)


@given(cancels, cancels)
def test_fingerprints_are_equal_where_the_cancels_are(one: Cancel, other: Cancel) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_a_fingerprint_stays_the_same_over_releases() -> None:
    """It is stored: another one would make every running key a mismatch."""
    cancel = Cancel(ACCOUNT, OrderRef(By.ORDER_ID, "1", "PERP_ETH_USDC"))

    assert fingerprint(cancel) == "3d4745b7283c4ee59e9abf48c7a08375"


def test_a_record_knows_its_order() -> None:
    record = Record(
        id=record_id(0, b"", ACCOUNT), state=State.SENT, by=By.CLIENT_ID, ref="my-1", symbol="S", caller="desk-a",
        request_id="r", created_ms=0, body=b"never in a repr",
    )  # fmt: skip

    assert record.order == OrderRef(By.CLIENT_ID, "my-1", "S")
    assert "never" not in repr(record)
