"""Checks of signatures and tokens that more than one file needs: Ed25519 keys, HMAC, JWT. No requests here."""

import base64
import hashlib
import hmac
import re

import orjson
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SEED_BYTES = 32
_ED25519_URL_SAFE = re.compile(r"[A-Za-z0-9_-]{86}")
_ED25519_STANDARD = re.compile(r"[A-Za-z0-9+/]{86}==")


def ed25519_key(private_key: str) -> tuple[VerifyKey, str]:
    """The public half of an `ed25519:` key of 32 or 64 bytes, ready to verify and as text; raises ValueError."""
    raw = base58_bytes(private_key.removeprefix("ed25519:"))
    if len(raw) not in {_SEED_BYTES, 2 * _SEED_BYTES}:
        raise ValueError("an Ed25519 key has 32 or 64 bytes")
    public = SigningKey(raw[:_SEED_BYTES]).verify_key
    return public, f"ed25519:{base58_text(bytes(public))}"


def ed25519_holds(signature: str, message: bytes, key: VerifyKey) -> bool:
    """Whether a signature holds, given url-safe without padding or in the standard form with it."""
    if _ED25519_URL_SAFE.fullmatch(signature):
        raw = base64.urlsafe_b64decode(signature + "==")
    elif _ED25519_STANDARD.fullmatch(signature):
        raw = base64.b64decode(signature)
    else:
        return False
    try:
        key.verify(message, raw)
    except BadSignatureError:
        return False
    return True


def base58_bytes(text: str) -> bytes:
    """Decode base 58; raises ValueError."""
    number = 0
    for letter in text:
        number = number * 58 + _BASE58.index(letter)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def base58_text(raw: bytes) -> str:
    """Encode base 58."""
    number, letters = int.from_bytes(raw), ""
    while number:
        number, rest = divmod(number, 58)
        letters = _BASE58[rest] + letters
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + letters


def hmac_sha256_hex(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in lower-case hex."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def same_text(left: str, right: str) -> bool:
    """Compare without telling where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


def jwt_token(claims: dict[str, object], secret: bytes) -> str:
    """A JSON web token, HS256."""
    head = _segment(orjson.dumps({"alg": "HS256", "typ": "JWT"}))
    signed = f"{head}.{_segment(orjson.dumps(claims))}"
    return f"{signed}.{_segment(hmac.digest(secret, signed.encode(), 'sha256'))}"


def jwt_claims(token: str, secret: bytes) -> dict[str, object] | None:
    """The claims of a token that this secret signed; None where it did not."""
    signed, _, signature = token.rpartition(".")
    expected = _segment(hmac.digest(secret, signed.encode(), "sha256"))
    if signed.count(".") != 1 or not same_text(signature, expected):
        return None
    payload = signed.partition(".")[2]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims if isinstance(claims, dict) else None


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
