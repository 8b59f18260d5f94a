"""Who goes first: lanes strictly, callers by their weights, deadlines within a caller; leaving costs nothing."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.core.admission import Demand
from gateway.core.fairness import BEST_FIRST, Ticket, WaitingRoom, drain_us
from gateway.core.ledger import Epoch, Granted, Ledger, decide
from gateway.core.model import Account, Lane, VenueId

WEIGHTS = {"one": 1, "two": 2, "four": 4}
HOLDER = Account(VenueId("venue"), "desk-a")

lanes = st.sampled_from(Lane)
callers = st.sampled_from(sorted(WEIGHTS))
deadlines = st.integers(0, 20).map(float)


def ticket(
    caller: str = "one", lane: Lane = Lane.NORMAL, deadline: float = 0.0, item: int = 0, weight: int | None = None
) -> Ticket[int]:
    return Ticket(item, lane, caller, weight or WEIGHTS.get(caller, 1), deadline)


def room_of(*waiting: Ticket[int]) -> WaitingRoom[int]:
    room: WaitingRoom[int] = WaitingRoom()
    for each in waiting:
        room.join(each)
    return room


def emptied(room: WaitingRoom[int]) -> list[Ticket[int]]:
    return room.take_many(len(room))


def waiting_in(room: WaitingRoom[int]) -> list[Ticket[int]]:
    return [each for callers in room._lanes.values() for caller in callers.values() for each in caller.queue]


tickets = st.builds(ticket, callers, lanes, deadlines)


@given(st.lists(tickets, max_size=60))
def test_everybody_goes_once_and_better_lanes_first(waiting: list[Ticket[int]]) -> None:
    taken = emptied(room_of(*waiting))

    ranks = [BEST_FIRST.index(each.lane) for each in taken]
    assert ranks == sorted(ranks)
    assert Counter(map(id, taken)) == Counter(map(id, waiting))


@given(st.lists(tickets, max_size=60))
def test_a_callers_tickets_go_by_deadline_and_then_by_arrival(waiting: list[Ticket[int]]) -> None:
    arrival = {id(each): place for place, each in enumerate(waiting)}

    taken = emptied(room_of(*waiting))

    for lane in Lane:
        for caller in WEIGHTS:
            own = [(each.deadline, arrival[id(each)]) for each in taken if (each.lane, each.caller) == (lane, caller)]
            assert own == sorted(own)


def test_urgent_goes_before_a_thousand_who_came_first() -> None:
    room = room_of(*(ticket() for _ in range(1000)), ticket(lane=Lane.URGENT), ticket(lane=Lane.KILL))

    assert [each.lane for each in room.take_many(3)] == [Lane.KILL, Lane.URGENT, Lane.NORMAL]


@pytest.mark.parametrize("taken", [70, 77, 700, 1403])
def test_backlogged_callers_are_served_by_their_weights(taken: int) -> None:
    room = room_of(*(ticket(caller) for caller in WEIGHTS for _ in range(2000)))

    served = Counter(each.caller for each in room.take_many(taken))

    for caller, weight in WEIGHTS.items():
        assert served[caller] == pytest.approx(taken * weight / 7, rel=0.05)


@given(st.lists(callers, min_size=7, max_size=200), st.integers(0, 100))
def test_shares_hold_in_every_stretch_and_not_only_over_all(before: list[str], skipped: int) -> None:
    """Whoever came before, over any stretch in which all have a backlog nobody is off by more than a round."""
    room = room_of(*(ticket(caller) for caller in before), *(ticket(caller) for caller in WEIGHTS for _ in range(800)))
    room.take_many(skipped)

    served = Counter(each.caller for each in room.take_many(700))

    for caller, weight in WEIGHTS.items():
        assert abs(served[caller] - 100 * weight) <= weight


def test_a_caller_with_nothing_left_leaves_its_share_to_the_others() -> None:
    room = room_of(
        *(ticket("four") for _ in range(3)), *(ticket(caller) for caller in ("one", "two") for _ in range(600))
    )

    served = Counter(each.caller for each in room.take_many(303))

    assert served == {"four": 3, "one": 100, "two": 200}


@given(st.lists(tickets, max_size=40))
def test_nothing_idles_while_anybody_waits(waiting: list[Ticket[int]]) -> None:
    room = room_of(*waiting)

    for left in range(len(waiting), 0, -1):
        assert len(room) == left
        assert room.take() is not None
    assert room.take() is None


def test_a_newcomer_of_a_new_caller_waits_one_round_at_most() -> None:
    room = room_of(*(ticket("four") for _ in range(1000)))
    room.join(newcomer := ticket("one", item=7))

    assert newcomer in room.take_many(5)


def test_a_caller_that_comes_back_gains_no_credit() -> None:
    """Leaving the line with credit unspent and coming back puts a caller behind the others, with one round's worth."""
    room = room_of(*(ticket("four") for _ in range(1)), *(ticket("one") for _ in range(100)))
    room.take()
    for _ in range(20):
        room.join(ticket("four"))

    first = [each.caller for each in room.take_many(6)]

    assert first == ["one", "four", "four", "four", "four", "one"]


