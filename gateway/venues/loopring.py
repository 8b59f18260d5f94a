"""Loopring, zkRollup order book, REST v3: its names, limits, and what it signs.

Its curve stands in babyjubjub.py, what its replies mean in loopring_replies.py.

Read in 2026: Loopring's Gitbook (cancel order, special API request signatures, error codes), DEX-API-V3, and the
source of its Python sample and TypeScript SDK. The relayer was taken offline in June 2026; nothing here has met it.

A signed text holds no time and no nonce: the same cancel always has the same bytes, and never expires.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never
from urllib.parse import quote

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Page, Reach
from gateway.core.model import By, Op, OrderRef, VenueId
from gateway.core.outcome import Sighting, Unclear, Verdict
from gateway.core.wire import Reply, WireRequest
from gateway.venues.babyjubjub import PrivateKey, message_integer
from gateway.venues.base import BadMaterial, Option, RefFault, Shown, Site
from gateway.venues.loopring_replies import PAGE_MOST, batch_verdicts, listing, sighting, verdict
from gateway.venues.material import bearer_text, field_text
from gateway.venues.naming import Shape, settle_kind, symbol_fault

BATCH_MOST = 10
OPEN_STATUSES = "processing,cancelling,waiting"
SYMBOL = Shape(re.compile(r"[A-Za-z0-9-]{1,64}"), "1 to 64 of A-Z a-z 0-9 -")

HASH = re.compile(r"0x[0-9a-fA-F]{64}")
ORDER_ID = re.compile(r"0x[0-9a-fA-F]{64}|[0-9]{1,78}")  # older material has the hash as a decimal number
# Beyond this alphabet the venue's own clients sign differently.
CLIENT_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._~-]{1,120}")
ACCOUNT_ID = re.compile(r"[0-9]{1,20}")
PRIVATE_KEY = re.compile(r"0x[0-9a-fA-F]{1,64}|[0-9]{1,78}")
SHAPES = {
    By.ORDER_ID: Shape(ORDER_ID, "0x and 64 hex digits, or 1 to 78 digits"),
    By.CLIENT_ID: Shape(CLIENT_ID, "1 to 120 of A-Z a-z 0-9 . _ ~ -, not dots alone"),
}


def signature_base(method: str, address: str, parameters: str) -> str:
    """The text that is signed; `parameters` are encoded already, and are encoded once more here."""
    return "&".join((method, _encode(address), _encode(parameters)))


def _encode(value: str) -> str:
    return quote(value, safe="")


@dataclass(frozen=True, slots=True)
class LoopringSigner:
    """A Loopring account that is ready to sign."""

    origin: str
    account_id: str
    api_key: str = field(repr=False)
    key: PrivateKey = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:  # noqa: ARG002  no time is signed
        """The exact request that cancels one order."""
        return self.request("DELETE", "/api/v3/order", self._with_account(_parameter(order.by), order.value))

    def read(self, order: OrderRef, at_ms: int) -> WireRequest:
        """One order by its hash; by a client id there is no such call, and it is looked for among the orders."""
        if order.by is By.CLIENT_ID:
            return self.leaf(order, 0, at_ms)
        return self.request("GET", "/api/v3/order", self._with_account("orderHash", order.value))

    def leaf(self, order: OrderRef, page: int, at_ms: int) -> WireRequest:  # noqa: ARG002  no time is signed
        """One page of all orders, whatever became of them."""
        return self.request("GET", "/api/v3/orders", self._page(page))

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:  # noqa: ARG002  likewise
        """One request that cancels up to ten orders of one kind of id; None for what one call can't hold."""
        kinds = {order.by for order in orders}
        if len(kinds) != 1 or len(orders) > BATCH_MOST:
            return None
        by = kinds.pop()
        path = "/api/v3/orders/byHash" if by is By.ORDER_ID else "/api/v3/orders/byClientOrderId"
        ids = ",".join(order.value for order in orders)
        return self.request("DELETE", path, self._with_account(_parameter(by), ids))

    def listing(self, page: Page, at_ms: int) -> WireRequest:  # noqa: ARG002  likewise
        """Everything that is not done, market by market or at all; signed although an API key would do."""
        market = (("market", page.symbol),) if page.symbol else ()
        return self.request("GET", "/api/v3/orders", (*self._page(page.number), *market, ("status", OPEN_STATUSES)))

    def cancel_all(self, symbol: str | None, at_ms: int) -> None:
        """There is no such call; a cancel without an id meant everything once, and is never sent for that reason."""

    def request(self, method: str, path: str, params: Iterable[tuple[str, str]]) -> WireRequest:
        """Sign any request of this account; parameters go into the query, keys ascending."""
        address = self.origin + path
        parameters = "&".join(f"{name}={_encode(value)}" for name, value in sorted(params))
        signature = self.key.sign(message_integer(signature_base(method, address, parameters)))
        return WireRequest(
            method,
            f"{address}?{parameters}",
            (
                ("Accept", "application/json"),
                ("Content-Type", "application/json"),
                ("X-API-KEY", self.api_key),
                ("X-API-SIG", str(signature)),
            ),
        )

    def _page(self, number: int) -> tuple[tuple[str, str], ...]:
        return (*self._with_account("limit", str(PAGE_MOST)), ("offset", str(number * PAGE_MOST)))

    def _with_account(self, name: str, value: str) -> tuple[tuple[str, str], ...]:
        return ("accountId", self.account_id), (name, value)


