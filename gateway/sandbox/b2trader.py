"""B2TRADER: a bearer JWT with an account header; an offline token buys access tokens. One cancel call, nothing else.

Documented gaps, and what stands here: no read and no list, because none was found; an order that is final already
answers 409; errors are worded as problem details; access tokens are HS256 and last as long as configured.
"""

import hashlib
import re
import secrets
from typing import Final

import orjson

from gateway.sandbox.book import Order, State, Taken, Twist
from gateway.sandbox.faults import Canned
from gateway.sandbox.venue import Call, Caller, Desk, Endpoint, ErrorShape, Group, instant, plain, route
from gateway.sandbox.verify import jwt_claims, jwt_token
from gateway.sandbox.wire import Answer, Complaint, Refusal, as_json, no_body, parameters

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_WORDS: Final = {
    State.OPEN: "Working",
    State.FILLED: "Completed",
    State.CANCELLED: "Cancelled",
    State.EXPIRED: "Expired",
    State.REJECTED: "Rejected",
}

_CANCEL_ONE: Final = Endpoint("cancel_one", Group.CANCEL, "cancel")
_TOKEN: Final = Endpoint("token", Group.TOKEN, None)


class B2Trader:
    """The venue."""

    id = "b2trader"
    base_path = ""
    first_symbol = "spot.eth_usdt"
    ban_ms = 0
    routes = (
        route("DELETE", "/frontoffice/api/v3/orders/(?P<order>[^/]+)", _CANCEL_ONE),
        route("POST", "/frontoffice/api/v4/access-token", _TOKEN),
    )
    canned = {  # noqa: RUF012  never changed
        Canned.RATE_LIMITED: ErrorShape(429, None, "Too Many Requests"),
        Canned.BANNED: ErrorShape(418, None, "Blocked"),
        Canned.FORBIDDEN: ErrorShape(403, None, "Forbidden"),
        Canned.SERVER_ERROR: ErrorShape(500, None, "Internal Server Error"),
        Canned.AUTH_FAILURE: ErrorShape(401, None, "Unauthorized"),
        Canned.ERROR_CODE: ErrorShape(422, None, "Unprocessable Content"),
        Canned.STRING_CODES: ErrorShape(400, None, "Bad Request"),
    }

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._secret = secrets.token_bytes(32)
        self._by_offline_token = {fields["offline_token"]: name for name, fields in desk.accounts.items()}

    def authenticate(self, call: Call) -> Caller | Refusal:
        """Check the bearer token and that the account header belongs to it."""
        if call.endpoint is _TOKEN:
            return self._exchange(call)
        scheme, _, token = (call.request.header("authorization") or "").partition(" ")
        claims = jwt_claims(token, self._secret) if scheme == "Bearer" else None
        if claims is None:
            return self._denied(401, "bad_token", "The access token is missing or not ours.")
        expires_s = claims.get("exp")
        if not isinstance(expires_s, int) or expires_s * 1000 <= call.request.at_ms:
            return self._denied(401, "expired_token", "The access token has expired.")
        account = str(claims.get("sub"))
        account_id = call.request.header("accountid")
        if account_id is None:
            return self._denied(400, "missing_header", "The accountId header is required.")
        if account not in self.desk.accounts or account_id != self.desk.accounts[account]["account_id"]:
            return self._denied(403, "foreign_account", "The account is not yours.")
        return Caller(account, account)

    def _exchange(self, call: Call) -> Caller | Refusal:
        if call.request.content_type() != "application/json":
            return self._denied(415, "wrong_content_type", "The body must be JSON.")
        try:
            body = orjson.loads(call.request.body)
        except orjson.JSONDecodeError:
            body = None
        token = body.get("token") if isinstance(body, dict) and body.keys() == {"token"} else None
        if not isinstance(token, str):
            return self._denied(400, "malformed_body", "The body must be an object with a token.")
        name = self._by_offline_token.get(token)
        if name is None:
            return self._denied(401, "unknown_key", "The offline token is not known.")
        return Caller(name, name)

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:  # noqa: PLR0911  one per rule
        """Give an access token, or cancel."""
        query = parameters(call.request.query)
        if isinstance(query, Complaint):
            return self._denied(400, query.reason, query.detail)
        if call.endpoint is _TOKEN:
            return as_json(200, {"accessToken": self.access_token(call.account)})
        complaint = no_body(call.request)
        if complaint is not None:
            return self._denied(400, complaint.reason, complaint.detail)
        order_id = call.captures["order"]
        if not _ULID.fullmatch(order_id):
            return self._denied(400, "bad_id", "The order id is not in its format.")
        order = self.desk.book.by_order_id(call.account, order_id)
        if order is None:
            self.desk.missed(order_id)
            return self.error(404, None, "Not Found")
        if self.desk.cancel(order, "cancel_one", twist) in {Taken.FINAL, Taken.RACED}:
            return self.error(409, None, f"The order is {self.word(order)}.")
        return as_json(200, {"order": self._row(order)})

    def access_token(self, account: str) -> str:
        """A fresh access token for an account of this sandbox."""
        now_ms = self.desk.clock.wall_ms()
        expires_s = (now_ms + self.desk.config.b2trader_token_ms) // 1000
        return jwt_token({"sub": account, "iat": now_ms // 1000, "exp": expires_s}, self._secret)

    def _row(self, order: Order) -> dict[str, object]:
        base, _, quote = order.symbol.partition(".")[2].upper().partition("_")
        return {
            "marketId": order.symbol,
            "marketDisplayName": f"SPOT {base}/{quote}",
            "orderId": order.order_id,
            "orderType": "Limit",
            "side": order.side,
            "status": self.word(order),
            "source": "Manual",
            "timeInForce": "Gtc",
            "commission": "0",
            "requestedAmount": plain(order.quantity),
            "remainingAmount": plain(order.remaining),
            "requestedPrice": plain(order.price),
            "executionPrice": plain(order.price) if order.filled else "0",
            "createdAt": instant(order.created_ms),
            "updatedAt": instant(order.updated_ms),
            "rejectDetails": "",
            "cancellationDate": None,  # as in the documented example: not to be relied on
            "fillFactor": plain(order.filled / order.quantity) if order.quantity else "0",
        }

    def word(self, order: Order) -> str:
        """Pending while a cancel is on its way, else Working, Completed, Cancelled, Expired, Rejected."""
        return "Pending" if order.pending else _WORDS[order.state]

    def order_id(self, number: int) -> str:
        """A ULID: ten letters of time, sixteen that look random."""
        digest = int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:10])
        return _letters(number // 1000, 10) + _letters(digest, 16)

    def client_id(self, number: int) -> str | None:  # noqa: ARG002  this venue has none
        """None: orders carry no client id here."""
        return None

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error as problem details; it has no codes."""
        problem = {"title": message, "status": status}
        return as_json(status, problem if code is None else problem | {"code": code})

    def _denied(self, status: int, reason: str, message: str) -> Refusal:
        return Refusal(self.error(status, None, message), reason)


def _letters(value: int, length: int) -> str:
    return "".join(_CROCKFORD[value >> 5 * place & 31] for place in reversed(range(length)))
