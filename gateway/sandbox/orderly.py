"""Orderly Network: Ed25519 over timestamp, method, path and body; every cancel is asynchronous.

Documented gaps, and what stands here: a stale timestamp answers -1001; an order that filled answers -1006 like one
that was cancelled; a value may be escaped in any way, because the text signed is the query as received.
"""

import re
from typing import TYPE_CHECKING, Final

from gateway.sandbox.book import Order, State, Taken, Twist
from gateway.sandbox.faults import Canned
from gateway.sandbox.venue import Call, Caller, Desk, Endpoint, ErrorShape, Group, number, route
from gateway.sandbox.verify import ed25519_holds, ed25519_key
from gateway.sandbox.wire import Answer, Complaint, Refusal, Request, as_json, no_body, parameters

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

_CLOCK_MS: Final = 300_000
_BATCH_MOST: Final = 10
_PAGE_MOST: Final = 500
_DIGITS = re.compile(r"[0-9]{1,19}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,35}")
_SYMBOL = re.compile(r"PERP_[A-Z0-9]+_USDC")
_LIST_OPTIONS: Final = frozenset({"symbol", "status", "page", "size", "side"})
_WORDS: Final = {
    State.FILLED: "FILLED",
    State.CANCELLED: "CANCELLED",
    State.EXPIRED: "CANCELLED",
    State.REJECTED: "REJECTED",
}

_CANCEL_BY_ID: Final = Endpoint("cancel_by_id", Group.CANCEL, "cancel_by_id")
_CANCEL_BY_CLIENT_ID: Final = Endpoint("cancel_by_client_id", Group.CANCEL, "cancel_by_client_id")
_BATCH_BY_ID: Final = Endpoint("batch_by_id", Group.CANCEL, "batch_by_id")
_BATCH_BY_CLIENT_ID: Final = Endpoint("batch_by_client_id", Group.CANCEL, "batch_by_client_id")
_CANCEL_ALL: Final = Endpoint("cancel_all", Group.CANCEL, "cancel_all")
_READ_BY_ID: Final = Endpoint("read_by_id", Group.READ, "read_by_id")
_READ_BY_CLIENT_ID: Final = Endpoint("read_by_client_id", Group.READ, "read_by_client_id")
_LIST: Final = Endpoint("list", Group.READ, "list")
_SYSTEM_INFO: Final = Endpoint("system_info", Group.INFO, "system_info")


