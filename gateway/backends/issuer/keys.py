"""An issuer's keys as it publishes them (RFC 7517). Bytes in, keys out; no I/O.

The key says which one algorithm it is for, and a token that names another is refused: a public key can't be taken for
a shared secret, and `none` is nobody's algorithm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

KEYS_MOST = 100
RSA_BITS_LEAST = 2048
ALGORITHMS: Mapping[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their id and algorithm, and the digest of what they were read from."""

    keys: Mapping[tuple[str, str], PyJWK] = field(default_factory=dict)
    digest: bytes = b""

    def get(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key that a token names; a token that names none means the only one without a name."""
        return self.keys.get((key_id, algorithm))


def read_keys(document: bytes) -> KeySet | str:
    """Every key that can verify; or why there is none. What else stands there is for others, and passed over."""
    try:
        tree = orjson.loads(document)
    except orjson.JSONDecodeError:
        return "the key set is no JSON"
    listed = tree.get("keys") if isinstance(tree, dict) else None
    if not isinstance(listed, list):
        return "the key set has no list of keys"
    found: dict[tuple[str, str], PyJWK] = {}
    for entry in listed[:KEYS_MOST]:
        if isinstance(entry, dict) and (taken := _key(entry)) is not None:
            found.setdefault(*taken)
    return KeySet(found, sha256(document).digest()) if found else "the key set has no key that can be used"


def _key(entry: dict[str, object]) -> tuple[tuple[str, str], PyJWK] | None:
    curve, key_id = entry.get("crv"), entry.get("kid", "")
    algorithm = ALGORITHMS.get((str(entry.get("kty")), None if curve is None else str(curve)))
    if algorithm is None or not isinstance(key_id, str) or not _is_for_us(entry, algorithm):
        return None
    try:
        key = PyJWK(entry, algorithm)
    except (PyJWTError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS_LEAST:
        return None
    return (key_id, algorithm), key


def _is_for_us(entry: Mapping[str, object], algorithm: str) -> bool:
    """Whether it is a public key, and nothing that it says of its use speaks against verifying."""
    operations = entry.get("key_ops", ["verify"])
    return (
        "d" not in entry
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )
