"""ETNA Trader, Web API v1.0. Pure: what to send, and what the replies mean.

Read for it, in 2026: the vendor's manual (github.com/etnatrader/gitbookHelp, folder web-api/trading-api), pages
orders/cancel-order, orders/get-orders-info, orders/get-filtered-orders, orders/replace-order,
authentication/requesting-tokens and authentication/two-factor-authentication.

The cancel has two forms. `orders` is checked by ETNA's API alone ("quick"), so its 204 is `accepted`; `syncorders` is
checked by the execution venue too ("slow"), so its 204 is `cancelled`. Only `base.at` tells the venue which one is
sent; a venue that was not told reads the weaker meaning.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, assert_never, final

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Listing, Page, Reach
from gateway.core.model import By, Op, OrderRef, VenueId
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
    Verdict,
)
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import BadMaterial, Option, RefFault, Shown, Site, Token
from gateway.venues.material import bearer_text, field_text, header_text, is_bearer, is_int32
from gateway.venues.naming import Shape, symbol_fault
from gateway.venues.reading import (
    amount,
    count,
    difference,
    in_own_voice,
    items,
    json_object,
    listed,
    refused_by_credential,
    refused_by_status,
    text,
)

# ETNA publishes no limits; 5 a second is a guess on the careful side, and can be configured.
QUOTAS = MappingProxyType({name: Quota(tokens=5, per_ms=1000) for name in ("cancel", "read", "list")})

PLAIN, SYNC = "orders", "syncorders"
OPTIONS = MappingProxyType({"form": Option(PLAIN, choices=(PLAIN, SYNC))})

# "The authorization token lifetime is 24 hours", and the answer has no expiry in it: an hour of margin.
TOKEN_LIFE_MS = 23 * 3_600_000

OK, SECOND_STEP, NO_CONTENT = 200, 202, 204
BAD_REQUEST, NOT_FOUND, CONFLICT, UNPROCESSABLE = 400, 404, 409, 422

# What ASP.NET answers to an address that no program serves: a wrong base_url, not a missing order.
NO_ROUTE = "No HTTP resource was found"

NUMBERED = (
    "New",
    "PartiallyFilled",
    "Filled",
    "DoneForDay",
    "Canceled",
    "Replaced",
    "PendingCancel",
    "Stopped",
    "Rejected",
    "Suspended",
    "PendingNew",
    "Calculated",
    "Expired",
    "AcceptedForBidding",
    "PendingReplace",
    "Error",
)

# The names are those of FIX tag 39, and mean the same. Two need a second look, see `_at_day_end`; `Error` says
# nothing about the order, so it has no row.
STATES = {
    "New": OrderState.OPEN,
    "PartiallyFilled": OrderState.OPEN,
    "Filled": OrderState.FILLED,
    "Canceled": OrderState.CANCELLED,
    "Replaced": OrderState.CLOSED,  # this id is done with; what replaced it has another
    "PendingCancel": OrderState.PENDING_CANCEL,
    "Stopped": OrderState.OPEN,  # a price is guaranteed, nothing is traded yet
    "Rejected": OrderState.CLOSED,
    "Suspended": OrderState.OPEN,  # can be taken up again
    "PendingNew": OrderState.OPEN,
    "Expired": OrderState.CLOSED,
    "AcceptedForBidding": OrderState.OPEN,
    "PendingReplace": OrderState.OPEN,
}
DAY_END = frozenset({"DoneForDay", "Calculated"})
STILL_THERE = frozenset({OrderState.OPEN, OrderState.PENDING_CANCEL, None})
MAY_TRADE = [str(n) for n, name in enumerate(NUMBERED) if name in DAY_END or STATES.get(name) in STILL_THERE - {None}]
PAGE_MOST = 100
SYMBOL = Shape(re.compile(r"[A-Za-z0-9./_-]{1,64}"), "1 to 64 of A-Z a-z 0-9 . / _ -")

# Answers to a cancel that say nothing certain about the order. 409 and 422 are documented without a cause or a body,
# 404 not at all; each proves that this cancel did nothing, so a cancelled order was cancelled before.
READ_BACK = {
    NOT_FOUND: ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND),
    CONFLICT: ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND),
    UNPROCESSABLE: ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What every request of one account has in common."""

    base_url: str
    account_id: str
    app_key: str = field(repr=False)
    form: str


