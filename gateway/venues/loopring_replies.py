"""What Loopring's replies mean: its status words, its error codes, and where they stand. Nothing is signed here.

Errors come as `resultInfo` {code, message} or as `code` and `msg`, with HTTP 200 or 400. A batch answers with a list
of {id, result, error} in the description of version 2; version 3 leaves its shape open.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import orjson

from gateway.core.listing import Listing, Page
from gateway.core.model import By, OrderRef
from gateway.core.outcome import (
    NOTHING_SAID,
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
    Unlisted,
    Verdict,
)
from gateway.core.wire import Reply
from gateway.venues.base import Shown
from gateway.venues.reading import (
    count,
    difference,
    inner,
    items,
    json_object,
    listed,
    refused_by_credential,
    refused_by_status,
    text,
    without_object,
)

OK = 200
PART_FAILED, ORDER_UNKNOWN = "104209", "107003"
PAGE_MOST = 50

HASH = re.compile(r"0x[0-9a-fA-F]{64}")
NUMBER = re.compile(r"0x[0-9a-fA-F]{64}|[0-9]{1,78}")
CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,120}")
TOTAL = re.compile(r"[0-9]{1,9}")
AMOUNT = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")  # the venue counts in the token's smallest unit
STATUS_IN_TEXT = re.compile(r"\bin status ([a-z_]+) can", re.IGNORECASE)  # "can't", or however it is spelled

DONE = frozenset({"processed", "cancelled", "expired", "failed"})

Reading = Callable[[OrderRef, Facts], Verdict]


def _settled(outcome: Outcome) -> Reading:
    return lambda _, facts: Settled(outcome, facts)


def _look(unread: Outcome) -> Reading:
    """This cancelled nothing, and a hash is read to see why. A client id can't be read: `unread` must do."""
    seen = ReadBack(Outcome.ALREADY_CANCELLED, if_open=Outcome.REJECTED, if_missing=Outcome.NOT_FOUND)
    return lambda order, facts: Settled(unread, facts) if order.by is By.CLIENT_ID else replace(seen, facts=facts)


def _unsure(order: OrderRef, facts: Facts) -> Verdict:
    """This may have cancelled the order or not."""
    if order.by is By.CLIENT_ID:
        return Unclear("the reply does not tell, and a client id can't be read back", facts)
    return ReadBack(Outcome.CANCELLED, facts=facts)


def _strange(_: OrderRef, facts: Facts) -> Verdict:
    return Unclear(f"code {facts.venue_code}", facts)


def _credential(_: OrderRef, facts: Facts) -> Verdict:
    return AuthRefused(facts)


def _by_text(order: OrderRef, facts: Facts) -> Verdict:
    """In "order in status CANCELLED can't be cancelled" the state stands in the text alone."""
    found = STATUS_IN_TEXT.search(facts.venue_message or "")
    if found is None:
        return Settled(Outcome.REJECTED, facts)
    word = WORDS.get(found[1].lower())
    return _unsure(order, facts) if word is None else Settled(word.rules_out, facts)


@dataclass(frozen=True, slots=True)
class Word:
    """A status: in the reply to a cancel, in a text that rules a cancel out, and of an order read back."""

    cancel: Reading
    rules_out: Outcome
    state: OrderState


# `processed` may be a fill or a cancel that went through, `failed` the order or the cancel.
WORDS: dict[str, Word] = {
    "cancelled": Word(_settled(Outcome.CANCELLED), Outcome.ALREADY_CANCELLED, OrderState.CANCELLED),
    "cancelling": Word(_settled(Outcome.ACCEPTED), Outcome.ACCEPTED, OrderState.PENDING_CANCEL),
    "processing": Word(_settled(Outcome.ACCEPTED), Outcome.REJECTED, OrderState.OPEN),
    "waiting": Word(_settled(Outcome.ACCEPTED), Outcome.REJECTED, OrderState.OPEN),
    "expired": Word(_settled(Outcome.CLOSED), Outcome.CLOSED, OrderState.CLOSED),
    "processed": Word(_unsure, Outcome.TOO_LATE_FILLED, OrderState.FILLED),
    "failed": Word(_unsure, Outcome.CLOSED, OrderState.CLOSED),
}

