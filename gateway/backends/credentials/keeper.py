"""Stored credentials as signers (ports.Credentials): cached, refreshed behind the caller's back, renewed on refusal.

Per account at most one flight is in the air: it reads the store, and fetches a token where the credential needs one.
While it flies, the signer that is there goes on serving.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.backends.credentials.absent import Absentees
from gateway.backends.credentials.held import REFUSED, Held
from gateway.backends.credentials.reads import RETRY_S, Reads
from gateway.backends.credentials.refresh import UNKNOWN, Refresh, Served
from gateway.backends.credentials.roster import Roster
from gateway.backends.credentials.store import Store
from gateway.core.access import is_name
from gateway.core.model import Account, VenueId
from gateway.core.outcome import Outcome
from gateway.ports import Clock, Condition, NoSigner, Sender, Unlocked
from gateway.venues.base import Login

# Refreshes are spread over so much of the interval, always before its end: what was rotated is taken up within it.
SPREAD = 0.25
# An account that nobody uses is tried again so often while something is wrong with it.
QUIET_RETRY_S = 10.0
TOKEN_LOOK_S = 0.1
WELL = frozenset({"fetched", "unchanged"})

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a credential is read again, how long it serves while the store is down, and how long a read may take."""

    refresh_s: float
    stale_s: float
    read_most_s: float = 5.0


