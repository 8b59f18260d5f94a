"""B2BROKER B2TRADER, front office API v3 (cancel) and v4 (access token). Pure: what to send, what replies mean.

Read for it, in 2026: the vendor's page of `DELETE /frontoffice/api/v3/orders/{orderId}`, and the order statuses at
api-docs.b2trader.b2broker.com. Not documented where we could see it: the form of errors, limits, a call that reads
one order, and the exchange of the offline token (taken from third-party clients that agree with each other).
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never, final

import orjson

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Page, Reach
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
    Untimely,
    Verdict,
)
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import BadMaterial, Option, RefFault, Shown, Site, Token
from gateway.venues.material import bearer_text, field_text, is_bearer
from gateway.venues.reading import (
    amount,
    difference,
    in_own_voice,
    inner,
    json_object,
    refused_by_credential,
    refused_by_status,
    text,
)

# No limits are published; 5 a second is a guess on the careful side, and can be configured.
QUOTAS = MappingProxyType({"cancel": Quota(tokens=5, per_ms=1000)})

ORDERS, ACCESS_TOKEN = "/frontoffice/api/v3/orders", "/frontoffice/api/v4/access-token"
ORDER_ID = re.compile(r"[0-9A-Za-z]{1,64}")  # a ULID in every example; the rule is not stated
ACCOUNT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

OK, BAD_REQUEST, NOT_FOUND, CONFLICT, UNPROCESSABLE = 200, 400, 404, 409, 422

LIFE_UNKNOWN_MS, LIFE_MOST_MS = 60_000, 86_400_000
MARGIN_MOST_MS, MARGIN_PART = 30_000, 10
JWT_PARTS, EXP_MOST_S = 3, 2**40

# `cancellationDate` is no test: the vendor's own example of a cancelled order has null there.
STATUSES = {
    "Started": Outcome.ACCEPTED,
    "Pending": Outcome.ACCEPTED,
    "Working": Outcome.ACCEPTED,
    "Completed": Outcome.TOO_LATE_FILLED,
    "Cancelled": Outcome.CANCELLED,
    "Expired": Outcome.CLOSED,  # also what a time in force cancels
    "Rejected": Outcome.CLOSED,
}

SHOWN = {
    Outcome.CANCELLED: OrderState.CANCELLED,
    Outcome.ACCEPTED: OrderState.PENDING_CANCEL,
    Outcome.TOO_LATE_FILLED: OrderState.FILLED,
    Outcome.CLOSED: OrderState.CLOSED,
    Outcome.NOT_FOUND: OrderState.MISSING,
}

# Errors come without a documented code for "already final". No call reads one order, but ids are never reused, so the
# truth is found by repeating the cancel: until then this is `unknown`, not a failure.
ASK_AGAIN = frozenset({BAD_REQUEST, CONFLICT, UNPROCESSABLE})
FINAL_BEFORE = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class B2TraderSigner:
    """Signs with an access token that is there."""

    base_url: str
    account_id: str
    jwt: str = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:  # noqa: ARG002  nothing is timed here
        """One order; the account stands in a header."""
        headers = (
            ("Accept", "application/json"),
            ("Authorization", f"Bearer {self.jwt}"),
            ("accountId", self.account_id),
        )
        return WireRequest("DELETE", f"{self.base_url}{ORDERS}/{order.value}", headers)

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:
        """No call reads one order. Ids are never used again, so the cancel once more does no harm, and tells."""
        return self.cancel(order, at_ms)

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> None:
        """There is no such call."""

    def listing(self, page: Page, at_ms: int) -> None:
        """There is no such call: open orders come by a stream only."""

    def cancel_all(self, symbol: str | None, at_ms: int) -> None:
        """There is no such call."""


@dataclass(frozen=True, slots=True)
class B2TraderLogin:
    """Exchanges the long-lived offline token for access tokens."""

    base_url: str
    account_id: str
    offline_token: str = field(repr=False)

    def request(self, at_ms: int) -> WireRequest:  # noqa: ARG002  nothing is timed here
        """Ask for an access token; here the secret stands in the body."""
        headers = (("Accept", "application/json"), ("Content-Type", "application/json"))
        body = orjson.dumps({"token": self.offline_token})
        return WireRequest("POST", f"{self.base_url}{ACCESS_TOKEN}", headers, body)

    def interpret(self, reply: Reply) -> Token | AuthRefused | Throttled | Unclear:
        """A token, to be renewed a little before it ends."""
        said = json_object(reply.body)
        facts = _complaint(said or {})
        if (refused := refused_by_credential(reply, facts) or refused_by_status(reply, facts)) is not None:
            return refused
        if reply.status == BAD_REQUEST and said is not None:
            return AuthRefused(facts)  # nothing but the token is in the request
        token = (said or {}).get("accessToken")
        if reply.status != OK or not isinstance(token, str) or not is_bearer(token):
            return Unclear(f"http {reply.status} without a usable access token", facts)
        renew_at_ms = _renew_at_ms(token, reply.at_ms)
        return Unclear("the access token has run out already") if renew_at_ms is None else Token(token, renew_at_ms)

    def signer(self, token: Token) -> B2TraderSigner:
        """What signs while the token lasts."""
        return B2TraderSigner(self.base_url, self.account_id, token.value)


def _renew_at_ms(jwt: str, now_ms: int) -> int | None:
    """A little before the token says it ends; None where that has passed. The lifetime is documented nowhere."""
    exp = _jwt_claims(jwt).get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return now_ms + LIFE_UNKNOWN_MS
    life_ms = min(int(max(0, min(exp, EXP_MOST_S)) * 1000) - now_ms, LIFE_MOST_MS)
    return None if life_ms <= 0 else now_ms + life_ms - min(MARGIN_MOST_MS, life_ms // MARGIN_PART)


def _jwt_claims(jwt: str) -> dict[str, object]:
    """The claims, unverified: we only want to know when to ask for the next one, and the venue checks the rest."""
    parts = jwt.split(".")
    if len(parts) != JWT_PARTS:
        return {}
    try:
        payload = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:  # binascii.Error is one
        return {}
    return json_object(payload) or {}


def _complaint(said: Mapping[str, object]) -> Facts:
    """The form of errors is not documented; these are the names that such APIs use."""
    return Facts(
        venue_code=text(said, "code") or text(said, "errorCode"),
        venue_message=text(said, "message") or text(said, "detail") or text(said, "title") or text(said, "error"),
    )


def _order_facts(said: Mapping[str, object]) -> Facts:
    remaining = amount(said, "remainingAmount")
    return Facts(
        venue_status=text(said, "status"),
        order_id=text(said, "orderId"),
        filled=difference(amount(said, "requestedAmount"), remaining),
        remaining=remaining,
        venue_message=text(said, "rejectDetails"),
    )


@final
class B2Trader:
    """The venue."""

    __slots__ = ()
    id = VenueId("b2trader")
    fields = (frozenset({"account_id", "offline_token"}), frozenset({"account_id", "jwt"}))
    options: Mapping[str, Option] = MappingProxyType({})
    quotas: Mapping[str, Quota] = QUOTAS
    batch_most = 0
    lasting = frozenset({By.ORDER_ID})
    reach = Reach(
        blind="b2trader documents neither a list of open orders nor a cancel-all: what is open can't be known"
    )

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:  # noqa: ARG002  ids suffice
        """Order ids are letters and digits; nothing else may enter the path."""
        if by is By.CLIENT_ID:
            return RefFault(Outcome.INVALID_REQUEST, "b2trader cancels by order id only; its orders have no client id")
        if not ORDER_ID.fullmatch(ref):
            return RefFault(Outcome.INVALID_REQUEST, "a b2trader order id is 1 to 64 letters and digits")
        return OrderRef(By.ORDER_ID, ref)

    def symbol_fault(self, symbol: str) -> RefFault | None:  # noqa: ARG002  whatever it is
        """No call takes one."""
        return RefFault(Outcome.INVALID_REQUEST, "b2trader has no call that takes a symbol")

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:  # noqa: ARG002  there is one kind of id
        """One token for the one call there is."""
        match op:
            case Op.CANCEL | Op.READ:
                return (Charge("cancel"),)
            case Op.BATCH | Op.LIST | Op.CANCEL_ALL:
                return ()
            case _:
                assert_never(op)

    def unlock(self, fields: Mapping[str, str], site: Site) -> B2TraderSigner | B2TraderLogin:
        """An offline token fetches access tokens; a stored access token signs as long as it lasts."""
        account_id = field_text(fields, "account_id")
        if not ACCOUNT_ID.fullmatch(account_id):
            raise BadMaterial("account_id", "must be 1 to 64 letters, digits, _ or -")
        base_url = site.base_url.rstrip("/")
        if "jwt" in fields and "offline_token" not in fields:
            return B2TraderSigner(base_url, account_id, bearer_text(fields, "jwt"))
        return B2TraderLogin(base_url, account_id, bearer_text(fields, "offline_token"))

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """The order in the answer, by its status."""
        said = json_object(reply.body) or {}
        facts = _complaint(said)
        if (refused := refused_by_credential(reply, facts) or refused_by_status(reply, facts)) is not None:
            return refused
        if reply.status == NOT_FOUND and in_own_voice(reply.body):
            return Settled(Outcome.NOT_FOUND, facts)
        if reply.status in ASK_AGAIN:
            return replace(FINAL_BEFORE, facts=facts)
        if reply.status != OK:
            return Unclear(f"http {reply.status} with no known meaning", facts)
        return _by_status(_order_facts(inner(said, "order")), order)

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """What the answer to a repeated cancel shows of the order."""
        verdict = self.interpret(reply, order)
        match verdict:
            case Settled(outcome=outcome, facts=facts) if outcome in SHOWN:
                return Seen(SHOWN[outcome], facts)
            case ReadBack(facts=facts) if reply.status == CONFLICT:
                # That an order in its final state answers so is likely, and stated nowhere; a cancel that is still
                # being worked on might, too.
                return Seen(OrderState.CLOSED, facts, weak=True)
            case Settled(facts=facts) | ReadBack(facts=facts) | Untimely(facts=facts):
                return Unclear("the repeated cancel was refused", facts)
            case AuthRefused() | Throttled() | Unclear():
                return verdict
            case _:
                assert_never(verdict)

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:  # noqa: ARG002  no such call
        """There is no batch call, so no reply to one says anything."""
        return tuple(Unclear("no batch call") for _ in orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:  # noqa: ARG002  no such call
        """There is no list, so no reply to one says anything."""
        return Unclear("no list")

    def interpret_cancel_all(self, reply: Reply) -> Verdict:  # noqa: ARG002  no such call
        """There is no cancel-all, so no reply to one says anything."""
        return Unclear("no cancel-all")


def _by_status(facts: Facts, order: OrderRef) -> Verdict:
    """An order id is a ULID, whose letters mean the same in either case."""
    if (facts.order_id or "").upper() != order.value.upper():
        return Unclear("the answer is not about this order")
    outcome = STATUSES.get(facts.venue_status or "")
    return Unclear("a status with no known meaning", facts) if outcome is None else Settled(outcome, facts)


B2TRADER = B2Trader()
