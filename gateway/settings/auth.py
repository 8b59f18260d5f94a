"""What `[auth]` may say: whose tokens are taken beside the static ones."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.settings.paths import optional, readable
from gateway.settings.schema import Section
from gateway.settings.syntax import base_url

STALE_DEFAULT_S, STALE_MOST_S = 6 * 3600, 7 * 86_400


@dataclass(frozen=True, slots=True)
class Jwt:
    """An issuer, and where its keys lie. `stale_seconds`: how long keys serve that can't be fetched anew."""

    issuer: str
    audience: str
    jwks_url: str
    caller_claim: str
    jwks_ca: Path | None = None
    jwks_token_file: Path | None = None
    stale_seconds: int = STALE_DEFAULT_S


def read_auth(root: Section, folder: Path) -> Jwt | None:
    """The issuer; None where there is none."""
    with root.section("auth") as auth:
        if not auth.has("jwt"):
            return None
        with auth.section("jwt") as jwt:
            ca, token_file = (optional(jwt, name, folder) for name in ("jwks_ca", "jwks_token_file"))
            if ca is not None and readable(jwt, "jwks_ca", ca):
                _check_ca(jwt, ca)
            if token_file is not None:
                readable(jwt, "jwks_token_file", token_file)
            return Jwt(
                issuer=jwt.text("issuer", example="the issuer's address"),
                audience=_never_empty(jwt, "audience", "cancel-gateway"),
                jwks_url=jwt.parsed("jwks_url", base_url, None, ""),
                caller_claim=_never_empty(jwt, "caller_claim", "sub"),
                jwks_ca=ca,
                jwks_token_file=token_file,
                stale_seconds=jwt.whole("stale_seconds", STALE_DEFAULT_S, 60, STALE_MOST_S),
            )


def _never_empty(jwt: Section, key: str, default: str) -> str:
    text = jwt.text(key, default)
    if not text:
        jwt.fault(key, "is empty", f"give a name, or take it out for {default}")
    return text


def _check_ca(jwt: Section, ca: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
    except (ssl.SSLError, OSError):
        jwt.fault("jwks_ca", "holds no certificate", "give a PEM file")
