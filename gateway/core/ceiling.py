"""How often one caller may ask: so many requests in a second, all of them at once if it likes (GCRA). No Redis.

This protects the other callers of one process from a caller's bug. The venues' limits stand in admission.py.
"""

from math import ceil


class Ceiling:
    """The ceiling of one caller."""

    __slots__ = ("_interval", "_next_at", "_slack", "per_second")

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._interval = 1.0 / per_second
        self._slack = 1.0 - self._interval / 2  # half a step, so that sums of fractions don't lose the last one
        self._next_at = 0.0

    def wait_ms(self, now: float) -> int:
        """0 where one more may come now, which is then counted; else when to try again. `now` in monotonic seconds."""
        ahead = max(self._next_at - now, 0.0)
        if ahead > self._slack:
            return max(1, ceil((ahead - self._slack) * 1000))
        self._next_at = now + ahead + self._interval
        return 0