def test_the_weight_of_the_first_in_line_counts_until_the_caller_is_gone() -> None:
    room = room_of(ticket("a", weight=2), ticket("a", weight=9), ticket("a", weight=9), ticket("b"), ticket("b"))

    assert [each.caller for each in emptied(room)] == ["a", "a", "b", "a", "b"]


def test_those_who_leave_are_passed_over() -> None:
    first, second, third = (ticket(deadline=float(at)) for at in range(3))
    room = room_of(first, second, third)

    room.leave(second)
    room.leave(first)

    assert emptied(room) == [third]


def test_leaving_after_being_taken_changes_nothing() -> None:
    room = room_of(early := ticket(deadline=1.0), late := ticket(deadline=2.0))
    room.take()

    room.leave(early)
    room.leave(early)

    assert list(waiting_in(room)) == [late]
    assert len(room) == 1


def test_a_crowd_that_leaves_takes_its_entries_along() -> None:
    crowd = [ticket(deadline=float(at)) for at in range(1000)]
    room = room_of(*crowd)

    for each in reversed(crowd[1:]):
        room.leave(each)

    assert waiting_in(room) == crowd[:1]
    assert emptied(room) == crowd[:1]


class Coming(RuleBasedStateMachine):
    """Joining, leaving and taking in any order, held against a plain list of those who wait."""

    inside = Bundle("inside")

    def __init__(self) -> None:
        super().__init__()
        self.room: WaitingRoom[int] = WaitingRoom()
        self.waiting: list[Ticket[int]] = []
        self.most = 0

    @rule(target=inside, caller=callers, lane=lanes, deadline=deadlines)
    def join(self, caller: str, lane: Lane, deadline: float) -> Ticket[int]:
        newcomer = ticket(caller, lane, deadline)
        self.room.join(newcomer)
        self.waiting.append(newcomer)
        self.most = max(self.most, len(self.waiting))
        return newcomer

    @rule(leaver=consumes(inside))
    def leave(self, leaver: Ticket[int]) -> None:
        self.room.leave(leaver)
        self.waiting = [each for each in self.waiting if each is not leaver]

    @rule(most=st.integers(0, 5))
    def take(self, most: int) -> None:
        taken = self.room.take_many(most)

        assert len(taken) == min(most, len(self.waiting))
        for each in taken:
            assert each.gone
            self.waiting = [other for other in self.waiting if other is not each]

    @invariant()
    def those_who_wait_are_known(self) -> None:
        assert {id(each) for each in waiting_in(self.room)} == {id(each) for each in self.waiting}
        assert len(self.room) == len(self.waiting)
        assert {lane: self.room.count(lane) for lane in Lane} == {
            lane: sum(each.lane is lane for each in self.waiting) for lane in Lane
        }

    @invariant()
    def nothing_is_kept_of_those_who_left(self) -> None:
        inside = sum(len(waiting) for waiting in self.room._lanes.values())
        assert inside == len({(each.lane, each.caller) for each in self.waiting})
        assert len(waiting_in(self.room)) == len(self.waiting)


