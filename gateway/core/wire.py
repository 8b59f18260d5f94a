"""What goes over the wire and what comes back, as values.

Only the files in `venues/` write a WireRequest down (a test holds them to it), and they do so in a Signer or a
Login, so an unsigned request cannot be sent by accident.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.value import quick

REDACTED = "[redacted]"
SIGNATURE_IN_URL = re.compile(r"(?<=[?&]signature=)[^&]*")
PLAIN_HEADERS = frozenset({"accept", "content-type", "orderly-timestamp", "orderly-account-id", "accountid"})


@quick
@dataclass(frozen=True, slots=True)
class WireRequest:
    """Exact bytes: `url` is sent as it stands, never normalised, because the signature covers it."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def shown(self) -> "Shown":
        """What a person may see of it: headers are hidden unless they are known to be harmless."""
        headers = {name: value if name.lower() in PLAIN_HEADERS else REDACTED for name, value in self.headers}
        return Shown(self.method, SIGNATURE_IN_URL.sub(REDACTED, self.url), headers)


@dataclass(frozen=True, slots=True)
class Shown:
    """A request with everything secret taken out."""

    method: str
    url: str
    headers: Mapping[str, str]


@quick
@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; header names are lower case, `at_ms` is our wall clock when it was complete."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably no byte of the request left: DNS, connect, TLS, or our own refusal, which is `here`."""

    reason: str
    here: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Bytes may have arrived and no whole answer came. The order may be gone or not."""

    reason: str


HELD_BACK = NotSent("the slot was stale when a connection was there", here=True)

SendResult = Reply | NotSent | Unconfirmed
