"""What a token must say of itself (RFC 7519, RFC 8725) once its signature has been found good."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

LEEWAY_S = 10.0
SUBJECT_MOST = 512


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose tokens are taken, for whom they must be made out, and which claim names the caller."""

    issuer: str
    audience: str
    caller_claim: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a good token means, and until when (wall clock, seconds)."""

    name: str
    until_s: float


def read_claims(claims: object, expected: Expected, now_s: float) -> Subject | str:
    """Whom the claims mean, or what is wrong with them. A claim of the wrong kind counts as one that is not there."""
    if not isinstance(claims, Mapping):
        return "the token's claims are no object"
    if claims.get("iss") != expected.issuer:
        return "the token is of another issuer"
    if expected.audience not in _texts(claims.get("aud")):
        return "the token is for another audience"
    if (fault := _out_of_time(claims, now_s)) is not None:
        return fault
    name = claims.get(expected.caller_claim)
    if not isinstance(name, str) or not 0 < len(name) <= SUBJECT_MOST:
        return f"the token has no usable {expected.caller_claim}"
    return Subject(name, float(claims["exp"]) + LEEWAY_S)


def _out_of_time(claims: Mapping[object, object], now_s: float) -> str | None:
    expires = _seconds(claims.get("exp"))
    if expires is None:
        return "the token does not say when it expires"
    if now_s >= expires + LEEWAY_S:
        return "the token has expired"
    for name in ("nbf", "iat"):
        if name in claims and ((begins := _seconds(claims[name])) is None or begins > now_s + LEEWAY_S):
            return "the token is not valid yet"
    return None


def _seconds(value: object) -> float | None:
    """A moment, as RFC 7519 writes it; a huge whole number can't become a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None


def _texts(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list) else (value,)