@dataclass(frozen=True, slots=True)
class EtnaSigner:
    """Signs with a token that is there."""

    terms: Terms
    token: str = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:  # noqa: ARG002  nothing is timed here
        """One order, in the form that is configured."""
        return self._request("DELETE", f"{self.terms.form}/{order.value}")

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:  # noqa: ARG002  likewise
        """One order, as the API knows it."""
        return self._request("GET", f"{PLAIN}/{order.value}")

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> None:
        """There is no such call."""

    def listing(self, page: Page, at_ms: int) -> WireRequest:  # noqa: ARG002  likewise
        """One page of what may still trade, whatever its symbol: the filter's words for symbols are not documented."""
        wanted = f"filter=Status%20in%20({','.join(MAY_TRADE)})"
        return self._request("GET", f"{PLAIN}?pageNumber={page.number}&pageSize={PAGE_MOST}&{wanted}")

    def cancel_all(self, symbol: str | None, at_ms: int) -> None:
        """There is no such call."""

    def _request(self, method: str, target: str) -> WireRequest:
        terms = self.terms
        url = f"{terms.base_url}/v1.0/accounts/{terms.account_id}/{target}"
        headers = (
            ("Accept", "application/json"),
            ("Et-App-Key", terms.app_key),
            ("Authorization", f"Bearer {self.token}"),
        )
        return WireRequest(method, url, headers)


@dataclass(frozen=True, slots=True)
class EtnaLogin:
    """Fetches the token with a user's name and password, which travel in headers."""

    terms: Terms
    username: str = field(repr=False)
    password: str = field(repr=False)

    def request(self, at_ms: int) -> WireRequest:  # noqa: ARG002  nothing is timed here
        """Ask for a token; all is said in headers, and the body is empty."""
        headers = (
            ("Accept", "application/json"),
            ("Et-App-Key", self.terms.app_key),
            ("Username", self.username),
            ("Password", self.password),
        )
        return WireRequest("POST", f"{self.terms.base_url}/token", headers)

    def interpret(self, reply: Reply) -> Token | AuthRefused | Throttled | Unclear:
        """A token with `Succeeded`; any other state is a refusal, above all the wish for a second factor."""
        said = json_object(reply.body) or {}
        facts = _login_facts(said)
        if (refused := refused_by_credential(reply, facts) or refused_by_status(reply, facts)) is not None:
            return refused
        token, state = said.get("Token"), said.get("State")
        if reply.status not in {OK, SECOND_STEP} or not isinstance(state, str):
            return Unclear(f"http {reply.status} without a state", facts)
        if state != "Succeeded":
            return AuthRefused(facts)
        if reply.status != OK or not isinstance(token, str) or not is_bearer(token):
            return Unclear("no usable token", facts)
        return Token(token, reply.at_ms + TOKEN_LIFE_MS)

    def signer(self, token: Token) -> EtnaSigner:
        """What signs while the token lasts."""
        return EtnaSigner(self.terms, token.value)


def _login_facts(said: Mapping[str, object]) -> Facts:
    """Why there is no token. A second factor needs a person, so it is named as what it is."""
    reason = text(said, "Reason") or _message(said)
    if said.get("State") == "Expecting":
        reason = f"a second factor is wanted: {reason or 'no reason given'}; use a user without one"
    return Facts(venue_code=text(said, "Step"), venue_message=reason)


def _message(said: Mapping[str, object]) -> str | None:
    return text(said, "error") or text(said, "Message") or text(said, "message")


