"""When, by our own clock, an instant of the server's time was. Deterministic: times are arguments.

Each reply says what the time there was while it was made, which lay between the moments at which we asked and were
answered. So the distance between the two clocks is known within bounds: replies narrow them, drift widens them again.
A reply that does not fit shows that the other clock was moved; then only this reply counts.
"""

US_PER_S = 1_000_000
DRIFT_PER_US = 0.001


class ServerClock:
    """The distance between our monotonic clock and the time of one holder: ours less theirs, in µs."""

    def __init__(self) -> None:
        self._least_us = self._most_us = self._known_at_us = 0
        self._known = False

    def learn(self, asked: float, answered: float, then_us: int) -> float:
        """Take a reply in; by our clock (seconds), the latest moment at which that instant can have been."""
        asked_us, answered_us = int(asked * US_PER_S), int(answered * US_PER_S) + 1
        least_us, most_us = asked_us - then_us, answered_us - then_us
        if self._known:
            drift_us = self._drift_us(answered_us)
            narrower = max(least_us, self._least_us - drift_us), min(most_us, self._most_us + drift_us)
            if narrower[0] <= narrower[1]:
                least_us, most_us = narrower
        self._least_us, self._most_us, self._known_at_us, self._known = least_us, most_us, answered_us, True
        return min(max((most_us + then_us) / US_PER_S, asked), answered)

    def apart_s(self) -> float:
        """How far the distance between the two clocks may be off, as it was known last."""
        return (self._most_us - self._least_us) / US_PER_S

    def expected_us(self, now: float) -> int:
        """What the time there can be now at the most; 0 where nothing is known."""
        now_us = int(now * US_PER_S)
        return max(0, now_us - self._least_us + self._drift_us(now_us)) if self._known else 0

    def _drift_us(self, now_us: int) -> int:
        """How much the bounds may be off by now. Replies may overtake each other, so this may look back."""
        return int(abs(now_us - self._known_at_us) * DRIFT_PER_US)
