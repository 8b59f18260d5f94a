"""The names in a client certificate that a caller can be known by. The handshake has verified it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """A connection's certificate: its names, and when it ends (wall clock, seconds)."""

    names: tuple[str, ...] = ()
    until_s: float = 0.0

    def at(self, now_s: float) -> tuple[str, ...]:
        """The names, as long as it is valid: a connection may outlive its certificate."""
        return self.names if now_s < self.until_s else ()


NO_CERTIFICATE = Shown()


def names_in(certificate: Mapping[str, object]) -> tuple[str, ...]:
    """DNS names and URIs; the common name only where there are none (RFC 6125, 6.4.4).

    URIs have a colon and names have none, so that neither can be taken for the other.
    """
    alternatives = [pair for pair in _pairs(certificate.get("subjectAltName")) if pair[0] in {"DNS", "URI"}]
    if alternatives:
        return tuple(_plain(value) for kind, value in alternatives if (":" in value) is (kind == "URI"))
    subject = certificate.get("subject")
    fields = [pair for part in subject for pair in _pairs(part)] if isinstance(subject, tuple) else []
    return tuple(_plain(value) for kind, value in fields if kind == "commonName" and ":" not in value)


def _plain(name: str) -> str:
    """DNS names are the same in either case; of a URI's path that can't be said."""
    return name if ":" in name else name.lower()


def _pairs(value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, tuple):
        for pair in value:
            match pair:
                case (str(kind), str(text)):
                    yield kind, text
                case _:
                    continue
