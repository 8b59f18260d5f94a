"""What every sandbox venue has: routes, callers, a desk with book and figures. No venue's own habits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum, unique
from typing import Protocol

from gateway.sandbox.book import Book, Order, Taken, Twist
from gateway.sandbox.clock import Clock
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.faults import Canned
from gateway.sandbox.stats import Stats
from gateway.sandbox.wire import Answer, Refusal, Request


@unique
class Group(StrEnum):
    """What an endpoint is for; a fault can be set for all of a group."""

    CANCEL = "cancel"
    READ = "read"
    TOKEN = "token"  # noqa: S105  the name of a group
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing a venue can be asked, the limit it falls under (None: no limit) and what it costs there."""

    name: str
    group: Group
    limit: str | None
    weight: int = 1

    @property
    def names(self) -> frozenset[str]:
        """What a fault may call it."""
        return frozenset({"*", self.group, self.name})


@dataclass(frozen=True, slots=True)
class Route:
    """Where an endpoint is found; the pattern is matched against the path as received."""

    method: str
    pattern: re.Pattern[str]
    endpoint: Endpoint


def route(method: str, pattern: str, endpoint: Endpoint) -> Route:
    """A route; named groups of the pattern reach the venue as `Call.captures`."""
    return Route(method, re.compile(pattern), endpoint)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called: an account of the sandbox (None where no one needs to be known), and the key limits count by."""

    account: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has found its endpoint."""

    endpoint: Endpoint
    request: Request
    captures: Mapping[str, str]
    account: str = ""


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How a venue words an error."""

    status: int
    code: int | str | None
    message: str


@dataclass(slots=True)
class Desk:
    """What a venue works with."""

    config: SandboxConfig
    clock: Clock
    accounts: Mapping[str, Mapping[str, str]]
    book: Book
    stats: Stats = field(default_factory=Stats)
    revoked: set[str] = field(default_factory=set)

    def owner(self, credential: str) -> str:
        """Whose orders a credential may touch: its own, or those of the account that its field `of` names."""
        return self.accounts[credential].get("of", credential)

    def cancel(self, order: Order, by: str, twist: Twist) -> Taken:
        """Take a cancel for an order, and count it."""
        self.stats.asked_to_cancel(order.order_id)
        taken = self.book.cancel(order, by, twist)
        self.stats.orders_cancelled += taken in {Taken.CANCELLED, Taken.PENDING}
        return taken

    def missed(self, ref: str) -> None:
        """Count a request to cancel what is not there."""
        self.stats.asked_to_cancel(ref[:64])


class Venue(Protocol):
    """One venue of the sandbox."""

    desk: Desk

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def base_path(self) -> str:
        """What of the path belongs to the base URL."""
        ...

    @property
    def first_symbol(self) -> str:
        """The symbol of an order that is made without one."""
        ...

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it can be asked."""
        ...

    @property
    def canned(self) -> Mapping[Canned, ErrorShape]:
        """How it words the errors that a fault can ask for."""
        ...

    @property
    def ban_ms(self) -> int:
        """How long going on after a 429 is answered 418; 0: never."""
        ...

    def authenticate(self, call: Call) -> Caller | Refusal:
        """Check the credential that comes with a call."""
        ...

    def act(self, call: Call, twist: Twist) -> Answer | Refusal:
        """Do what an authenticated call asks for."""
        ...

    def error(self, status: int, code: int | str | None, message: str) -> Answer:
        """An error in the venue's own shape."""
        ...

    def order_id(self, number: int) -> str:
        """An order id in the venue's form; numbers never come twice."""
        ...

    def client_id(self, number: int) -> str | None:
        """A client id in the venue's form, None where it has none."""
        ...

    def word(self, order: Order) -> str:
        """The venue's own word for where an order stands."""
        ...


def canned_answer(venue: Venue, kind: Canned) -> Answer:
    """The venue's usual answer of a kind."""
    shape = venue.canned[kind]
    return venue.error(shape.status, shape.code, shape.message)


def plain(amount: Decimal) -> str:
    """An amount as venues write it in texts: no exponent, no zeros behind."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(amount: Decimal) -> int | float:
    """An amount as a JSON number."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def instant(at_ms: int) -> str:
    """A wall time as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
