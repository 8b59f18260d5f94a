"""What a place that holds credentials looks like from inside. No provider's own habits."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from gateway.core.model import Account, VenueId

MATERIAL_MOST_BYTES = 64 * 1024
SHOWN_FIELD_LENGTH = 40
# A digest of weak material could be guessed back from a log line; with a key that dies with the process it can't.
_PROCESS_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Material:
    """One account's credential as it is stored; `version` changes when the content does."""

    fields: Mapping[str, str] = field(repr=False)
    version: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The store works, and knows no such account."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The store holds something under this name that is no credential; `field` may be empty."""

    field: str
    problem: str


Stored = Material | Missing | Unusable


class Store(Protocol):
    """A place that holds credentials. Raises `ports.Unavailable` where the place itself is down."""

    async def read(self, account: Account) -> Stored:
        """One credential as it stands now."""
        ...

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that are kept for a venue."""
        ...


def version_of(content: bytes) -> str:
    """Tells contents apart within this process, and says nothing about them."""
    return hashlib.blake2b(content, digest_size=6, key=_PROCESS_KEY).hexdigest()


def fields_of(content: bytes) -> dict[str, str] | Unusable:
    """One JSON object whose values are strings; the fault names the field, never the value."""
    if len(content) > MATERIAL_MOST_BYTES:
        return Unusable("", f"is larger than {MATERIAL_MOST_BYTES} bytes")
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:  # its message and its `doc` hold the content
        return Unusable("", "is not valid JSON")
    if not isinstance(parsed, dict):
        return Unusable("", "is no JSON object")
    for name, value in parsed.items():
        if not isinstance(value, str):
            return Unusable(_visible(name), "is no string")
    return parsed


def _visible(name: str) -> str:
    cut = name[:SHOWN_FIELD_LENGTH]
    return cut if cut.isprintable() else "(a name with invisible characters)"
