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


@dataclass(frozen=True, slots=True)
class Denied:
    """The store works, and will not let us have this one. What was read before may serve until it is stale."""

    problem: str


Stored = Material | Missing | Unusable | Denied


class Store(Protocol):
    """A place that holds credentials. Raises `ports.Unavailable` where the place itself is down."""

    async def read(self, account: Account) -> Stored:
        """One credential as it stands now."""
        ...

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that are kept for a venue."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and tokens."""
        ...


TOO_LARGE = Unusable("", f"is larger than {MATERIAL_MOST_BYTES} bytes")


def version_of(content: bytes) -> str:
    """Tells contents apart within this process, and says nothing about them."""
    return hashlib.blake2b(content, digest_size=6, key=_PROCESS_KEY).hexdigest()


def numbered(number: int | str, content: bytes) -> str:
    """A version that people can compare with what the store shows, and that a store begun anew does not repeat."""
    return f"{number}-{version_of(content)}"


def fields_of(content: bytes | bytearray) -> dict[str, str] | Unusable:
    """One JSON object whose values are strings; the fault names the field, never the value."""
    if len(content) > MATERIAL_MOST_BYTES:
        return TOO_LARGE
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:  # its message and its `doc` hold the content
        return Unusable("", "is not valid JSON")
    return fields_from(parsed)


def fields_from(parsed: object) -> dict[str, str] | Unusable:
    """Likewise of what has been parsed already."""
    if not isinstance(parsed, dict):
        return Unusable("", "is no JSON object")
    for name, value in parsed.items():
        if not isinstance(value, str):
            return Unusable(_visible(name), "is no string")
    if sum(len(name) + len(value) for name, value in parsed.items()) > MATERIAL_MOST_BYTES:
        return TOO_LARGE
    return parsed


def material_from(parsed: object, number: int | str) -> Material | Unusable:
    """What a store with versions holds, as a credential of that version."""
    fields = fields_from(parsed)
    if isinstance(fields, Unusable):
        return fields
    return Material(fields, numbered(number, orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)))


def wipe(content: bytearray) -> None:
    """Overwrite what was read, as soon as it has been understood."""
    content[:] = bytes(len(content))


def _visible(name: str) -> str:
    cut = name[:SHOWN_FIELD_LENGTH]
    return cut if cut.isprintable() else "(a name with invisible characters)"
