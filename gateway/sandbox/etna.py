"""ETNA Trader: app key and bearer token; `orders` is checked by the API alone, `syncorders` by the market too.

Documented gaps, and what stands here: an unknown order answers 404, a filled one 422, any other final one 409; 429 is
worded like the other errors. A fill that races a plain cancel still answers 204: the API took it, the market did not.
"""

import base64
import re
import secrets
from collections import OrderedDict
from typing import Final, TypeVar

from gateway.sandbox.book import Order, State, Taken, Twist
from gateway.sandbox.faults import Canned
from gateway.sandbox.venue import Call, Caller, Desk, Endpoint, ErrorShape, Group, number, route
from gateway.sandbox.verify import same_text
from gateway.sandbox.wire import Answer, Complaint, Refusal, Request, as_json, no_body, parameters

_T = TypeVar("_T")
_MOST_TOKENS: Final = 10_000
_PAGE_MOST: Final = 100
_INT32_MOST: Final = 2**31 - 1
_DIGITS = re.compile(r"[0-9]{1,10}")
_FILTER = re.compile(r"Status in \(([0-9]{1,2}(?:, ?[0-9]{1,2})*)\)")
_LIST_OPTIONS: Final = frozenset({"filter", "sortField", "desc"})
_DENIED: Final = {"Message": "Authorization has been denied for this request."}
_STATUS_NUMBERS: Final = {
    "New": 0, "PartiallyFilled": 1, "Filled": 2, "Canceled": 4, "PendingCancel": 6, "Rejected": 8, "Expired": 12,
}  # fmt: skip
_WORDS: Final = {
    State.FILLED: "Filled",
    State.CANCELLED: "Canceled",
    State.EXPIRED: "Expired",
    State.REJECTED: "Rejected",
}

_CANCEL_ONE: Final = Endpoint("cancel_one", Group.CANCEL, "cancel")
_CANCEL_SYNC: Final = Endpoint("cancel_sync", Group.CANCEL, "cancel")
_READ_ONE: Final = Endpoint("read_one", Group.READ, "read")
_LIST: Final = Endpoint("list", Group.READ, "list")
_TOKEN: Final = Endpoint("token", Group.TOKEN, None)

_ORDERS: Final = "/api/v1.0/accounts/(?P<account>[^/]+)/orders"
_SYNC_ORDERS: Final = "/api/v1.0/accounts/(?P<account>[^/]+)/syncorders"


