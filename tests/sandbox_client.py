"""Small signers of the tests' own, and a client that speaks to a sandbox venue. Shared by tests/sandbox."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from nacl.signing import SigningKey
from yarl import URL

from gateway.sandbox import eddsa
from gateway.sandbox.config import DEFAULT_CREDENTIALS, DEFAULT_LIMITS, FREE_PORTS, SandboxConfig
from gateway.sandbox.server import RunningVenue
from gateway.sandbox.verify import base58_bytes, base58_text
from gateway.sandbox.window import Limit

FORM = "application/x-www-form-urlencoded"
GENEROUS = {venue: dict.fromkeys(named, Limit(10_000, 1000)) for venue, named in DEFAULT_LIMITS.items()}


def lenient(**changes: Any) -> SandboxConfig:
    """A sandbox on free ports whose limits no test meets by accident."""
    return SandboxConfig(**({"ports": FREE_PORTS, "limits": GENEROUS} | changes))


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to one venue, byte for byte."""

    venue: RunningVenue
    http: aiohttp.ClientSession
    account: str = "desk-a"
    more: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Said:
        url = URL(self.venue.control_url + target, encoded=True)
        skip = ("Content-Type",) if not body else ()
        async with self.http.request(
            method, url, headers=headers, data=body or None, skip_auto_headers=skip, allow_redirects=False
        ) as answer:
            return Said(answer.status, answer.headers, await answer.read())

    async def control(self, method: str, path: str, value: object = None) -> Any:
        body = b"" if value is None else orjson.dumps(value)
        return (await self.send(method, f"/_sandbox/{path}", {}, body)).json

    async def orders(self, **fields: object) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = (await self.control("POST", "orders", fields))["orders"]
        return made

    async def fault(self, kind: str, **fields: object) -> None:
        listed = await self.control("POST", "faults", {"faults": [{"kind": kind, **fields}]})
        assert "error" not in listed, listed

    async def stats(self) -> dict[str, Any]:
        figures: dict[str, Any] = await self.control("GET", "stats")
        return figures

    async def status_of(self, order_id: str) -> str:
        listed = (await self.control("GET", "orders"))["orders"]
        return str(next(order["status"] for order in listed if order["order_id"] == order_id))

    async def signed(self, method: str, target: str, body: bytes = b"") -> Said:
        """Send a request with the credential of the venue and account."""
        return await _SIGNED[self.venue.id](self, method, target, body)

    @property
    def credential(self) -> dict[str, str]:
        return DEFAULT_CREDENTIALS[self.venue.id][self.account]


