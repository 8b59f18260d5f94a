"""Every Redis key, in one place. The parts in braces decide the cluster slot: one per venue and account.

The prefix carries the version of the layout, so that old and new releases never read each other's values.
"""

import hashlib
from functools import lru_cache

from gateway.core.idempotency import RecordId
from gateway.core.model import Account, By

PREFIX = "cg1"


SETTLED = f"{PREFIX}:settled"
"""The channel on which the ids of settled records are published, where somebody waits for them."""


@lru_cache(maxsize=16_384)
def _tag(account: Account) -> str:
    return f"{PREFIX}:{{{account.venue}:{account.name}}}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:40]


def holder(account: Account) -> str:
    """A holder's time and what is spent of its limits, in one hash without expiry.

    Not there means that data was lost, and every window counts as full. In one key, nothing can be lost alone.
    """
    return f"{_tag(account)}:limits"


def gate(account: Account) -> str:
    """What a venue's refusal has closed."""
    return f"{_tag(account)}:gate"


def rehearsal(account: Account) -> str:
    """Where it is tried whether an account's data can be written."""
    return f"{_tag(account)}:rehearsal"


def record(at: RecordId) -> str:
    """One cancel's record."""
    return records(at.account) + at.ulid


def leases(account: Account) -> str:
    """When the lease of each record that is being worked on runs out."""
    return f"{_tag(account)}:leases"


def unknown(account: Account) -> str:
    """When each record whose end is not known is to be looked at again."""
    return f"{_tag(account)}:unknown"


def records(account: Account) -> str:
    """What every record's key of this account begins with."""
    return f"{_tag(account)}:rec:"


@lru_cache(maxsize=4096)
def order(account: Account, by: By, ref: str) -> str:
    """Which record is working on this order now."""
    return f"{_tag(account)}:ord:{by}:{_digest(ref)}"


def idempotency(caller: str, key: str) -> str:
    """Which record a caller's Idempotency-Key belongs to."""
    return f"{PREFIX}:{{idem:{_digest(caller, key)}}}"


def idempotency_rehearsal() -> str:
    """Where it is tried whether Idempotency-Keys can be written."""
    return f"{PREFIX}:{{idem:rehearsal}}"


def trail(stream: str) -> tuple[str, str]:
    """One process's audit trail: the stream, and its head."""
    return f"{PREFIX}:{{trail:{stream}}}:log", f"{PREFIX}:{{trail:{stream}}}:head"


def trails() -> str:
    """Which trails there are."""
    return f"{PREFIX}:{{trails}}"
