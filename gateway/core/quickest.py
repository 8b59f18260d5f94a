"""The shortest way to a venue and back that was seen of late. Deterministic: times are arguments (monotonic seconds).

What lies between a request's departure and its reply, less this, is how much later than the quickest one it can have
come to the venue. So too little is safe, and too much is not: nothing is known until enough replies, over some time,
have had the chance to be quick.
"""

LATELY_S = 600.0
ENOUGH, OVER_S = 10, 5.0
NEVER = float("inf")


class Quickest:
    """Two stretches of time, each with its shortest; the older one is forgotten as a whole."""

    def __init__(self) -> None:
        self._least = self._least_before = NEVER
        self._began = self._first_at = 0.0
        self._replies = 0

    def note(self, took_s: float, now: float) -> None:
        """A whole reply came back."""
        self._turn(now)
        if not self._replies:
            self._first_at = now
        self._replies += 1
        self._least = min(self._least, took_s)

    def seconds(self, now: float) -> float:
        """The shortest; 0 while too little is known."""
        self._turn(now)
        if self._replies < ENOUGH or now - self._first_at < OVER_S:
            return 0.0
        return min(self._least, self._least_before)

    def _turn(self, now: float) -> None:
        if now - self._began < LATELY_S:
            return
        long_ago = now - self._began >= 2 * LATELY_S
        self._least_before, self._least = NEVER if long_ago else self._least, NEVER
        self._began = now
        if self._least_before == NEVER:
            self._replies = 0