class Etna:
    """The venue."""

    id = "etna"
    base_path = "/api"
    first_symbol = "AAPL"
    ban_ms = 0
    routes = (
        route("DELETE", _ORDERS + "/(?P<order>[^/]+)", _CANCEL_ONE),
        route("DELETE", _SYNC_ORDERS + "/(?P<order>[^/]+)", _CANCEL_SYNC),
        route("GET", _ORDERS + "/(?P<order>[^/]+)", _READ_ONE),
        route("GET", _SYNC_ORDERS + "/(?P<order>[^/]+)", _READ_ONE),
        route("GET", _ORDERS, _LIST),
        route("GET", _SYNC_ORDERS, _LIST),
        route("POST", "/api/token", _TOKEN),
    )
    canned = {  # noqa: RUF012  never changed
        Canned.RATE_LIMITED: ErrorShape(429, None, "Too many requests."),
        Canned.BANNED: ErrorShape(418, None, "Blocked."),
        Canned.FORBIDDEN: ErrorShape(403, None, "Application key is not defined or does not exist"),
        Canned.SERVER_ERROR: ErrorShape(500, None, "An error occurred while processing your request"),
        Canned.AUTH_FAILURE: ErrorShape(401, None, _DENIED["Message"]),
        Canned.ERROR_CODE: ErrorShape(409, None, "Conflict."),
        Canned.STRING_CODES: ErrorShape(422, None, "Validation error."),
    }

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._app_keys = {fields["app_key"] for fields in desk.accounts.values()}
        self._users = {fields["username"]: (name, fields) for name, fields in desk.accounts.items()}
        self._tokens: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._half_way: OrderedDict[str, str] = OrderedDict()

    def authenticate(self, call: Call) -> Caller | Refusal:
        """Check the app key, and the bearer token or the credentials."""
        request = call.request
        if (request.header("et-app-key") or "") not in self._app_keys:
            body = {"error": "Application key is not defined or does not exist"}
            return Refusal(as_json(403, body), "unknown_app_key")
        if call.endpoint is _TOKEN:
            return self._log_in(request)
        token = _bearer(request)
        account, expires_ns = self._tokens.get(token or "", ("", 0))
        if not account or expires_ns <= self.desk.clock.monotonic_ns():
            return Refusal(as_json(401, _DENIED), "bad_token")
        if call.captures["account"] != self.desk.accounts[account]["account_id"]:
            return Refusal(as_json(401, _DENIED), "foreign_account")
        return Caller(account, account)

    def _log_in(self, request: Request) -> Caller | Refusal:
        name, fields = self._users.get(request.header("username") or "", ("", {"password": "", "app_key": ""}))
        same = same_text(fields["password"], request.header("password") or "")
        if not name or not same or fields["app_key"] != request.header("et-app-key"):
            return _failed("BaseAuthentication", "Invalid credentials", "bad_credentials")
        return Caller(name, name)

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:  # noqa: PLR0911  one per rule
        """Give a token, cancel, read, list."""
        complaint = no_body(call.request)
        if complaint is not None:
            return self._refused(complaint)
        if call.endpoint is _TOKEN:
            return self._token(call)
        if call.endpoint is _LIST:
            return self._list(call)
        order_id = call.captures["order"]
        query = parameters(call.request.query)
        if isinstance(query, Complaint):
            return self._refused(query)
        if not _DIGITS.fullmatch(order_id) or int(order_id) > _INT32_MOST:
            return self._refused(Complaint("bad_id", "The order id is a 32-bit integer."))
        order = self.desk.book.by_order_id(call.account, order_id)
        if call.endpoint is _READ_ONE:
            return self._unknown() if order is None else as_json(200, self._row(order))
        if order is None:
            self.desk.missed(order_id)
            return self._unknown()
        return self._cancel(call, order, twist)

    def _cancel(self, call: Call, order: Order, twist: Twist) -> Answer:
        taken = self.desk.cancel(order, call.endpoint.name, twist)
        refused_by_market = taken is Taken.RACED and call.endpoint is _CANCEL_SYNC
        if taken is not Taken.FINAL and not refused_by_market:
            return Answer(204, content_type=None)
        if order.state is State.FILLED:
            return self.error(422, None, "The order has been filled.")
        return self.error(409, None, f"The order is {self.word(order)}.")

    def _token(self, call: Call) -> Answer | Refusal:
        wanted = self.desk.accounts[call.account].get("verification_code")
        if wanted is not None:
            interim, code = _bearer(call.request), call.request.header("verificationcode")
            if interim is None or self._half_way.get(interim) != call.account:
                token = _remember(self._half_way, call.account)
                body = {"State": "Expecting", "Step": "VerificationCode", "Reason": "Second factor", "Token": token}
                return as_json(202, body)
            if code is None or not same_text(code, wanted):
                return _failed("VerificationCode", "Invalid verification code", "bad_verification_code")
            del self._half_way[interim]
        expires_ns = self.desk.clock.monotonic_ns() + self.desk.config.etna_token_ms * 1_000_000
        return as_json(200, {"State": "Succeeded", "Token": _remember(self._tokens, (call.account, expires_ns))})

    def _list(self, call: Call) -> Answer | Refusal:
        found = parameters(call.request.query, frozenset({"pageNumber", "pageSize"}), _LIST_OPTIONS)
        if isinstance(found, Complaint):
            return self._refused(found)
        page, size = found["pageNumber"], found["pageSize"]
        if not (_DIGITS.fullmatch(page) and _DIGITS.fullmatch(size) and 0 < int(size) <= _PAGE_MOST):
            return self._refused(Complaint("bad_page", f"pageNumber from 0, pageSize 1 to {_PAGE_MOST}"))
        match = _FILTER.fullmatch(found["filter"]) if "filter" in found else None
        if "filter" in found and match is None:
            return self._refused(Complaint("bad_filter", "the sandbox understands `Status in (0,1)` only"))
        wanted = {int(each) for each in match[1].split(",")} if match else None
        orders = [
            order
            for order in self.desk.book.orders()
            if order.account == call.account and (wanted is None or _STATUS_NUMBERS[self.word(order)] in wanted)
        ]
        start = int(page) * int(size)
        return as_json(200, self._page(call, orders, start, int(size)))

    def _page(self, call: Call, orders: list[Order], start: int, size: int) -> dict[str, object]:
        here = f"http://{call.request.header('host')}{call.request.path}?pageSize={size}&pageNumber="
        more = start + size < len(orders)
        return {
            "Result": [self._row(order) for order in orders[start : start + size]],
            "NextPageLink": f"{here}{start // size + 1}" if more else "",
            "PreviousPageLink": f"{here}{start // size - 1}" if start else "",
            "TotalCount": len(orders),
        }

    def _row(self, order: Order) -> dict[str, object]:
        raced = order.state is State.FILLED and order.changed_by == "fault"
        return {
            "Id": int(order.order_id),
            "Symbol": order.symbol,
            "SecurityId": 4,
            "Quantity": number(order.quantity),
            "Price": number(order.price),
            "StopPrice": 0,
            "ClientId": order.client_id,
            "ExecutedQuantity": number(order.filled),
            "LeavesQuantity": number(order.remaining) if order.state is State.OPEN else 0,
            "AveragePrice": number(order.price) if order.filled else 0,
            "Side": order.side,
            "Status": self.word(order),
            "ExecutionStatus": "Rejected" if raced else self.word(order),
            "Type": "Limit",
            "RequestStatus": "Complete",
            "Target": "Cancel" if order.changed_by.startswith("cancel") else "New",
            "TimeInForce": "Day",
            "AccountId": int(self.desk.accounts[order.account]["account_id"]),
        }

    def word(self, order: Order) -> str:
        """New, PartiallyFilled, PendingCancel, Filled, Canceled, Rejected, Expired."""
        if order.pending:
            return "PendingCancel"
        return _WORDS.get(order.state) or ("PartiallyFilled" if order.filled else "New")

    def order_id(self, number: int) -> str:
        """A 32-bit integer."""
        return str(number % _INT32_MOST)

    def client_id(self, number: int) -> str | None:
        """A decimal text."""
        return str(number)

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error in the venue's own shape; it has no codes."""
        return as_json(status, {"Message": message} if code is None else {"Message": message, "Code": code})

    def _unknown(self) -> Answer:
        return self.error(404, None, "The order is not found.")

    def _refused(self, complaint: Complaint) -> Refusal:
        return Refusal(self.error(400, None, complaint.detail), complaint.reason)


def _failed(step: str, why: str, reason: str) -> Refusal:
    return Refusal(as_json(401, {"State": "Failed", "Step": step, "Reason": why}), reason)


def _bearer(request: Request) -> str | None:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return token if scheme == "Bearer" and token else None


def _remember(tokens: OrderedDict[str, _T], what: _T) -> str:
    # Real tokens hold + / = and must go into the header unchanged; so do these, always.
    token = "+/" + base64.b64encode(secrets.token_bytes(64)).decode() + "="
    tokens[token] = what
    if len(tokens) > _MOST_TOKENS:
        tokens.popitem(last=False)
    return token
