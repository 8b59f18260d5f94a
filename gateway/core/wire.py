"""What goes over the wire and what comes back, as values.

Only the files in `venues/` write a WireRequest down (a test holds them to it), and they do so in a Signer or a
Login, so an unsigned request cannot be sent by accident.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WireRequest:
    """Exact bytes: `url` is sent as it stands, never normalised, because the signature covers it."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are lower case, `at_ms` is our wall clock when it was complete."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably no byte of the request left: DNS, connect, TLS, or our own refusal."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Bytes may have arrived and no whole answer came. The order may be gone or not."""

    reason: str


SendResult = Reply | NotSent | Unconfirmed
