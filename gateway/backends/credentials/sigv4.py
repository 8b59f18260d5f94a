"""AWS Signature Version 4 of a POST with a JSON body. Pure: the time is an argument.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (read November 2026)
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs; `until` is wall time in ms, None where it has no end."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the host as it stands in its header, and what the signature is good for."""

    host: str
    region: str
    service: str


def signed_headers(
    identity: Identity, target: Target, headers: Mapping[str, str], body: bytes, at: datetime
) -> dict[str, str]:
    """All headers of `POST /`, the signature among them; `at` is in UTC."""
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    every = {name.lower(): value for name, value in headers.items()} | {"host": target.host, "x-amz-date": stamp}
    if identity.token is not None:
        every["x-amz-security-token"] = identity.token
    names = ";".join(sorted(every))
    scope = f"{stamp[:8]}/{target.region}/{target.service}/aws4_request"
    canonical = "\n".join([
        "POST", "/", "", *(f"{name}:{' '.join(every[name].split())}" for name in sorted(every)), "", names,
        hashlib.sha256(body).hexdigest(),
    ])  # fmt: skip
    to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(_key(identity, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = f"{ALGORITHM} Credential={identity.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return every | {"authorization": authorization}


def _key(identity: Identity, scope: str) -> bytes:
    key = f"AWS4{identity.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
