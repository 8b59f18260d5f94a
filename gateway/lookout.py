"""Looks at every account once a second while a console is open, for all consoles together. Nothing is on the path."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.core.model import Account
from gateway.ports import Clock, Log, OpenEnds, Unavailable, Unknowns
from gateway.survey import Survey

EVERY_S = 1.0
# However many accounts there are, looking takes a tenth of the time at most.
REST_PER_LOOK, REST_MOST_S = 9, 5.0
UNKNOWNS_MOST = 20


@dataclass(frozen=True, slots=True)
class Sight:
    """One account as it stood. `ends` is None where the store cannot be asked."""

    account: Account
    state: Mapping[str, object]
    ends: OpenEnds | None


@dataclass(slots=True)
class Lookout:
    """The last look, as long as somebody watches; `looks` counts them, `at_ms` is when it began."""

    survey: Survey
    unknowns: Unknowns
    clock: Clock
    log: Log
    looks: int = 0
    at_ms: int = 0
    seen: tuple[Sight, ...] | None = None
    _watchers: int = 0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._watchers

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while the block runs."""
        self._watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_again_and_again(), name="lookout")
            self._task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task, self.seen = None, None

    def _ended(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (bug := done.exception()) is not None:
            self.log.broke("lookout", bug)

    async def _look_again_and_again(self) -> None:
        while True:
            began, self.at_ms = self.clock.monotonic(), self.clock.now_ms()
            self.seen = tuple([await self._look(account) for account in await self.survey.every_account()])
            self.looks += 1
            took_s = self.clock.monotonic() - began
            await asyncio.sleep(max(EVERY_S - took_s, min(REST_PER_LOOK * took_s, REST_MOST_S)))

    async def _look(self, account: Account) -> Sight:
        return Sight(account, await self.survey.state(account), await self._ends(account))

    async def _ends(self, account: Account) -> OpenEnds | None:
        if self.survey.continuity.degraded:
            return None
        try:
            return await self.unknowns.oldest(account, UNKNOWNS_MOST)
        except Unavailable:
            return None