CODES: dict[str, Reading] = {
    "100000": _strange,  # unknown error
    "100001": _by_text,  # invalid argument, or a status that rules a cancel out
    "100206": _credential,  # signature wrong
    "102003": _credential,  # account id wrong
    "102004": _look(Outcome.REJECTED),  # order id invalid
    # No order to cancel. A fresh one may not be visible yet (hummingbot waited 20 s before it believed this), but
    # that the venue denies knowing it stays true.
    "102117": _look(Outcome.NOT_FOUND),
    "102118": _look(Outcome.REJECTED),  # cancel failed, try later
    "102119": _look(Outcome.REJECTED),  # order hash invalid
    "102120": _look(Outcome.REJECTED),  # order invalid
    "102122": _settled(Outcome.ACCEPTED),  # is being cancelled
    "104001": _credential,  # API key missing
    "104002": _credential,  # API key wrong
    "104003": _credential,  # account id wrong
    "104004": _credential,  # signature missing
    "104005": _credential,  # signature wrong
    PART_FAILED: _unsure,
    "107001": _settled(Outcome.REJECTED),  # user missing
    "107002": _settled(Outcome.REJECTED),  # order hash missing
    ORDER_UNKNOWN: _look(Outcome.NOT_FOUND),
}


def verdict(reply: Reply, order: OrderRef) -> Verdict:
    """What a reply to the cancel of one order means."""
    said = json_object(reply.body)
    return _refused(reply, said) or _verdict(said or {}, order)


def sighting(reply: Reply, order: OrderRef) -> Sighting:
    """What a reply to reading one order, or to listing all, shows."""
    said = json_object(reply.body)
    refused = _refused(reply, said)
    if refused is not None:
        return refused
    if order.by is By.CLIENT_ID and _facts(said or {}).venue_code is None:
        return _among(said or {}, order)
    return _sighting(said or {}, order)