class Orderly:
    """The venue."""

    id = "orderly"
    base_path = ""
    first_symbol = "PERP_ETH_USDC"
    ban_ms = 0
    routes = (
        route("DELETE", "/v1/order", _CANCEL_BY_ID),
        route("DELETE", "/v1/client/order", _CANCEL_BY_CLIENT_ID),
        route("DELETE", "/v1/batch-order", _BATCH_BY_ID),
        route("DELETE", "/v1/client/batch-order", _BATCH_BY_CLIENT_ID),
        route("DELETE", "/v1/orders", _CANCEL_ALL),
        route("GET", "/v1/order/(?P<ref>[^/]+)", _READ_BY_ID),
        route("GET", "/v1/client/order/(?P<ref>[^/]+)", _READ_BY_CLIENT_ID),
        route("GET", "/v1/orders", _LIST),
        route("GET", "/v1/public/system_info", _SYSTEM_INFO),
    )
    canned = {  # noqa: RUF012  never changed
        Canned.RATE_LIMITED: ErrorShape(429, -1003, "Rate limit exceed."),
        Canned.BANNED: ErrorShape(418, -1003, "Rate limit exceed."),
        Canned.FORBIDDEN: ErrorShape(403, -1002, "Unauthorized."),
        Canned.SERVER_ERROR: ErrorShape(500, -1000, "An unknown error occurred while processing the request."),
        Canned.AUTH_FAILURE: ErrorShape(401, -1002, "Unauthorized."),
        Canned.ERROR_CODE: ErrorShape(400, -1012, "The request was refused by an inner module."),
        Canned.STRING_CODES: ErrorShape(400, "-1011", "The system is under maintenance."),
    }

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._keys: dict[str, tuple[str, VerifyKey, str]] = {}
        for name, fields in desk.accounts.items():
            self._keys[fields["account_id"]] = (name, *ed25519_key(fields["private_key"]))

    def authenticate(self, call: Call) -> Caller | Refusal:
        """Check key, clock and signature."""
        request = call.request
        if call.endpoint.group is Group.INFO:
            return Caller(None, request.remote)
        account_id, key = request.header("orderly-account-id"), request.header("orderly-key")
        at, signature = request.header("orderly-timestamp"), request.header("orderly-signature")
        if account_id is None or key is None or at is None or signature is None:
            return self._denied(-1001, "missing_header", "orderly-* headers are missing or repeated")
        name, verify_key, public = self._keys.get(account_id, ("", None, ""))
        if verify_key is None or key != public:
            return self._denied(-1002, "unknown_key", "orderly-key is not known for this account")
        if not _DIGITS.fullmatch(at) or abs(request.at_ms - int(at)) > _CLOCK_MS:
            return self._denied(-1001, "stale_timestamp", "timestamp is not within 300 seconds")
        message = f"{at}{request.method}{request.target}".encode() + request.body
        if not ed25519_holds(signature, message, verify_key):
            return self._denied(-1001, "bad_signature", "signature does not match")
        return Caller(name, public)

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:  # noqa: PLR0911  one per call
        """Cancel, read, list."""
        if call.endpoint is _SYSTEM_INFO:
            return self._success({"status": 0, "msg": "System is functioning properly."})
        complaint = no_body(call.request) or _wrong_type(call.request)
        if complaint is not None:
            return self._refused(complaint)
        match call.endpoint.name:
            case "cancel_by_id" | "cancel_by_client_id":
                return self._cancel(call, twist)
            case "batch_by_id" | "batch_by_client_id":
                return self._batch(call, twist)
            case "cancel_all":
                return self._cancel_all(call, twist)
            case "list":
                return self._list(call)
            case _:
                return self._read(call)

    def _cancel(self, call: Call, twist: Twist) -> Answer | Refusal:
        name = "order_id" if call.endpoint is _CANCEL_BY_ID else "client_order_id"
        found = parameters(call.request.query, required=frozenset({name, "symbol"}))
        if isinstance(found, Complaint):
            return self._refused(found)
        ref, symbol = found[name], found["symbol"]
        complaint = _wrong_ref(name, ref) or _wrong_symbol(symbol)
        if complaint is not None:
            return self._refused(complaint)
        order = self._find(call, name, ref)
        if order is None or order.symbol != symbol:
            self.desk.missed(ref)
            return self._not_found()
        if self.desk.cancel(order, call.endpoint.name, twist) is Taken.FINAL:
            return self._not_found()
        return self._success({"status": "CANCEL_SENT"})

    def _batch(self, call: Call, twist: Twist) -> Answer | Refusal:
        name = "order_ids" if call.endpoint is _BATCH_BY_ID else "client_order_ids"
        found = parameters(call.request.query, required=frozenset({name}))
        if isinstance(found, Complaint):
            return self._refused(found)
        refs = found[name].split(",")
        if len(refs) > _BATCH_MOST:
            return self._refused(Complaint("too_many_ids", f"at most {_BATCH_MOST} ids"))
        complaint = next(filter(None, (_wrong_ref(name.removesuffix("s"), ref) for ref in refs)), None)
        if complaint is not None:
            return self._refused(complaint)
        taken = [self._cancel_item(call, name.removesuffix("s"), ref, twist) for ref in refs[twist.fail_ids :]]
        # An error comes only where no id is valid; there is no result per order.
        if not twist.fail_ids and all(item in {None, Taken.FINAL} for item in taken):
            return self._not_found()
        return self._success({"status": "CANCEL_ALL_SENT"})

    def _cancel_item(self, call: Call, name: str, ref: str, twist: Twist) -> Taken | None:
        order = self._find(call, name, ref)
        if order is None:
            self.desk.missed(ref)
            return None
        return self.desk.cancel(order, call.endpoint.name, twist)

    def _cancel_all(self, call: Call, twist: Twist) -> Answer | Refusal:
        found = parameters(call.request.query, optional=frozenset({"symbol"}))
        if isinstance(found, Complaint):
            return self._refused(found)
        symbol = found.get("symbol")
        complaint = None if symbol is None else _wrong_symbol(symbol)
        if complaint is not None:
            return self._refused(complaint)
        for order in self.desk.book.open_orders(call.account, symbol):
            self.desk.cancel(order, "cancel_all", twist)
        return self._success({"status": "CANCEL_ALL_SENT"})

    def _read(self, call: Call) -> Answer | Refusal:
        name = "order_id" if call.endpoint is _READ_BY_ID else "client_order_id"
        found = parameters(call.request.query)
        complaint = found if isinstance(found, Complaint) else _wrong_ref(name, call.captures["ref"])
        if complaint is not None:
            return self._refused(complaint)
        order = self._find(call, name, call.captures["ref"])
        return self._not_found() if order is None else self._success(self._row(order))

    def _list(self, call: Call) -> Answer | Refusal:
        found = parameters(call.request.query, optional=_LIST_OPTIONS)
        if isinstance(found, Complaint):
            return self._refused(found)
        page, size = found.get("page", "1"), found.get("size", "25")
        if not (_DIGITS.fullmatch(page) and _DIGITS.fullmatch(size) and int(page) and 0 < int(size) <= _PAGE_MOST):
            return self._refused(Complaint("bad_page", f"page from 1, size 1 to {_PAGE_MOST}"))
        if found.get("status", "INCOMPLETE") != "INCOMPLETE":
            return self._refused(Complaint("bad_status", "the sandbox lists INCOMPLETE orders only"))
        orders = self.desk.book.open_orders(call.account, found.get("symbol"))
        orders = [order for order in orders if found.get("side", order.side) == order.side]
        start = (int(page) - 1) * int(size)
        meta = {"total": len(orders), "records_per_page": int(size), "current_page": int(page)}
        return self._success({"meta": meta, "rows": [self._row(o) for o in orders[start : start + int(size)]]})

    def _find(self, call: Call, name: str, ref: str) -> Order | None:
        book = self.desk.book
        by_id = name == "order_id"
        return book.by_order_id(call.account, ref) if by_id else book.by_client_id(call.account, ref)

    def _row(self, order: Order) -> dict[str, object]:
        return {
            "order_id": int(order.order_id),
            "client_order_id": order.client_id,
            "symbol": order.symbol,
            "side": order.side,
            "type": "LIMIT",
            "status": self.word(order),
            "price": number(order.price),
            "quantity": number(order.quantity),
            "amount": None,
            "visible_quantity": number(order.quantity),
            "total_executed_quantity": number(order.filled),
            "average_executed_price": number(order.price) if order.filled else None,
            "total_fee": 0,
            "fee_asset": "USDC",
            "created_time": order.created_ms,
            "updated_time": order.updated_ms,
        }

    def word(self, order: Order) -> str:
        """NEW, PARTIAL_FILLED, FILLED, CANCELLED, REJECTED; an order being cancelled shows as open."""
        return _WORDS.get(order.state) or ("PARTIAL_FILLED" if order.filled else "NEW")

    def order_id(self, number: int) -> str:
        """An integer that a JSON number holds exactly."""
        return str(number)

    def client_id(self, number: int) -> str | None:
        """Up to 36 characters, no hyphen in front."""
        return f"c-{number}"

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error in the venue's own shape."""
        return as_json(status, {"success": False, "code": code, "message": message})

    def _success(self, data: object) -> Answer:
        return as_json(200, {"success": True, "timestamp": self.desk.clock.wall_ms(), "data": data})

    def _not_found(self) -> Answer:
        return self.error(400, -1006, "The data does not exist.")

    def _denied(self, code: int, reason: str, message: str) -> Refusal:
        return Refusal(self.error(401, code, message), reason)

    def _refused(self, complaint: Complaint) -> Refusal:
        code = -1004 if complaint.reason == "unknown_parameter" else -1005
        return Refusal(self.error(400, code, complaint.detail), complaint.reason)


def _wrong_type(request: Request) -> Complaint | None:
    if request.content_type() == "application/x-www-form-urlencoded":
        return None
    return Complaint("wrong_content_type", "Content-Type must be application/x-www-form-urlencoded")


def _wrong_ref(name: str, ref: str) -> Complaint | None:
    alphabet = _DIGITS if name == "order_id" else _CLIENT_ID
    return None if alphabet.fullmatch(ref) else Complaint("bad_id", f"{name} is not in its format")


def _wrong_symbol(symbol: str) -> Complaint | None:
    return None if _SYMBOL.fullmatch(symbol) else Complaint("bad_symbol", "symbol is PERP_<X>_USDC")
