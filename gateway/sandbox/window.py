"""Counts requests in EVERY sliding window of a limit, exactly. Time is given in monotonic nanoseconds, never read.

Two requests share a window when they are less than `per_ns` apart: windows are half-open, [t, t + per).
"""

from collections import deque
from dataclasses import dataclass, field

_MOST_REMEMBERED = 100_000
_EXCESSES = 10


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tokens in any window of this length."""

    tokens: int
    per_ms: int


@dataclass(slots=True)
class Tail:
    """The requests that are younger than one window, and their weight in sum."""

    weight: int = 0
    _items: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, at_ns: int, weight: int) -> None:
        """Remember one request."""
        if len(self._items) == _MOST_REMEMBERED:
            self._drop_oldest()
        self._items.append((at_ns, weight))
        self.weight += weight

    def times(self) -> tuple[int, ...]:
        """When they came."""
        return tuple(at_ns for at_ns, _ in self._items)

    def forget(self, since_ns: int) -> None:
        """Drop what lies a whole window back or more."""
        while self._items and self._items[0][0] <= since_ns:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self.weight -= self._items.popleft()[1]


@dataclass(slots=True)
class SlidingWindow:
    """What came in under one limit for one key."""

    limit: Limit
    arrivals: int = 0
    admitted: int = 0
    violations: int = 0
    most_in_any_window: int = 0
    excesses: deque[tuple[int, tuple[int, ...]]] = field(default_factory=lambda: deque(maxlen=_EXCESSES))
    """The last requests that did not fit: when each came, and when those that filled its window had come."""
    _seen: Tail = field(default_factory=Tail)
    _let_in: Tail = field(default_factory=Tail)

    def admit(self, at_ns: int, weight: int = 1) -> bool:
        """Whether a request of this weight still fits; a refused one spends nothing but is counted as arrived."""
        since_ns = at_ns - self.limit.per_ms * 1_000_000
        self._seen.forget(since_ns)
        self._let_in.forget(since_ns)
        self._seen.add(at_ns, weight)
        self.arrivals += 1
        self.most_in_any_window = max(self.most_in_any_window, self._seen.weight)
        if self._let_in.weight + weight > self.limit.tokens:
            self.violations += 1
            self.excesses.append((at_ns, self._let_in.times()))
            return False
        self._let_in.add(at_ns, weight)
        self.admitted += 1
        return True
