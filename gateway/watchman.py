"""Walks round all accounts for records whose end is not known, and has the resolver look at those whose turn it is.

Every replica walks; what one has taken over the others do not see. Nothing here is on the path of a cancel.
"""

import asyncio
import contextlib
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
        before: set[Account] = set()
        try:
            while True:
                if self.clock.monotonic() >= known_until:
                    accounts = _same_or(accounts, await self.accounts())
                    known_until = self.clock.monotonic() + ACCOUNTS_EVERY_S
                if not self.continuity.degraded:
                    before = await self._round(accounts, before)
                await asyncio.sleep(ROUND_S * (0.8 + 0.4 * self.chance()))
        finally:
            for task in tuple(self._busy.values()):
                task.cancel()

    async def _round(self, accounts: Sequence[Account], before: set[Account]) -> set[Account]:
        """Call where somebody has something open, and once more where he had: another may have left nothing of it."""
        found: set[Account] = set()
        with contextlib.suppress(Unavailable):  # whoever is on the path of a cancel finds out, and tells
            async for account in self.resolver.records.awaited(accounts):
                found.add(account)
                self._call_at(account)
        for account in before - found:
            self._call_at(account)
        return found

    def _call_at(self, account: Account) -> None:
        if account not in self._busy:
            task = self._busy[account] = asyncio.create_task(self._serve(account))
            task.add_done_callback(partial(self._served, account))

    async def _serve(self, account: Account) -> None:
        """Look as long as there is something to look at."""
        with contextlib.suppress(Unavailable):  # as above; here there is a next time
            while records := await self.resolver.round(account, TOGETHER):
                await asyncio.gather(*(self.resolver.resolve(record) for record in records))

    def _served(self, account: Account, done: asyncio.Task[None]) -> None:
        self._busy.pop(account, None)
        if not done.cancelled() and (bug := done.exception()) is not None:
            self.log.broke("resolver", bug)


def _same_or(known: tuple[Account, ...], now: Sequence[Account]) -> tuple[Account, ...]:
    there = tuple(now)
    return known if there == known else there
