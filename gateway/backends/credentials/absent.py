"""Accounts that the store has not shown: remembered for a moment each, and never more than so many."""

from dataclasses import dataclass, field

from gateway.backends.credentials.held import Trouble
from gateway.core.model import Account
from gateway.ports import NoSigner

ABSENT_S = 1.0
ABSENT_MOST = 1024


@dataclass(frozen=True, slots=True)
class Absent:
    """What to say of an account, and until when without asking again."""

    answer: NoSigner
    until: float
    trouble: Trouble | None


@dataclass(slots=True)
class Absentees:
    """Bounded, so that somebody who guesses names fills neither the memory nor the store's log."""

    _known: dict[Account, Absent] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, account: Account) -> Absent | None:
        """What is remembered, however old."""
        return self._known.get(account)

    def remember(self, account: Account, answer: NoSigner, trouble: Trouble | None, now: float) -> None:
        """It was asked for, and is not to be had."""
        self._known.pop(account, None)
        while len(self._known) >= ABSENT_MOST:
            self._known.pop(next(iter(self._known)))
        self._known[account] = Absent(answer, now + ABSENT_S, trouble)

    def forget(self, account: Account) -> None:
        """It is there now."""
        self._known.pop(account, None)