def _among(said: dict[str, object], order: OrderRef) -> Sighting:
    """The one order of that client id; it is missing only where the list is known to be whole."""
    rows = _listed(said)
    mine = [row for row in rows if text(row, "clientOrderId") == order.value]
    if len(mine) == 1:
        return _sighting(mine[0], order)
    if mine:
        return Unclear("more than one order has this client id")
    total = text(said, "totalNum") or ""
    if total == str(len(rows)) and isinstance(said.get("orders"), list):
        return Seen(OrderState.MISSING)
    pages = -(-int(total) // PAGE_MOST) if rows and TOTAL.fullmatch(total) else 1
    return Unlisted("not among the orders that the venue lists", pages=pages)


def batch_verdicts(reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[Verdict, ...]:
    """What a reply to a batch means for each order, in their order."""
    said = _list_or_object(reply.body)
    refused = _refused(reply, said)
    if refused is not None:
        return (refused,) * len(orders)
    return tuple(_batch_verdict(said or {}, order, len(orders)) for order in orders)


def listing(reply: Reply, page: Page) -> Shown:
    """What a reply to one page of the list shows."""
    said = json_object(reply.body)
    return _refused(reply, said) or _listing(said or {}, page)


def _listing(said: dict[str, object], page: Page) -> Shown:
    facts = _facts(said)
    if facts.venue_code is not None:
        refused = CODES.get(facts.venue_code) is _credential
        return AuthRefused(facts) if refused else Unclear(f"code {facts.venue_code}", facts)
    total, orders = count(said, "totalNum"), listed(items(said, "orders"), _row, DONE)
    if total is None or orders is None or (page.number == 0 and bool(total) is not bool(items(said, "orders"))):
        return Unclear("a list that can't be read to its end")
    return Listing(orders, (page.number + 1) * PAGE_MOST < total, total)


def _row(row: Mapping[str, object]) -> OrderRef | None:
    found, market = text(row, "hash") or "", text(row, "market")
    return OrderRef(By.ORDER_ID, found, market) if NUMBER.fullmatch(found) else None


def _refused(reply: Reply, said: dict[str, object] | None) -> AuthRefused | Throttled | Unclear | None:
    """What a reply means that tells nothing by itself: only HTTP 200, or a code, is read further."""
    facts = _facts(said or {})
    by_status = refused_by_status(reply, facts)
    if by_status is not None:
        return by_status
    if said is None:
        return without_object(reply)
    if reply.status != OK and facts.venue_code is None:
        return refused_by_credential(reply, facts) or Unclear(f"http {reply.status} without a code", facts)
    return None


def _verdict(said: dict[str, object], order: OrderRef) -> Verdict:
    facts = _facts(said)
    if facts.venue_code is not None:
        return CODES.get(facts.venue_code, _strange)(order, facts)
    if _names(said, order) is False:
        return Unclear("the reply names another order")
    word = _word(facts)
    return _unsure(order, facts) if word is None else word.cancel(order, facts)


def _sighting(said: dict[str, object], order: OrderRef) -> Sighting:
    facts = _facts(said)
    if facts.venue_code == ORDER_UNKNOWN:
        return Seen(OrderState.MISSING, facts)
    if facts.venue_code is not None:
        refused = CODES.get(facts.venue_code) is _credential
        return AuthRefused(facts) if refused else Unclear(f"code {facts.venue_code}", facts)
    if _names(said, order) is False:
        return Unclear("the reply names another order")
    word = _word(facts)
    return Unclear("no known status", facts) if word is None else Seen(word.state, facts)


def _word(facts: Facts) -> Word | None:
    return WORDS.get((facts.venue_status or "").lower())


def _batch_verdict(said: dict[str, object], order: OrderRef, size: int) -> Verdict:
    facts = _facts(said)
    if facts.venue_code not in {None, PART_FAILED}:
        whole = _verdict(said, order)
        # A code that speaks of one order does not say of which.
        return _unsure(order, facts) if size > 1 and isinstance(whole, Settled | ReadBack) else whole
    mine = [item for item in _listed(said) if _names(item, order)]
    return _item_verdict(mine[0], order) if len(mine) == 1 else _unsure(order, NOTHING_SAID)


def _item_verdict(item: dict[str, object], order: OrderRef) -> Verdict:
    """Version 2 says `result`, a boolean; an item without it is read like the reply to one cancel."""
    facts, taken = _facts(item), item.get("result")
    if taken is True and facts.venue_code is None:
        return Settled(Outcome.ACCEPTED, facts)
    if taken is None or (taken is False and facts.venue_code is not None):
        return _verdict(item, order)
    return _unsure(order, facts)


def _list_or_object(body: bytes) -> dict[str, object] | None:
    said = json_object(body)
    if said is not None:
        return said
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    return {"data": value} if isinstance(value, list) else None


def _listed(said: dict[str, object]) -> list[dict[str, object]]:
    """The items of the only list there is: v3 does not say under which name it stands."""
    lists = [value for value in said.values() if isinstance(value, list)]
    return [item for item in lists[0] if isinstance(item, dict)] if len(lists) == 1 else []


def _names(said: Mapping[str, object], order: OrderRef) -> bool | None:
    """Whether the ids in an object are this order's; None where it has none of this kind."""
    keys = ("id", "hash") if order.by is By.ORDER_ID else ("id", "clientOrderId")
    named = [value for key in keys if (value := said.get(key)) is not None]
    return all(_is_id(value, order) for value in named) if named else None


def _is_id(value: object, order: OrderRef) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    said = str(value)
    if order.by is By.ORDER_ID and NUMBER.fullmatch(said):
        return _number(said) == _number(order.value)
    return said == order.value


def _number(written: str) -> int:
    return int(written, 16 if written.startswith("0x") else 10)


def _facts(said: Mapping[str, object]) -> Facts:
    code, message = _fault(said)
    volumes = inner(said, "volumes")
    filled, amount = _clean(volumes, "baseFilled", AMOUNT), _clean(volumes, "baseAmount", AMOUNT)
    return Facts(
        venue_status=text(said, "status"),
        order_id=_clean(said, "hash", HASH),
        client_id=_clean(said, "clientOrderId", CLIENT_ID),
        filled=filled,
        remaining=difference(amount, filled),
        venue_code=code,
        venue_message=message,
    )


def _fault(said: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Code and message, in any of the three places; success is code 0 or none."""
    for holder in (inner(said, "resultInfo"), inner(said, "error"), said):
        code = text(holder, "code")
        if code is not None and code != "0":
            return code, text(holder, "message") or text(holder, "msg")
    return None, None


def _clean(of: Mapping[str, object], key: str, pattern: re.Pattern[str]) -> str | None:
    value = text(of, key)
    return value if value is not None and pattern.fullmatch(value) else None
