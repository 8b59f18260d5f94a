"""One look at one account's credential: what the store holds becomes an edition, and a login fetches its token.

Material that cannot sign never replaces what can. What it finds out is written into Held; when to look is the keeper's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import structlog

from gateway.backends.credentials.held import REFUSED, REFUSED_PAUSE_S, Edition, Held, Trouble
from gateway.backends.credentials.login import fetch_token
from gateway.backends.credentials.reads import RETRY_S, Reads
from gateway.backends.credentials.store import Denied, Material, Missing, Unusable
from gateway.core.model import VenueId
from gateway.core.outcome import Outcome
from gateway.ports import Clock, NoSigner, Sender, Unlocked
from gateway.venues.base import BadMaterial, Login, Site, Token, Venue

MS_PER_S = 1000
UNKNOWN = NoSigner(Outcome.UNKNOWN_ACCOUNT, "no credential of this name is stored")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """A venue as it is configured."""

    venue: Venue
    site: Site
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """Looks. `kept_s`: how long material may serve after the store last answered for it."""

    served: Mapping[VenueId, Served]
    reads: Reads
    sender: Sender
    clock: Clock
    kept_s: float

    async def look(self, held: Held, refused: Unlocked | None, *, urgent: bool) -> str | NoSigner:
        """What came of it, in one of the words that are counted; NoSigner where there is nothing to hold."""
        stored = await self.reads.read(held.account, urgent=urgent)
        match stored:
            case Missing():
                return UNKNOWN
            case None:
                held.lag(self.clock.monotonic())
                result = "failed"
            case Denied(problem=problem):
                result = self._complain(held, Trouble("", problem, denied=True))
            case Unusable(field=field, problem=problem):
                result = self._spoilt(held, Trouble(field, problem))
            case Material():
                result = self._adopt(held, stored)
            case _:
                assert_never(stored)
        if held.current is None and (stored is None or isinstance(stored, Denied)):
            return held.failure
        return await self._make_ready(held, refused, result)

    async def _make_ready(self, held: Held, refused: Unlocked | None, result: str) -> str:
        """Fetch a token where one is wanted, and go to the other edition where the venue refuses this one."""
        culprit = held.edition_of(refused) if refused is not None and result != "fetched" else None
        switched = culprit is not None and culprit.on_trial and self._switch(held, culprit)
        edition = held.active
        if edition is not None and isinstance(edition.key, Login) and self._wants_token(held, edition, refused):
            return await self._log_in(held, edition, edition.key, refused)
        if culprit is None:
            return result
        return "refused" if switched or self._switch(held, culprit) else self._still_refused(held, culprit)

    # -- what the store says --------------------------------------------------------------------------------------

    def _spoilt(self, held: Held, trouble: Trouble) -> str:
        """The store answered, so what is held may go on."""
        held.material_until = self.clock.monotonic() + self.kept_s
        return self._complain(held, trouble)

    def _complain(self, held: Held, trouble: Trouble) -> str:
        if trouble != held.trouble:
            fields = {"field": trouble.field, "problem": trouble.problem}
            log.warning("credential.unusable", venue=held.account.venue, account=held.account.name, **fields)
        held.trouble, held.behind = trouble, True
        held.failure = NoSigner(Outcome.SECRET_UNAVAILABLE, f"the stored credential cannot be used: {trouble}")
        return "failed"

    def _adopt(self, held: Held, stored: Material) -> str:
        """Make a key of what was read, unless it can't be one."""
        now, account = self.clock.monotonic(), held.account
        if held.current is None or stored.version != held.current.version:
            served = self.served[account.venue]
            try:
                key = served.venue.unlock(stored.fields, served.site)
            except BadMaterial as bad:
                return self._spoilt(held, Trouble(bad.field, bad.problem))
            except Exception as error:  # noqa: BLE001  its message could quote the secret; it must not reach a traceback
                return self._spoilt(held, Trouble("", f"cannot be read ({type(error).__name__})"))
            if held.current is not None:
                log.info("credential.changed", venue=account.venue, account=account.name, version=stored.version)
            held.take(Edition(stored.version, key, on_trial=held.current is not None))
            result = "fetched"
        else:
            result = "unchanged"
        if held.trouble is not None:
            log.info("credential.usable", venue=account.venue, account=account.name)
        held.material_until, held.trouble, held.behind = now + self.kept_s, None, False
        return result

    # -- what the venue says --------------------------------------------------------------------------------------

    def _switch(self, held: Held, culprit: Edition) -> bool:
        now = self.clock.monotonic()
        if now < culprit.renew_after or not held.switch(culprit, now):
            return False
        culprit.renew_after = now + REFUSED_PAUSE_S
        self._tell_switch(held, culprit)
        return True

    def _tell_switch(self, held: Held, culprit: Edition) -> None:
        if not culprit.told:
            other = held.active
            log.warning(
                "credential.fell_back" if held.fell_back else "credential.fallback_refused",
                venue=held.account.venue,
                account=held.account.name,
                refused=culprit.version,
                serves=other.version if other is not None else None,
            )
        culprit.told = True

    def _still_refused(self, held: Held, culprit: Edition) -> str:
        """The store has nothing newer. The signer stays: some venues refuse one order in the words of a bad token."""
        now = self.clock.monotonic()
        culprit.renew_after, held.refused_at, held.failure = now + REFUSED_PAUSE_S, now, REFUSED
        return "refused"

    def _wants_token(self, held: Held, edition: Edition, refused: Unlocked | None) -> bool:
        now = self.clock.monotonic()
        if now < edition.login_after or now >= held.material_until:
            return False
        distrusted = refused is not None and edition.ready is not None and edition.ready.version == refused.version
        return edition.ready is None or distrusted or now >= edition.token_due

    async def _log_in(self, held: Held, edition: Edition, login: Login, refused: Unlocked | None) -> str:
        account = held.account
        timeout_ms = self.served[account.venue].timeout_ms
        answer = await fetch_token(login, account.venue, self.sender, self.clock, timeout_ms)
        now = self.clock.monotonic()
        if isinstance(answer, Token):
            edition.take_token(login, answer, now, (answer.renew_at_ms - self.clock.now_ms()) / MS_PER_S)
            held.failure = edition.failure
            if refused is not None:
                edition.login_after = edition.renew_after = now + REFUSED_PAUSE_S
            return "fetched"
        if answer != edition.failure:
            log.warning("credential.no_token", venue=account.venue, account=account.name, reason=answer.detail)
        edition.login_failed(answer, now, RETRY_S)
        held.failure = answer
        if refused is not None:
            edition.renew_after = edition.login_after
        if answer.outcome is not Outcome.VENUE_AUTH:
            return "failed"
        return await self._login_refused(held, edition, refused)

    async def _login_refused(self, held: Held, edition: Edition, refused: Unlocked | None) -> str:
        now = self.clock.monotonic()
        if edition.on_trial and held.switch(edition, now):
            self._tell_switch(held, edition)
            return await self._make_ready(held, None, "refused")
        held.refused_at = now
        if refused is not None:
            edition.ready = None  # neither the token nor the login is good: sending with it would only waste slots
        return "refused"
