"""Who goes first among those who wait: lane, then fair share over callers, then the earliest deadline. Pure.

Within a lane callers take turns by deficit round robin: a caller of weight w is served w times a round, as long as it
has somebody waiting, so no caller starves another and nothing idles while anybody waits. Whoever leaves is gone at
once and costs nothing.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.core.admission import Demand
from gateway.core.model import Lane

Item = TypeVar("Item")

BEST_FIRST = (Lane.KILL, Lane.URGENT, Lane.NORMAL, Lane.RECONCILE)
NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Ticket(Generic[Item]):
    """One who waits. `gone` marks it as taken or withdrawn; `order` breaks ties between equal deadlines."""

    item: Item
    lane: Lane
    caller: str
    weight: int
    deadline: float
    gone: bool = False
    order: int = 0

    @property
    def place(self) -> tuple[float, float]:
        """Where it stands among the caller's own."""
        return (self.deadline, self.order)


@dataclass(slots=True)
class _Caller(Generic[Item]):
    """One caller's tickets in one lane, earliest deadline first."""

    weight: int
    credit: int = 0
    queue: list[Ticket[Item]] = field(default_factory=list)

    def join(self, ticket: Ticket[Item]) -> None:
        insort(self.queue, ticket, key=_place)

    def leave(self, ticket: Ticket[Item]) -> None:
        del self.queue[bisect_left(self.queue, ticket.place, key=_place)]

    def earlier(self, deadline: float) -> int:
        return bisect_right(self.queue, (deadline, NEVER), key=_place)


def _place(ticket: Ticket[Item]) -> tuple[float, float]:
    return ticket.place


class WaitingRoom(Generic[Item]):
    """Those who wait for the same kind of slot."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, OrderedDict[str, _Caller[Item]]] = {lane: OrderedDict() for lane in BEST_FIRST}
        self._counts = dict.fromkeys(BEST_FIRST, 0)
        self._order = 0

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, lane: Lane) -> int:
        """How many wait in one lane."""
        return self._counts[lane]

    def join(self, ticket: Ticket[Item]) -> None:
        """Begin to wait."""
        callers = self._lanes[ticket.lane]
        if ticket.caller not in callers:
            callers[ticket.caller] = _Caller(ticket.weight)
        self._order += 1
        ticket.order = self._order
        callers[ticket.caller].join(ticket)
        self._counts[ticket.lane] += 1

    def leave(self, ticket: Ticket[Item]) -> None:
        """Stop waiting; nothing happens where the ticket was taken already."""
        if not ticket.gone:
            self._remove(ticket)

    def take(self) -> Ticket[Item] | None:
        """The one who goes next."""
        for lane in BEST_FIRST:
            if self._counts[lane]:
                return self._take_from(lane)
        return None

    def take_many(self, most: int) -> list[Ticket[Item]]:
        """The next ones, in the order in which they would have gone one by one."""
        taken: list[Ticket[Item]] = []
        while len(taken) < most and (ticket := self.take()) is not None:
            taken.append(ticket)
        return taken

    def ahead_of(self, lane: Lane, caller: str, weight: int, deadline: float = NEVER) -> int:
        """About how many go before a newcomer: better lanes, and in its own lane what fairness gives the others."""
        better = sum(self._counts[each] for each in BEST_FIRST[: BEST_FIRST.index(lane)])
        callers = self._lanes[lane]
        own = callers[caller].earlier(deadline) if caller in callers else 0
        rounds = own // weight + 1
        others = sum(min(len(other.queue), rounds * other.weight) for name, other in callers.items() if name != caller)
        return better + own + others

    def _take_from(self, lane: Lane) -> Ticket[Item]:
        """Deficit round robin with a cost of one: the caller at the front spends its credit, then goes to the back."""
        callers = self._lanes[lane]
        name, caller = next(iter(callers.items()))
        caller.credit = (caller.credit or caller.weight) - 1
        if caller.credit == 0:
            callers.move_to_end(name)
        ticket = caller.queue[0]
        self._remove(ticket)
        return ticket

    def _remove(self, ticket: Ticket[Item]) -> None:
        ticket.gone = True
        self._counts[ticket.lane] -= 1
        callers = self._lanes[ticket.lane]
        callers[ticket.caller].leave(ticket)
        if not callers[ticket.caller].queue:
            del callers[ticket.caller]


def drain_us(demands: Sequence[Demand], ahead: int) -> int:
    """How long so many that go before us take at the least: whole windows, since tokens come back in bursts."""
    return max((ahead * demand.weight // demand.tokens * demand.window_us for demand in demands), default=0)
