"""The two clocks of the sandbox, so that tests can turn them by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is signed, monotonic time for what is counted."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an unknown start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        """Nanoseconds since an unknown start; never goes back."""
        return time.monotonic_ns()


class TurnedClock:
    """Another clock whose wall time can be turned, as a venue's clock can be off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead_ms = 0

    def wall_ms(self) -> int:
        """Milliseconds since 1970, and what it was turned by."""
        return self._clock.wall_ms() + self.ahead_ms

    def monotonic_ns(self) -> int:
        """As the other one."""
        return self._clock.monotonic_ns()
