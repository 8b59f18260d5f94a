"""What a limit really saw: the most sends in any sliding window, counted from the instants of sending.

The limiter decides by grants; this looks at what left. A value over 1 means that the venue saw more than it allows.
"""

from collections import deque

from gateway.core.admission import Quota

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
MINUTES = 15
# Beyond this many times the limit the count stops growing, so that a runaway costs no memory.
RATIO_MOST = 4


class WindowAudit:
    """One limit's sends: those still in the window, and the fullest window of each of the last minutes."""

    __slots__ = ("_peaks", "_per_us", "_sends", "_spent", "_tokens")

    def __init__(self, quota: Quota) -> None:
        self._tokens = quota.tokens
        self._per_us = quota.per_ms * 1000
        self._sends: deque[tuple[int, int]] = deque()
        self._spent = 0
        self._peaks: deque[tuple[int, int]] = deque(maxlen=MINUTES)

    def sent(self, at_us: int, weight: int) -> None:
        """A request that costs `weight` left now; instants never go back."""
        sends = self._sends
        while sends and sends[0][0] <= at_us - self._per_us:
            self._spent -= sends.popleft()[1]
        if self._spent < RATIO_MOST * self._tokens:
            sends.append((at_us, weight))
            self._spent += weight
        self._note(at_us // MINUTE_US)

    def _note(self, minute: int) -> None:
        peaks = self._peaks
        if not peaks or peaks[-1][0] != minute:
            peaks.append((minute, self._spent))
        elif peaks[-1][1] < self._spent:
            peaks[-1] = (minute, self._spent)

    def peak(self, at_us: int) -> float:
        """The fullest window that ended in the last quarter of an hour, as a part of the limit."""
        oldest = at_us // MINUTE_US - MINUTES
        return max((spent for minute, spent in self._peaks if minute > oldest), default=0) / self._tokens
