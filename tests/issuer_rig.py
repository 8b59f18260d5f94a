"""An issuer of tokens: its keys, the set that it publishes, and tokens of every good and bad kind."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

Private = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
Jwk = dict[str, Any]
AUDIENCE = "cancel-gateway"


@dataclass(frozen=True)
class SigningKey:
    """One key of an issuer."""

    kid: str
    algorithm: str
    private: Private = field(repr=False)

    @property
    def jwk(self) -> Jwk:
        """As it is published."""
        return {**_public(self.private), "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(self, claims: Mapping[str, object], **headers: object) -> str:
        """A token of these claims."""
        return jwt.encode(dict(claims), self.private, algorithm=self.algorithm, headers={"kid": self.kid} | headers)


def _public(private: Private) -> Jwk:
    match private:
        case RSAPrivateKey():
            return RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case EllipticCurvePrivateKey():
            return ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        case Ed25519PrivateKey():
            return OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)


@cache
def key(algorithm: str, kid: str) -> SigningKey:
    """A key, the same one each time; RSA takes a tenth of a second to make."""
    match algorithm:
        case "RS256":
            return SigningKey(kid, algorithm, generate_rsa(65537, 2048))
        case "ES256":
            return SigningKey(kid, algorithm, generate_ec(SECP256R1()))
        case _:
            return SigningKey(kid, algorithm, Ed25519PrivateKey.generate())


def key_set(*keys: SigningKey | Mapping[str, object]) -> bytes:
    """The document that an issuer publishes."""
    return json.dumps({"keys": [one.jwk if isinstance(one, SigningKey) else dict(one) for one in keys]}).encode()


def part(content: object) -> str:
    """One part of a token, as it is written."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(subject: str, now_s: float, issuer: str = "https://issuer.example", **more: object) -> dict[str, object]:
    """The claims of a good token."""
    times = {"iat": int(now_s), "nbf": int(now_s), "exp": int(now_s) + 300}
    return {"iss": issuer, "aud": AUDIENCE, "sub": subject, **times, **more}


@dataclass
class Publisher:
    """The address where an issuer's keys lie; the document may change, and be gone (None)."""

    document: bytes | None
    url: str = ""
    asked: int = 0


@contextmanager
def publishing(document: bytes | None) -> Iterator[Publisher]:
    """A server in a thread of its own, so that it answers while a test waits for a process."""
    published = Publisher(document)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked += 1
            self.send_response(200 if published.document is not None else 503)
            self.send_header("Content-Length", str(len(published.document or b"")))
            self.end_headers()
            self.wfile.write(published.document or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        published.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()
