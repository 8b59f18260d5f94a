"""A venue whose replies mean what a test says they mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Breadth, Page, Reach
from gateway.core.model import By, Op, OrderRef, VenueId
from gateway.core.outcome import (
    Outcome,
    Settled,
    Sighting,
    Verdict,
)
from gateway.core.wire import Reply, WireRequest
from gateway.venues.base import Login, Option, RefFault, Shown, Signer, Site

VENUE = VenueId("venue")


@dataclass(frozen=True, slots=True)
class FakeSigner:
    """Signs with a name, so that a request tells which credential made it. Client ids can be read if it says so."""

    name: str = "key-1"
    reads_client_ids: bool = False

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:
        return WireRequest("DELETE", f"https://venue.example/{order.value}?at={at_ms}", (("x-key", self.name),))

    def read(self, order: OrderRef, at_ms: int) -> WireRequest | None:
        if order.by is By.CLIENT_ID and not self.reads_client_ids:
            return None
        return WireRequest("GET", f"https://venue.example/{order.value}?at={at_ms}", (("x-key", self.name),))

    def leaf(self, order: OrderRef, page: int, at_ms: int) -> WireRequest:
        return WireRequest("GET", f"https://venue.example/{order.value}/{page}?at={at_ms}", (("x-key", self.name),))

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:
        refs = ",".join(order.value for order in orders)
        return WireRequest("DELETE", f"https://venue.example/batch/{refs}?at={at_ms}", (("x-key", self.name),))

    def listing(self, page: Page, at_ms: int) -> WireRequest | None:
        url = f"https://venue.example/list/{page.number}/{page.symbol or ''}?at={at_ms}"
        return WireRequest("GET", url, (("x-key", self.name),))

    def cancel_all(self, symbol: str | None, at_ms: int) -> WireRequest | None:
        return WireRequest("DELETE", f"https://venue.example/all/{symbol or ''}?at={at_ms}", (("x-key", self.name),))


@dataclass(slots=True)
class FakeVenue:
    """Ten cancels a second and twenty reads; its replies mean what a test wrote into them."""

    id: VenueId = VENUE
    fields: tuple[frozenset[str], ...] = (frozenset({"key"}),)
    batch_most: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    by_ref: dict[str, Verdict] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    clock_bound_ms: int = 5000
    clock_ms: Callable[[], int] | None = None
    lasting: frozenset[By] = frozenset({By.ORDER_ID})
    reach: Reach = field(default_factory=Reach)
    lists: list[Shown] = field(default_factory=list)
    alls: list[Verdict] = field(default_factory=list)

    @property
    def options(self) -> Mapping[str, Option]:
        return {}

    @property
    def quotas(self) -> Mapping[str, Quota]:
        return {
            "cancel": Quota(10, 1000, 20),
            "read": Quota(20, 1000, 20),
            "batch": Quota(5, 1000, 20),
            "list": Quota(20, 1000, 20),
            "all": Quota(4, 1000, 20),
        }

    def reply(self, verdict: Verdict) -> Reply:
        """A reply to a cancel that will be interpreted so."""
        self.verdicts.append(verdict)
        return Reply(200, self.headers, str(len(self.verdicts) - 1).encode())

    def shows(self, sighting: Sighting) -> Reply:
        """A reply to a read that will be interpreted so."""
        self.sightings.append(sighting)
        return Reply(200, {}, str(len(self.sightings) - 1).encode())

    def told_ms(self, reply: Reply) -> int | None:
        del reply
        return None if self.clock_ms is None else self.clock_ms()

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:
        return OrderRef(by or By.ORDER_ID, ref, symbol)

    def symbol_fault(self, symbol: str) -> RefFault | None:
        return None if symbol.isalnum() else RefFault(Outcome.INVALID_REQUEST, "no symbol")

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:
        del by
        if op is Op.BATCH:
            return (Charge("batch"),) if self.batch_most else ()
        if op is Op.LIST:
            return (Charge("list"),) if self.reach.page_most else ()
        if op is Op.CANCEL_ALL:
            return () if self.reach.cancel_all is Breadth.NONE else (Charge("all", 2),)
        return (Charge("read"),) if op is Op.READ else (Charge("cancel"),)

    def unlock(self, fields: Mapping[str, str], site: Site) -> Signer | Login:
        del site
        return FakeSigner(fields["key"])

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        return self.by_ref.get(order.value) or self.verdicts[int(reply.body)]

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        del order
        return self.sightings[int(reply.body)]

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        del reply
        return tuple(self.by_ref.get(order.value, Settled(Outcome.ACCEPTED)) for order in orders)

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        del page
        return self.lists[int(reply.body)]

    def interpret_cancel_all(self, reply: Reply) -> Verdict:
        return self.alls[int(reply.body)]
