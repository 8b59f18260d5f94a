"""HashKey: HMAC-SHA256 over the parameters as sent; order calls share one limit by weight, queries another.

Documented gaps, and what stands here: both ids at once and every other fault of a parameter answer 0001; an id that
is not known answers 0211 everywhere; the answer to a cancel carries the status the order then has.
"""

import re
from typing import Final, assert_never

from gateway.sandbox.book import Order, State, Taken, Twist
from gateway.sandbox.faults import Canned
from gateway.sandbox.venue import Call, Caller, Desk, Endpoint, ErrorShape, Group, plain, route
from gateway.sandbox.verify import hmac_sha256_hex, same_text
from gateway.sandbox.wire import Answer, Complaint, Refusal, Request, as_json, parameters

_AHEAD_MS: Final = 1000
_RECV_WINDOW_MS: Final = 5000
_BATCH_MOST: Final = 100
_PAGE_MOST: Final = 1000
_CANCEL_ALL_MOST: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"
_DIGITS = re.compile(r"[0-9]{1,20}")
_SIGNED = re.compile(r"(?:(?P<text>.*)&)?signature=(?P<signature>[0-9A-Fa-f]{64})")
_SIGNING: Final = frozenset({"timestamp", "recvWindow"})
_OPEN_OPTIONS: Final = frozenset({"orderId", "symbol", "side", "limit"})

_CANCEL_ONE: Final = Endpoint("cancel_one", Group.CANCEL, "orders", 1)
_BATCH: Final = Endpoint("batch", Group.CANCEL, "orders", 5)
_CANCEL_ALL: Final = Endpoint("cancel_all", Group.CANCEL, "orders", 5)
_READ_ONE: Final = Endpoint("read_one", Group.READ, "queries", 1)
_LIST: Final = Endpoint("list", Group.READ, "queries", 1)
_TIME: Final = Endpoint("time", Group.INFO, None)

_DONE: Final = "0000"
_NOT_FOUND: Final = "0211"
_LOCKED: Final = "-1144"
_MESSAGES: Final = {
    "0211": "Order not found",
    "-1138": "Order has been partially cancelled",
    "-1139": "Order has been filled",
    "-1142": "Order has been canceled",
    "-1143": "Order not found on order book",
}


