"""What the keeper holds of one account, and what follows from it. No I/O and no clock: the time is an argument."""

import asyncio
from dataclasses import dataclass, field

from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.ports import NoSigner, Unlocked
from gateway.venues.base import Login, Signer, Token

TOKEN_LEAD_S = 60.0
TOKEN_LEAD_SHARE = 0.1
TOKEN_LEAST_S = 5.0  # a token that has to be renewed at once would be fetched for every cancel
REFUSED_PAUSE_S = 5.0
REFUSED_PAUSE_MOST_S = 300.0  # brokers lock a user out after too many wrong passwords
REFUSED_SHOWN_S = 60.0
FOREVER = float("inf")

UNREAD = NoSigner(Outcome.SECRET_UNAVAILABLE, "the credential has not been read yet")
REFUSED = NoSigner(Outcome.VENUE_AUTH, "the venue refuses the credential, and the store has no newer one")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the stored material, by field."""

    field: str
    problem: str


@dataclass(slots=True, eq=False)
class Held:
    """One account: the signer that serves, until when, and what is known of its source."""

    account: Account
    ready: Unlocked | None = None
    failure: NoSigner = UNREAD
    key: Signer | Login | None = field(default=None, repr=False)
    version: str | None = None
    generation: int = 0
    material_until: float = 0.0
    token_until: float = FOREVER
    token_due: float = FOREVER
    due_at: float = 0.0
    fresh_until: float = 0.0
    trouble: Trouble | None = None
    behind: bool = False
    refusals: int = 0
    login_after: float = 0.0
    renew_after: float = 0.0
    refused_at: float = -REFUSED_SHOWN_S
    flight: asyncio.Task[None] | None = field(default=None, repr=False)
    wake: asyncio.TimerHandle | None = field(default=None, repr=False)

    def serving(self, now: float) -> Unlocked | None:
        """The signer, where it may still serve."""
        return self.ready if now < min(self.material_until, self.token_until) else None

    def schedule(self, due_at: float) -> None:
        """When work is due next; until then, and while it may serve, the signer is handed out without a thought."""
        self.due_at = due_at
        until = min(due_at, self.material_until, self.token_until)
        self.fresh_until = until if self.ready is not None else 0.0

    def take_key(self, key: Signer | Login, version: str) -> None:
        """New material. A login's old token goes on serving until the new one is there."""
        self.key, self.version = key, version
        self.refusals, self.login_after, self.renew_after, self.failure = 0, 0.0, 0.0, UNREAD
        self.refused_at = -REFUSED_SHOWN_S
        if isinstance(key, Login):
            self.token_due = 0.0
        else:
            self.token_until = self.token_due = FOREVER
            self.ready = Unlocked(key, version)

    def take_token(self, login: Login, token: Token, now: float, life_s: float) -> None:
        """A new token, good for so long."""
        life_s = max(life_s, TOKEN_LEAST_S)
        self.generation += 1
        self.refusals, self.failure = 0, UNREAD
        self.token_until = now + life_s
        self.token_due = self.token_until - min(TOKEN_LEAD_S, life_s * TOKEN_LEAD_SHARE)
        self.ready = Unlocked(login.signer(token), f"{self.version}.{self.generation}")

    def login_failed(self, failure: NoSigner, now: float, pause_s: float) -> None:
        """No token came. A refusal is asked again after ever longer pauses, anything else after `pause_s`."""
        self.failure = failure
        if failure.outcome is Outcome.VENUE_UNAVAILABLE:
            self.login_after = now + pause_s
            return
        self.login_after = now + min(REFUSED_PAUSE_S * 2**self.refusals, REFUSED_PAUSE_MOST_S)
        self.refusals = min(self.refusals + 1, 16)
        if failure.outcome is Outcome.VENUE_AUTH:
            self.refused_at = now

    def word(self, now: float) -> str:
        """The health in one word."""
        if now - self.refused_at < REFUSED_SHOWN_S:
            return "refused"
        if self.serving(now) is not None:
            return "stale" if self.behind else "ok"
        return "refused" if self.failure.outcome is Outcome.VENUE_AUTH else "unavailable"
