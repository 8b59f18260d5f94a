"""Who may do what. Decisions only; tokens are compared in constant time."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import unique

from gateway.core.model import Account, VenueId, Word
from gateway.core.outcome import Outcome

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")


def is_name(text: str) -> bool:
    """Whether this may name a caller or an account; no such name can leave its folder, key or path segment."""
    return _NAME.fullmatch(text) is not None


@unique
class Permission(Word):
    """What a caller can be allowed to do."""

    CANCEL = "cancel"
    URGENT = "urgent"
    READ = "read"
    KILL = "kill"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that may call us; `allow` holds `venue:account` patterns with * on either side.

    `subjects` are what an issuer may call it, in place of its name; `certificates` are names in its certificate.
    """

    name: str
    allow: tuple[str, ...] = ()
    permissions: frozenset[Permission] = frozenset()
    weight: int = 1
    token_sha256: tuple[str, ...] = field(default=(), repr=False)
    subjects: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    max_requests_per_second: int = 5000

    def may(self, permission: Permission) -> bool:
        """Whether the permission was given; admin has no say over orders."""
        return permission in self.permissions

    def reaches(self, account: Account) -> bool:
        """Whether one of the patterns covers this venue and account."""
        return any(_covers(pattern, account) for pattern in self.allow)

    def reaches_some(self, venue: VenueId) -> bool:
        """Whether one of the patterns covers any account of this venue."""
        return any(pattern.partition(":")[0] in {"*", venue} for pattern in self.allow)


def _covers(pattern: str, account: Account) -> bool:
    venue, _, name = pattern.partition(":")
    return venue in {"*", account.venue} and name in {"*", account.name}


def by_token(token: str, callers: Iterable[Caller]) -> Caller | None:
    """The caller that this token belongs to; every hash is compared, so that time tells nothing."""
    return by_digest(digest_of(token), callers)


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def by_digest(digest: str, callers: Iterable[Caller]) -> Caller | None:
    """The caller whose token has this digest; every hash is compared, wherever the match is."""
    found: Caller | None = None
    for caller in callers:
        for known in caller.token_sha256:
            if hmac.compare_digest(digest, known):
                found = caller
    return found


@dataclass(frozen=True, slots=True)
class Denied:
    """Nobody, and why."""

    outcome: Outcome
    detail: str


NO_PROOF = Denied(Outcome.UNAUTHENTICATED, "a valid bearer token is needed")
NO_ENTRY = Denied(Outcome.FORBIDDEN, "the token is valid, but no caller of this gateway")
TWO_OWNERS = Denied(Outcome.UNAUTHENTICATED, "the certificate is of more than one caller")
AT_ODDS = Denied(Outcome.UNAUTHENTICATED, "token and certificate are of two callers")
BOUND = Denied(Outcome.UNAUTHENTICATED, "this token counts only together with its caller's certificate")


@dataclass(frozen=True, slots=True)
class Directory:
    """Every caller, to be found by what it shows."""

    callers: tuple[Caller, ...]
    by_subject: Mapping[str, Caller]
    by_certificate: Mapping[str, Caller]

    @classmethod
    def of(cls, callers: Iterable[Caller]) -> "Directory":
        """Index them. That no two share a subject or a certificate is the settings' business."""
        every = tuple(callers)
        return cls(
            every,
            {subject: caller for caller in every for subject in caller.subjects or (caller.name,)},
            {name: caller for caller in every for name in caller.certificates},
        )

    def of_subject(self, subject: str) -> Caller | Denied:
        """Whom an issuer means."""
        return self.by_subject.get(subject, NO_ENTRY)

    def agreed(self, names: tuple[str, ...], said: Caller | Denied | None) -> Caller | Denied:
        """Who calls, by the names in the certificate and by what the token brought (None: there was none).

        Where both are shown both must be right. A caller that has certificates can't be borrowed with its token alone.
        """
        if not names and isinstance(said, Caller) and not said.certificates:
            return said
        owners = {caller.name: caller for name in names if (caller := self.by_certificate.get(name))}
        if len(owners) > 1:
            return TWO_OWNERS
        owner = next(iter(owners.values()), None)
        if said is None:
            return owner or NO_PROOF
        if isinstance(said, Denied):
            return said
        if owner is None:
            return BOUND if said.certificates else said
        return said if owner.name == said.name else AT_ODDS
