"""Offline: read the stored replies again, and compare. What was told to callers must follow from what venues said.

Two comparisons. Each stored reply is interpreted anew by the same pure code and must be read as it was then. And each
outcome that says what became of an order must be one that the replies before it in the same trail lead to.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.core.model import By, Op, OrderRef, VenueId
from gateway.core.outcome import MEANINGS, Outcome, ReadBack, Seen, Settled, Sighting, Verdict, conclude
from gateway.core.resolution import AFTER_ACK, AFTER_GRACE, AFTER_SILENCE
from gateway.core.tally import is_kill
from gateway.core.trail import Tree, reply_in, word
from gateway.core.wire import NotSent, Reply
from gateway.venues.base import Site, Venue, at

ReadAs: TypeAlias = Verdict | Sighting | NotSent
Order: TypeAlias = tuple[str, str, str, str]
"""Venue, account, kind of id, id."""

NOWHERE = "https://replay.invalid"


@dataclass(frozen=True, slots=True)
class Differs:
    """An entry that does not lead to what it says."""

    number: int
    said: str
    follows: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a replay. `withheld` replies were not kept; `unproven` outcomes have an exchange missing."""

    replies: int = 0
    outcomes: int = 0
    withheld: int = 0
    unproven: int = 0
    differs: tuple[Differs, ...] = ()


class Replay:
    """Goes over one trail from its first entry to its last."""

    def __init__(self, venues: Iterable[Venue]) -> None:
        self._plain = {venue.id: venue for venue in venues}
        self._venues: dict[VenueId, Venue] = dict(self._plain)
        self._read_as: dict[Order, list[ReadAs]] = {}
        self._broken: set[Order] = set()
        self._whole = False
        self._tally = Tally()

    def take(self, tree: Tree) -> None:
        """The next entry."""
        match tree:
            case {"is": "begin" | "trim" as kind, "venues": dict(options)}:
                self._venues = {venue: _sited(plain, options) for venue, plain in self._plain.items()}
                self._whole = self._whole or kind == "begin"
            case {"is": "gap"}:
                self._whole = False
            case {"is": "send", "n": int(number), "venue": str(venue), "read_as": list(said)}:
                self._send(number, VenueId(venue), tree, [str(one) for one in said])
            case {"is": "settle", "n": int(number), "outcome": str(outcome)}:
                self._settle(number, tree, outcome)
            case _:
                pass

    def end(self) -> Tally:
        """What came of it."""
        return self._tally

    def _send(self, number: int, venue_id: VenueId, tree: Tree, said: list[str]) -> None:
        orders, venue = _orders(tree), self._venues.get(venue_id)
        if "reply" not in tree:
            return
        kept = tree["reply"]
        reply = reply_in(kept) if isinstance(kept, dict) else None
        names = [_name(tree, order) for order in orders]
        if reply is None or venue is None:
            self._tally = replace(self._tally, withheld=self._tally.withheld + 1)
            self._broken.update(names)
            return
        follows = _interpreted(venue, str(tree.get("op")), reply, orders)
        if not follows:  # a kind of request that this version does not know
            self._tally = replace(self._tally, withheld=self._tally.withheld + 1)
            return
        words = [word(one) for one in follows]
        self._tally = replace(self._tally, replies=self._tally.replies + 1)
        if words != said:
            self._differs(number, ", ".join(said), ", ".join(words))
        for name, one in zip(names, follows, strict=False):
            self._read_as.setdefault(name, []).append(one)

    def _settle(self, number: int, tree: Tree, outcome: str) -> None:
        meaning = MEANINGS.get(Outcome(outcome)) if outcome in set(Outcome) else None
        if meaning is None or not meaning.kept:
            return
        if any(is_kill(order.value) for order in _orders(tree)):
            return  # it follows from a list, which is not kept
        names = [_name(tree, order) for order in _orders(tree)]
        follows = {each for name in names for each in _supported(self._read_as.get(name, []))}
        if outcome in follows:
            self._tally = replace(self._tally, outcomes=self._tally.outcomes + 1)
        elif not self._whole or self._broken.intersection(names):
            self._tally = replace(self._tally, unproven=self._tally.unproven + 1)
        else:
            self._differs(number, outcome, ", ".join(sorted(follows)) or "nothing was heard of this order")

    def _differs(self, number: int, said: str, follows: str) -> None:
        self._tally = replace(self._tally, differs=(*self._tally.differs, Differs(number, said, follows)))


def _sited(venue: Venue, options: Mapping[str, object]) -> Venue:
    own = options.get(venue.id)
    given = own if isinstance(own, dict) else {}
    return at(venue, Site(NOWHERE, {str(name): value for name, value in given.items()}))


def _orders(tree: Tree) -> tuple[OrderRef, ...]:
    orders = tree.get("orders")
    found = []
    for order in orders if isinstance(orders, list) else []:
        match order:
            case [str(by), str(ref), (str() | None) as symbol] if by in set(By):
                found.append(OrderRef(By(by), ref, symbol))
            case _:
                pass
    return tuple(found)


def _name(tree: Tree, order: OrderRef) -> Order:
    return str(tree.get("venue")), str(tree.get("account")), order.by, order.value


def _interpreted(venue: Venue, op: str, reply: Reply, orders: tuple[OrderRef, ...]) -> tuple[ReadAs, ...]:
    ways: dict[str, Callable[[], tuple[ReadAs, ...]]] = {
        Op.CANCEL: lambda: (venue.interpret(reply, orders[0]),),
        Op.READ: lambda: (venue.interpret_read(reply, orders[0]),),
        Op.BATCH: lambda: venue.interpret_batch(reply, orders),
        Op.CANCEL_ALL: lambda: (venue.interpret_cancel_all(reply),),
    }
    return ways[op]() if op in ways and orders else ()


def _supported(heard: Iterable[ReadAs]) -> set[Outcome]:
    """Every outcome that the replies about one order may lead to."""
    heard = list(heard)
    told = {one.outcome for one in heard if isinstance(one, Settled)}
    asked = [AFTER_ACK, AFTER_SILENCE, AFTER_GRACE, *(one for one in heard if isinstance(one, ReadBack))]
    # What a venue may have said too early is believed after a grace.
    seen = [each for one in heard if isinstance(one, Seen) for each in (one, replace(one, weak=False))]
    return told | {conclude(question, sighting).outcome for question in asked for sighting in seen}