def _order_facts(said: Mapping[str, object]) -> Facts:
    """An order's own fields. LeavesQuantity is 0 on a dead order, so what is left is counted."""
    filled = amount(said, "ExecutedQuantity")
    return Facts(
        venue_status=text(said, "Status"),
        order_id=text(said, "Id"),
        client_id=text(said, "ClientId"),
        filled=filled,
        remaining=difference(amount(said, "Quantity"), filled),
        venue_message=text(said, "Description"),
    )


def _status_name(stated: str) -> str:
    """Answers carry names, filters numbers, the manual names with blanks: all come to the same."""
    if stated.isdecimal() and stated.isascii() and len(stated) <= 2 and int(stated) < len(NUMBERED):  # noqa: PLR2004  two digits hold 15
        return NUMBERED[int(stated)]
    return stated.replace(" ", "")


def _state(said: Mapping[str, object], facts: Facts) -> OrderState | None:
    # Not ExecutionStatus: that is about the last operation, and says Rejected where a filled order was to be cancelled
    name = _status_name(facts.venue_status or "")
    return _at_day_end(said, facts) if name in DAY_END else STATES.get(name)


def _at_day_end(said: Mapping[str, object], facts: Facts) -> OrderState:
    """No more trades today: that ends an order for the day, but one that is good for longer comes back tomorrow."""
    if facts.remaining == "0":
        return OrderState.FILLED
    return OrderState.CLOSED if text(said, "TimeInForce") == "Day" else OrderState.OPEN


def _no_route(reply: Reply, facts: Facts) -> bool:
    return not in_own_voice(reply.body) or (facts.venue_message or "").startswith(NO_ROUTE)


