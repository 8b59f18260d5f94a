"""What a caller asks for, as values. No venue's habits stand here."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import NamedTuple, NewType

from gateway.core.value import quick

VenueId = NewType("VenueId", str)


class Word(StrEnum):
    """One of a closed set of words. It is looked up as quickly as its text; an enum's own hash is a call."""

    __hash__ = str.__hash__


@unique
class By(Word):
    """Which of its two names an order is called by."""

    ORDER_ID = "order_id"
    CLIENT_ID = "client_id"


@unique
class Lane(Word):
    """Who goes first when a slot matures, in this order."""

    KILL = "kill"
    URGENT = "urgent"
    NORMAL = "normal"
    RECONCILE = "reconcile"


@unique
class Wait(Word):
    """How far an answer must reach before it is given."""

    ACK = "ack"
    TERMINAL = "terminal"


@unique
class Op(Word):
    """What a venue is asked to do; every request is one of these."""

    CANCEL = "cancel"
    BATCH = "batch"
    READ = "read"
    LIST = "list"
    CANCEL_ALL = "cancel_all"


@unique
class Scope(Word):
    """What a venue counts or bans by."""

    ACCOUNT = "account"
    EGRESS = "egress"
    VENUE = "venue"


@quick
@dataclass(frozen=True, slots=True)
class OrderRef:
    """One order, by a name whose alphabet its venue has accepted."""

    by: By
    value: str
    symbol: str | None = None


class Account(NamedTuple):
    """Whose credential signs: an account name is unique within its venue only. A tuple, since so much is kept by it."""

    venue: VenueId
    name: str


@quick
@dataclass(frozen=True, slots=True)
class Cancel:
    """The order that has to go, and the account it rests on."""

    account: Account
    order: OrderRef
