"""What a venue is to the rest of the gateway. Protocols and values; no venue's own habits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.core.admission import Charge, Quota
from gateway.core.listing import Listing, Page, Reach
from gateway.core.model import By, Op, OrderRef, VenueId
from gateway.core.outcome import AuthRefused, Outcome, Sighting, Throttled, Unclear, Verdict
from gateway.core.wire import Reply, WireRequest


class BadMaterial(Exception):  # noqa: N818  named for what it is: the material, not the program, is at fault
    """Credential material that cannot sign; names the field and the fault, never the value."""

    def __init__(self, field_name: str, problem: str) -> None:
        super().__init__(f"{field_name}: {problem}")
        self.field = field_name
        self.problem = problem


Shown = Listing | AuthRefused | Throttled | Unclear


@dataclass(frozen=True, slots=True)
class RefFault:
    """Why a reference is refused before anything is touched."""

    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where a venue is dialled, and its own settings (`[venues.<id>]` keys named in `Venue.options`)."""

    base_url: str
    options: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token got from a venue; use it until `renew_at_ms`."""

    value: str = field(repr=False)
    renew_at_ms: int


class Signer(Protocol):
    """A credential that is ready to sign. The only maker of requests that concern orders."""

    def cancel(self, order: OrderRef, at_ms: int) -> WireRequest:
        """The exact request that cancels one order."""
        ...

    def read(self, order: OrderRef, at_ms: int) -> WireRequest | None:
        """The exact request that shows how one order stands; None where there is none for this kind of id.

        Where a venue has no call that reads, and its ids are never used again, that is the cancel itself once more.
        """
        ...

    def batch(self, orders: tuple[OrderRef, ...], at_ms: int) -> WireRequest | None:
        """One request that cancels all of these (same kind of id); None where the venue has no such call."""
        ...

    def listing(self, page: Page, at_ms: int) -> WireRequest | None:
        """One page of what is open; None where the venue has no such list."""
        ...

    def cancel_all(self, symbol: str | None, at_ms: int) -> WireRequest | None:
        """One request that cancels all that is open, of a symbol or at all; None where the venue has none so wide."""
        ...


def looks_by_cancelling(signer: Signer, order: OrderRef) -> bool:
    """Whether a look at the order asks for it to be cancelled once more, so that whoever looks may be who does it."""
    return signer.read(order, 0) == signer.cancel(order, 0)


@runtime_checkable
class Login(Protocol):
    """A credential that must fetch a token before it can sign."""

    def request(self, at_ms: int) -> WireRequest:
        """The exact request that asks for a token."""
        ...

    def interpret(self, reply: Reply) -> Token | AuthRefused | Throttled | Unclear:
        """Total: any reply is a token, a refusal, or unclear."""
        ...

    def signer(self, token: Token) -> Signer:
        """What signs while the token lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a venue's own: its default, and what else may stand there."""

    default: str | int | bool
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None


class Venue(Protocol):
    """One venue: what it is called, what it allows, and how it speaks."""

    @property
    def id(self) -> VenueId:
        """Its name in paths, settings, metrics."""
        ...

    @property
    def fields(self) -> tuple[frozenset[str], ...]:
        """The sets of credential fields that it takes; one of them must be complete."""
        ...

    @property
    def options(self) -> Mapping[str, Option]:
        """Settings that only this venue has."""
        ...

    @property
    def quotas(self) -> Mapping[str, Quota]:
        """The limits that it is shipped with, by name; the name is the key in the settings."""
        ...

    @property
    def batch_most(self) -> int:
        """The most ids that one batch call takes; 0 where there is none."""
        ...

    @property
    def lasting(self) -> frozenset[By]:
        """The kinds of id that never name another order later. Only what such an id names can be known as gone."""
        ...

    @property
    def reach(self) -> Reach:
        """How far its calls go where everything has to go."""
        ...

    def order_ref(self, ref: str, by: By | None, symbol: str | None) -> OrderRef | RefFault:
        """Check a reference against the venue's alphabet, and settle which kind of id it is."""
        ...

    def symbol_fault(self, symbol: str) -> RefFault | None:
        """Why a symbol can't stand in a list or a cancel-all; None where it can."""
        ...

    def charges(self, op: Op, by: By) -> tuple[Charge, ...]:
        """Which limits a request spends from, and how much of each; none where there is no such request."""
        ...

    def unlock(self, fields: Mapping[str, str], site: Site) -> Signer | Login:
        """Turn stored material into something that signs; raises BadMaterial."""
        ...

    def interpret(self, reply: Reply, order: OrderRef) -> Verdict:
        """What a reply to `cancel` means. Total: never raises, whatever the bytes."""
        ...

    def interpret_read(self, reply: Reply, order: OrderRef) -> Sighting:
        """What a reply to `read` shows. Total likewise."""
        ...

    def interpret_batch(self, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
        """What a reply to `batch` means for each order, in their order. Total likewise."""
        ...

    def interpret_listing(self, reply: Reply, page: Page) -> Shown:
        """What a reply to `listing` shows. Total likewise; a page with a row that can't be read shows nothing."""
        ...

    def interpret_cancel_all(self, reply: Reply) -> Verdict:
        """What a reply to `cancel_all` means. Total likewise."""
        ...


@runtime_checkable
class Leafing(Protocol):
    """A signer that finds some orders in a list only: `read` is its first page."""

    def leaf(self, order: OrderRef, page: int, at_ms: int) -> WireRequest:
        """The exact request for another page; the first is 0."""
        ...


@runtime_checkable
class Clocked(Protocol):
    """A venue that looks at the time of a request."""

    @property
    def clock_bound_ms(self) -> int:
        """How far its clock may be from ours for the difference to be made up for when signing."""
        ...

    def told_ms(self, reply: Reply) -> int | None:
        """The venue's time in an answer, to the millisecond; None where there is none. Total: never raises."""
        ...


@runtime_checkable
class Sited(Protocol):
    """A venue whose reading of replies depends on its own settings, not only its signing."""

    def at(self, site: Site) -> Venue:
        """The same venue, as these settings make it."""
        ...


def at(venue: Venue, site: Site) -> Venue:
    """The venue as it is configured; most are the same everywhere."""
    return venue.at(site) if isinstance(venue, Sited) else venue
