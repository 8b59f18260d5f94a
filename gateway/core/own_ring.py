"""What this process itself has sent: a second guard, by actual send times, under whatever the shared limiter says.

It needs no store, so it holds through a flush, a failover or a split brain: no process alone ever sends more than a
whole limit in a window. Half of the guard is left out of its window; that much a send may be later than its slot.
"""

from collections import defaultdict, deque
from collections.abc import Sequence

from gateway.core.admission import Demand
from gateway.core.model import Account

US_PER_S = 1_000_000
LATE_LEAST_S = 0.002


class OwnRing:
    """The last sends of this process, per limit and holder. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._sends = defaultdict[tuple[Account, str], deque[float]](deque)

    def clear_at(self, demands: Sequence[Demand]) -> float:
        """From when on one more request with these demands fits."""
        return max((self._clear_at(demand) for demand in demands), default=0.0)

    def depart(self, demands: Sequence[Demand], at: float) -> None:
        """A request leaves."""
        for demand in demands:
            key = (demand.holder, demand.limit)
            sends = self._sends[key]
            if sends.maxlen != demand.keep:
                sends = self._sends[key] = deque(sends, demand.keep)
            sends.extend([at] * demand.weight)

    def _clear_at(self, demand: Demand) -> float:
        sends = self._sends.get((demand.holder, demand.limit))
        room = demand.keep - demand.weight
        if sends is None or len(sends) <= room:
            return 0.0
        window_s = (demand.window_us - demand.guard_us // 2) / US_PER_S
        return sends[len(sends) - 1 - room] + window_s


def lateness_allowed_s(demands: Sequence[Demand]) -> float:
    """How much later than its slot a request may leave: half the guard; the other half is for the way to the venue."""
    guard_us = min((demand.guard_us for demand in demands), default=0)
    return max(LATE_LEAST_S, guard_us / 2 / US_PER_S)