class HashKey:
    """The venue."""

    id = "hashkey"
    base_path = ""
    first_symbol = "ETHUSD"
    routes = (
        route("DELETE", "/api/v1/spot/order", _CANCEL_ONE),
        route("DELETE", "/api/v1/spot/cancelOrderByIds", _BATCH),
        route("DELETE", "/api/v1/spot/openOrders", _CANCEL_ALL),
        route("GET", "/api/v1/spot/order", _READ_ONE),
        route("GET", "/api/v1/spot/openOrders", _LIST),
        route("GET", "/api/v1/time", _TIME),
    )

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.ban_ms = desk.config.hashkey_ban_ms
        self.canned = {
            Canned.RATE_LIMITED: ErrorShape(desk.config.hashkey_limit_status, "0003", "Rate limit exceeded"),
            Canned.BANNED: ErrorShape(418, "0003", "Rate limit exceeded"),
            Canned.FORBIDDEN: ErrorShape(403, "0202", "IP address is not allowed"),
            Canned.SERVER_ERROR: ErrorShape(500, -1000, "An unknown error occurred"),
            Canned.AUTH_FAILURE: ErrorShape(400, "0002", "Incorrect signature"),
            Canned.ERROR_CODE: ErrorShape(400, -1150, "Order cancel failed"),
            Canned.STRING_CODES: ErrorShape(400, "-1101", "Feature has been offline"),
        }
        self._keys = {fields["api_key"]: (name, fields["secret"]) for name, fields in desk.accounts.items()}

    def authenticate(self, call: Call) -> Caller | Refusal:
        """Check key, signature and clock, in this order."""
        request = call.request
        if call.endpoint is _TIME:
            return Caller(None, request.remote)
        key = request.header("x-hk-apikey")
        if key is None:
            return Refusal(self.error(401, -1002, "Unauthorized operation"), "missing_header")
        name, secret = self._keys.get(key, ("", ""))
        if not name or name in self.desk.revoked:
            return Refusal(self.error(400, "0102", "Invalid APIKey"), "revoked_key" if name else "unknown_key")
        text, signature = _signed(request)
        if signature is None:
            return self._refused(Complaint("missing_signature", "Required field signature missing or not at the end"))
        if not same_text(signature.lower(), hmac_sha256_hex(secret, text.encode())):
            return Refusal(self.error(400, "0002", "Incorrect signature"), "bad_signature")
        return self._in_time(request) or Caller(self.desk.owner(name), key)

    def _in_time(self, request: Request) -> Refusal | None:
        fields = dict(pair.partition("=")[::2] for pair in _all_pairs(request))
        at, window = fields.get("timestamp", ""), fields.get("recvWindow", str(_RECV_WINDOW_MS))
        if not (_DIGITS.fullmatch(at) and _DIGITS.fullmatch(window)):
            return self._refused(Complaint("bad_timestamp", "Required field timestamp missing or invalid"))
        age_ms = request.at_ms - int(at)
        if -_AHEAD_MS < age_ms <= int(window):
            return None
        message = "Timestamp for this request is outside of the recvWindow."
        return Refusal(self.error(400, -1021, message), "stale_timestamp")

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:
        """Cancel, read, list, tell the time."""
        match call.endpoint.name:
            case "time":
                return as_json(200, {"serverTime": self.desk.clock.wall_ms()})
            case "cancel_one":
                return self._cancel(call, twist)
            case "batch":
                return self._batch(call, twist)
            case "cancel_all":
                return self._cancel_all(call, twist)
            case "list":
                return self._list(call)
            case _:
                return self._read(call)

    def _cancel(self, call: Call, twist: Twist) -> Answer | Refusal:
        order, ref = self._one(call, "clientOrderId")
        if isinstance(order, Complaint):
            return self._refused(order)
        if order is None:
            self.desk.missed(ref)
            return self._failed(_NOT_FOUND)
        if self.desk.cancel(order, "cancel_one", twist) in {Taken.FINAL, Taken.RACED}:
            return self._failed(_final_code(order))
        shown = ("accountId", "symbol", "clientOrderId", "orderId", "price", "origQty", "executedQty", "status")
        rest = ("timeInForce", "type", "side")
        row = self._row(order)
        moment = {"transactTime": str(order.updated_ms)}
        # The documented example shows the order as it stood: NEW until the cancel is through.
        moment["status"] = self._word_unless_pending(order)
        return as_json(200, {key: row[key] for key in shown + rest} | moment)

    def _batch(self, call: Call, twist: Twist) -> Answer | Refusal:
        found = self._parameters(call.request, required=frozenset({"ids"}))
        if isinstance(found, Complaint):
            return self._refused(found)
        ids = found["ids"].split(",")
        if len(ids) > _BATCH_MOST or not all(_DIGITS.fullmatch(each) for each in ids):
            return self._refused(Complaint("bad_ids", f"Required field ids invalid: 1 to {_BATCH_MOST} order ids"))
        codes = [_LOCKED if n < twist.fail_ids else self._cancel_item(call, i, twist) for n, i in enumerate(ids)]
        failures = [{"orderId": i, "code": code} for i, code in zip(ids, codes, strict=True) if code != _DONE]
        return as_json(200, {"code": _DONE, "result": failures})

    def _cancel_item(self, call: Call, order_id: str, twist: Twist) -> str:
        order = self.desk.book.by_order_id(call.account, order_id)
        if order is None:
            self.desk.missed(order_id)
            return _NOT_FOUND
        final = self.desk.cancel(order, "batch", twist) in {Taken.FINAL, Taken.RACED}
        return _final_code(order) if final else _DONE

    def _cancel_all(self, call: Call, twist: Twist) -> Answer | Refusal:
        found = self._parameters(call.request, frozenset({"symbol"}), frozenset({"side"}))
        if isinstance(found, Complaint):
            return self._refused(found)
        orders = self.desk.book.open_orders(call.account, found["symbol"])
        for order in [o for o in orders if found.get("side", o.side) == o.side][:_CANCEL_ALL_MOST]:
            self.desk.cancel(order, "cancel_all", twist)
        return as_json(200, {"success": True})

    def _read(self, call: Call) -> Answer | Refusal:
        order, _ = self._one(call, "origClientOrderId")
        if isinstance(order, Complaint):
            return self._refused(order)
        if order is None:
            return self._failed(_NOT_FOUND)
        return as_json(200, self._row(order) | {"ordCxlReason": "" if order.state is State.OPEN else "USER_CANCEL"})

    def _list(self, call: Call) -> Answer | Refusal:
        found = self._parameters(call.request, frozenset(), _OPEN_OPTIONS)
        if isinstance(found, Complaint):
            return self._refused(found)
        limit = found.get("limit", "500")
        if not _DIGITS.fullmatch(limit) or not 0 < int(limit) <= _PAGE_MOST:
            return self._refused(Complaint("bad_page", f"Required field limit invalid: 1 to {_PAGE_MOST}"))
        orders = self.desk.book.open_orders(call.account, found.get("symbol"))
        wanted = [
            o for o in orders if found.get("side", o.side) == o.side and found.get("orderId", o.order_id) == o.order_id
        ]
        return as_json(200, [self._row(order) for order in wanted[: int(limit)]])

    def _one(self, call: Call, client_name: str) -> tuple[Order | Complaint | None, str]:
        found = self._parameters(call.request, frozenset(), frozenset({"orderId", client_name}))
        if isinstance(found, Complaint):
            return found, ""
        order_id, client_id = found.get("orderId"), found.get(client_name)
        if order_id is not None and client_id is None and _DIGITS.fullmatch(order_id):
            return self.desk.book.by_order_id(call.account, order_id), order_id
        if client_id is not None and order_id is None:
            return self.desk.book.by_client_id(call.account, client_id), client_id
        return Complaint("bad_id", f"Required field orderId or {client_name}: exactly one, valid"), ""

    def _parameters(
        self, request: Request, required: frozenset[str], optional: frozenset[str] = frozenset()
    ) -> dict[str, str] | Complaint:
        if request.body and request.content_type() != _FORM:
            return Complaint("wrong_content_type", f"a body must be {_FORM}")
        return parameters("&".join(_all_pairs(request)), required, optional | _SIGNING)

    def _row(self, order: Order) -> dict[str, object]:
        value = plain(order.filled * order.price)
        return {
            "accountId": "1464567707961719552",
            "exchangeId": "301",
            "symbol": order.symbol,
            "symbolName": order.symbol,
            "clientOrderId": order.client_id,
            "orderId": order.order_id,
            "price": plain(order.price),
            "origQty": plain(order.quantity),
            "executedQty": plain(order.filled),
            "cummulativeQuoteQty": value,
            "cumulativeQuoteQty": value,
            "avgPrice": plain(order.price) if order.filled else "0",
            "status": self.word(order),
            "timeInForce": "GTC",
            "type": "LIMIT",
            "side": order.side,
            "stopPrice": "0.0",
            "icebergQty": "0.0",
            "time": str(order.created_ms),
            "updateTime": str(order.updated_ms),
            "isWorking": True,
            "reqAmount": "0",
        }

    def word(self, order: Order) -> str:
        """NEW, PARTIALLY_FILLED, PENDING_CANCEL, FILLED, CANCELED, PARTIALLY_CANCELED, REJECTED."""
        return "PENDING_CANCEL" if order.pending else self._word_unless_pending(order)

    def _word_unless_pending(self, order: Order) -> str:
        match order.state:
            case State.OPEN:
                return "PARTIALLY_FILLED" if order.filled else "NEW"
            case State.FILLED:
                return "FILLED"
            case State.CANCELLED | State.EXPIRED:
                return "PARTIALLY_CANCELED" if order.filled else "CANCELED"
            case State.REJECTED:
                return "REJECTED"
            case _:
                assert_never(order.state)

    def order_id(self, number: int) -> str:
        """Nineteen digits: more than a JSON number of the usual parsers holds."""
        return f"1{number:018d}"

    def client_id(self, number: int) -> str | None:
        """All digits too, as the venue makes them: the two kinds cannot be told apart by shape."""
        return f"9{number:016d}"

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error in the venue's own shape."""
        return as_json(status, {"code": code, "msg": message})

    def _failed(self, code: str) -> Answer:
        return self.error(400, int(code) if code.startswith("-") else code, _MESSAGES[code])

    def _refused(self, complaint: Complaint) -> Refusal:
        return Refusal(self.error(400, "0001", complaint.detail), complaint.reason)


def _final_code(order: Order) -> str:
    match order.state:
        case State.FILLED:
            return "-1139"
        case State.CANCELLED:
            return "-1138" if order.filled else "-1142"
        case State.OPEN | State.EXPIRED | State.REJECTED:
            return "-1143"
        case _:
            assert_never(order.state)


def _signed(request: Request) -> tuple[str, str | None]:
    """The text that was signed, query and form joined without a separator, and the one signature beside it."""
    (query, in_query), (body, in_body) = (_split(part) for part in _parts(request))
    return query + body, in_query if in_body is None else in_body if in_query is None else None


def _split(part: str) -> tuple[str, str | None]:
    match = _SIGNED.fullmatch(part)
    return (match["text"] or "", match["signature"]) if match else (part, None)


def _parts(request: Request) -> tuple[str, str]:
    return request.query, request.body.decode("latin-1")


def _all_pairs(request: Request) -> list[str]:
    return [pair for part in _parts(request) for pair in _split(part)[0].split("&") if pair]
