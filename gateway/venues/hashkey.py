"""HashKey, spot, REST v1 (Hong Kong and Global). Everything that is HashKey's habit stands here and nowhere else.

Read for it, in 2026: the venue's pages on starting, authentication, the order calls and its two lists of error codes.
Its answers carry the status that an order has just then, which may well be an open one.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import final
from urllib.parse import quote

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Breadth, Listing, Page, Reach
from gateway.core.model import By, Op, OrderRef, Scope, VenueId
from gateway.core.outcome import (
    NOTHING_SAID,
    AuthRefused,
    Facts,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    Untimely,
    Verdict,
)
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import Option, RefFault, Shown, Site
from gateway.venues.material import bearer_text
from gateway.venues.naming import Shape, settle_kind, symbol_fault
from gateway.venues.reading import (
    difference,
    json_list,
    json_object,
    listed,
    moment_ms,
    refused_by_status,
    retry_after_ms,
    text,
    told,
    without_object,
)

OK = 200
BATCH_MOST = 100
PAUSE_MS = 60_000  # "Please wait 1 minute for the suspended period to expire"
RECV_WINDOW_MOST_MS = 60_000

# "2 requests per second for query-related endpoints, while order-related endpoints allow 10 requests per second". How
# an endpoint's weight relates to these is not said; counting it in full is the reading that cannot break a limit.
QUOTAS = {"cancel": Quota(10, 1000), "read": Quota(2, 1000)}
CHARGES = {
    Op.CANCEL: Charge("cancel", 1),
    Op.BATCH: Charge("cancel", 5),
    Op.READ: Charge("read", 1),
    Op.LIST: Charge("read", 1),
    Op.CANCEL_ALL: Charge("cancel", 5),
}
PAGE_MOST = 1000
SYMBOL = Shape(re.compile(r"[A-Za-z0-9_-]{1,64}"), "1 to 64 of A-Z a-z 0-9 _ -")

# How escaped characters are hashed is not documented, so none get through that would need it. A leading zero would
# give one order two names.
SHAPES = {
    By.ORDER_ID: Shape(re.compile(r"0|[1-9][0-9]{0,19}"), "1 to 20 digits without a leading zero"),
    By.CLIENT_ID: Shape(
        re.compile(r"(?!\.+\Z)[A-Za-z0-9._~-]{1,255}"), "1 to 255 of A-Z a-z 0-9 . _ ~ -, not dots alone"
    ),
}
CANCEL_NAMES = {By.ORDER_ID: "orderId", By.CLIENT_ID: "clientOrderId"}
READ_NAMES = {By.ORDER_ID: "orderId", By.CLIENT_ID: "origClientOrderId"}
CODE = re.compile(r"-?[0-9]{1,9}")

BAD_FIELD = "0001"
MISSING = frozenset({"0211", "-2013"})
DONE = frozenset({"0000", "0200"})

UNKNOWN_TO_VENUE = ReadBack(Outcome.ALREADY_CANCELLED, if_missing=Outcome.NOT_FOUND)
FAILED = ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)
UNCERTAIN = ReadBack(Outcome.CANCELLED)

# Spelled as documented: four digits, or a negative number. In an answer either may be a number or a string.
CODES: Mapping[str, Verdict] = {
    BAD_FIELD: Settled(Outcome.REJECTED),
    "0002": AuthRefused(),
    "0003": Throttled(Scope.ACCOUNT),
    "0102": AuthRefused(),
    "0103": AuthRefused(),
    "0104": AuthRefused(),
    "0202": AuthRefused(),
    "0211": UNKNOWN_TO_VENUE,
    "-1000": UNCERTAIN,
    "-1001": UNCERTAIN,
    "-1002": AuthRefused(),
    "-1005": AuthRefused(),
    "-1006": UNCERTAIN,
    "-1007": UNCERTAIN,
    # The timestamp was outside the window: refused before anything was looked at, and no fault of the credential.
    "-1021": Untimely(),
    "-1024": UNCERTAIN,
    "-1101": FAILED,
    "-1138": Settled(Outcome.ALREADY_CANCELLED),
    "-1139": Settled(Outcome.TOO_LATE_FILLED),
    "-1142": Settled(Outcome.ALREADY_CANCELLED),
    "-1143": UNKNOWN_TO_VENUE,
    "-1144": FAILED,
    "-1145": Settled(Outcome.REJECTED),
    "-1147": UNCERTAIN,
    "-1150": FAILED,
    "-2001": FAILED,
    "-2011": FAILED,
    "-2013": UNKNOWN_TO_VENUE,
    "-2040": FAILED,
    "-3145": Throttled(Scope.ACCOUNT),
}

# What the status in a cancel's own answer means. PENDING_CANCEL is no cancel yet.
AFTER_CANCEL: Mapping[str, Settled | ReadBack] = {
    "NEW": Settled(Outcome.ACCEPTED),
    "PARTIALLY_FILLED": Settled(Outcome.ACCEPTED),
    "PENDING_CANCEL": Settled(Outcome.ACCEPTED),
    "CANCELED": Settled(Outcome.CANCELLED),
    "PARTIALLY_CANCELED": Settled(Outcome.CANCELLED),
    "FILLED": Settled(Outcome.TOO_LATE_FILLED),
    "REJECTED": UNCERTAIN,
}
STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.OPEN,
    "PENDING_CANCEL": OrderState.PENDING_CANCEL,
    "CANCELED": OrderState.CANCELLED,
    "PARTIALLY_CANCELED": OrderState.CANCELLED,
    "FILLED": OrderState.FILLED,
    "REJECTED": OrderState.CLOSED,
}
FINISHED = frozenset({"CANCELED", "PARTIALLY_CANCELED", "FILLED", "REJECTED"})


@dataclass(frozen=True, slots=True, eq=False)
class HashkeySigner:
    """A HashKey key pair that is ready to sign; `keyed` holds the secret's half of the HMAC, made once."""

    base_url: str
    recv_window_ms: int
    api_key: str = field(repr=False)
    keyed: hmac.HMAC = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:
        """One order, by exactly one of its ids."""
        return self.request("DELETE", "/api/v1/spot/order", ((CANCEL_NAMES[order.by], order.value),), at_ms)

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:
        """One order; a client id goes by another name here than in a cancel."""
        return self.request("GET", "/api/v1/spot/order", ((READ_NAMES[order.by], order.value),), at_ms)

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:
        """Up to a hundred orders by order id; None for any other set: the call takes no client ids."""
        kinds = {order.by for order in orders}
        if kinds != {By.ORDER_ID} or len(orders) > BATCH_MOST:
            return None
        ids = ",".join(order.value for order in orders)
        return self.request("DELETE", "/api/v1/spot/cancelOrderByIds", (("ids", ids),), at_ms)

    def listing(self, page: Page, at_ms: int) -> WireRequest:
        """The first thousand: there are no pages, and those behind come to light when these are gone."""
        symbol = (("symbol", page.symbol),) if page.symbol else ()
        return self.request("GET", "/api/v1/spot/openOrders", (*symbol, ("limit", str(PAGE_MOST))), at_ms)

    def cancel_all(self, symbol: str | None, at_ms: int) -> WireRequest | None:
        """Up to a thousand orders of one symbol, without which the venue takes none."""
        if symbol is None:
            return None
        return self.request("DELETE", "/api/v1/spot/openOrders", (("symbol", symbol),), at_ms)

    def request(self, method: str, path: str, params: tuple[tuple[str, str], ...], at_ms: int) -> WireRequest:
        """Any request: all parameters go into the query, because the venue's pages differ on what a body adds."""
        signed = self.signed_text(params, at_ms)
        mac = self.keyed.copy()
        mac.update(signed.encode())
        headers = (("X-HK-APIKEY", self.api_key), ("Content-Type", "application/x-www-form-urlencoded"))
        return WireRequest(method, f"{self.base_url}{path}?{signed}&signature={mac.hexdigest()}", headers)

    def signed_text(self, params: tuple[tuple[str, str], ...], at_ms: int) -> str:
        """The text under the HMAC, which is the query up to its signature; commas stay bare."""
        window = f"&recvWindow={self.recv_window_ms}" if self.recv_window_ms else ""
        return f"timestamp={at_ms}{window}" + "".join(f"&{name}={quote(value, safe=',')}" for name, value in params)