def orderly_headers(
    client: Client, method: str, target: str, *, at_ms: int | None = None, padded: bool = False
) -> dict[str, str]:
    key = SigningKey(base58_bytes(client.credential["private_key"].removeprefix("ed25519:")))
    at = str(time.time_ns() // 1_000_000 if at_ms is None else at_ms)
    raw = key.sign(f"{at}{method}{target}".encode()).signature
    signature = base64.b64encode(raw) if padded else base64.urlsafe_b64encode(raw).rstrip(b"=")
    return {
        "orderly-account-id": client.credential["account_id"],
        "orderly-key": "ed25519:" + base58_text(bytes(key.verify_key)),
        "orderly-timestamp": at,
        "orderly-signature": signature.decode(),
        "Content-Type": FORM,
    }


def hashkey_query(client: Client, query: str, *, at_ms: int | None = None) -> str:
    at = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    text = "&".join(filter(None, (query, f"timestamp={at}")))
    secret = client.credential["secret"].encode()
    return f"{text}&signature={hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()}"


def loopring_headers(client: Client, method: str, target: str) -> dict[str, str]:
    path, _, query = target.partition("?")
    pairs = sorted(pair.split("=") for pair in query.split("&"))
    text = "&".join(f"{name}={quote(value, safe='-._~')}" for name, value in pairs)
    url = f"http://{urlsplit(client.venue.control_url).netloc}{path}"
    signed = f"{method}&{quote(url, safe='-._~')}&{quote(text, safe='-._~')}"
    message = int.from_bytes(hashlib.sha256(signed.encode()).digest()) % eddsa.FIELD
    return {
        "X-API-KEY": client.credential["api_key"],
        "X-API-SIG": eddsa_signature(int(client.credential["private_key"], 0), message),
    }


def eddsa_signature(private_key: int, message: int) -> str:
    """A signature by the documented recipe; plain affine arithmetic, unlike the verifier's."""
    hashed = hashlib.sha512(private_key.to_bytes(32, "little") + message.to_bytes(32, "little")).digest()
    nonce = int.from_bytes(hashed, "little") % eddsa.SUBGROUP_ORDER
    r, public = _times(eddsa.BASE, nonce), _times(eddsa.BASE, private_key)
    s = (nonce + private_key * eddsa.poseidon((*r, *public, message))) % eddsa.CURVE_ORDER
    return f"0x{r[0]:064x}{r[1]:064x}{s:064x}"


def _times(point: tuple[int, int], scalar: int) -> tuple[int, int]:
    total = (0, 1)
    for bit in f"{scalar:b}":
        total = _plus(total, total)
        total = _plus(total, point) if bit == "1" else total
    return total


def _plus(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2), q = left, right, eddsa.FIELD
    product = eddsa.D * x1 * x2 * y1 * y2
    x = (x1 * y2 + y1 * x2) * pow(1 + product, -1, q)
    y = (y1 * y2 - eddsa.A * x1 * x2) * pow(1 - product, -1, q)
    return x % q, y % q


async def etna_token(client: Client) -> str:
    headers = {
        "Et-App-Key": client.credential["app_key"],
        "Username": client.credential["username"],
        "Password": client.credential["password"],
    }
    token: str = (await client.send("POST", "/api/token", headers)).json["Token"]
    return token


async def b2trader_token(client: Client) -> str:
    body = orjson.dumps({"token": client.credential["offline_token"]})
    json = {"Content-Type": "application/json"}
    token: str = (await client.send("POST", "/frontoffice/api/v4/access-token", json, body)).json["accessToken"]
    return token


async def _orderly(client: Client, method: str, target: str, body: bytes) -> Said:
    return await client.send(method, target, orderly_headers(client, method, target), body)


async def _hashkey(client: Client, method: str, target: str, body: bytes) -> Said:
    path, _, query = target.partition("?")
    headers = {"X-HK-APIKEY": client.credential["api_key"]}
    return await client.send(method, f"{path}?{hashkey_query(client, query)}", headers, body)


async def _loopring(client: Client, method: str, target: str, body: bytes) -> Said:
    return await client.send(method, target, loopring_headers(client, method, target), body)


async def _etna(client: Client, method: str, target: str, body: bytes) -> Said:
    if "token" not in client.more:
        client.more["token"] = await etna_token(client)
    headers = {"Et-App-Key": client.credential["app_key"], "Authorization": f"Bearer {client.more['token']}"}
    return await client.send(method, target, headers, body)


async def _b2trader(client: Client, method: str, target: str, body: bytes) -> Said:
    if "token" not in client.more:
        client.more["token"] = await b2trader_token(client)
    headers = {"Authorization": f"Bearer {client.more['token']}", "accountId": client.credential["account_id"]}
    return await client.send(method, target, headers, body)


_SIGNED = {"orderly": _orderly, "hashkey": _hashkey, "loopring": _loopring, "etna": _etna, "b2trader": _b2trader}


def cancel_target(venue: str, order: Mapping[str, str]) -> str:
    """The path and query that cancel an order by its id, signature aside."""
    ref, symbol = order["order_id"], order["symbol"]
    account_id = DEFAULT_CREDENTIALS[venue][order["account"]].get("account_id", "")
    return {
        "orderly": f"/v1/order?order_id={ref}&symbol={symbol}",
        "hashkey": f"/api/v1/spot/order?orderId={ref}",
        "loopring": f"/api/v3/order?accountId={account_id}&orderHash={ref}",
        "etna": f"/api/v1.0/accounts/{account_id}/orders/{ref}",
        "b2trader": f"/frontoffice/api/v3/orders/{ref}",
    }[venue]
