"""The orders of one venue, and who changed them. Knows states, not the words a venue has for them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum, unique

from gateway.sandbox.clock import Clock

MOST_ORDERS = 1_000_000


@unique
class State(StrEnum):
    """Where an order can stand; an order that is being cancelled is still open."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


@unique
class Taken(StrEnum):
    """What a cancel did to an order."""

    CANCELLED = "cancelled"
    PENDING = "pending"
    ALREADY_PENDING = "already_pending"
    FINAL = "final"
    RACED = "raced"  # it was open when the cancel came, and filled before the cancel got to it


@dataclass(slots=True)
class Order:
    """One order on the book."""

    order_id: str
    client_id: str | None
    account: str
    symbol: str
    side: str
    quantity: Decimal
    filled: Decimal
    price: Decimal
    created_ms: int
    updated_ms: int
    state: State = State.OPEN
    changed_by: str = "setup"
    gone_at_ns: int | None = None

    @property
    def pending(self) -> bool:
        """Whether a cancel was taken that has not come into force yet."""
        return self.state is State.OPEN and self.gone_at_ns is not None

    @property
    def remaining(self) -> Decimal:
        """What is not filled."""
        return self.quantity - self.filled


@dataclass(frozen=True, slots=True)
class Twist:
    """What faults make of a cancel: how late it comes into force, what fills before it, how many of a batch fail."""

    delay_ms: int = 0
    fill: Decimal | None = None  # more than remains means all
    fail_ids: int = 0
    silent: bool = False


@dataclass(slots=True)
class Book:
    """Every order of a venue, found by either id within its account."""

    clock: Clock
    _by_id: dict[tuple[str, str], Order] = field(default_factory=dict)
    _by_client_id: dict[tuple[str, str], list[Order]] = field(default_factory=lambda: defaultdict(list))
    _open: dict[str, dict[str, Order]] = field(default_factory=lambda: defaultdict(dict))

    def __len__(self) -> int:
        return len(self._by_id)

    def place(self, order: Order) -> None:
        """Put an order on the book."""
        self._by_id[order.account, order.order_id] = order
        if order.client_id is not None:
            self._by_client_id[order.account, order.client_id].append(order)
        if order.state is State.OPEN:
            self._open[order.account][order.order_id] = order

    def clear(self) -> None:
        """Forget every order."""
        self._by_id.clear()
        self._by_client_id.clear()
        self._open.clear()

    def by_order_id(self, account: str, order_id: str) -> Order | None:
        """The account's order of that id."""
        order = self._by_id.get((account, order_id))
        return None if order is None else self._settled(order)

    def by_client_id(self, account: str, client_id: str) -> Order | None:
        """The account's open order of that client id, else the latest: the id may be used again after the end."""
        candidates = [self._settled(order) for order in self._by_client_id.get((account, client_id), ())]
        still_open = [order for order in candidates if order.state is State.OPEN]
        return next(reversed(still_open or candidates), None)

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """The account's open orders, oldest first."""
        candidates = [self._settled(order) for order in tuple(self._open[account].values())]
        return [o for o in candidates if o.state is State.OPEN and symbol in {None, o.symbol}]

    def orders(self) -> Iterator[Order]:
        """Every order, oldest first."""
        return (self._settled(order) for order in tuple(self._by_id.values()))

    def cancel(self, order: Order, by: str, twist: Twist) -> Taken:
        """Take a cancel for an order: at once, after a delay, or too late."""
        self._settled(order)
        if order.state is not State.OPEN:
            return Taken.FINAL
        if order.pending:
            return Taken.ALREADY_PENDING
        if twist.fill is not None and self._fill(order, twist.fill) is State.FILLED:
            return Taken.RACED
        order.changed_by = by
        if twist.delay_ms > 0:
            order.gone_at_ns = self.clock.monotonic_ns() + twist.delay_ms * 1_000_000
            return Taken.PENDING
        self._close(order, State.CANCELLED)
        return Taken.CANCELLED

    def _fill(self, order: Order, quantity: Decimal) -> State:
        order.filled += min(quantity, order.remaining)
        order.updated_ms = self.clock.wall_ms()
        order.changed_by = "fault"
        if order.remaining == 0:
            self._close(order, State.FILLED)
        return order.state

    def _settled(self, order: Order) -> Order:
        due = order.gone_at_ns is not None and order.gone_at_ns <= self.clock.monotonic_ns()
        if order.state is State.OPEN and due:
            self._close(order, State.CANCELLED)
        return order

    def _close(self, order: Order, state: State) -> None:
        order.state = state
        order.updated_ms = self.clock.wall_ms()
        self._open[order.account].pop(order.order_id, None)
