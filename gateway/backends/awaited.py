"""Which of many accounts have records that are not at their end: asked for hundreds of accounts at once.

Ten thousand accounts are asked about every second, and hardly one of them has any. To try to take something over at
each of them would keep a core busy; so the question comes first, its words are written once for as long as the accounts
are the same, and the server only looks whether there is an index.
"""

from collections.abc import Iterator, Sequence

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import AWAITED
from gateway.backends.redis.words import Words, words
from gateway.core import keys
from gateway.core.model import Account

TOGETHER = 500


class Awaited:
    """Asks, of a store where every key may stand in one command: on a cluster it may not."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: Sequence[Account] = ()
        self._questions: list[tuple[str, Words]] = []

    async def among(self, accounts: Sequence[Account]) -> list[Account]:
        """Those that have any. Raises Unavailable."""
        if accounts is not self._known:
            self._known, self._questions = accounts, list(_questions(accounts))
        found: list[Account] = []
        for part, (first, said) in enumerate(self._questions):
            match await self._link.say(AWAITED, (first,), said):
                case [*places]:
                    found += [accounts[part * TOGETHER + place - 1] for place in places if isinstance(place, int)]
                case _:
                    raise odd()
        return found


def _questions(accounts: Sequence[Account]) -> Iterator[tuple[str, Words]]:
    for first in range(0, len(accounts), TOGETHER):
        asked = accounts[first : first + TOGETHER]
        names = [name for account in asked for name in (keys.leases(account), keys.unknown(account))]
        yield names[0], words(len(names), *names)
