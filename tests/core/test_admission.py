import os
from dataclasses import replace

import pytest
from admission_histories import (
    HOLDERS,
    KEEP,
    START_US,
    WINDOW_US,
    Flush,
    Reserve,
    Step,
    World,
    coarse_jumps,
    flushes,
    give_backs,
    histories,
    most_in_any_window,
    passes,
    reserves,
    steps_back,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.admission import Demand
from gateway.core.ledger import (
    HORIZON_US,
    JUMP_US,
    Denied,
    Epoch,
    Forgotten,
    Granted,
    Ledger,
    Prospect,
    arm,
    confirm,
    decide,
    exchange,
    give_back,
    outlook,
    postpone,
    synchronise,
    tighten,
)
from gateway.core.level import Level
from gateway.core.model import Account
from gateway.core.ring import remembered
from gateway.core.terms import FRESH_US, QUIET_US, RELAX_EVERY_US

HISTORIES = int(os.environ.get("HISTORIES", "100"))
SECOND_US = 1_000_000
HOLDER, OTHER = HOLDERS
ONE = Demand("cancel", HOLDER, tokens=3, window_us=SECOND_US, weight=1, keep=3)
FAST = Demand("fast", HOLDER, 3, WINDOW_US["fast"], 1, KEEP["fast"])
ALL_LONG_AGO = {holder: Epoch(0, 0) for holder in HOLDERS}
RESTED = Ledger(ALL_LONG_AGO)
T = START_US


def granted(
    ledger: Ledger, *demands: Demand, at_us: int = T, patience_us: int = 10 * SECOND_US, ahead: int = 0
) -> Granted:
    decision = decide(ledger, demands, at_us, patience_us, ahead)
    assert isinstance(decision, Granted)
    return decision


def ring(ledger: Ledger, demand: Demand = ONE) -> tuple[int, ...]:
    """As much of it as a whole limit; what lies behind is for taking slots back."""
    return ledger.rings[demand.holder, demand.limit][: demand.keep]


def test_rested_limit_gives_all_tokens_at_once_and_then_one_window_later() -> None:
    ledger = RESTED

    waits = []
    for _ in range(4):
        decision = granted(ledger, ONE)
        ledger = decision.ledger
        waits.append(decision.wait_us)

    assert waits == [0, 0, 0, SECOND_US]
    assert ring(ledger) == (T + SECOND_US, T, T)


def test_no_slot_within_patience_says_how_far_and_takes_nothing() -> None:
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T, T - 300_000)})

    decision = decide(full, (ONE,), T, 699_999)

    assert isinstance(decision, Denied)
    assert decision.wait_us == 700_000
    assert decision.ledger.rings == full.rings


def test_patience_has_a_horizon() -> None:
    slow = replace(ONE, window_us=HORIZON_US + 1)
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T, T)})

    decision = decide(full, (slow,), T, 10 * HORIZON_US)

    assert isinstance(decision, Denied)


def test_weight_waits_until_so_many_tokens_rest() -> None:
    two = replace(ONE, weight=2)
    used = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T - 100_000, T - 400_000)})

    decision = granted(used, two)

    assert decision.wait_us == 600_000
    assert ring(decision.ledger) == (T + 600_000, T + 600_000, T - 100_000)


def test_reserve_is_kept_for_lanes_that_may_use_it() -> None:
    normal = replace(ONE, tokens=1)
    used = granted(RESTED, normal).ledger

    assert granted(used, normal).wait_us == SECOND_US
    assert granted(used, ONE).wait_us == 0


def test_urgent_slot_goes_before_one_that_was_reserved_for_later() -> None:
    normal = replace(ONE, tokens=1)
    reserved = granted(granted(RESTED, normal).ledger, normal).ledger

    decision = granted(reserved, ONE, at_us=T + 1)

    assert decision.wait_us == 0
    assert ring(decision.ledger) == (T + SECOND_US, T + 1, T)


def test_linked_limits_wait_for_the_slowest_and_spend_at_one_instant() -> None:
    slow = Demand("egress", OTHER, tokens=1, window_us=5 * SECOND_US, weight=1, keep=1)
    used = Ledger(ALL_LONG_AGO, {(OTHER, "egress"): (T - SECOND_US,)})

    decision = granted(used, ONE, slow)

    assert decision.wait_us == 4 * SECOND_US
    assert ring(decision.ledger) == (T + 4 * SECOND_US,)
    assert ring(decision.ledger, slow) == (T + 4 * SECOND_US,)


