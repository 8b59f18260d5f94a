"""Orderly Network, perpetuals, REST v1. Everything that is Orderly's habit stands here and nowhere else.

Read for it, in 2026: the venue's pages on cancelling, authentication, error codes and limits. Its cancels are only
ever *sent*: no answer to one proves that an order is gone, and only reading the order back can.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import final
from urllib.parse import quote

from nacl.signing import SigningKey

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Breadth, Listing, Page, Reach
from gateway.core.model import By, Op, OrderRef, Scope, VenueId
from gateway.core.outcome import (
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
from gateway.venues import base58
from gateway.venues.base import BadMaterial, Option, RefFault, Shown, Site
from gateway.venues.material import field_text
from gateway.venues.naming import Shape, settle_kind, symbol_fault
from gateway.venues.reading import (
    amount,
    count,
    difference,
    inner,
    items,
    json_object,
    listed,
    moment_ms,
    refused_by_status,
    retry_after_ms,
    text,
    without_object,
)

OK = 200
BATCH_MOST = 10
SEED_BYTES = 32
KEY_PREFIX = "ed25519:"

# "Limit: 10 requests per 1 second", counted per key and per endpoint: each of the eight has its own.
QUOTAS = {
    name: Quota(10, 1000)
    for name in ("cancel", "cancel_client", "batch", "batch_client", "read", "read_client", "list", "cancel_all")
}
LIMITS = {
    (Op.CANCEL, By.ORDER_ID): "cancel",
    (Op.CANCEL, By.CLIENT_ID): "cancel_client",
    (Op.BATCH, By.ORDER_ID): "batch",
    (Op.BATCH, By.CLIENT_ID): "batch_client",
    (Op.READ, By.ORDER_ID): "read",
    (Op.READ, By.CLIENT_ID): "read_client",
    (Op.LIST, By.ORDER_ID): "list",
    (Op.LIST, By.CLIENT_ID): "list",
    (Op.CANCEL_ALL, By.ORDER_ID): "cancel_all",
    (Op.CANCEL_ALL, By.CLIENT_ID): "cancel_all",
}
PAGE_MOST = 500

# The venue's clients disagree about what is signed outside this alphabet. Dots alone would climb in the path of a read,
# and a leading zero would give one order two names.
SHAPES = {
    By.ORDER_ID: Shape(re.compile(r"0|[1-9][0-9]{0,19}"), "1 to 20 digits without a leading zero"),
    By.CLIENT_ID: Shape(
        re.compile(r"(?!-)(?!\.+\Z)[A-Za-z0-9._~-]{1,36}"),
        "1 to 36 of A-Z a-z 0-9 . _ ~ -, without a hyphen in front and not dots alone",
    ),
}
SYMBOL = Shape(re.compile(r"[A-Za-z0-9_]{1,64}"), "1 to 64 of A-Z a-z 0-9 _")
ACCOUNT_ID = re.compile(r"0x[0-9a-fA-F]{64}")
CODE = re.compile(r"-?[0-9]{1,9}")
ID_FIELDS = {By.ORDER_ID: "order_id", By.CLIENT_ID: "client_order_id"}

NOT_FOUND = "-1006"
CODES: Mapping[str, Verdict] = {
    "-1000": Unclear("unknown error at the venue"),
    "-1001": AuthRefused(),
    "-1002": AuthRefused(),
    "-1003": Throttled(Scope.ACCOUNT),
    "-1004": Settled(Outcome.REJECTED),
    "-1005": Settled(Outcome.REJECTED),
    # One code for "no such order" and for "cancelling a CANCELLED order".
    NOT_FOUND: ReadBack(Outcome.ALREADY_CANCELLED, if_missing=Outcome.NOT_FOUND),
    # The earlier request, of which this is the duplicate, may still be under way.
    "-1007": ReadBack(Outcome.CANCELLED),
    "-1011": ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND),
    "-1012": ReadBack(Outcome.CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND),
    # Seen on account calls only. "Timestamp expired" is our clock's fault: another credential would not help.
    "2": Untimely(),
    "3": AuthRefused(),
    "9": AuthRefused(),
}

STATES = {
    "NEW": OrderState.OPEN,
    "PARTIAL_FILLED": OrderState.OPEN,
    "INCOMPLETE": OrderState.OPEN,
    "PENDING_CANCEL": OrderState.PENDING_CANCEL,
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELLED,
    "REJECTED": OrderState.CLOSED,
}
DONE = frozenset({"FILLED", "CANCELLED", "REJECTED"})


@dataclass(frozen=True, slots=True, eq=False)
class OrderlySigner:
    """An Orderly key that is ready to sign."""

    base_url: str
    account_id: str
    public_key: str
    key: SigningKey = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:
        """One order; the venue wants its symbol beside either id."""
        path = "/v1/order" if order.by is By.ORDER_ID else "/v1/client/order"
        params = ((ID_FIELDS[order.by], order.value), ("symbol", order.symbol or ""))
        return self.request("DELETE", path, params, at_ms)

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:
        """One order, by either id; the symbol is not wanted here."""
        path = "/v1/order/" if order.by is By.ORDER_ID else "/v1/client/order/"
        return self.request("GET", path + quote(order.value, safe=""), (), at_ms)

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:
        """Up to ten orders by one kind of id, symbols as they come; None for any other set."""
        kinds = {order.by for order in orders}
        if len(kinds) != 1 or len(orders) > BATCH_MOST:
            return None
        ids = ",".join(order.value for order in orders)
        if kinds == {By.ORDER_ID}:
            return self.request("DELETE", "/v1/batch-order", (("order_ids", ids),), at_ms)
        return self.request("DELETE", "/v1/client/batch-order", (("client_order_ids", ids),), at_ms)

    def listing(self, page: Page, at_ms: int) -> WireRequest:
        """Open orders are called INCOMPLETE; pages count from 1."""
        symbol = (("symbol", page.symbol),) if page.symbol else ()
        place = (("page", str(page.number + 1)), ("size", str(PAGE_MOST)))
        return self.request("GET", "/v1/orders", (*symbol, ("status", "INCOMPLETE"), *place), at_ms)

    def cancel_all(self, symbol: str | None, at_ms: int) -> WireRequest:
        """Without a symbol, everything."""
        return self.request("DELETE", "/v1/orders", (("symbol", symbol),) if symbol else (), at_ms)

    def request(self, method: str, path: str, params: tuple[tuple[str, str], ...], at_ms: int) -> WireRequest:
        """Any request without a body: time, method and path with query are signed, exactly as they are sent."""
        # The comma stays bare: a client that encoded it would sign another text than the venue's own do.
        query = "&".join(f"{name}={quote(value, safe=',')}" for name, value in params)
        target = f"{path}?{query}" if query else path
        signature = self.key.sign(f"{at_ms}{method}{target}".encode()).signature
        headers = (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("orderly-account-id", self.account_id),
            ("orderly-key", self.public_key),
            ("orderly-timestamp", str(at_ms)),
            # "url safe" and unpadded, as documented; the venue's own client sends the standard alphabet.
            ("orderly-signature", urlsafe_b64encode(signature).rstrip(b"=").decode()),
        )
        return WireRequest(method, self.base_url + target, headers)


@final
class Orderly:
    """The venue."""

    __slots__ = ()
    id = VenueId("orderly")
    fields = (frozenset({"account_id", "private_key"}),)
    options: Mapping[str, Option] = MappingProxyType({})
    quotas: Mapping[str, Quota] = MappingProxyType(QUOTAS)
    batch_most = BATCH_MOST
    # "Unique among open orders": a client id may be used again once the earlier order is done.
    lasting = frozenset({By.ORDER_ID})
    reach = Reach(
        Breadth.ACCOUNT,
        PAGE_MOST,
        blind="conditional (algo) orders stand in a list of their own; they are neither cancelled nor counted",
    )
    clock_bound_ms = 300_000  # "within 300 seconds"

    def told_ms(self, reply: Reply) -> int | None:
        """`timestamp` stands beside the data of every success."""
        stamp = (json_object(reply.body) or {}).get("timestamp")
        return stamp if type(stamp) is int and stamp > 0 else None

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:
        """Check the reference and its symbol, without which nothing is cancelled here."""
        kind = settle_kind(ref, by, SHAPES)
        if isinstance(kind, RefFault):
            return kind
        if symbol is None:
            return RefFault(Outcome.INVALID_REQUEST, "symbol is required for orderly, such as symbol=PERP_ETH_USDC")
        return symbol_fault(symbol, SYMBOL) or OrderRef(kind, ref, symbol)

    def symbol_fault(self, symbol: str) -> RefFault | None:
        """Its own alphabet, as beside an order."""
        return symbol_fault(symbol, SYMBOL)

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:
        """One token of the endpoint's own limit."""
        return (Charge(LIMITS[op, by]),)

    def unlock(self, fields: Mapping[str, str], site: Site) -> OrderlySigner:
        """Check both fields and make the key once."""
        account_id = field_text(fields, "account_id")
        if ACCOUNT_ID.fullmatch(account_id) is None:
            raise BadMaterial("account_id", "must be 0x and 64 hex digits")
        key = _signing_key(field_text(fields, "private_key"))
        public_key = KEY_PREFIX + base58.encode(key.verify_key.encode())
        return OrderlySigner(site.base_url.rstrip("/"), account_id, public_key, key)

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """At best the cancel was sent; the rest is the table's."""
        data = _granted(reply)
        if not isinstance(data, dict):
            return data
        if text(data, ID_FIELDS[order.by]) not in {None, order.value}:
            return Unclear("the answer names another order", _shown(data))
        return _sent(data, "CANCEL_SENT")

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """The order as it is now, if it is the one that was asked for."""
        data = _granted(reply)
        if isinstance(data, dict):
            return _sighting(data, order)
        if isinstance(data, AuthRefused | Throttled | Unclear):
            return data
        if data.facts.venue_code == NOT_FOUND:
            return Seen(OrderState.MISSING, data.facts)
        return Unclear("an error that no read explains", data.facts)

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        """One verdict for all: a batch fails only where all ids are invalid, and says nothing of any one."""
        data = _granted(reply)
        verdict = _sent(data, "CANCEL_ALL_SENT") if isinstance(data, dict) else data
        return (verdict,) * len(orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        """The rows, if every one of them can be read."""
        data = _granted(reply)
        if isinstance(data, dict):
            return _listing(data, page)
        if isinstance(data, AuthRefused | Throttled | Unclear):
            return data
        return Unclear("an error that no list explains", data.facts)

    def interpret_cancel_all(self, reply: Reply) -> Verdict:
        """At best it was sent, as ever here."""
        data = _granted(reply)
        return _sent(data, "CANCEL_ALL_SENT") if isinstance(data, dict) else data


def _signing_key(written: str) -> SigningKey:
    raw = base58.decode(written.removeprefix(KEY_PREFIX)) if len(written) <= len(KEY_PREFIX) + 3 * SEED_BYTES else None
    if raw is None or len(raw) not in {SEED_BYTES, 2 * SEED_BYTES}:
        raise BadMaterial("private_key", "must be ed25519: and the base58 of 32 or 64 bytes")
    key = SigningKey(raw[:SEED_BYTES])
    # Some exports hold the seed and its public key. Halves that don't belong together would sign for another key.
    if raw[SEED_BYTES:] not in {b"", key.verify_key.encode()}:
        raise BadMaterial("private_key", "its second half is not the public key of the first")
    return key


def _granted(reply: Reply) -> dict[str, object] | Verdict:
    """The `data` of a success, or what the refusal means."""
    body = json_object(reply.body)
    facts = Facts(venue_code=_code(body or {}), venue_message=text(body or {}, "message"))
    if (refused := refused_by_status(reply, facts)) is not None:
        return refused
    if body is None:
        return without_object(reply)
    match body.get("success", False):
        case True if reply.status == OK:
            return inner(body, "data")
        case False:
            return _by_code(facts, reply)
        case _:
            return Unclear(f"http {reply.status} and success contradict each other", facts)


def _code(body: Mapping[str, object]) -> str | None:
    """A code as the table spells it; under maintenance it comes as a string."""
    said = text(body, "code")
    return str(int(said)) if said is not None and CODE.fullmatch(said) else said


def _by_code(facts: Facts, reply: Reply) -> Verdict:
    verdict = CODES.get(facts.venue_code or "", Unclear(f"http {reply.status} without a known code"))
    # Which code a stale timestamp gets is not documented. Under whichever, our clock is at fault, not the credential.
    if isinstance(verdict, AuthRefused) and "timestamp" in (facts.venue_message or "").lower():
        return Untimely(facts)
    if isinstance(verdict, Throttled):
        return replace(verdict, retry_after_ms=retry_after_ms(reply), facts=facts)
    return replace(verdict, facts=facts)


def _sent(data: Mapping[str, object], word: str) -> Settled | Unclear:
    facts = _shown(data)
    if facts.venue_status != word:
        return Unclear(f"a success that is not {word}", facts)
    return Settled(Outcome.ACCEPTED, facts)


def _sighting(data: Mapping[str, object], order: OrderRef) -> Seen | Unclear:
    facts = _shown(data)
    if text(data, ID_FIELDS[order.by]) != order.value:
        return Unclear("the answer shows another order", facts)
    state = STATES.get(facts.venue_status or "")
    if state is None:
        return Unclear("no known order status", facts)
    return Seen(state, facts, created_ms=moment_ms(data, "created_time"))


def _listing(data: Mapping[str, object], page: Page) -> Listing | Unclear:
    total = count(inner(data, "meta"), "total")
    orders = listed(items(data, "rows"), _row, DONE)
    if total is None or orders is None or (page.number == 0 and bool(total) is not bool(items(data, "rows"))):
        return Unclear("a list that can't be read to its end")
    return Listing(orders, (page.number + 1) * PAGE_MOST < total, total)


def _row(row: Mapping[str, object]) -> OrderRef | None:
    order_id, symbol = text(row, "order_id") or "", text(row, "symbol") or ""
    sound = SHAPES[By.ORDER_ID].pattern.fullmatch(order_id) and SYMBOL.pattern.fullmatch(symbol)
    return OrderRef(By.ORDER_ID, order_id, symbol) if sound else None


def _shown(data: Mapping[str, object]) -> Facts:
    # `executed` beside it is the same amount in older answers.
    filled = amount(data, "total_executed_quantity") or amount(data, "executed")
    return Facts(
        venue_status=text(data, "status"),
        order_id=text(data, "order_id"),
        client_id=text(data, "client_order_id"),
        filled=filled,
        remaining=difference(amount(data, "quantity"), filled),
    )


ORDERLY = Orderly()
