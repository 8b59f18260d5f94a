"""The routes under /_sandbox: make orders, look at them, read the figures, set faults, start over."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from gateway.sandbox.book import MOST_ORDERS, Order, State
from gateway.sandbox.clock import TurnedClock
from gateway.sandbox.faults import KINDS, FaultList, fault_from
from gateway.sandbox.fields import FieldFault, Fields
from gateway.sandbox.stats import Stats
from gateway.sandbox.venue import Venue, plain

ROOT: Final = "/_sandbox"
CONTROLS: Final = (
    *("GET /_sandbox", "POST /_sandbox/orders", "GET /_sandbox/orders", "GET /_sandbox/stats", "POST /_sandbox/faults"),
    *("GET /_sandbox/faults", "DELETE /_sandbox/faults", "POST /_sandbox/clock", "POST /_sandbox/revoked"),
    "POST /_sandbox/reset",
)
_SIDES: Final = {"etna": ("Buy", "Sell"), "b2trader": ("Buy", "Sell")}
_STATES: Final = {
    "open": State.OPEN, "new": State.OPEN, "working": State.OPEN, "processing": State.OPEN, "partial": State.OPEN,
    "partial_filled": State.OPEN, "partially_filled": State.OPEN, "partiallyfilled": State.OPEN,
    "filled": State.FILLED, "completed": State.FILLED, "processed": State.FILLED,
    "cancelled": State.CANCELLED, "canceled": State.CANCELLED,
    "expired": State.EXPIRED, "rejected": State.REJECTED, "failed": State.REJECTED,
}  # fmt: skip


def is_control(raw_path: str) -> bool:
    """Whether a request is for the switches, and not for the venue."""
    path = raw_path.partition("?")[0]
    return path == ROOT or path.startswith(f"{ROOT}/")


class Control:
    """The switches of one venue."""

    def __init__(self, venue: Venue, faults: FaultList) -> None:
        self._venue = venue
        self._desk = venue.desk
        self._faults = faults
        # Ids never come twice, not even after a restart: a client may remember the old ones.
        self._next_number = self._desk.clock.wall_ms() * 1000
        self._endpoints = frozenset[str]().union(*(route.endpoint.names for route in venue.routes))

    async def handle(self, http: web.BaseRequest) -> web.Response:
        """Answer one call of a route under /_sandbox."""
        path, _, query = http.raw_path.partition("?")
        word = path.removeprefix(ROOT).strip("/")
        try:
            body = await http.read()
            told = self._told(word, query) if http.method == "GET" else self._done(http.method, word, body)
        except FieldFault as fault:
            return _json({"error": str(fault)}, 400)
        return _json({"error": "no such control", "controls": CONTROLS}, 404) if told is None else _json(told)

    def _told(self, word: str, query: str) -> dict[str, object] | None:
        match word:
            case "":
                return self._help()
            case "orders":
                return {"orders": [self._shown(order) for order in self._chosen(query)]}
            case "stats":
                return self._desk.stats.as_json()
            case "faults":
                return {"faults": self._faults.as_json()}
            case _:
                return None

    def _done(self, method: str, word: str, body: bytes) -> dict[str, object] | None:
        match (method, word):
            case ("POST", "orders"):
                return {"orders": [self._shown(order) for order in self._place(_loaded(body))]}
            case ("POST", "faults"):
                self._set_faults(_loaded(body))
            case ("POST", "clock"):
                self._turn_clock(_loaded(body))
            case ("POST", "revoked"):
                self._revoke(_loaded(body))
            case ("DELETE", "faults"):
                self._faults.faults.clear()
            case ("POST", "reset"):
                self._reset()
            case _:
                return None
        return {"faults": self._faults.as_json()}

    def _help(self) -> dict[str, object]:
        return {
            "venue": self._venue.id,
            "accounts": tuple(self._desk.accounts),
            "controls": CONTROLS,
            "faults": KINDS,
            "endpoints": sorted(self._endpoints),
        }

    def _reset(self) -> None:
        self._desk.book.clear()
        self._desk.stats = Stats()
        self._desk.revoked = set()
        self._ahead(0)
        self._faults.faults.clear()

    def _turn_clock(self, value: object) -> None:
        """From now on the venue's clock is ahead by so much, or behind; its Date and its stamps say so too."""
        fields = Fields.of(value, "the body")
        ahead_ms = fields.raw("ahead_ms")
        fields.finish()
        if not isinstance(ahead_ms, int) or isinstance(ahead_ms, bool):
            raise FieldFault("the body: 'ahead_ms' wants a whole number")
        self._ahead(ahead_ms)

    def _ahead(self, ahead_ms: int) -> None:
        if isinstance(self._desk.clock, TurnedClock):
            self._desk.clock.ahead_ms = ahead_ms

    def _revoke(self, value: object) -> None:
        """From now on exactly these credentials are refused; only HashKey has keys that are taken back one by one."""
        fields = Fields.of(value, "the body")
        listed = fields.raw("revoked")
        fields.finish()
        if not isinstance(listed, list) or self._venue.id != "hashkey":
            raise FieldFault("the body: 'revoked' wants a list, and the venue hashkey")
        self._desk.revoked = {self._account(str(name)) for name in listed}

    def _set_faults(self, value: object) -> None:
        listed = _faults_in(value)
        self._faults.faults[:] = [fault_from(item, self._endpoints) for item in listed]

    def _place(self, value: object) -> list[Order]:
        fields = Fields.of(value, "the body")
        listed = fields.raw("orders", None)
        if listed is None:
            count = fields.number("count", 1)
            if count + len(self._desk.book) > MOST_ORDERS:
                raise FieldFault(f"the body: the book holds at most {MOST_ORDERS} orders")
            orders = [self._order(fields, n if count > 1 else None) for n in range(1, count + 1)]
        elif isinstance(listed, list):
            orders = [self._order(item, None) for item in _each(listed)]
        else:
            raise FieldFault("the body: 'orders' wants a list")
        fields.finish()
        for order in orders:
            self._desk.book.place(order)
        return orders

    def _order(self, fields: Fields, n: int | None) -> Order:
        number = self._next_number
        self._next_number += 1
        state, filled_part = _state(fields.text("status", "open"))
        quantity = fields.decimal("quantity", "1")
        now_ms = self._desk.clock.wall_ms()
        order = Order(
            order_id=fields.optional_text("order_id") or self._venue.order_id(number),
            client_id=self._client_id(fields.optional_text("client_id"), number, n),
            account=self._account(fields.text("account", next(iter(self._desk.accounts)))),
            symbol=fields.text("symbol", self._venue.first_symbol),
            side=self._side(fields.text("side", "buy")),
            quantity=quantity,
            filled=fields.decimal("filled", str(quantity * filled_part)),
            price=fields.decimal("price", "100"),
            created_ms=now_ms,
            updated_ms=now_ms,
            state=state,
        )
        if n is None:
            fields.finish()
        if order.filled > order.quantity:
            raise FieldFault("filled: more than the quantity")
        return order

    def _client_id(self, wanted: str | None, number: int, n: int | None) -> str | None:
        own = self._venue.client_id(number)
        if wanted is None or own is None:
            return own
        return wanted if n is None else f"{wanted}{n}"

    def _account(self, name: str) -> str:
        if name not in self._desk.accounts:
            raise FieldFault(f"account: {name!r} is none of {', '.join(self._desk.accounts)}")
        return name

    def _side(self, side: str) -> str:
        buy, sell = _SIDES.get(self._venue.id, ("BUY", "SELL"))
        if side.upper() not in {"BUY", "SELL"}:
            raise FieldFault(f"side: {side!r} is neither buy nor sell")
        return buy if side.upper() == "BUY" else sell

    def _chosen(self, query: str) -> Iterator[Order]:
        wanted = dict(parse_qsl(query))
        for order in self._desk.book.orders():
            if wanted.get("account", order.account) == order.account and _is(order, wanted.get("status")):
                yield order

    def _shown(self, order: Order) -> dict[str, object]:
        return {
            "order_id": order.order_id,
            "client_id": order.client_id,
            "account": order.account,
            "symbol": order.symbol,
            "side": order.side,
            "status": order.state.value,
            "venue_status": self._venue.word(order),
            "pending": order.pending,
            "quantity": plain(order.quantity),
            "filled": plain(order.filled),
            "changed_by": order.changed_by,
            "changed_ms": order.updated_ms,
        }


def _state(word: str) -> tuple[State, Decimal]:
    """The state that a word stands for, and how much of the order is filled unless it is said."""
    state = _STATES.get(word.lower())
    if state is None:
        raise FieldFault(f"status: {word!r} is none of {', '.join(_STATES)}")
    part = Decimal("0.5") if word.lower().startswith("partial") else Decimal(0)
    return state, Decimal(1) if state is State.FILLED else part


def _faults_in(value: object) -> list[object]:
    if isinstance(value, dict) and "kind" in value:
        return [value]
    fields = Fields.of(value, "the body")
    listed = fields.raw("faults")
    fields.finish()
    if not isinstance(listed, list):
        raise FieldFault("the body: 'faults' wants a list")
    return listed


def _is(order: Order, status: str | None) -> bool:
    return status is None or _state(status)[0] is order.state


def _each(items: list[object]) -> Iterator[Fields]:
    return (Fields.of(item, f"orders[{index}]") for index, item in enumerate(items))


def _loaded(body: bytes) -> object:
    try:
        return orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise FieldFault("the body is not JSON") from error


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
