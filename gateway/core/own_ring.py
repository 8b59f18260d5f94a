"""What this process itself has sent: a second guard, by actual send times, under whatever the shared limiter says.

It needs no store, so it holds through a flush, a failover or a split brain: no process alone ever sends more than a
whole limit in a window. Half of the guard is left out of its window; that much a send may be later than its slot.

What the venue counts is arrivals, and those lie anywhere between a departure and its reply. So a departure counts from
where a request on the quickest way would have had to leave to arrive no sooner: as long as no reply is there, from
ever later on. The half of the guard that its window still holds covers as much of that.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

from gateway.core.admission import Demand
from gateway.core.model import Account

US_PER_S = 1_000_000
LATE_LEAST_S = 0.002


class Departure:
    """One request of ours, and from when on it counts; `quickest_s` is the shortest way there and back."""

    __slots__ = ("at", "half_guard_s", "quickest_s", "spent")

    def __init__(self, spent: "list[tuple[_Sends, Demand]]", at: float, quickest_s: float, half_guard_s: float) -> None:
        self.spent = spent
        self.at = at
        self.quickest_s = quickest_s
        self.half_guard_s = half_guard_s


class _Sends:
    """What counts for one limit, oldest first, and those of them that are under way."""

    __slots__ = ("times", "under_way")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.under_way: set[Departure] = set()

    def add(self, at: float, weight: int, keep: int) -> None:
        times = self.times
        place = bisect_right(times, at)
        times[place:place] = [at] * weight
        if len(times) > keep:
            del times[: len(times) - keep]

    def move(self, before: float, after: float, weight: int, keep: int) -> None:
        """It may have been pushed out meanwhile, and then pushes out another."""
        first = bisect_left(self.times, before)
        del self.times[first : min(first + weight, bisect_right(self.times, before))]
        self.add(after, weight, keep)


class OwnRing:
    """The last sends of this process, per limit and holder. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._sends = defaultdict[tuple[Account, str], _Sends](_Sends)

    def clear_at(self, demands: Sequence[Demand], now: float) -> float:
        """From when on one more request with these demands fits, as far as is known now."""
        return max([self._clear_at(demand, now) for demand in demands], default=0.0)

    def depart(self, demands: Sequence[Demand], at: float, quickest_s: float = 0.0) -> Departure:
        """A request leaves."""
        spent = [(self._sends[demand.holder, demand.limit], demand) for demand in demands]
        departure = Departure(spent, at, quickest_s, half_guard_s(demands))
        for sends, demand in spent:
            sends.add(at, demand.weight, demand.keep)
            sends.under_way.add(departure)
        return departure

    def arrive(self, departure: Departure, latest: float) -> None:
        """It has come to the venue, as late as one that left at `latest` and took the quickest way."""
        for sends, _ in departure.spent:
            sends.under_way.discard(departure)
        self._count_from(departure, latest)

    def _count_from(self, departure: Departure, latest: float) -> None:
        at = latest - departure.half_guard_s
        if at <= departure.at:
            return
        for sends, demand in departure.spent:
            sends.move(departure.at, at, demand.weight, demand.keep)
        departure.at = at

    def _clear_at(self, demand: Demand, now: float) -> float:
        sends = self._sends[demand.holder, demand.limit]
        room = demand.keep - demand.weight
        if len(sends.times) <= room:
            return 0.0
        for departure in sends.under_way:
            self._count_from(departure, now - departure.quickest_s)
        window_s = (demand.window_us - demand.guard_us // 2) / US_PER_S
        return sends.times[len(sends.times) - 1 - room] + window_s


def half_guard_s(demands: Sequence[Demand]) -> float:
    """Half of the shortest guard among them."""
    if len(demands) == 1:
        return demands[0].guard_us / 2 / US_PER_S
    return min([demand.guard_us for demand in demands], default=0) / 2 / US_PER_S


def lateness_allowed_s(demands: Sequence[Demand]) -> float:
    """How much later than its slot a request may leave: half the guard; the other half is for the way to the venue."""
    return max(LATE_LEAST_S, half_guard_s(demands))