def _parameter(by: By) -> str:
    return "orderHash" if by is By.ORDER_ID else "clientOrderId"


class Loopring:
    """Loopring as a venue."""

    id = VenueId("loopring")
    fields: tuple[frozenset[str], ...] = (frozenset({"account_id", "api_key", "private_key"}),)
    options: Mapping[str, Option] = {}
    batch_most = BATCH_MOST
    lasting = frozenset(By)
    reach = Reach(page_most=PAGE_MOST)
    quotas: Mapping[str, Quota] = {
        "cancel": Quota(tokens=5, per_ms=1000),
        "read": Quota(tokens=5, per_ms=1000),
        "list": Quota(tokens=5, per_ms=1000),
        # No rate is published for batches. One a second carries ten orders; raise it where the venue agrees.
        "batch": Quota(tokens=1, per_ms=1000),
    }

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:  # noqa: ARG002  takes none
        """Check a reference, and settle which kind of id it is."""
        kind = settle_kind(ref, By.ORDER_ID if by is None and HASH.fullmatch(ref) else by, SHAPES)
        return OrderRef(kind, ref) if isinstance(kind, By) else kind

    def symbol_fault(self, symbol: str) -> RefFault | None:
        """A market stands in lists only."""
        return symbol_fault(symbol, SYMBOL)

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:  # noqa: ARG002  both kinds of id share an endpoint
        """Which limits a request spends from."""
        match op:
            case Op.CANCEL:
                return (Charge("cancel"),)
            case Op.BATCH:
                # Whether a batch counts as a cancel too is not published: it is paid for as if it did.
                return Charge("cancel"), Charge("batch")
            case Op.READ:
                return (Charge("read"),)
            case Op.LIST:
                return (Charge("list"),)
            case Op.CANCEL_ALL:
                return ()
            case _:
                assert_never(op)

    def unlock(self, fields: Mapping[str, str], site: Site) -> LoopringSigner:
        """Turn stored material into a signer; raises BadMaterial."""
        account_id = field_text(fields, "account_id")
        if not ACCOUNT_ID.fullmatch(account_id):
            raise BadMaterial("account_id", "must be decimal digits")
        return LoopringSigner(site.base_url, account_id, bearer_text(fields, "api_key"), _private_key(fields))

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """What a reply to `cancel` means."""
        return verdict(reply, order)

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """What a reply to `read` shows."""
        return sighting(reply, order)

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        """What a reply to `batch` means for each order, in their order."""
        return batch_verdicts(reply, orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        """What a reply to `listing` shows."""
        return listing(reply, page)

    def interpret_cancel_all(self, reply: Reply) -> Verdict:  # noqa: ARG002  no such call
        """There is no cancel-all, so no reply to one says anything."""
        return Unclear("no cancel-all")


def _private_key(fields: Mapping[str, str]) -> PrivateKey:
    written = field_text(fields, "private_key")
    if not PRIVATE_KEY.fullmatch(written):
        raise BadMaterial("private_key", "must be decimal, or 0x and hex digits")
    try:
        return PrivateKey(int(written, 16 if written.startswith("0x") else 10))
    except ValueError:
        raise BadMaterial("private_key", "must lie between 0 and the order of the subgroup") from None


LOOPRING = Loopring()