def test_same_limit_twice_is_a_programming_fault() -> None:
    with pytest.raises(ValueError, match="twice"):
        decide(RESTED, (ONE, replace(ONE, weight=2)), T, 0)


@pytest.mark.parametrize(("weight", "tokens"), [(0, 3), (4, 3), (1, 4)])
def test_demand_that_can_never_be_met_is_a_programming_fault(weight: int, tokens: int) -> None:
    with pytest.raises(ValueError, match="weight <= tokens <= keep"):
        replace(ONE, weight=weight, tokens=tokens)


def test_missing_epoch_holds_one_window_for_every_limit_of_the_holder() -> None:
    other = replace(ONE, limit="read", window_us=3 * SECOND_US)

    held = decide(Ledger(), (ONE,), T, 0)

    later = decide(held.ledger, (other,), T + SECOND_US, 0)

    assert isinstance(held, Denied)
    assert (held.wait_us, held.ledger.epochs) == (SECOND_US, {HOLDER: Epoch(T, T)})
    assert isinstance(later, Denied)
    assert (later.wait_us, later.ledger.epochs) == (2 * SECOND_US, held.ledger.epochs)
    assert granted(held.ledger, ONE, at_us=T + SECOND_US, patience_us=0).wait_us == 0


def test_missing_epoch_drops_rings_that_were_left() -> None:
    torn = Ledger({}, {(HOLDER, "cancel"): (T - 2 * SECOND_US,)})

    assert arm(torn, (ONE,), T) == Ledger({HOLDER: Epoch(T, T)}, {})


def test_ring_beyond_the_horizon_counts_as_lost_and_keeps_the_time() -> None:
    absurd = Ledger({HOLDER: Epoch(0, T + 7, 0)}, {(HOLDER, "cancel"): (T + 8 + HORIZON_US,)})

    assert arm(absurd, (ONE,), T) == Ledger({HOLDER: Epoch(T + 7, T + 7, 7)}, {})


def test_slots_reserved_before_the_loss_count_as_still_to_be_sent() -> None:
    ledger = arm(Ledger(), (ONE,), T)

    waits = []
    for _ in range(3):
        decision = granted(ledger, ONE, ahead=2)
        ledger = decision.ledger
        waits.append(decision.wait_us)

    assert waits == [SECOND_US, 2 * SECOND_US, 2 * SECOND_US]


def test_more_slots_reserved_before_the_loss_than_tokens_hold_several_windows() -> None:
    assert granted(Ledger(), ONE, ahead=7).wait_us == 3 * SECOND_US


@pytest.mark.parametrize("back_us", [1, 500_000, 3_600_000_000])
def test_clock_that_stepped_back_neither_bursts_nor_freezes(back_us: int) -> None:
    ledger = RESTED
    for _ in range(3):
        ledger = granted(ledger, ONE).ledger

    after = decide(ledger, (ONE,), T - back_us, 0)
    reserved = granted(after.ledger, ONE, at_us=T - back_us)
    later = granted(reserved.ledger, ONE, at_us=T - back_us + SECOND_US)

    assert isinstance(after, Denied)
    assert after.wait_us == SECOND_US
    assert isinstance(decide(after.ledger, (ONE,), T - back_us + SECOND_US, 0), Granted)
    assert (reserved.at_us, reserved.wait_us) == (T + SECOND_US, SECOND_US)
    assert (later.at_us, later.wait_us) == (T + SECOND_US, 0)


def test_given_back_slot_can_be_taken_again() -> None:
    first = granted(RESTED, ONE)
    second = granted(first.ledger, ONE, at_us=T + 5)

    left = give_back(second.ledger, (ONE,), second.at_us, T + 9)

    assert left is not None
    assert ring(left) == (T,)


def test_slot_that_later_ones_build_on_is_taken_back_all_the_same() -> None:
    """It was never sent, so none of them is wrong without it."""
    first = granted(RESTED, ONE)
    second = granted(first.ledger, ONE, at_us=T + 5)

    left = give_back(second.ledger, (ONE,), first.at_us, T + 9)

    assert left is not None
    assert ring(left) == (T + 5,)
    assert give_back(Ledger(), (ONE,), first.at_us, T + 9) is None


def test_slot_taken_out_of_a_full_ring_leaves_the_bound_of_what_was_pushed_out() -> None:
    older = tuple(range(T - 1, T - remembered(ONE.keep) + 2, -1))
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T + 5, T, *older, T - 300_000)})

    left = give_back(full, (ONE,), T, T + 9)

    assert left is not None
    assert left.rings[HOLDER, "cancel"] == (T + 5, *older, T - 300_000, T - 300_000)


