"""Who goes first among those who wait: lane, then fair share over callers, then the earliest deadline. Pure.

Within a lane callers take turns by deficit round robin: a caller of weight w is served w times a round, as long as it
has somebody waiting, so no caller starves another and nothing idles while anybody waits. Whoever leaves is gone at
once and costs nothing.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.core.admission import Demand
from gateway.core.model import Lane

Item = TypeVar("Item")

BEST_FIRST = (Lane.KILL, Lane.URGENT, Lane.NORMAL, Lane.RECONCILE)
COMPACT_ABOVE = 64


@dataclass(slots=True, eq=False)
class Ticket(Generic[Item]):
    """One who waits. `gone` marks it as taken or withdrawn, wherever it still lies."""

    item: Item
    lane: Lane
    caller: str
    weight: int
    deadline: float
    gone: bool = False


@dataclass(slots=True)
class _Caller(Generic[Item]):
    """One caller's tickets in one lane, earliest deadline first."""

    weight: int
    credit: int = 0
    heap: list[tuple[float, int, Ticket[Item]]] = field(default_factory=list)
    waiting: int = 0

    def pop(self) -> Ticket[Item]:
        """The next one; there is one, since a caller without any is forgotten."""
        while True:
            ticket = heapq.heappop(self.heap)[2]
            if not ticket.gone:
                return ticket

    def compact(self) -> None:
        """Withdrawn tickets in the middle of the heap must not pile up."""
        if len(self.heap) > COMPACT_ABOVE and len(self.heap) > 2 * self.waiting:
            self.heap = [entry for entry in self.heap if not entry[2].gone]
            heapq.heapify(self.heap)


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
        caller = callers.get(ticket.caller)
        if caller is None:
            caller = callers[ticket.caller] = _Caller(ticket.weight)
        self._order += 1
        heapq.heappush(caller.heap, (ticket.deadline, self._order, ticket))
        caller.waiting += 1
        self._counts[ticket.lane] += 1

    def leave(self, ticket: Ticket[Item]) -> None:
        """Stop waiting; nothing happens where the ticket was taken already."""
        if not ticket.gone:
            self._strike(ticket)
            self._lanes[ticket.lane][ticket.caller].compact()
            self._forget_if_empty(ticket)

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

    def tickets(self) -> Iterator[Ticket[Item]]:
        """Everybody who waits, in no particular order."""
        for callers in self._lanes.values():
            for caller in callers.values():
                yield from (ticket for _, _, ticket in caller.heap if not ticket.gone)

    def ahead_of(self, lane: Lane, caller: str, weight: int) -> int:
        """About how many go before a newcomer: better lanes, and in its own lane what fairness gives the others."""
        better = sum(self._counts[each] for each in BEST_FIRST[: BEST_FIRST.index(lane)])
        callers = self._lanes[lane]
        own = callers[caller].waiting if caller in callers else 0
        rounds = own // weight + 1
        others = sum(min(other.waiting, rounds * other.weight) for name, other in callers.items() if name != caller)
        return better + own + others

    def _take_from(self, lane: Lane) -> Ticket[Item]:
        """Deficit round robin with a cost of one: the caller at the front spends its credit, then goes to the back."""
        callers = self._lanes[lane]
        name, caller = next(iter(callers.items()))
        ticket = caller.pop()
        if caller.credit <= 0:
            caller.credit = caller.weight
        caller.credit -= 1
        self._strike(ticket)
        if caller.credit == 0:
            callers.move_to_end(name)
        self._forget_if_empty(ticket)
        return ticket

    def _strike(self, ticket: Ticket[Item]) -> None:
        ticket.gone = True
        self._counts[ticket.lane] -= 1
        self._lanes[ticket.lane][ticket.caller].waiting -= 1

    def _forget_if_empty(self, ticket: Ticket[Item]) -> None:
        callers = self._lanes[ticket.lane]
        if callers[ticket.caller].waiting == 0:
            del callers[ticket.caller]


def drain_us(demands: Sequence[Demand], ahead: int) -> int:
    """How long so many that go before us take at the least: whole windows, since tokens come back in bursts."""
    return max((ahead * demand.weight // demand.tokens * demand.window_us for demand in demands), default=0)
