"""How much of a venue's traffic may be retries: at most ten of any hundred requests in a row. Pure.

Without it, a venue that fails would be asked three times as often as one that works.
"""

from dataclasses import dataclass

ATTEMPTS_MOST = 3
LAST, RETRIES_MOST = 100, 10
MASK = (1 << LAST) - 1
PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last hundred requests as bits, 1 for a retry, the newest lowest."""

    recent: int = 0

    def may_retry(self) -> bool:
        """Whether one more retry stays within the share."""
        return (self.recent << 1 & MASK).bit_count() < RETRIES_MOST

    def after(self, *, retry: bool) -> "Traffic":
        """The same after one more request."""
        return Traffic((self.recent << 1 | retry) & MASK) if self.recent or retry else self


def pause_s(attempts: int, roll: float) -> float:
    """How long to wait after so many attempts; `roll` from 0 to 1 spreads it."""
    return min(PAUSE_MOST_S, PAUSE_FIRST_S * 2.0 ** (attempts - 1)) * (1 + roll) / 2
