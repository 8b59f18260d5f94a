"""Walks round all accounts for records whose end is not known, and has the resolver look at those whose turn it is.

Every replica walks; what one has taken over the others do not see. Nothing here is on the path of a cancel.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.core.model import Account
from gateway.ports import Clock, Continuity, Log, Unavailable
from gateway.resolve import Resolver

ROUND_S = 1.0
ACCOUNTS_EVERY_S = 10.0
# So many orders of an account are looked at together; the venue's limit and the lane say when each goes.
TOGETHER = 4
# So many accounts are called at in a turn, and so many turns are in a second: a twentieth of a core, however many
# accounts there are. Only a cluster has to be asked at every account; ten thousand take twenty seconds there.
CALLS, TURN_S = 25, 0.05


@dataclass(frozen=True, slots=True)
class Watchman:
    """Calls on the resolver."""

    clock: Clock
    resolver: Resolver
    continuity: Continuity
    accounts: Callable[[], Awaitable[Sequence[Account]]]
    log: Log
    chance: Callable[[], float]
    _busy: dict[Account, asyncio.Task[None]] = field(default_factory=dict)

    async def walk(self) -> None:
        """Go round for ever; replicas go out of step by chance."""
        accounts: tuple[Account, ...] = ()
        known_until = self.clock.monotonic()
        before: Sequence[Account] = ()
        try:
            while True:
                if self.clock.monotonic() >= known_until:
                    accounts = self._same_or(accounts, await self.accounts())
                    known_until = self.clock.monotonic() + ACCOUNTS_EVERY_S
                if not self.continuity.degraded:
                    before = await self._round(accounts, before)
                await asyncio.sleep(ROUND_S * (0.8 + 0.4 * self.chance()))
        finally:
            for task in tuple(self._busy.values()):
                task.cancel()

    @staticmethod
    def _same_or(known: tuple[Account, ...], now: Sequence[Account]) -> tuple[Account, ...]:
        there = tuple(now)
        return known if there == known else there

    async def _round(self, accounts: Sequence[Account], before: Sequence[Account]) -> Sequence[Account]:
        """Call where somebody has something open, and once more where he had: then it is known that nothing is left."""
        try:
            awaited = await self.resolver.records.awaited(accounts)
        except Unavailable:
            # Whoever is on the path of a cancel finds out and tells; here there is a next time.
            return before
        calls = awaited if awaited is accounts else tuple(dict.fromkeys((*awaited, *before)))
        for first in range(0, len(calls), CALLS):
            if first:
                await asyncio.sleep(TURN_S)
            self._call_at(calls[first : first + CALLS])
        return () if awaited is accounts else awaited

    def _call_at(self, accounts: Sequence[Account]) -> None:
        for account in accounts:
            if account not in self._busy:
                task = self._busy[account] = asyncio.create_task(self._serve(account))
                task.add_done_callback(partial(self._served, account))

    async def _serve(self, account: Account) -> None:
        """Look as long as there is something to look at."""
        try:
            while records := await self.resolver.round(account, TOGETHER):
                await asyncio.gather(*(self.resolver.resolve(record) for record in records))
        except Unavailable:  # as above
            return

    def _served(self, account: Account, done: asyncio.Task[None]) -> None:
        self._busy.pop(account, None)
        if not done.cancelled() and (bug := done.exception()) is not None:
            self.log.broke("resolver", bug)
