"""Reading from a store so that it stands it: bounded in time and number, and left alone while it is down."""

import asyncio
from dataclasses import dataclass, field

import structlog

from gateway.backends.credentials.store import Store, Stored
from gateway.core.model import Account
from gateway.ports import Clock, Unavailable

QUIET_AT_ONCE, URGENT_AT_ONCE = 4, 8
RETRY_S = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(slots=True)
class Reads:
    """The one way to the store. Cancels that wait have turns of their own, beside those of the background."""

    store: Store
    clock: Clock
    most_s: float
    _up: bool = True
    _again_at: float = 0.0
    _probing: bool = False
    _quiet: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(QUIET_AT_ONCE))
    _urgent: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(URGENT_AT_ONCE))

    @property
    def is_up(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._up

    @property
    def is_down(self) -> bool:
        """Whether the store did not answer just now, or is being tried again by somebody else."""
        return not self._up and (self._probing or self.clock.monotonic() < self._again_at)

    async def read(self, account: Account, *, urgent: bool) -> Stored | None:
        """What is stored; None where the store does not answer, which is logged when it begins and when it ends."""
        async with self._urgent if urgent else self._quiet:
            if self.is_down:
                return None
            self._probing = not self._up
            try:
                async with asyncio.timeout(self.most_s):
                    stored = await self.store.read(account)
            except (Unavailable, TimeoutError) as error:
                self._lost(str(error) or "no answer in time")
                return None
            finally:
                self._probing = False
        self._found()
        return stored

    def _lost(self, reason: str) -> None:
        if self._up:
            log.warning("credential.store_down", reason=reason)
        self._up, self._again_at = False, self.clock.monotonic() + RETRY_S

    def _found(self) -> None:
        if not self._up:
            log.info("credential.store_up")
        self._up = True
