"""Which of many accounts have records that are not at their end: asked for hundreds of accounts at once.

Ten thousand accounts are asked about every second, and hardly one of them has any. To try to take something over at
each of them would keep a core busy; so the question comes first, its words are written once for as long as the accounts
are the same, and the server only looks whether there is an index.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import AWAITED
from gateway.backends.redis.words import Words, words
from gateway.core import keys
from gateway.core.model import Account

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Pace:
    """So many accounts in a question, so many questions in a turn, and so long between the turns."""

    accounts: int
    questions: int
    pause_s: float


# Twenty turns for ten thousand accounts.
QUICK = Pace(accounts=500, questions=1, pause_s=0.02)
# No command may name two accounts of a cluster. Five hundred in a second are a few percent of a core.
ONE_BY_ONE = Pace(accounts=1, questions=25, pause_s=0.05)


@dataclass(frozen=True, slots=True)
class _Question:
    about: Sequence[Account]
    key: str
    said: Words


class Awaited:
    """Asks, at a pace."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pace = ONE_BY_ONE if link.is_cluster else QUICK
        self._known: Sequence[Account] = ()
        self._turns: list[Sequence[_Question]] = []

    async def among(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        """Those that have any, as soon as it is known. Raises Unavailable."""
        if accounts is not self._known:
            questions = [_question(asked) for asked in _parts(accounts, self._pace.accounts)]
            self._known, self._turns = accounts, _parts(questions, self._pace.questions)
        for number, turn in enumerate(self._turns):
            if number:
                await asyncio.sleep(self._pace.pause_s)
            for found in await asyncio.gather(*map(self._ask, turn)):
                for account in found:
                    yield account

    async def _ask(self, question: _Question) -> list[Account]:
        match await self._link.say(AWAITED, (question.key,), question.said):
            case [*places]:
                return [question.about[place - 1] for place in places if isinstance(place, int)]
            case _:
                raise odd()


def _question(accounts: Sequence[Account]) -> _Question:
    names = [name for account in accounts for name in (keys.leases(account), keys.unknown(account))]
    return _Question(accounts, names[0], words(len(names), *names))


def _parts(whole: Sequence[Item], most: int) -> list[Sequence[Item]]:
    return [whole[first : first + most] for first in range(0, len(whole), most)]
