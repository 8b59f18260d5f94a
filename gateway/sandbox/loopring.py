"""Loopring: API key, and EdDSA over method, URL and sorted parameters; two batch calls with a result per id.

Documented gaps, and what stands here: the batch answer is a list of id, result, error; reads need the API key only,
but a signature that is sent must hold; errors come with HTTP 400; 429 carries plain text.
"""

import hashlib
import re
from typing import Final, assert_never
from urllib.parse import quote

from gateway.sandbox.book import Order, State, Taken, Twist
from gateway.sandbox.eddsa import Affine, holds, message_integer, public_key
from gateway.sandbox.faults import Canned
from gateway.sandbox.venue import Call, Caller, Desk, Endpoint, ErrorShape, Group, plain, route
from gateway.sandbox.wire import Answer, Complaint, Refusal, Request, as_json, no_body, parameters

_BATCH_MOST: Final = 10
_PAGE_MOST: Final = 50
_CLIENT_ID_MOST_BYTES: Final = 120
_HASH = re.compile(r"0x[0-9a-f]{64}")
_DIGITS = re.compile(r"[0-9]{1,19}")
_ACCOUNT: Final = frozenset({"accountId"})
_LIST_OPTIONS: Final = frozenset({"market", "start", "end", "side", "status", "limit", "offset"})
_WORDS: Final = {
    State.FILLED: "processed",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
    State.REJECTED: "failed",
}

_CANCEL_ONE: Final = Endpoint("cancel_one", Group.CANCEL, "cancel")
_BATCH_BY_HASH: Final = Endpoint("batch_by_hash", Group.CANCEL, "batch_by_hash")
_BATCH_BY_CLIENT_ID: Final = Endpoint("batch_by_client_id", Group.CANCEL, "batch_by_client_id")
_READ_ONE: Final = Endpoint("read_one", Group.READ, "read")
_LIST: Final = Endpoint("list", Group.READ, "list")


