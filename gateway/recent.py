"""The last cancels of this process, kept for the console. Taking one costs a clock and an append; nobody is woken."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

RECENT_MOST = 500


@dataclass(frozen=True, slots=True)
class Past:
    """The line of a cancel or a kill as the log has it, and when it was written. Numbers count up from 1."""

    number: int
    at_ms: int
    event: str
    line: Mapping[str, object]


@dataclass(slots=True)
class Recent:
    """A ring: what is older than the last so many is forgotten, whoever has not read it."""

    now_ms: Callable[[], int]
    count: int = 0
    _ring: deque[tuple[int, str, Mapping[str, object]]] = field(default_factory=lambda: deque(maxlen=RECENT_MOST))

    def note(self, event: str, line: Mapping[str, object]) -> None:
        """One more; the line is not to be changed any more."""
        self._ring.append((self.now_ms(), event, line))
        self.count += 1

    def since(self, number: int) -> list[Past]:
        """What came after this number, oldest first, as far as it is still known."""
        first = self.count - len(self._ring) + 1
        return [
            Past(first + place, *kept)
            for place, kept in islice(enumerate(self._ring), max(0, number + 1 - first), None)
        ]
