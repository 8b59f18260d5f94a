"""The limiter when Redis does not answer: hold for one window, then this replica's own share, then back.

A lost Redis must neither open the limit nor close the service. Going over to the share, and coming back from it, each
cost one whole window, so that what was sent under one rule has rested before the other begins.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from gateway.core.admission import Demand, Gated, Slot
from gateway.core.ledger import Epoch, Granted, Ledger, decide, postpone
from gateway.core.ledger import outlook as look
from gateway.core.model import Account
from gateway.core.share import share
from gateway.ports import Clock, Limiter, Outlook, TooFar, Unavailable

US_PER_S = 1_000_000
PROBE_EVERY_S = 0.25
NEVER_US = 3_600_000_000


class LocalLimiter:
    """This replica's guaranteed part of every limit, kept in memory; its first window is a hold."""

    def __init__(self, clock: Clock, replicas_most: int, ahead: int) -> None:
        """`ahead`: so many slots, reserved before the loss, may still be used by all replicas together."""
        self._clock = clock
        self._replicas_most = replicas_most
        self._ahead = ahead
        self._ledger = Ledger()

    def restart(self, holders: Iterable[Account]) -> None:
        """Forget everything: the window from now on counts as full, or from the first use where a holder is new."""
        now_us = int(self._clock.monotonic() * US_PER_S)
        self._ledger = Ledger({holder: Epoch(now_us, now_us) for holder in holders})

    def reserve(self, demands: tuple[Demand, ...]) -> tuple[Slot, ...] | TooFar:
        """A slot of this replica's part, if one is free now.

        None is reserved ahead: it could outlive the loss, and be used beside the limits that are shared again.
        """
        parts = self._parts(demands)
        if parts is None:
            return TooFar(NEVER_US)
        now = self._clock.monotonic()
        decided = decide(self._ledger, parts, int(now * US_PER_S), 0, self._ahead)
        self._ledger = decided.ledger
        if isinstance(decided, Granted):
            return (Slot(now, decided.at_us, demands),)
        return TooFar(decided.wait_us)

    def postpone(self, slot: Slot, until: float) -> Slot:
        """Let a slot that was used rest from `until` on; one of the shared limiter's is in another time, far ahead."""
        if (parts := self._parts(slot.demands)) is None:
            return slot
        now_us, late_us = int(self._clock.monotonic() * US_PER_S), int(until * US_PER_S)
        moved = postpone(self._ledger, parts, slot.granted_us, late_us, now_us)
        if moved is self._ledger:
            return slot
        self._ledger = moved
        return replace(slot, granted_us=late_us)

    def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """The part as it stands."""
        now_us = int(self._clock.monotonic() * US_PER_S)
        shown = []
        for demand in demands:
            if (part := share(demand, self._replicas_most)) is None:
                shown.append(Outlook(demand.limit, demand.tokens, 0, NEVER_US))
                continue
            prospect = look(self._ledger, (part,), now_us, self._ahead)[0]
            shown.append(Outlook(demand.limit, demand.tokens, prospect.free, prospect.wait_us))
        return shown

    def _parts(self, demands: tuple[Demand, ...]) -> tuple[Demand, ...] | None:
        parts = tuple(part for demand in demands if (part := share(demand, self._replicas_most)) is not None)
        return parts if len(parts) == len(demands) else None