@final
class Hashkey:
    """The venue."""

    __slots__ = ()
    id = VenueId("hashkey")
    fields = (frozenset({"api_key", "secret"}),)
    # 0 leaves it to the venue, whose default is 5000.
    options: Mapping[str, Option] = MappingProxyType({"recv_window_ms": Option(0, least=0, most=RECV_WINDOW_MOST_MS)})
    quotas: Mapping[str, Quota] = MappingProxyType(QUOTAS)
    batch_most = BATCH_MOST
    lasting = frozenset({By.ORDER_ID})  # of client ids nothing is said
    reach = Reach(Breadth.SYMBOL, PAGE_MOST, paged=False)
    # The default of recvWindow. "timestamp < server time + 1000 ms" on the other side is made up for likewise.
    clock_bound_ms = 5000

    def told_ms(self, reply: Reply) -> int | None:
        """No answer about an order holds the time it was written at; its Date does, to the second."""
        del reply
        return None

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:
        """Check the reference; ids stand alone here, so the symbol is left out."""
        del symbol
        kind = settle_kind(ref, by, SHAPES)
        return kind if isinstance(kind, RefFault) else OrderRef(kind, ref)

    def symbol_fault(self, symbol: str) -> RefFault | None:
        """A symbol stands in lists and cancel-alls only."""
        return symbol_fault(symbol, SYMBOL)

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:
        """The endpoint's weight, from the limit of its group. Batches take order ids only: none for client ids."""
        return () if op is Op.BATCH and by is By.CLIENT_ID else (CHARGES[op],)

    def unlock(self, fields: Mapping[str, str], site: Site) -> HashkeySigner:
        """Check both fields and key the HMAC once."""
        api_key, secret = bearer_text(fields, "api_key"), bearer_text(fields, "secret")
        recv_window_ms = int(site.options.get("recv_window_ms", 0))
        keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)
        return HashkeySigner(site.base_url.rstrip("/"), recv_window_ms, api_key, keyed)

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """The status in the answer, if it is about this order; else the table's."""
        body = _granted(reply)
        if not isinstance(body, dict):
            return body
        facts = _shown(body)
        if text(body, CANCEL_NAMES[order.by]) != order.value:
            return Unclear("the answer does not name the order", facts)
        verdict = AFTER_CANCEL.get(facts.venue_status or "")
        return Unclear("no known order status", facts) if verdict is None else told(verdict, facts)

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """The order as it is now, if it is the one that was asked for."""
        body = _granted(reply)
        if isinstance(body, dict):
            return _sighting(body, order)
        if isinstance(body, AuthRefused | Throttled | Unclear):
            return body
        # "Not found on order book" is no denial: a done order isn't there either.
        if body.facts.venue_code in MISSING:
            return Seen(OrderState.MISSING, body.facts)
        return Unclear("an error that no read explains", body.facts)

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        """What is not listed as failed was executed, which is less than cancelled: a single cancel may answer NEW."""
        body = _granted(reply)
        if not isinstance(body, dict):
            return (body,) * len(orders)
        failed = _failures(body, reply)
        # A list that can't be read to its end could hide any of the ids, and one about strangers isn't about ours.
        if failed is None or not failed.keys() <= {order.value for order in orders}:
            return (Unclear("the list of failures can't be trusted"),) * len(orders)
        return tuple(failed.get(order.value, Settled(Outcome.ACCEPTED)) for order in orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        """A bare list where all is well; everything else is an object."""
        rows = json_list(reply.body) if reply.status == OK else None
        if rows is not None:
            return _listing(rows, page)
        body = _granted(reply)
        if isinstance(body, AuthRefused | Throttled | Unclear):
            return body
        return Unclear("no list", body.facts if isinstance(body, Settled | ReadBack) else NOTHING_SAID)

    def interpret_cancel_all(self, reply: Reply) -> Verdict:
        """`success` alone tells that it was taken."""
        body = _granted(reply)
        if not isinstance(body, dict):
            return body
        return Settled(Outcome.ACCEPTED) if body.get("success") is True else Unclear("a success that is none")


def _granted(reply: Reply) -> dict[str, object] | Verdict:
    """The body of a success, or what the refusal means."""
    body = json_object(reply.body)
    code, message = (_code(body), text(body, "msg")) if body else (None, None)
    facts = Facts(venue_code=code, venue_message=message) if code or message else NOTHING_SAID
    if (refused := refused_by_status(reply, facts)) is not None:
        return _paused(refused, reply)
    if body is None:
        return without_object(reply)
    if facts.venue_code is not None and facts.venue_code not in DONE:
        return _by_code(facts, reply)
    return body if reply.status == OK else Unclear(f"http {reply.status} without a known code", facts)


def _code(body: Mapping[str, object]) -> str | None:
    """A code as documented; None only where there is none, so that an unreadable one is no success."""
    if body.get("code") is None:
        return None
    said = text(body, "code") or "unreadable"
    if CODE.fullmatch(said) is None:
        return said
    number = int(said)
    return str(number) if number < 0 else f"{number:04}"


def _by_code(facts: Facts, reply: Reply) -> Verdict:
    # 0001 is both "Incorrect signature" and "Required field ... missing or invalid".
    if facts.venue_code == BAD_FIELD and "incorrect signature" in (facts.venue_message or "").lower():
        return AuthRefused(facts)
    verdict = CODES.get(facts.venue_code or "", Unclear(f"http {reply.status} with an unknown code"))
    return _paused(replace(verdict, facts=facts), reply)


def _paused(verdict: Verdict, reply: Reply) -> Verdict:
    """A limit without a stated end gets the documented minute; a ban's length is not documented."""
    if not isinstance(verdict, Throttled) or verdict.banned:
        return verdict
    stated_ms = retry_after_ms(reply)
    return replace(verdict, retry_after_ms=PAUSE_MS if stated_ms is None else stated_ms)


def _sighting(body: Mapping[str, object], order: OrderRef) -> Seen | Unclear:
    facts = _shown(body)
    if text(body, CANCEL_NAMES[order.by]) != order.value:
        return Unclear("the answer does not show the order", facts)
    state = STATES.get(facts.venue_status or "")
    if state is None:
        return Unclear("no known order status", facts)
    return Seen(state, facts, created_ms=moment_ms(body, "time"))


def _listing(rows: list[object], page: Page) -> Listing | Unclear:
    orders = listed(rows, _row, FINISHED)
    if orders is None or (page.symbol and any(order.symbol != page.symbol for order in orders)):
        return Unclear("a list that can't be read to its end")
    return Listing(orders, more=len(rows) >= PAGE_MOST)


def _row(row: Mapping[str, object]) -> OrderRef | None:
    order_id, symbol = text(row, "orderId") or "", text(row, "symbol") or ""
    sound = SHAPES[By.ORDER_ID].pattern.fullmatch(order_id) and SYMBOL.pattern.fullmatch(symbol)
    return OrderRef(By.ORDER_ID, order_id, symbol) if sound else None


def _failures(body: Mapping[str, object], reply: Reply) -> dict[str | None, Verdict] | None:
    """What became of each order that a batch lists; None where the list is not as documented."""
    result = [] if body.get("result") is None else body["result"]
    if _code(body) is None or not isinstance(result, list):
        return None
    listed = {text(row, "orderId"): _item(row, reply) for row in result if isinstance(row, dict)}
    return listed if len(listed) == len(result) else None


def _item(row: Mapping[str, object], reply: Reply) -> Verdict:
    facts = Facts(order_id=text(row, "orderId"), venue_code=_code(row), venue_message=text(row, "msg"))
    return Settled(Outcome.ACCEPTED, facts) if facts.venue_code in DONE else _by_code(facts, reply)


def _shown(body: Mapping[str, object]) -> Facts:
    return Facts(
        venue_status=text(body, "status"),
        order_id=text(body, "orderId"),
        client_id=text(body, "clientOrderId"),
        filled=text(body, "executedQty"),
        remaining=difference(text(body, "origQty"), text(body, "executedQty")),
    )


HASHKEY = Hashkey()
