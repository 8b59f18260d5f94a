"""Slots over all replicas (ports.Limiter): what `core/ledger.py` decides, decided inside Redis."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.backends.admittance import Admittance, Form, account_of, gated, odd, slot
from gateway.backends.redis.link import Argument, Link, Reply
from gateway.backends.redis.scripts import ARM, CONFIRM, GIVE_BACK, LATE, LEARN, OUTLOOK, RESERVE, Script, report
from gateway.core.admission import Demand, Gated, Slot
from gateway.ports import Outlook, TooFar

US_PER_S = 1_000_000
HOLDS, MISSED = 0, 1

Learned = Callable[[Demand, int], None]
"""Told a limit and how many of its tokens are in force after a venue's answer, which may be fewer than configured."""


def ignore_lesson(demand: Demand, tokens: int) -> None:
    """Tell nobody; for tests and tools."""


class RedisLimiter:
    """The limiter that all replicas share."""

    def __init__(self, link: Link, admittance: Admittance, learned: Learned = ignore_lesson) -> None:
        self._link = link
        self._admittance = admittance
        self._learned = learned

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        """Take the slots that are free now, so many at most; where none is, the next one. All limits or none."""
        asked = self._admittance.clock.monotonic()
        if not demands:
            return (Slot(asked, 0, demands),) * most
        form = self._admittance.form(account_of(demands), demands)
        match await self._run(RESERVE, form, patience_us, most):
            case [b"slots", int(taken), int(wait_us), [int(first_us), *times], list(lost), *rest]:
                moment = self._admittance.told(asked, form, [first_us, *times], lost)
                # The latest moment that the grant can have been made at: the error is a late send, never an early one.
                return (slot(moment + wait_us / US_PER_S, first_us + wait_us, form, rest),) * taken
            case [b"far", int(wait_us), list(times), list(lost)]:
                self._admittance.told(asked, form, times, lost)
                return TooFar(wait_us)
            case [b"gated", int(place), int(banned), int(wait_us)]:
                return gated(place, banned, wait_us)
            case _:
                raise odd()

    async def give_back(self, slot: Slot) -> bool:
        """Return a slot that nobody used; False where later ones build on it already, so that it is wasted."""
        if not slot.demands:
            return True
        form = self._admittance.form(account_of(slot.demands) if slot.probe else None, slot.demands)
        return await self._run(GIVE_BACK, form, slot.granted_us) == 1

    async def confirm(self, slot: Slot) -> Slot | None:
        """Look once more at a slot that lies ahead; another one where it has moved, None where it is not known."""
        return await self._exchanged(slot, HOLDS)

    async def exchange(self, slot: Slot) -> Slot:
        """Another slot for one that was missed; the same one where that can't be done."""
        return await self._exchanged(slot, MISSED) or slot

    async def _exchanged(self, slot: Slot, why: int) -> Slot | None:
        if not slot.demands:
            return slot
        asked, form = self._admittance.clock.monotonic(), self._admittance.form(None, slot.demands)
        match await self._run(CONFIRM, form, slot.granted_us, why):
            case [b"stays"]:
                return slot
            case [b"forgotten"]:
                return None
            case [b"moved", int(wait_us), [int(first_us), *times]]:
                moment = self._admittance.told(asked, form, [first_us, *times], ())
                matures_at, apart_s = moment + wait_us / US_PER_S, form.clocks[0].apart_s()
                return replace(slot, matures_at=matures_at, granted_us=first_us + wait_us, apart_s=apart_s)
            case _:
                raise odd()

    async def postpone(self, slot: Slot, until: float) -> Slot:
        """Let a slot that was used rest from `until` on (monotonic seconds, past); the slot as it counts now."""
        if not slot.demands:
            return slot
        form = self._admittance.form(None, slot.demands)
        # The latest instant that it can have been there: the error is a longer rest, never a shorter one.
        late_us = form.clocks[0].expected_us(until)
        if late_us <= slot.granted_us:
            return slot
        match await self._run(LATE, form, slot.granted_us, late_us):
            case int(moved_us):
                return replace(slot, granted_us=moved_us or slot.granted_us)
            case _:
                raise odd()

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        """Look without taking."""
        if not demands:
            return ()
        match await self._run(OUTLOOK, self._admittance.form(None, demands)):
            case list(numbers) if len(numbers) == 2 * len(demands):
                whole = [number for number in numbers if isinstance(number, int)]
                pairs = zip(demands, whole[::2], whole[1::2], strict=True)
                return [Outlook(demand.limit, demand.tokens, free, wait) for demand, free, wait in pairs]
            case _:
                raise odd()

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        """Make sure that the epoch marker is there, so that the first cancel does not pay the hold."""
        if not demands:
            return
        lost = await self._run(ARM, self._admittance.form(None, demands))
        report(lost if isinstance(lost, list) else (), self._admittance.lost)

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        """Learn a limit that a venue stated, or, with None, that it refused where we were inside; what is in force now.

        Never above the configuration, and relaxed after a quiet time.
        """
        form = self._admittance.form(None, (demand,))
        match await self._run(LEARN, form, "" if stated is None else stated):
            case int(tokens):
                self._learned(demand, tokens)
                return tokens
            case _:
                raise odd()

    async def _run(self, script: Script, form: Form, *before: Argument) -> Reply:
        return await self._link.run(script, form.keys, (*before, *self._admittance.arguments(form)))
