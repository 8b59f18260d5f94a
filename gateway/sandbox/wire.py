"""A request as it was received and an answer as it will go out, and the strict reading of parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import orjson

_JSON = "application/json"
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its target byte for byte as the client sent it; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = b""
    at_ms: int = 0
    remote: str = ""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as it stands, without the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """A header that stands there exactly once; none and several are alike."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None

    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a venue says."""

    status: int
    body: bytes = b""
    content_type: str | None = _JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer to a request that breaks the venue's rules; `reason` is counted and comes from a closed set."""

    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a request; each venue has its own answer to it."""

    reason: str
    detail: str


def as_json(status: int, value: object) -> Answer:
    """An answer whose body is JSON."""
    return Answer(status, orjson.dumps(value))


def no_body(request: Request) -> Complaint | None:
    """Complain about a body where none belongs."""
    return Complaint("unexpected_body", "this call takes no body") if request.body else None


def parameters(
    encoded: str, required: frozenset[str] = frozenset(), optional: frozenset[str] = frozenset()
) -> dict[str, str] | Complaint:
    """Read a query or form strictly: each known parameter once, none unknown, none empty, none missing."""
    found: dict[str, str] = {}
    for pair in encoded.split("&") if encoded else ():
        name, equals, value = pair.partition("=")
        if not equals or not value or _ESCAPES.search(pair) or "+" in pair:
            return Complaint("malformed_parameter", f"cannot read parameter {name[:40]!r}")
        if name in found:
            return Complaint("duplicate_parameter", f"parameter {name[:40]!r} stands there twice")
        if name not in required | optional:
            return Complaint("unknown_parameter", f"unknown parameter {name[:40]!r}")
        found[name] = unquote(value)
    missing = sorted(required - found.keys())
    if missing:
        return Complaint("missing_parameter", f"parameter {missing[0]!r} is missing")
    return found