def test_given_back_slot_does_not_forget_what_the_ring_pushed_out() -> None:
    """The future slot pushed out a grant that has not rested yet."""
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T, T - 300_000)})
    slot = granted(full, ONE)

    left = give_back(slot.ledger, (ONE,), slot.at_us, T)

    assert left is not None
    assert granted(left, ONE).wait_us == 700_000


def test_given_back_slot_of_a_small_limit_leaves_its_bound() -> None:
    single = replace(ONE, tokens=1, keep=1)
    known = tuple(T - number * SECOND_US // 2 for number in range(remembered(1)))
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): known})

    left = give_back(full, (single,), T, T)

    assert left is not None
    assert left.rings[HOLDER, "cancel"] == (*known[1:], known[-1])


def test_outlook_tells_free_tokens_and_wait_of_each_demand() -> None:
    heavy = replace(ONE, limit="read", weight=3)
    used = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T - 2 * SECOND_US), (HOLDER, "read"): (T, T, T - 1)})

    assert outlook(used, (ONE, heavy), T) == (Prospect(2, 0), Prospect(0, SECOND_US - 1))
    assert outlook(Ledger(), (ONE,), T) == (Prospect(0, SECOND_US),)


def told(ledger: Ledger, at_us: int, now_us: int) -> dict[Account, int]:
    """What somebody expects who saw the holder's time at `at_us`, and whose clock has run on until `now_us`."""
    return {HOLDER: max(ledger.epochs[HOLDER].seen_us, at_us) + now_us - at_us}


@pytest.mark.parametrize("ahead_us", [JUMP_US + 1, 500_000, 3_600_000_000])
def test_clock_that_leapt_ahead_gains_nothing_and_time_goes_on(ahead_us: int) -> None:
    ledger = RESTED
    for _ in range(3):
        ledger = granted(ledger, ONE).ledger
    soon = T + 10_000

    after = synchronise(ledger, (ONE,), soon + ahead_us, told(ledger, T, soon))
    denied = decide(after, (ONE,), soon + ahead_us, 0)
    later = decide(denied.ledger, (ONE,), T + ahead_us + SECOND_US, 0)

    assert isinstance(denied, Denied)
    assert denied.wait_us == SECOND_US - 10_000
    assert denied.ledger.epochs[HOLDER] == Epoch(0, soon, -ahead_us)
    assert isinstance(later, Granted)


def test_leap_that_was_noted_does_not_hold_back_whoever_did_not_see_it() -> None:
    first = granted(RESTED, ONE).ledger
    noted = synchronise(first, (ONE,), T + 60 * SECOND_US, told(first, T, T + 5))

    other = synchronise(noted, (ONE,), T + 60 * SECOND_US + 100_000, told(first, T, T + 100_005))

    assert other == noted
    assert granted(other, ONE, at_us=T + 60 * SECOND_US + 100_000).at_us == T + 100_005


def test_expectation_that_is_stale_or_small_holds_back_and_never_behind_what_was_seen() -> None:
    """Whoever was stopped before his question was read expects too little."""
    ledger = granted(RESTED, ONE, at_us=T).ledger

    slow = synchronise(ledger, (ONE,), T + 5 * SECOND_US, {HOLDER: T + 1000})
    absurd = synchronise(ledger, (ONE,), T + 5 * SECOND_US, {HOLDER: T - 3_600 * SECOND_US})

    assert slow.epochs[HOLDER] == Epoch(0, T + 1000, 1000 - 5 * SECOND_US)
    assert absurd.epochs[HOLDER] == Epoch(0, T, -5 * SECOND_US)


@pytest.mark.parametrize("expected", [{}, {HOLDER: 0}, {HOLDER: T + SECOND_US - JUMP_US}, {HOLDER: T + 10**12}])
def test_expectation_that_is_missing_near_or_too_large_changes_nothing(expected: dict[Account, int]) -> None:
    ledger = granted(RESTED, ONE).ledger

    assert synchronise(ledger, (ONE,), T + SECOND_US, expected) == ledger


def test_jump_too_small_to_be_told_from_a_slow_answer_gains_just_that_much() -> None:
    ledger = RESTED
    for _ in range(3):
        ledger = granted(ledger, ONE).ledger

    after = synchronise(ledger, (ONE,), T + JUMP_US, told(ledger, T, T))

    assert granted(after, ONE, at_us=T + JUMP_US).wait_us == SECOND_US - JUMP_US