@final
@dataclass(frozen=True, slots=True)
class Etna:
    """The venue. `sync` tells that cancels are sent in the form that the execution venue checks."""

    sync: bool = False

    id = VenueId("etna")
    fields = (
        frozenset({"account_id", "app_key", "username", "password"}),
        frozenset({"account_id", "app_key", "token"}),
    )
    options: ClassVar[Mapping[str, Option]] = OPTIONS
    quotas: ClassVar[Mapping[str, Quota]] = QUOTAS
    batch_most = 0
    lasting: ClassVar[frozenset[By]] = frozenset({By.ORDER_ID})
    reach = Reach(
        page_most=PAGE_MOST,
        blind="orders in the state Error and mutual-fund orders are neither cancelled nor counted",
    )

    def at(self, site: Site) -> "Etna":
        """The venue with the form that `site` asks for."""
        return replace(self, sync=_form(site) == SYNC)

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:  # noqa: ARG002  ids suffice
        """Order ids are positive 32-bit integers; "007" would reach the order 7 under two names, so it is refused."""
        if by is By.CLIENT_ID:
            return RefFault(Outcome.INVALID_REQUEST, "etna cancels by order id only; it has no call for client ids")
        if not is_int32(ref):
            return RefFault(Outcome.INVALID_REQUEST, "an etna order id is 1 to 2147483647, without leading zeros")
        return OrderRef(By.ORDER_ID, ref)

    def symbol_fault(self, symbol: str) -> RefFault | None:
        """A symbol is looked for in the list; it enters no request."""
        return symbol_fault(symbol, SYMBOL)

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:  # noqa: ARG002  there is one kind of id
        """One token of the limit that is called as the request."""
        match op:
            case Op.CANCEL:
                return (Charge("cancel"),)
            case Op.READ:
                return (Charge("read"),)
            case Op.LIST:
                return (Charge("list"),)
            case Op.BATCH | Op.CANCEL_ALL:
                return ()
            case _:
                assert_never(op)

    def unlock(self, fields: Mapping[str, str], site: Site) -> EtnaSigner | EtnaLogin:
        """A username and password fetch tokens; a stored token signs as long as it lasts."""
        account_id = field_text(fields, "account_id")
        if not is_int32(account_id):
            raise BadMaterial("account_id", "must be 1 to 2147483647, without leading zeros")
        terms = Terms(site.base_url.rstrip("/"), account_id, header_text(fields, "app_key"), _form(site))
        if "token" in fields and not fields.keys() & {"username", "password"}:
            return EtnaSigner(terms, bearer_text(fields, "token"))
        return EtnaLogin(terms, header_text(fields, "username"), header_text(fields, "password"))

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """204 is success in the form that was sent; what names no cause sends us to the order itself."""
        if reply.status == NO_CONTENT:
            return Settled(Outcome.CANCELLED if self.sync else Outcome.ACCEPTED, Facts(order_id=order.value))
        said = json_object(reply.body)
        facts = Facts(venue_message=_message(said or {}))
        if (refused := refused_by_credential(reply, facts) or refused_by_status(reply, facts)) is not None:
            return refused
        if (asked := READ_BACK.get(reply.status)) is not None:
            return replace(asked, facts=facts)
        if said is not None and reply.status == BAD_REQUEST:
            return Settled(Outcome.REJECTED, facts)
        if said is not None and reply.status == OK:
            return _taken(said, order)
        return Unclear(f"http {reply.status} with no known meaning", facts)

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """The order's status, if it is the order that was asked for."""
        said = json_object(reply.body) or {}
        complaint = Facts(venue_message=_message(said))
        if (refused := refused_by_credential(reply, complaint) or refused_by_status(reply, complaint)) is not None:
            return refused
        if reply.status == NOT_FOUND and not _no_route(reply, complaint):
            return Seen(OrderState.MISSING, complaint)
        facts = _order_facts(said)
        if reply.status != OK or facts.order_id != order.value:
            return Unclear(f"http {reply.status} without this order", complaint)
        state = _state(said, facts)
        return Unclear("a status with no known meaning", facts) if state is None else Seen(state, facts)

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:  # noqa: ARG002  no such call
        """There is no batch call, so no reply to one says anything."""
        return tuple(Unclear("no batch call") for _ in orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        """The rows that are not done, if every one of them can be read."""
        said = json_object(reply.body) or {}
        complaint = Facts(venue_message=_message(said))
        if (refused := refused_by_credential(reply, complaint) or refused_by_status(reply, complaint)) is not None:
            return refused
        total, orders = count(said, "TotalCount"), listed(items(said, "Result"), _row)
        empty = page.number == 0 and not items(said, "Result")
        if reply.status != OK or total is None or orders is None or (empty and total):
            return Unclear(f"http {reply.status} without a list that can be read to its end", complaint)
        there = zip(orders, items(said, "Result"), strict=True)
        wanted = tuple(order for order, row in there if _still_there(row) and page.symbol in {None, order.symbol})
        return Listing(wanted, (page.number + 1) * PAGE_MOST < total, total)

    def interpret_cancel_all(self, reply: Reply) -> Verdict:  # noqa: ARG002  no such call
        """There is no cancel-all, so no reply to one says anything."""
        return Unclear("no cancel-all")


def _row(row: Mapping[str, object]) -> OrderRef | None:
    found, symbol = text(row, "Id") or "", text(row, "Symbol")
    return OrderRef(By.ORDER_ID, found, symbol) if is_int32(found) and symbol else None


def _still_there(row: object) -> bool:
    """A state that nobody knows counts as open: only what is known to be done may be left out."""
    said = row if isinstance(row, dict) else {}
    return _state(said, _order_facts(said)) in STILL_THERE


def _taken(said: Mapping[str, object], order: OrderRef) -> Settled | Unclear:
    """200 is listed as "OK, object" and not explained: taken, unless there is a complaint or another order in it."""
    if (message := _message(said)) is not None or text(said, "Id") not in {None, order.value}:
        return Unclear("a success that says something else", Facts(venue_message=message))
    return Settled(Outcome.ACCEPTED, Facts(venue_status=text(said, "Status"), order_id=order.value))


def _form(site: Site) -> str:
    return SYNC if site.options.get("form") == SYNC else PLAIN


ETNA = Etna()
