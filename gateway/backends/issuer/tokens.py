"""An issuer's token becomes the subject that it means (ports.Tokens). Verified once, then known by its digest."""

from dataclasses import dataclass

import orjson
from jwt import PyJWK
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from gateway.backends.issuer.jwks import IssuerKeys
from gateway.core.access import Denied
from gateway.core.claims import Expected, Subject, read_claims
from gateway.core.outcome import Outcome
from gateway.ports import Clock

KNOWN_MOST = 10_000
TOKEN_MOST = 8 * 1024
TAKEN = frozenset({"RS256", "ES256", "EdDSA"})
DOTS = 2
JWS = PyJWS()


@dataclass(frozen=True, slots=True)
class Head:
    """What a token says of its signature. `jku`, `jwk`, `x5u` and `x5c` would name a key of the sender's: not read."""

    key_id: str
    algorithm: str


class IssuerTokens:
    """Verifies tokens against the keys of one issuer. A key that is gone takes what was known by it along."""

    def __init__(self, keys: IssuerKeys, expected: Expected, clock: Clock, known_most: int = KNOWN_MOST) -> None:
        self._keys = keys
        self._expected = expected
        self._clock = clock
        self._known_most = known_most
        self._known: dict[str, Subject] = {}
        self._generation = keys.generation

    def known(self, digest: str) -> str | None:
        """Whom a token that was verified before means, as long as it and the keys hold."""
        subject = self._known.get(digest)
        if subject is None or self._generation != self._keys.generation or not self._keys.usable:
            return None
        self._keys.freshen()
        return subject.name if self._clock.now_ms() / 1000 < subject.until_s else None

    async def subject(self, token: str, digest: str) -> str | Denied:
        """Whom a token means; or why it is not taken."""
        if (name := self.known(digest)) is not None:
            return name
        head = read_head(token)
        if isinstance(head, str):
            return Denied(Outcome.UNAUTHENTICATED, head)
        key = await self._keys.sought(head.key_id, head.algorithm)
        if key is None:
            return Denied(Outcome.UNAUTHENTICATED, "the issuer has no such key, or its keys cannot be had now")
        claims = signed_claims(token, key)
        if claims is None:
            return Denied(Outcome.UNAUTHENTICATED, "the token's signature is not good")
        subject = read_claims(claims, self._expected, self._clock.now_ms() / 1000)
        if isinstance(subject, str):
            return Denied(Outcome.UNAUTHENTICATED, subject)
        self._remember(digest, subject)
        return subject.name

    def _remember(self, digest: str, subject: Subject) -> None:
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        self._known.pop(digest, None)
        while len(self._known) >= self._known_most:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = subject


def read_head(token: str) -> Head | str:
    """What a token says of its signature, or why it can be none of ours."""
    if token.count(".") != DOTS or len(token) > TOKEN_MOST or not token.isascii():
        return "a valid bearer token is needed"
    try:
        head = JWS.get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        return "the token cannot be read"
    algorithm, key_id = head.get("alg"), head.get("kid", "")
    if not isinstance(algorithm, str) or algorithm not in TAKEN:
        return "the token's algorithm is not taken"
    if "crit" in head or not isinstance(key_id, str):
        return "the token asks for more than is understood"
    return Head(key_id, algorithm)


def signed_claims(token: str, key: PyJWK) -> object | None:
    """What a token says, where it is signed with this key and by the one algorithm of the key."""
    try:
        claims: object = orjson.loads(JWS.decode_complete(token, key, algorithms=[key.algorithm_name])["payload"])
    except (PyJWTError, ValueError):
        return None
    return claims