def test_smaller_configuration_counts_for_everybody_while_it_is_in_use() -> None:
    smaller = replace(ONE, tokens=2, keep=2, window_us=2 * SECOND_US)
    ledger = decide(RESTED, (smaller,), T, 0).ledger

    waits = []
    for _ in range(2):
        decision = granted(ledger, ONE, at_us=T)
        ledger = decision.ledger
        waits.append(decision.wait_us)
    much_later = T + FRESH_US + 10 * SECOND_US

    assert waits == [0, 2 * SECOND_US]
    assert outlook(ledger, (ONE,), much_later) == (Prospect(3, 0),)


def test_smaller_configuration_that_is_only_ever_refused_counts_too() -> None:
    """Or the larger one would starve it, and break its limit."""
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T, T)})

    denied = decide(full, (replace(ONE, tokens=2, keep=2),), T + 1, 0)

    assert isinstance(denied, Denied)
    assert outlook(denied.ledger, (ONE,), T + SECOND_US) == (Prospect(2, 0),)


def test_learned_limit_counts_until_it_is_relaxed() -> None:
    ledger, left = tighten(RESTED, ONE, 1, T)

    waits = [granted(granted(ledger, ONE).ledger, ONE).wait_us]

    assert (left, waits) == (1, [SECOND_US])
    assert outlook(ledger, (ONE,), T + QUIET_US) == (Prospect(2, 0),)
    assert outlook(ledger, (ONE,), T + QUIET_US + RELAX_EVERY_US) == (Prospect(3, 0),)


def test_weight_above_what_was_learned_still_goes_some_day() -> None:
    heavy = replace(ONE, weight=3)
    ledger, left = tighten(RESTED, heavy, 1, T)

    assert left == 1
    assert granted(ledger, heavy).wait_us == 0
    assert granted(granted(ledger, heavy).ledger, ONE).wait_us == SECOND_US


def test_reserve_is_kept_of_what_was_learned() -> None:
    normal = replace(ONE, tokens=2)
    ledger = tighten(RESTED, ONE, 2, T)[0]

    first = granted(ledger, normal).ledger

    assert granted(first, normal).wait_us == SECOND_US
    assert granted(first, ONE).wait_us == 0


def test_nothing_is_learned_where_the_data_is_lost() -> None:
    assert tighten(Ledger(), ONE, 1, T) == (Ledger(), 3)


def test_loss_leaves_what_was_learned() -> None:
    learned = tighten(RESTED, ONE, 1, T)[0]

    armed = arm(replace(learned, epochs={}), (ONE,), T)

    assert outlook(armed, (ONE,), T + SECOND_US) == (Prospect(1, 0),)


def test_limit_that_becomes_large_or_small_by_configuration_is_held_once() -> None:
    large, small = replace(ONE, tokens=300, keep=300), replace(ONE, tokens=200, keep=200)
    ledger = granted(RESTED, large).ledger

    changed = decide(ledger, (small,), T + 5, 0)
    both = granted(changed.ledger, large, at_us=T + 6)

    assert isinstance(changed, Denied)
    assert changed.wait_us == SECOND_US
    assert both.wait_us == SECOND_US - 1
    assert not both.ledger.levels


def test_large_limit_is_linked_with_a_ring_and_given_back_with_it() -> None:
    large = Demand("large", OTHER, tokens=300, window_us=SECOND_US, weight=1, keep=300)
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): (T, T, T)})
    slot = granted(full, ONE, large)

    left = give_back(slot.ledger, (ONE, large), slot.at_us, T)

    assert slot.wait_us == SECOND_US
    assert slot.ledger.levels[OTHER, "large"].last_us == T + SECOND_US
    assert left is not None
    assert give_back(left, (ONE, large), slot.at_us, T) is None
    assert give_back(replace(slot.ledger, levels={}), (ONE, large), slot.at_us, T) is None


def test_level_beyond_the_horizon_counts_as_lost() -> None:
    large = replace(ONE, tokens=300, keep=300)
    absurd = Ledger(ALL_LONG_AGO, levels={(HOLDER, "cancel"): Level(T, T + HORIZON_US + 1)})

    assert isinstance(decide(absurd, (large,), T, 0), Denied)
    assert isinstance(decide(replace(absurd, levels={(HOLDER, "cancel"): Level(T, T)}), (large,), T, 0), Granted)


