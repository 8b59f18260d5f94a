"""Stored credentials as signers (ports.Credentials): cached, refreshed behind the caller's back, renewed on refusal.

Per account at most one flight is in the air: it reads the store, and fetches a token where the credential needs one.
While it flies, the signer that is there goes on serving. Material that cannot sign never replaces one that can.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.backends.credentials.held import REFUSED, REFUSED_PAUSE_S, Held, Trouble
from gateway.backends.credentials.login import fetch_token
from gateway.backends.credentials.store import Material, Missing, Store, Stored, Unusable
from gateway.core.access import is_name
from gateway.core.model import Account, VenueId
from gateway.core.outcome import Outcome
from gateway.ports import Clock, NoSigner, Sender, Unavailable, Unlocked
from gateway.venues.base import BadMaterial, Login, Site, Token, Venue

ABSENT_S = 1.0
ABSENT_MOST = 1024
RETRY_S = 1.0
MS_PER_S = 1000

UNKNOWN = NoSigner(Outcome.UNKNOWN_ACCOUNT, "no credential of this name is stored")
STORE_DOWN = NoSigner(Outcome.SECRET_UNAVAILABLE, "the secret store does not answer")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """A venue as it is configured."""

    venue: Venue
    site: Site
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a credential is read again, how long it serves while the store is down, and how long a read may take."""

    refresh_s: float
    stale_s: float
    read_most_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Absent:
    """An account that the store has not shown: what to say of it, and until when without asking again."""

    answer: NoSigner
    until: float


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
        self._sender = sender
        self._clock = clock
        self._freshness = freshness
        self._observe = observe
        self._held: dict[Account, Held] = {}
        self._absent: dict[Account, Absent] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._store_up = True

    async def unlock(self, account: Account) -> Unlocked | NoSigner:
        """The signer of an account; no I/O where it is cached and fresh."""
        held = self._held.get(account)
        if held is not None and held.ready is not None and self._clock.monotonic() < held.fresh_until:
            return held.ready
        return await self._unlock_slowly(account)

    async def renew(self, account: Account, refused: Unlocked) -> Unlocked | NoSigner:
        """After the venue refused: a newer signer, once, single flight; NoSigner where there is none."""
        held = self._held.get(account)
        if held is None:
            return await self.unlock(account)
        while held.flight is not None:
            await self._landed(held)
        if (newer := self._newer(held, refused)) is not None:
            return newer
        if self._clock.monotonic() < held.renew_after:
            return REFUSED
        self._start(held, refused)
        await self._landed(held)
        if (newer := self._newer(held, refused)) is not None:
            return newer
        return held.failure if held.failure.outcome is not Outcome.SECRET_UNAVAILABLE else REFUSED

    async def accounts(self, venue: VenueId) -> Sequence[str]:
        """The names that the store knows for a venue; those in use where the store does not answer."""
        try:
            return await self._store.names(venue)
        except Unavailable:
            return sorted(account.name for account in self._held if account.venue == venue)

    def health(self, account: Account) -> str:
        """`ok`, `stale`, `unavailable`, `refused` or `unread`: one word for people."""
        held = self._held.get(account)
        if held is not None:
            return held.word(self._clock.monotonic())
        absent = self._absent.get(account)
        return "unread" if absent is None or absent.answer is UNKNOWN else "unavailable"

    def ages(self) -> dict[VenueId, float]:
        """Seconds since the store last answered for the account of each venue that has waited longest."""
        now, kept = self._clock.monotonic(), self._kept_s()
        ages: dict[VenueId, float] = {}
        for account, held in self._held.items():
            if held.ready is not None:
                ages[account.venue] = max(ages.get(account.venue, 0.0), now - (held.material_until - kept))
        return ages

    async def aclose(self) -> None:
        """End what is in the air or waits for its time."""
        for held in self._held.values():
            if held.wake is not None:
                held.wake.cancel()
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _unlock_slowly(self, account: Account) -> Unlocked | NoSigner:
        now = self._clock.monotonic()
        absent = self._absent.get(account)
        if absent is not None and now < absent.until:
            return absent.answer
        held = self._held.get(account)
        if held is None:
            if account.venue not in self._served or not is_name(account.name):
                return UNKNOWN
            held = self._held[account] = Held(account)
        if held.flight is None and now >= held.due_at:
            self._start(held, None)
        if (ready := held.serving(now)) is not None:
            return ready
        await self._landed(held)
        return held.serving(self._clock.monotonic()) or held.failure

    async def _landed(self, held: Held) -> None:
        """Wait for what is in the air; a caller that leaves does not bring it down."""
        if held.flight is not None:
            await asyncio.shield(held.flight)

    def _newer(self, held: Held, refused: Unlocked) -> Unlocked | None:
        ready = held.serving(self._clock.monotonic())
        return ready if ready is not None and ready.version != refused.version else None

    def _start(self, held: Held, refused: Unlocked | None) -> None:
        # Whatever becomes of the flight, the next one is not before its time.
        held.due_at = self._clock.monotonic() + RETRY_S
        flight = asyncio.create_task(self._fly_once(held, refused), name="credential.refresh")
        held.flight = flight
        self._flights.add(flight)
        flight.add_done_callback(partial(self._land, held))

    async def _fly_once(self, held: Held, refused: Unlocked | None) -> None:
        """Fly, and be out of the air from that very moment on.

        The task's callbacks run a turn later. Whoever looked in between would wait for a flight that has ended, which
        does not even pause, and would never look away again.
        """
        try:
            await self._fly(held, refused)
        finally:
            held.flight = None

    def _land(self, held: Held, flight: asyncio.Task[None]) -> None:
        if held.flight is flight:
            held.flight = None
        self._flights.discard(flight)
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.error("credential.bug", venue=held.account.venue, account=held.account.name, kind=type(error).__name__)

    async def _fly(self, held: Held, refused: Unlocked | None) -> None:
        served = self._served[held.account.venue]
        stored = await self._read(held.account)
        if isinstance(stored, Missing):
            self._let_go(held, UNKNOWN)
            return
        if stored is None and held.key is None:
            self._let_go(held, STORE_DOWN)
            self._observe(held.account.venue, "failed")
            return
        result = self._lag(held) if stored is None else self._adopt(held, served, stored)
        if isinstance(held.key, Login) and self._wants_token(held, refused):
            result = await self._log_in(held, served, held.key, refused)
        elif refused is not None and result != "fetched":
            result = self._still_refused(held)
        self._plan(held, result)
        self._observe(held.account.venue, result)

    async def _read(self, account: Account) -> Stored | None:
        """What is stored; None where the store does not answer, which is logged when it begins and when it ends."""
        try:
            async with asyncio.timeout(self._freshness.read_most_s):
                stored = await self._store.read(account)
        except (Unavailable, TimeoutError) as error:
            if self._store_up:
                log.warning("credential.store_down", reason=str(error) or "no answer in time")
            self._store_up = False
            return None
        if not self._store_up:
            log.info("credential.store_up")
        self._store_up = True
        return stored

    def _lag(self, held: Held) -> str:
        """The store is down: what is held goes on until its time is over."""
        held.behind = True
        if self._clock.monotonic() >= held.login_after:
            held.failure = STORE_DOWN
        return "failed"

    def _adopt(self, held: Held, served: Served, stored: Material | Unusable) -> str:
        """Make a key of what was read, unless it can't be one. The store answered, so what is held may go on."""
        held.material_until = self._clock.monotonic() + self._kept_s()
        if isinstance(stored, Unusable):
            return self._complain(held, Trouble(stored.field, stored.problem))
        if stored.version == held.version:
            self._content(held)
            return "unchanged"
        try:
            key = served.venue.unlock(stored.fields, served.site)
        except BadMaterial as bad:
            return self._complain(held, Trouble(bad.field, bad.problem))
        except Exception as error:  # noqa: BLE001  its message could quote the secret; it must not reach a traceback
            return self._complain(held, Trouble("", f"cannot be read ({type(error).__name__})"))
        self._content(held)
        held.take_key(key, stored.version)
        return "fetched"

    def _wants_token(self, held: Held, refused: Unlocked | None) -> bool:
        now = self._clock.monotonic()
        if now < held.login_after or now >= held.material_until:
            return False
        distrusted = refused is not None and held.ready is not None and held.ready.version == refused.version
        return held.ready is None or distrusted or now >= held.token_due

    async def _log_in(self, held: Held, served: Served, login: Login, refused: Unlocked | None) -> str:
        account = held.account
        answer = await fetch_token(login, account.venue, self._sender, self._clock, served.timeout_ms)
        now = self._clock.monotonic()
        if isinstance(answer, Token):
            held.take_token(login, answer, now, (answer.renew_at_ms - self._clock.now_ms()) / MS_PER_S)
            if refused is not None:
                held.login_after = held.renew_after = now + REFUSED_PAUSE_S
            return "fetched"
        if answer != held.failure:
            log.warning("credential.no_token", venue=account.venue, account=account.name, reason=answer.detail)
        held.login_failed(answer, now, RETRY_S)
        if refused is not None:
            held.renew_after = held.login_after
        if answer.outcome is not Outcome.VENUE_AUTH:
            return "failed"
        if refused is not None:
            held.ready = None  # neither the token nor the login is good: sending with it would only waste slots
        return "refused"

    def _still_refused(self, held: Held) -> str:
        """The store has nothing newer. The signer stays: some venues refuse one order in the words of a bad token."""
        now = self._clock.monotonic()
        held.renew_after, held.refused_at, held.failure = now + REFUSED_PAUSE_S, now, REFUSED
        return "refused"

    def _plan(self, held: Held, result: str) -> None:
        """When to look again: by the clock while all is well, soon where it is not."""
        now = self._clock.monotonic()
        well = result in {"fetched", "unchanged"} and held.serving(now) is not None
        soon, renewal = now + RETRY_S, max(held.token_due, held.login_after)
        held.schedule(max(soon, min(now + self._freshness.refresh_s, renewal)) if well else soon)
        if held.wake is not None:
            held.wake.cancel()
            held.wake = None
        if well and isinstance(held.key, Login):
            # A cancel after a quiet hour must not wait for a login.
            held.wake = asyncio.get_running_loop().call_later(max(renewal - now, RETRY_S), self._wake, held)

    def _wake(self, held: Held) -> None:
        held.wake = None
        if held.flight is None and self._held.get(held.account) is held:
            self._start(held, None)

    def _complain(self, held: Held, trouble: Trouble) -> str:
        if trouble != held.trouble:
            account = held.account
            log.warning(
                "credential.unusable",
                venue=account.venue,
                account=account.name,
                field=trouble.field,
                problem=trouble.problem,
            )
        held.trouble, held.behind = trouble, True
        where = f"{trouble.field} " if trouble.field else ""
        held.failure = NoSigner(
            Outcome.SECRET_UNAVAILABLE, f"the stored credential cannot be used: {where}{trouble.problem}"
        )
        return "failed"

    def _content(self, held: Held) -> None:
        if held.trouble is not None:
            log.info("credential.usable", venue=held.account.venue, account=held.account.name)
        held.trouble, held.behind = None, False

    def _let_go(self, held: Held, answer: NoSigner) -> None:
        """Forget an account that the store does not show; remember for a moment that it was asked for."""
        if held.ready is not None:
            log.warning("credential.removed", venue=held.account.venue, account=held.account.name)
        if held.wake is not None:
            held.wake.cancel()
        held.ready, held.failure = None, answer
        self._held.pop(held.account, None)
        self._absent.pop(held.account, None)
        while len(self._absent) >= ABSENT_MOST:
            self._absent.pop(next(iter(self._absent)))
        self._absent[held.account] = Absent(answer, self._clock.monotonic() + ABSENT_S)

    def _kept_s(self) -> float:
        return max(self._freshness.refresh_s, self._freshness.stale_s)
