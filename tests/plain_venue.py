"""A made-up venue for tests of everything that is not a venue: the smallest that has each habit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Page, Reach
from gateway.core.model import By, Op, OrderRef, Scope, VenueId
from gateway.core.outcome import AuthRefused, Facts, Outcome, Settled, Sighting, Throttled, Unclear, Verdict
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import BadMaterial, Login, Option, RefFault, Shown, Signer, Site, Token

ID = VenueId("plain")


@dataclass(frozen=True, slots=True)
class PlainSigner:
    url: str
    key: str = field(repr=False)

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:
        return WireRequest("DELETE", f"{self.url}/orders/{order.value}", (("x-key", self.key), ("x-at", str(at_ms))))

    def read(self, order: OrderRef, at_ms: int) -> WireRequest | None:
        return WireRequest("GET", f"{self.url}/orders/{order.value}", (("x-key", self.key), ("x-at", str(at_ms))))

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:
        del orders, at_ms
        return None

    def listing(self, page: Page, at_ms: int) -> WireRequest | None:
        del page, at_ms
        return None

    def cancel_all(self, symbol: str | None, at_ms: int) -> WireRequest | None:
        del symbol, at_ms
        return None


@dataclass(frozen=True, slots=True)
class PlainLogin:
    """Wants a token; the reply body is `life_ms:token`, or a refusal by its status."""

    url: str
    user: str

    def request(self, at_ms: int) -> WireRequest:
        return WireRequest("POST", f"{self.url}/token", (("x-user", self.user), ("x-at", str(at_ms))))

    def interpret(self, reply: Reply) -> Token | AuthRefused | Throttled | Unclear:
        if reply.status == 401:
            return AuthRefused(Facts(venue_message=reply.body.decode()))
        if reply.status in {418, 429}:
            return Throttled(Scope.ACCOUNT, banned=reply.status == 418)
        if reply.status != 200:
            return Unclear(f"status {reply.status}")
        life_ms, _, token = reply.body.decode().partition(":")
        return Token(token, reply.at_ms + int(life_ms))

    def signer(self, token: Token) -> Signer:
        return PlainSigner(self.url, token.value)


@dataclass(frozen=True, slots=True)
class PlainVenue:
    id: VenueId = ID
    fields: tuple[frozenset[str], ...] = (frozenset({"key"}), frozenset({"user"}))
    batch_most: int = 0
    lasting: frozenset[By] = frozenset({By.ORDER_ID})
    reach: Reach = field(default_factory=Reach)

    @property
    def options(self) -> Mapping[str, Option]:
        return {
            "window_ms": Option(5000, least=1, most=60_000),
            "side": Option("left", choices=("left", "right")),
            "loud": Option(default=False),
        }

    @property
    def quotas(self) -> Mapping[str, Quota]:
        return {"cancel": Quota(10, 1000), "cancel_client": Quota(10, 1000), "read": Quota(20, 1000)}

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:
        return OrderRef(by or By.ORDER_ID, ref, symbol)

    def symbol_fault(self, symbol: str) -> RefFault | None:
        del symbol
        return None

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:
        if op is Op.READ:
            return (Charge("read"),)
        return (Charge("cancel", 2) if by is By.ORDER_ID else Charge("cancel_client", 2),)

    def unlock(self, fields: Mapping[str, str], site: Site) -> Signer | Login:
        if "user" in fields:
            return PlainLogin(site.base_url, fields["user"])
        if "key" not in fields:
            raise BadMaterial("key", "is missing")
        if fields["key"] == "short":
            raise BadMaterial("key", "is too short")
        return PlainSigner(
            site.base_url, str(int(fields["key"], 16)) if fields["key"].startswith("0x") else fields["key"]
        )

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        del order
        return Settled(Outcome.CANCELLED) if reply.status == 200 else Unclear(f"status {reply.status}")

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        del order
        return Unclear(f"status {reply.status}")

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        return tuple(self.interpret(reply, order) for order in orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        del page
        return Unclear(f"status {reply.status}")

    def interpret_cancel_all(self, reply: Reply) -> Verdict:
        return Unclear(f"status {reply.status}")


PLAIN = PlainVenue()