@settings(max_examples=HISTORIES, deadline=None)
@pytest.mark.timeout(60 + HISTORIES // 10)
@given(
    histories(shrunk=False, with_sets=lambda sets: reserves(sets) | reserves(sets) | passes | give_backs | coarse_jumps)
)
def test_no_window_ever_holds_more_than_the_limit(steps: list[Step]) -> None:
    world = World(ledger=RESTED)

    for step in steps:
        world.walk(step)

    for (_, limit), instants in world.sends().items():
        assert most_in_any_window(instants, WINDOW_US[limit]) <= KEEP[limit]


@given(st.lists(st.integers(0, 900_000) | flushes | steps_back, max_size=60), st.integers(0, 4))
def test_no_window_holds_more_even_where_data_is_lost(steps: list[int | Step], ahead: int) -> None:
    """Where no more is reserved ahead than the limiter was told, and the hold after one loss ends before the next."""
    world = World(ahead=ahead, ledger=RESTED)
    next_loss_us = T

    for step in steps:
        if isinstance(step, int):
            world.real_us, world.server_us = world.real_us + step, world.server_us + step
            world.walk(Reserve((FAST,), 20 * SECOND_US if world.unsent() < ahead else 0))
        elif not isinstance(step, Flush) or world.real_us >= next_loss_us:
            world.walk(step)
            next_loss_us = world.real_us + 4 * SECOND_US if isinstance(step, Flush) else next_loss_us

    instants = world.sends().get((HOLDER, "fast"), [])
    assert most_in_any_window(instants, WINDOW_US["fast"]) <= KEEP["fast"]


def test_flush_without_knowledge_of_reserved_slots_would_break_the_limit() -> None:
    """The rule above can fail: what `ahead` is there for."""
    world = World(ahead=0, ledger=RESTED)
    ask = Reserve((FAST,), 2 * SECOND_US)
    steps: list[Step] = [ask, ask, ask, ask, ask, Flush(), ask, ask, ask]

    for step in steps:
        world.walk(step)

    assert most_in_any_window(world.sends()[HOLDER, "fast"], WINDOW_US["fast"]) > KEEP["fast"]


def test_urgent_request_goes_before_slots_that_normal_ones_reserved() -> None:
    """The reserve would be of no use if a slot that lies ahead took it."""
    normal = replace(ONE, tokens=2)
    ledger = RESTED
    for _ in range(3):
        ledger = granted(ledger, normal).ledger

    urgent = granted(ledger, ONE, at_us=T + SECOND_US // 2)
    another = granted(urgent.ledger, ONE, at_us=T + SECOND_US // 2)

    assert ring(ledger)[0] == T + SECOND_US
    assert (urgent.wait_us, another.wait_us > 0) == (0, True)


def test_nothing_is_let_in_where_far_slots_pushed_out_what_must_be_known() -> None:
    far = tuple(T + at * SECOND_US for at in range(remembered(ONE.keep), 0, -1))
    full = Ledger(ALL_LONG_AGO, {(HOLDER, "cancel"): far})

    assert granted(full, ONE, patience_us=100 * SECOND_US).wait_us > 0


# --- what comes late to the venue


def test_a_request_that_came_late_rests_from_then_on() -> None:
    used = granted(granted(RESTED, ONE).ledger, ONE, at_us=T + 10)

    left = postpone(used.ledger, (ONE,), T, T + 300_000, T + 400_000)

    assert ring(left) == (T + 300_000, T + 10)
    assert granted(left, replace(ONE, weight=2), at_us=T + 400_000).wait_us == SECOND_US + 10 - 400_000


def test_nothing_is_postponed_beyond_now_or_backwards() -> None:
    used = granted(RESTED, ONE).ledger

    assert ring(postpone(used, (ONE,), T, T + 900_000, T + 400_000)) == (T + 400_000,)
    assert postpone(used, (ONE,), T, T, T + 400_000) is used


def test_what_is_not_remembered_came_all_the_same() -> None:
    armed = Ledger({HOLDER: Epoch(T + 100_000, T + 100_000)})

    left = postpone(armed, (ONE, LARGE), T, T + 300_000, T + 400_000)

    assert ring(left) == (T + 300_000,)
    assert left.levels[HOLDER, "large"].last_us == T + 300_000
    assert postpone(Ledger(), (ONE,), T, T + 300_000, T + 400_000) == Ledger()


def test_a_slot_ahead_moves_with_what_it_was_built_on() -> None:
    ledger = RESTED
    for _ in range(3):
        ledger = granted(ledger, ONE).ledger
    ahead = granted(ledger, ONE)

    assert confirm(ahead.ledger, (ONE,), ahead.at_us, T + 900_000) is None
    late = ahead.ledger
    for _ in range(3):
        late = postpone(late, (ONE,), T, T + 300_000, T + 400_000)
    moved = confirm(late, (ONE,), ahead.at_us, T + 900_000)

    assert isinstance(moved, Granted)
    assert moved.at_us == T + SECOND_US + 300_000
    assert ring(moved.ledger) == (T + SECOND_US + 300_000, T + 300_000, T + 300_000)


def test_a_slot_ahead_moves_when_the_limit_has_shrunk_meanwhile() -> None:
    ledger = RESTED
    for number in range(3):
        ledger = granted(ledger, ONE, at_us=T + number * 100_000).ledger
    ahead = granted(ledger, ONE, at_us=T + 300_000)
    taught, _ = tighten(ahead.ledger, ONE, 2, T + 400_000)

    moved = confirm(taught, (ONE,), ahead.at_us, T + 900_000)

    assert isinstance(moved, Granted)
    assert moved.at_us == T + SECOND_US + 100_000


def test_a_slot_that_is_not_remembered_is_told_as_such() -> None:
    used = granted(RESTED, ONE)

    assert confirm(used.ledger, (ONE,), used.at_us + 1, T) == Forgotten()
    assert confirm(Ledger(), (ONE,), used.at_us, T) == Forgotten()


def test_a_slot_that_only_newer_ones_have_pushed_out_stays() -> None:
    """More replicas may hold slots ahead than are remembered; nothing was lost, and each has its turn."""
    first = granted(RESTED, ONE)
    ledger = first.ledger
    for number in range(remembered(ONE.keep)):
        assert confirm(ledger, (ONE,), first.at_us, T) is None
        ledger = granted(ledger, ONE, at_us=T + 1 + number, patience_us=1000 * SECOND_US).ledger
    whole = ledger.rings[HOLDER, ONE.limit]
    assert len(whole) == remembered(ONE.keep)
    assert first.at_us < whole[-1]

    assert confirm(ledger, (ONE,), first.at_us, T) is None
    assert exchange(ledger, (ONE,), first.at_us, T) is None
    assert confirm(ledger, (ONE,), T + 500, T) == Forgotten(), "newer than what is left, and not there"


def test_a_missed_slot_is_changed_for_one_that_is_free_now() -> None:
    missed = granted(RESTED, ONE)

    other = exchange(missed.ledger, (ONE,), missed.at_us, T + 500_000)

    assert isinstance(other, Granted)
    assert (other.wait_us, ring(other.ledger)) == (0, (T + 500_000,))


LARGE = Demand("large", HOLDER, 300, 2_000_000, 1, 300)
INTERVAL_US = -(-2_000_000 // 270)


def test_a_level_rises_by_the_lateness_or_as_if_charged_anew() -> None:
    first = granted(RESTED, LARGE)
    spent_us = T + INTERVAL_US

    a_little = postpone(first.ledger, (LARGE,), T, T + 5, T + 900_000).levels[HOLDER, "large"]
    a_lot = postpone(first.ledger, (LARGE,), T, T + 800_000, T + 900_000).levels[HOLDER, "large"]

    assert a_little == Level(spent_us + 5)
    assert a_lot == Level(T + 800_000 + INTERVAL_US)


def test_a_later_grant_of_a_level_can_still_be_taken_back_exactly() -> None:
    first = granted(RESTED, LARGE)
    second = granted(first.ledger, LARGE, at_us=T + 1)

    late = postpone(second.ledger, (LARGE,), T, T + 5, T + 10)
    undone = give_back(late, (LARGE,), T + 1, T + 10)

    assert undone is not None
    assert undone.levels[HOLDER, "large"].spent_us == T + INTERVAL_US + 5


def test_a_missed_slot_of_a_level_costs_nothing_more_while_it_is_the_latest() -> None:
    first = granted(RESTED, LARGE)
    second = granted(first.ledger, LARGE, at_us=T + 1)

    latest = exchange(second.ledger, (LARGE,), T + 1, T + 2)
    older = exchange(second.ledger, (LARGE,), T, T + 2)

    assert isinstance(latest, Granted)
    assert isinstance(older, Granted)
    assert latest.ledger.levels[HOLDER, "large"].spent_us == T + 2 * INTERVAL_US
    assert older.ledger.levels[HOLDER, "large"].spent_us == T + 3 * INTERVAL_US
    assert confirm(second.ledger, (LARGE,), T + 1, T + 2) is None