class CredentialKeeper:
    """Hands out signers. `observe` is told the venue and fetched, unchanged, failed or refused."""

    def __init__(
        self,
        served: Mapping[VenueId, Served],
        store: Store,
        sender: Sender,
        clock: Clock,
        freshness: Freshness,
        observe: Callable[[VenueId, str], None],
    ) -> None:
        self._served = served
        self._store = store
        self._clock = clock
        self._refresh_s = freshness.refresh_s
        self._kept_s = max(freshness.refresh_s, freshness.stale_s)
        self._observe = observe
        self._reads = Reads(store, clock, freshness.read_most_s)
        self._refresh = Refresh(served, self._reads, sender, clock, self._kept_s)
        self._roster = Roster(store, clock, freshness.refresh_s)
        self._held: dict[Account, Held] = {}
        self._absent = Absentees()
        self._flights: set[asyncio.Task[None]] = set()
        self._closing = False

    async def unlock(self, account: Account) -> Unlocked | NoSigner:
        """The signer of an account; no I/O where it is cached and fresh."""
        held = self._held.get(account)
        if held is not None and held.ready is not None and self._clock.monotonic() < held.fresh_until:
            return held.ready
        return await self._unlock_slowly(account)

    async def renew(self, account: Account, refused: Unlocked) -> Unlocked | NoSigner:
        """After the venue refused: a newer signer, or the one before it, single flight; NoSigner without either."""
        held = self._held.get(account)
        if held is None:
            return await self.unlock(account)
        while held.flight is not None:
            await self._landed(held)
        if (other := self._other(held, refused)) is not None:
            return other
        culprit = held.edition_of(refused)
        if culprit is not None and self._clock.monotonic() < culprit.renew_after:
            return REFUSED
        self._start(held, refused, urgent=True)
        await self._landed(held)
        if (other := self._other(held, refused)) is not None:
            return other
        return held.failure if held.failure.outcome is not Outcome.SECRET_UNAVAILABLE else REFUSED

    def proved(self, account: Account, unlocked: Unlocked) -> None:
        """A venue took what this signer signed: an edition that was on trial has passed, and the old one is dropped."""
        held = self._held.get(account)
        if held is not None and held.prove(unlocked):
            held.schedule(held.due_at, self._clock.monotonic())
            version = held.current.version if held.current is not None else None
            log.info("credential.proven", venue=account.venue, account=account.name, version=version)

    async def accounts(self, venue: VenueId) -> Sequence[str]:
        """The names that the store knows for a venue, as far as known here, and those in use."""
        in_use = {account.name for account in self._held if account.venue == venue}
        return sorted(in_use | await self._roster.names(venue))

    def condition(self, account: Account) -> Condition:
        """How it stands; the word is `ok`, `stale`, `fallback`, `unavailable`, `refused` or `unread`."""
        held = self._held.get(account)
        if held is not None:
            return held.condition(self._clock.monotonic())
        absent = self._absent.get(account)
        if absent is None or absent.answer is UNKNOWN:
            return Condition("unread", "", None)
        return Condition("unavailable", absent.answer.detail, None)

    def ages(self) -> dict[VenueId, float]:
        """Seconds since the store last answered for the account of each venue that has waited longest."""
        now = self._clock.monotonic()
        ages: dict[VenueId, float] = {}
        for account, held in self._held.items():
            if held.ready is not None:
                ages[account.venue] = max(ages.get(account.venue, 0.0), now - (held.material_until - self._kept_s))
        return ages

    def fallen_back(self) -> dict[VenueId, int]:
        """How many accounts of each venue work with the version before the one that the store shows."""
        counts = dict.fromkeys(self._served, 0)
        for account, held in self._held.items():
            counts[account.venue] += held.fell_back
        return counts

    async def aclose(self) -> None:
        """End what is in the air or waits for its time, and drop what could sign."""
        self._closing = True
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        for held in self._held.values():
            held.forget()
        await self._roster.aclose()
        await self._store.aclose()

    async def _unlock_slowly(self, account: Account) -> Unlocked | NoSigner:
        now = self._clock.monotonic()
        absent = self._absent.get(account)
        if absent is not None and now < absent.until:
            return absent.answer
        held = self._held.get(account)
        if held is None:
            if account.venue not in self._served or not is_name(account.name):
                return UNKNOWN
            trouble = absent.trouble if absent is not None else None
            held = self._held[account] = Held(account, trouble=trouble)
        if held.flight is None and now >= held.due_at:
            self._start(held, None, urgent=held.serving(now) is None)
        if (ready := held.serving(now)) is not None:
            return ready
        await self._landed(held)
        return held.serving(self._clock.monotonic()) or held.failure

    async def _landed(self, held: Held) -> None:
        """Wait for what is in the air; a caller that leaves does not bring it down."""
        if held.flight is not None:
            await asyncio.shield(held.flight)

    def _other(self, held: Held, refused: Unlocked) -> Unlocked | None:
        ready = held.serving(self._clock.monotonic())
        return ready if ready is not None and ready.version != refused.version else None

    # -- flights ---------------------------------------------------------------------------------------------------

    def _start(self, held: Held, refused: Unlocked | None, *, urgent: bool) -> None:
        # Whatever becomes of the flight, the next one is not before its time.
        held.due_at = self._clock.monotonic() + RETRY_S
        flight = asyncio.create_task(self._fly_once(held, refused, urgent=urgent), name="credential.refresh")
        held.flight = flight
        self._flights.add(flight)
        flight.add_done_callback(partial(self._land, held))

    async def _fly_once(self, held: Held, refused: Unlocked | None, *, urgent: bool) -> None:
        """Fly, and be out of the air from that very moment on.

        The task's callbacks run a turn later. Whoever looked in between would wait for a flight that has ended, which
        does not even pause, and would never look away again.
        """
        try:
            result = await self._refresh.look(held, refused, urgent=urgent)
            self._note(held, result)
        finally:
            held.flight = None

    def _land(self, held: Held, flight: asyncio.Task[None]) -> None:
        if held.flight is flight:
            held.flight = None
        self._flights.discard(flight)
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.error("credential.bug", venue=held.account.venue, account=held.account.name, kind=type(error).__name__)
            self._plan(held, "failed")

    def _note(self, held: Held, result: str | NoSigner) -> None:
        venue = held.account.venue
        if isinstance(result, NoSigner):
            self._let_go(held, result)
            if result is not UNKNOWN:
                self._observe(venue, "failed")
            return
        self._absent.forget(held.account)
        self._plan(held, result)
        self._observe(venue, result)

    def _plan(self, held: Held, result: str) -> None:
        """When to look again: by the clock while all is well, soon where it is not."""
        now, edition = self._clock.monotonic(), held.active
        well = result in WELL and held.serving(now) is not None
        soon, due = now + RETRY_S, now + self._refresh_s * (1 - SPREAD * random.random())  # noqa: S311  only spreads
        if edition is not None and isinstance(edition.key, Login):
            # A token that ends within the second must not be left to end; logins that fail have a pause of their own.
            due = min(due, max(edition.token_due, edition.login_after, now + TOKEN_LOOK_S))
        held.schedule(due if well else soon, now)
        self._set_alarm(held, due - now if well else self._retry_s())

    def _set_alarm(self, held: Held, wait_s: float) -> None:
        """Nobody has to ask for an account: what was rotated, revoked or has run out is seen to all the same."""
        if held.wake is not None:
            held.wake.cancel()
        held.wake = asyncio.get_running_loop().call_later(wait_s, self._wake, held)

    def _retry_s(self) -> float:
        """While the store is down, waiting costs it nothing; what is wrong with one account is not asked so often."""
        if self._reads.is_up:
            return min(QUIET_RETRY_S, self._refresh_s)
        return RETRY_S * (1 + random.random())  # noqa: S311  only spreads

    def _wake(self, held: Held) -> None:
        held.wake = None
        if self._closing or held.flight is not None or self._held.get(held.account) is not held:
            return
        if self._reads.is_down:  # 1,000 tasks that find nothing to do would still cost a cancel its turn
            held.lag(self._clock.monotonic())
            self._set_alarm(held, self._retry_s())
            return
        self._start(held, None, urgent=False)

    def _let_go(self, held: Held, answer: NoSigner) -> None:
        """Forget an account that the store does not show; remember for a moment that it was asked for."""
        if held.ready is not None:
            log.warning("credential.removed", venue=held.account.venue, account=held.account.name)
        held.forget()
        held.failure = answer
        self._held.pop(held.account, None)
        self._absent.remember(held.account, answer, held.trouble, self._clock.monotonic())


__all__ = ["CredentialKeeper", "Freshness", "Served"]
