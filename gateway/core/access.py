"""Who may do what. Decisions only; tokens are compared in constant time."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique

from gateway.core.model import Account

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")


def is_name(text: str) -> bool:
    """Whether this may name a caller or an account; no such name can leave its folder, key or path segment."""
    return _NAME.fullmatch(text) is not None


@unique
class Permission(StrEnum):
    """What a caller can be allowed to do."""

    CANCEL = "cancel"
    URGENT = "urgent"
    READ = "read"
    KILL = "kill"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that may call us; `allow` holds `venue:account` patterns with * on either side."""

    name: str
    allow: tuple[str, ...] = ()
    permissions: frozenset[Permission] = frozenset()
    weight: int = 1
    token_sha256: tuple[str, ...] = field(default=(), repr=False)

    def may(self, permission: Permission) -> bool:
        """Whether the permission was given; admin has no say over orders."""
        return permission in self.permissions

    def reaches(self, account: Account) -> bool:
        """Whether one of the patterns covers this venue and account."""
        return any(_covers(pattern, account) for pattern in self.allow)


def _covers(pattern: str, account: Account) -> bool:
    venue, _, name = pattern.partition(":")
    return venue in {"*", account.venue} and name in {"*", account.name}


def by_token(token: str, callers: Iterable[Caller]) -> Caller | None:
    """The caller that this token belongs to; every hash is compared, so that time tells nothing."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    found: Caller | None = None
    for caller in callers:
        for known in caller.token_sha256:
            if hmac.compare_digest(digest, known):
                found = caller
    return found
