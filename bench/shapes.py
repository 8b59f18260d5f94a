"""The five venues as a caller's cancel, a credential, and what the far end answers. Values and bytes only."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.sandbox.config import DEFAULT_CREDENTIALS

TOKEN = "bench-token"  # noqa: S105  made up, valid for one run
ACCOUNT = "desk-a"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """One venue. `ref` makes the n-th order id, `path` is what its cancel begins with, `body` what comes back."""

    venue: str
    ref: str
    query: str
    path: str
    order: re.Pattern[bytes]
    body: bytes | None
    credential: Mapping[str, str]

    def cancel(self, number: int, account: str = ACCOUNT) -> bytes:
        """The n-th cancel, as a caller asks the gateway for it."""
        return asked(f"/orders/{self.venue}/{self.ref % number}?by=order_id{self.query}&account={account}")

    def reply(self, head: bytes) -> bytes:
        """What the far end answers to a cancel."""
        if self.body is None:
            return NO_CONTENT
        found = self.order.search(head)
        body = self.body.replace(b"%s", found[1] if found else b"0").replace(b"%t", b"%d" % (time.time() * 1000))
        return HEAD % len(body) + body


def patient(request: bytes, timeout_ms: int) -> bytes:
    """The same, for a caller who waits so long."""
    return request.removesuffix(b"\r\n") + b"X-Request-Timeout-Ms: %d\r\n\r\n" % timeout_ms


def asked(target: str) -> bytes:
    """A cancel with the caller's token."""
    return (
        f"DELETE {target} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\nAccept: */*\r\n\r\n"
    ).encode()


def _known(venue: str) -> Mapping[str, str]:
    return DEFAULT_CREDENTIALS[venue][ACCOUNT]


# ETNA's and B2TRADER's tokens are fetched once a day or every five minutes; a cancel uses the one that is there.
SHAPES: Mapping[str, Shape] = {
    shape.venue: shape
    for shape in (
        Shape(
            "hashkey",
            "%d",
            "",
            "/api/v1/spot/order",
            re.compile(rb"[?&]orderId=(\d+)"),
            b'{"accountId":"1","symbol":"BTCUSDT","clientOrderId":"c","orderId":"%s","transactTime":"1700000000000",'
            b'"price":"1","origQty":"1","executedQty":"0","status":"CANCELED","timeInForce":"GTC","type":"LIMIT",'
            b'"side":"BUY"}',
            _known("hashkey"),
        ),
        Shape(
            "orderly",
            "%d",
            "&symbol=PERP_ETH_USDC",
            "/v1/order",
            re.compile(rb"[?&]order_id=(\d+)"),
            b'{"success":true,"timestamp":%t,"data":{"status":"CANCEL_SENT"}}',
            _known("orderly"),
        ),
        Shape(
            "loopring",
            "0x%064x",
            "",
            "/api/v3/order",
            re.compile(rb"[?&]orderHash=(0x[0-9a-f]+)"),
            b'{"hash":"%s","clientOrderId":"c","status":"cancelled","isIdempotent":false}',
            _known("loopring"),
        ),
        Shape(
            "etna",
            "%d",
            "",
            "/v1.0/accounts/",
            re.compile(rb"/orders/(\d+)"),
            None,
            {"account_id": "6303", "app_key": "bench-app-key", "token": "bench-etna-token"},
        ),
        Shape(
            "b2trader",
            "01J%023d",
            "",
            "/frontoffice/api/v3/orders/",
            re.compile(rb"/orders/([0-9A-Za-z]+)"),
            b'{"order":{"orderId":"%s","status":"Cancelled","type":"Limit","side":"Buy","requestedAmount":"1",'
            b'"remainingAmount":"1","cancellationDate":null}}',
            {"account_id": "64b0c0ffee64b0c0ffee0a0a", "jwt": "bench.jwt.token"},
        ),
    )
}


def reply_to(head: bytes) -> bytes:
    """What the venues answer: to a cancel what its venue does, and to whatever else that there is no such thing."""
    method, target, _ = head.split(b" ", 2)
    for shape in SHAPES.values():
        if target.decode().startswith(shape.path) and method == b"DELETE":
            return shape.reply(head)
    return NOT_FOUND