class Loopring:
    """The venue."""

    id = "loopring"
    base_path = ""
    first_symbol = "LRC-ETH"
    ban_ms = 0
    routes = (
        route("DELETE", "/api/v3/order", _CANCEL_ONE),
        route("DELETE", "/api/v3/orders/byHash", _BATCH_BY_HASH),
        route("DELETE", "/api/v3/orders/byClientOrderId", _BATCH_BY_CLIENT_ID),
        route("GET", "/api/v3/order", _READ_ONE),
        route("GET", "/api/v3/orders", _LIST),
    )
    canned = {  # noqa: RUF012  never changed
        Canned.RATE_LIMITED: ErrorShape(429, None, "Too Many Requests"),
        Canned.BANNED: ErrorShape(418, None, "Suspended"),
        Canned.FORBIDDEN: ErrorShape(403, None, "Forbidden"),
        Canned.SERVER_ERROR: ErrorShape(500, 100000, "unknown error"),
        Canned.AUTH_FAILURE: ErrorShape(400, 104005, "signature is invalid"),
        Canned.ERROR_CODE: ErrorShape(400, 102118, "cancel order failed, please try again later"),
        Canned.STRING_CODES: ErrorShape(400, "102118", "cancel order failed, please try again later"),
    }

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._accounts: dict[str, tuple[str, str, Affine]] = {}
        for name, fields in desk.accounts.items():
            key = public_key(int(fields["private_key"], 0))
            self._accounts[fields["account_id"]] = (name, fields["api_key"], key)

    def authenticate(self, call: Call) -> Caller | Refusal:  # noqa: PLR0911  one per rule
        """Check API key, account and signature."""
        request = call.request
        api_key, signature = request.header("x-api-key"), request.header("x-api-sig")
        if api_key is None:
            return self._denied(104001, "missing_header", "api key is empty")
        found = parameters(request.query, optional=_names(call.endpoint))
        if isinstance(found, Complaint):
            return self._refused(found)
        name, known_key, public = self._accounts.get(found.get("accountId", ""), ("", "", None))
        if public is None:
            return self._denied(104003, "unknown_account", "account id is invalid")
        if api_key != known_key:
            return self._denied(104002, "unknown_key", "api key is invalid")
        if signature is None:
            unsigned = self._denied(104004, "missing_signature", "signature is empty")
            return unsigned if call.endpoint.group is Group.CANCEL else Caller(name, api_key)
        if not holds(signature, message_integer(signed_text(request, found)), public):
            return self._denied(104005, "bad_signature", "signature is invalid")
        return Caller(name, api_key)

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:
        """Cancel, read, list."""
        found = no_body(call.request) or parameters(call.request.query, _ACCOUNT, _names(call.endpoint))
        if isinstance(found, Complaint):
            return self._refused(found)
        match call.endpoint.name:
            case "cancel_one":
                return self._cancel(call, found, twist)
            case "batch_by_hash" | "batch_by_client_id":
                return self._batch(call, found, twist)
            case "list":
                return self._list(call, found)
            case _:
                return self._read(call, found)

    def _cancel(self, call: Call, found: dict[str, str], twist: Twist) -> Answer | Refusal:
        refs = {name: found[name] for name in ("orderHash", "clientOrderId") if name in found}
        if len(refs) != 1:
            return self._refused(Complaint("bad_id", "one of orderHash and clientOrderId is wanted"))
        ((name, ref),) = refs.items()
        complaint = _wrong_ref(name, ref)
        if complaint is not None:
            return self._refused(complaint)
        order = self._find(call, name, ref)
        failure = self._cancel_item(order, ref, call, twist)
        if order is None or failure is not None:
            code, message = failure or (100000, "unknown error")
            return self.error(400, code, message)
        status = "processing" if order.pending else self.word(order)
        ids = {"hash": order.order_id, "clientOrderId": order.client_id}
        return as_json(200, ids | {"status": status, "isIdempotent": False})

    def _batch(self, call: Call, found: dict[str, str], twist: Twist) -> Answer | Refusal:
        name = "orderHash" if call.endpoint is _BATCH_BY_HASH else "clientOrderId"
        if name not in found:
            return self._refused(Complaint("missing_parameter", f"parameter {name!r} is missing"))
        refs = found[name].split(",")
        if len(refs) > _BATCH_MOST:
            return self._refused(Complaint("too_many_ids", f"at most {_BATCH_MOST} ids"))
        complaint = next(filter(None, (_wrong_ref(name, ref) for ref in refs)), None)
        if complaint is not None:
            return self._refused(complaint)
        locked = (102118, "cancel order failed, please try again later")
        failures = [
            locked if n < twist.fail_ids else self._cancel_item(self._find(call, name, ref), ref, call, twist)
            for n, ref in enumerate(refs)
        ]
        items = [_item(ref, failure) for ref, failure in zip(refs, failures, strict=True)]
        return as_json(200, items[twist.fail_ids if twist.silent else 0 :])

    def _cancel_item(self, order: Order | None, ref: str, call: Call, twist: Twist) -> tuple[int, str] | None:
        if order is None:
            self.desk.missed(ref)
            return 102117, "no order to cancel"
        match self.desk.cancel(order, call.endpoint.name, twist):
            case Taken.CANCELLED | Taken.PENDING:
                return None
            case Taken.ALREADY_PENDING:
                return 102122, "order is already being cancelled"
            case Taken.FINAL | Taken.RACED:
                return 100001, f"order in status {self.word(order).upper()} can't be cancelled"
            case taken:
                assert_never(taken)

    def _read(self, call: Call, found: dict[str, str]) -> Answer | Refusal:
        ref = found.get("orderHash", "")
        complaint = _wrong_ref("orderHash", ref)
        if complaint is not None:
            return self._refused(complaint)
        order = self.desk.book.by_order_id(call.account, ref)
        return self.error(400, 107003, "order does not exist") if order is None else as_json(200, self._row(order))

    def _list(self, call: Call, found: dict[str, str]) -> Answer | Refusal:
        limit, offset = found.get("limit", "50"), found.get("offset", "0")
        if not (_DIGITS.fullmatch(limit) and _DIGITS.fullmatch(offset) and 0 < int(limit) <= _PAGE_MOST):
            return self._refused(Complaint("bad_page", f"limit 1 to {_PAGE_MOST}, offset from 0"))
        wanted = set(found["status"].split(",")) if "status" in found else None
        orders = [
            order
            for order in reversed([*self.desk.book.orders()])  # the newest first
            if order.account == call.account
            and found.get("market", order.symbol) == order.symbol
            and (wanted is None or self.word(order) in wanted)
        ]
        page = orders[int(offset) : int(offset) + int(limit)]
        return as_json(200, {"totalNum": len(orders), "orders": [self._row(order) for order in page]})

    def _find(self, call: Call, name: str, ref: str) -> Order | None:
        book = self.desk.book
        by_hash = name == "orderHash"
        return book.by_order_id(call.account, ref) if by_hash else book.by_client_id(call.account, ref)

    def _row(self, order: Order) -> dict[str, object]:
        volumes = {
            "baseAmount": plain(order.quantity),
            "quoteAmount": plain(order.quantity * order.price),
            "baseFilled": plain(order.filled),
            "quoteFilled": plain(order.filled * order.price),
            "fee": "0",
        }
        return {
            "hash": order.order_id,
            "clientOrderId": order.client_id,
            "side": order.side,
            "market": order.symbol,
            "price": plain(order.price),
            "volumes": volumes,
            "validity": {"start": order.created_ms // 1000, "end": order.created_ms // 1000 + 86_400},
            "orderType": "LIMIT_ORDER",
            "tradeChannel": "MIXED",
            "status": self.word(order),
        }

    def word(self, order: Order) -> str:
        """Processing, processed, cancelling, cancelled, expired, failed."""
        return _WORDS.get(order.state) or ("cancelling" if order.pending else "processing")

    def order_id(self, number: int) -> str:
        """A hash in today's form."""
        return "0x" + hashlib.sha256(str(number).encode()).hexdigest()

    def client_id(self, number: int) -> str | None:
        """Up to 120 bytes."""
        return f"c-{number}"

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error in the venue's own shape; plain text where it documents no code."""
        if code is None:
            return Answer(status, message.encode(), "text/plain")
        return as_json(status, {"resultInfo": {"code": code, "message": message}})

    def _denied(self, code: int, reason: str, message: str) -> Refusal:
        return Refusal(self.error(400, code, message), reason)

    def _refused(self, complaint: Complaint) -> Refusal:
        code = 102119 if complaint.reason == "bad_hash" else 100001
        return Refusal(self.error(400, code, complaint.detail), complaint.reason)


def signed_text(request: Request, found: dict[str, str]) -> str:
    """What the signature covers: method, the URL that was dialled, the parameters by name with values encoded twice."""
    url = f"http://{request.header('host') or ''}{request.path}"
    query = "&".join(f"{name}={_encoded(found[name])}" for name in sorted(found))
    return f"{request.method}&{_encoded(url)}&{_encoded(query)}"


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")


def _names(endpoint: Endpoint) -> frozenset[str]:
    match endpoint.name:
        case "cancel_one":
            return _ACCOUNT | {"orderHash", "clientOrderId"}
        case "batch_by_hash" | "read_one":
            return _ACCOUNT | {"orderHash"}
        case "batch_by_client_id":
            return _ACCOUNT | {"clientOrderId"}
        case _:
            return _ACCOUNT | _LIST_OPTIONS


def _wrong_ref(name: str, ref: str) -> Complaint | None:
    if name == "orderHash":
        return None if _HASH.fullmatch(ref) else Complaint("bad_hash", "order hash is invalid")
    fits = 0 < len(ref.encode()) <= _CLIENT_ID_MOST_BYTES
    return None if fits else Complaint("bad_id", f"clientOrderId has 1 to {_CLIENT_ID_MOST_BYTES} bytes")


def _item(ref: str, failure: tuple[int, str] | None) -> dict[str, object]:
    if failure is None:
        return {"id": ref, "result": True}
    return {"id": ref, "result": False, "error": {"code": failure[0], "message": failure[1]}}