class FallbackLimiter:
    """Redis while it answers, the local share while it does not."""

    def __init__(
        self,
        shared: Limiter,
        local: LocalLimiter,
        probe: Callable[[Iterable[Account]], Awaitable[object]],
        changed: Callable[[bool, str], None],
    ) -> None:
        """`probe` raises Unavailable where Redis would not do what is asked of it for these holders."""
        self._shared = shared
        self._local = local
        self._probe = probe
        self._changed = changed
        self._longest_window_s = 0.0
        self._holders: set[Account] = set()
        self._returning: asyncio.Task[None] | None = None
        self._resting = False
        self._spoiled = False
        self._reason = ""

    @property
    def degraded(self) -> bool:
        """Whether slots come from the local share at the moment."""
        return self._returning is not None

    @property
    def reason(self) -> str:
        """Why it is degraded, as Redis said last; empty where it is not."""
        return self._reason

    async def check(self) -> None:
        """Raise Unavailable where Redis would not do what is asked of it."""
        await self._probe(tuple(self._holders))

    def lose(self, reason: str) -> None:
        """Redis was found missing, here or elsewhere: go over to the share."""
        if self._returning is not None:
            # A rest counts only on one and the same server: others may have been given slots on the one before.
            self._spoiled = True
            return
        self._reason = reason
        self._local.restart(self._holders)
        self._returning = asyncio.create_task(self._return())
        self._changed(True, reason)

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        """Slots from whoever may give them now."""
        self._note(demands)
        if self._returning is None:
            try:
                return await self._shared.reserve(demands, patience_us, most)
            except Unavailable as lost:
                self.lose(lost.reason)
        if self._resting:
            return TooFar(int(self._longest_window_s * US_PER_S))
        return self._local.reserve(demands)

    async def give_back(self, slot: Slot) -> bool:
        """Undo a grant that was not used; a local one simply rests."""
        if self._returning is not None:
            return False
        try:
            return await self._shared.give_back(slot)
        except Unavailable as lost:
            self.lose(lost.reason)
            return False

    async def confirm(self, slot: Slot) -> Slot | None:
        """Look once more at a slot of the shared limiter; without it nobody knows whether it still has its window."""
        if self._returning is None:
            try:
                return await self._shared.confirm(slot)
            except Unavailable as lost:
                self.lose(lost.reason)
        return None

    async def exchange(self, slot: Slot) -> Slot:
        """Another slot for one that was missed; a local one simply rests."""
        if self._returning is None:
            try:
                return await self._shared.exchange(slot)
            except Unavailable as lost:
                self.lose(lost.reason)
        return slot

    async def postpone(self, slot: Slot, until: float) -> Slot:
        """Let a slot that was used rest from `until` on, under whichever rule it was given.

        What only we have lost others go on with: they build on what the shared limiter gave us before.
        """
        if self._returning is not None and (moved := self._local.postpone(slot, until)) is not slot:
            return moved
        try:
            return await self._shared.postpone(slot, until)
        except Unavailable as lost:
            self.lose(lost.reason)
            return slot

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        """What a venue taught is shared; while nothing is, the share is far below it anyway."""
        if self._returning is None:
            try:
                return await self._shared.tighten(demand, stated)
            except Unavailable as lost:
                self.lose(lost.reason)
        return demand.keep

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """Look without taking."""
        if self._returning is None:
            try:
                return await self._shared.outlook(demands)
            except Unavailable as lost:
                self.lose(lost.reason)
        return self._local.outlook(demands)

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        """Set the epoch marker, as far as Redis is there."""
        self._note(demands)
        if self._returning is None:
            try:
                await self._shared.arm(demands)
            except Unavailable as lost:
                self.lose(lost.reason)

    async def aclose(self) -> None:
        """Stop probing."""
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)

    def _note(self, demands: tuple[Demand, ...]) -> None:
        for demand in demands:
            self._longest_window_s = max(self._longest_window_s, demand.window_us / US_PER_S)
            self._holders.add(demand.holder)

    async def _return(self) -> None:
        """Go back as soon as Redis serves, and still does after the local sends have rested for a window."""
        while not (await self._serves() and await self._serves_after_rest()):  # noqa: ASYNC110  Redis tells nobody
            await asyncio.sleep(PROBE_EVERY_S)
        self._returning = None
        self._reason = ""
        self._changed(False, "")

    async def _serves_after_rest(self) -> bool:
        self._resting, self._spoiled = True, False
        await asyncio.sleep(self._longest_window_s)
        serves = await self._serves()
        self._resting = False
        return serves and not self._spoiled

    async def _serves(self) -> bool:
        try:
            await self.check()
        except Unavailable as lost:
            self._reason = lost.reason
            return False
        return True
