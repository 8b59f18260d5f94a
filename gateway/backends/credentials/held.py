"""What the keeper holds of one account, and what follows from it. No I/O and no clock: the time is an argument.

An account has the edition of its material that the store shows, and, until a cancel has succeeded with that one, the
edition before it: whoever rotates a key in the store before the venue knows it must not stop all cancels.
"""

import asyncio
from dataclasses import dataclass, field, replace

from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.ports import Condition, NoSigner, Unlocked
from gateway.venues.base import Login, Signer, Token

TOKEN_LEAD_S = 60.0
TOKEN_LEAD_SHARE = 0.1
TOKEN_LEAST_S = 5.0  # a token that has to be renewed at once would be fetched for every cancel
REFUSED_PAUSE_S = 5.0
REFUSED_PAUSE_MOST_S = 300.0  # brokers lock a user out after too many wrong passwords
REFUSED_SHOWN_S = 60.0
FOREVER = float("inf")

STORE_DOWN = NoSigner(Outcome.SECRET_UNAVAILABLE, "the secret store does not answer")
UNREAD = NoSigner(Outcome.SECRET_UNAVAILABLE, "the credential has not been read yet")
REFUSED = NoSigner(Outcome.VENUE_AUTH, "the venue refuses the credential, and the store has no newer one")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the stored material, by field; `denied`: the store would not let us have it."""

    field: str
    problem: str
    denied: bool = False

    def __str__(self) -> str:
        return f"{self.field} {self.problem}" if self.field else self.problem


@dataclass(slots=True, eq=False)
class Edition:
    """One version of the material: a signer at once, or a login and the signer that its token makes."""

    version: str
    key: Signer | Login = field(repr=False)
    on_trial: bool
    ready: Unlocked | None = None
    failure: NoSigner = UNREAD
    generation: int = 0
    token_until: float = FOREVER
    token_due: float = FOREVER
    refusals: int = 0
    login_after: float = 0.0
    renew_after: float = 0.0
    told: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.key, Login):
            self.token_due = 0.0
        else:
            self.ready = Unlocked(self.key, self.version, on_trial=self.on_trial)

    def made(self, unlocked: Unlocked) -> bool:
        """Whether this signer comes from here."""
        return unlocked.version.partition("#")[0] == self.version

    def serving(self, now: float) -> Unlocked | None:
        """The signer, while it lasts."""
        return self.ready if now < self.token_until else None

    def prove(self) -> None:
        """A venue has taken what it signed."""
        self.on_trial = False
        if self.ready is not None:
            self.ready = replace(self.ready, on_trial=False)

    def take_token(self, login: Login, token: Token, now: float, life_s: float) -> None:
        """A new token, good for so long."""
        life_s = max(life_s, TOKEN_LEAST_S)
        self.generation += 1
        self.refusals, self.failure = 0, UNREAD
        self.token_until = now + life_s
        self.token_due = self.token_until - min(TOKEN_LEAD_S, life_s * TOKEN_LEAD_SHARE)
        signer, version = login.signer(token), f"{self.version}#{self.generation}"
        self.ready = Unlocked(signer, version, on_trial=self.on_trial)

    def login_failed(self, failure: NoSigner, now: float, pause_s: float) -> None:
        """No token came. A refusal is asked again after ever longer pauses, anything else after `pause_s`."""
        self.failure = failure
        if failure.outcome is Outcome.VENUE_UNAVAILABLE:
            self.login_after = now + pause_s
            return
        self.login_after = now + min(REFUSED_PAUSE_S * 2**self.refusals, REFUSED_PAUSE_MOST_S)
        self.refusals = min(self.refusals + 1, 16)


@dataclass(slots=True, eq=False)
class Held:
    """One account: the signer that serves, until when, and what is known of its source."""

    account: Account
    ready: Unlocked | None = None
    fresh_until: float = 0.0
    current: Edition | None = None
    previous: Edition | None = None
    fell_back: bool = False
    failure: NoSigner = UNREAD
    material_until: float = 0.0
    due_at: float = 0.0
    trouble: Trouble | None = None
    behind: bool = False
    refused_at: float = -REFUSED_SHOWN_S
    flight: asyncio.Task[None] | None = field(default=None, repr=False)
    wake: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def active(self) -> Edition | None:
        """The edition that is to serve."""
        return self.previous if self.fell_back else self.current

    def serving(self, now: float) -> Unlocked | None:
        """The signer, where it may still serve. The other edition stands in while the active one has no token."""
        if now >= self.material_until:
            return None
        for edition in (self.active, self.current, self.previous):
            if edition is not None and (ready := edition.serving(now)) is not None:
                return ready
        return None

    def schedule(self, due_at: float, now: float) -> None:
        """When work is due next; until then, and while it may serve, the signer is handed out without a thought."""
        self.due_at = due_at
        self.ready = self.serving(now)
        ends = [edition.token_until for edition in (self.current, self.previous) if edition is not None]
        self.fresh_until = min(due_at, self.material_until, *ends) if self.ready is not None else 0.0

    def take(self, edition: Edition) -> None:
        """New material. The edition that is known to work is kept beside it until this one has worked as well."""
        if self.previous is None:
            self.previous = self.current
        self.current, self.fell_back = edition, False
        self.failure, self.refused_at = UNREAD, -REFUSED_SHOWN_S

    def edition_of(self, unlocked: Unlocked) -> Edition | None:
        """Where a signer comes from."""
        editions = (self.current, self.previous)
        return next((edition for edition in editions if edition is not None and edition.made(unlocked)), None)

    def prove(self, unlocked: Unlocked) -> bool:
        """A venue took what was signed so; True where that ends a trial, and with it the time of the old edition."""
        if self.previous is None or self.current is None or not self.current.made(unlocked):
            return False
        self.previous, self.fell_back = None, False
        self.current.prove()
        return True

    def switch(self, refused: Edition, now: float) -> bool:
        """Use the other edition, where there is one that can serve, or log in; whether that was so."""
        other = self.previous if refused is self.current else self.current
        if other is None or refused is not self.active or (other.serving(now) is None and now < other.login_after):
            return False
        self.fell_back = other is self.previous
        return True

    def lag(self, now: float) -> None:
        """The store does not answer: what is held goes on until its time is over."""
        self.behind = True
        if self.active is None or now >= self.active.login_after:
            self.failure = STORE_DOWN

    def forget(self) -> None:
        """Drop everything that could sign."""
        self.ready = self.current = self.previous = None
        if self.wake is not None:
            self.wake.cancel()
            self.wake = None

    def condition(self, now: float) -> Condition:
        """How it stands, for people."""
        edition = self.active
        version = edition.version if edition is not None else None
        reason = str(self.trouble) if self.trouble is not None else ""
        if now - self.refused_at < REFUSED_SHOWN_S:
            return Condition("refused", self.failure.detail, version)
        if self.serving(now) is None:
            word = "refused" if self.failure.outcome is Outcome.VENUE_AUTH else "unavailable"
            return Condition(word, reason or self.failure.detail, version)
        if self.fell_back and self.current is not None:
            return Condition("fallback", f"the venue refuses version {self.current.version}", version)
        if self.behind:
            return Condition("stale", reason or "the secret store does not answer", version)
        return Condition("ok", "", version)