TestComing = Coming.TestCase


def gone_before(room: WaitingRoom[int], newcomer: Ticket[int]) -> int:
    room.join(newcomer)
    return emptied(room).index(newcomer)


@given(st.lists(deadlines, max_size=30), st.integers(1, 5), st.integers(0, 10), st.integers(0, 10), deadlines)
def test_with_one_caller_those_ahead_are_counted_exactly(
    waiting: list[float], weight: int, taken: int, left: int, deadline: float
) -> None:
    room = room_of(*(ticket("only", deadline=at, weight=weight) for at in waiting))
    room.take_many(taken)
    for each in list(waiting_in(room))[:left]:
        room.leave(each)

    ahead = room.ahead_of(Lane.NORMAL, "only", weight, deadline)

    assert ahead == gone_before(room, ticket("only", deadline=deadline, weight=weight))


def test_without_a_deadline_a_newcomer_is_the_last_of_its_caller() -> None:
    room = room_of(ticket(deadline=1e9), leaves := ticket(deadline=2.0))
    room.leave(leaves)

    assert room.ahead_of(Lane.NORMAL, "one", 1) == 1


@given(st.lists(st.builds(ticket, callers, lanes)), callers, lanes, st.integers(0, 30))
def test_those_ahead_are_told_to_within_one_turn_of_each_other_caller(
    waiting: list[Ticket[int]], caller: str, lane: Lane, taken: int
) -> None:
    room = room_of(*waiting)
    room.take_many(taken)

    ahead = room.ahead_of(lane, caller, WEIGHTS[caller])

    others = sum(WEIGHTS[each] for each in {left.caller for left in waiting_in(room) if left.lane is lane} - {caller})
    assert abs(ahead - gone_before(room, ticket(caller, lane, deadline=99.0))) <= others


def test_better_lanes_are_ahead_and_worse_ones_are_not() -> None:
    room = room_of(*(ticket(lane=lane) for lane in Lane for _ in range(3)))

    assert [room.ahead_of(lane, "new", 1) for lane in BEST_FIRST] == [1, 4, 7, 10]


def demand(tokens: int, window_us: int = 1_000_000, weight: int = 1, limit: str = "cancel") -> Demand:
    return Demand(limit, HOLDER, tokens, window_us, weight, tokens)


@pytest.mark.parametrize(
    ("ahead", "expected_us"), [(0, 0), (9, 0), (10, 1_000_000), (19, 1_000_000), (20, 2_000_000), (1000, 100_000_000)]
)
def test_those_ahead_take_whole_windows(ahead: int, expected_us: int) -> None:
    assert drain_us((demand(10),), ahead) == expected_us


def test_the_slowest_limit_tells_how_long_it_takes() -> None:
    fast, slow, heavy = demand(10), demand(4, 5_000_000, limit="slow"), demand(10, weight=5, limit="heavy")

    assert drain_us((fast, slow), 8) == 10_000_000
    assert drain_us((fast, heavy), 8) == 4_000_000


def test_without_limits_nobody_holds_us_up() -> None:
    assert drain_us((), 1000) == 0


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 60))
def test_draining_is_never_said_to_take_longer_than_it_does(tokens: int, weight: int, ahead: int) -> None:
    """Whoever is refused because of it could really not have gone in time."""
    one = demand(max(tokens, weight), weight=weight)
    ledger = Ledger({HOLDER: Epoch(0, 0)})
    waits = []
    for _ in range(ahead + 1):
        granted = decide(ledger, (one,), 1_000_000_000, 600_000_000)
        assert isinstance(granted, Granted)
        ledger = granted.ledger
        waits.append(granted.wait_us)

    assert drain_us((one,), ahead) <= waits[-1]
    assert all(earlier <= later for earlier, later in pairwise(waits))
