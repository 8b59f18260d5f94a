"""The closed set of outcomes, and how a venue's words become one of them.

A venue's reply is interpreted into a Verdict. Where the reply alone cannot tell, the verdict is a ReadBack: the
order itself is read, and `conclude` joins both. Whatever nobody can tell stays `unknown`; it never becomes a
success or a failure by default.
"""

from dataclasses import dataclass, replace
from enum import unique
from typing import assert_never

from gateway.core.model import Scope, Word
from gateway.core.value import quick


@unique
class Outcome(Word):
    """Everything an answer of the gateway can say."""

    CANCELLED = "cancelled"
    ALREADY_CANCELLED = "already_cancelled"
    ACCEPTED = "accepted"
    TOO_LATE_FILLED = "too_late_filled"
    CLOSED = "closed"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    INVALID_REQUEST = "invalid_request"
    AMBIGUOUS_REF = "ambiguous_ref"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNKNOWN_VENUE = "unknown_venue"
    UNKNOWN_ACCOUNT = "unknown_account"
    KEY_REUSED = "key_reused"
    IN_PROGRESS = "in_progress"
    OVER_DEADLINE = "over_deadline"
    VENUE_LIMITED = "venue_limited"
    VENUE_BANNED = "venue_banned"
    VENUE_UNAVAILABLE = "venue_unavailable"
    VENUE_AUTH = "venue_auth"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105  an outcome, no password
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    UNKNOWN = "unknown"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an outcome is to a caller: `final` facts never change, `kept` ones answer a replayed key."""

    status: int
    title: str
    final: bool = False
    kept: bool = False


MEANINGS: dict[Outcome, Meaning] = {
    Outcome.CANCELLED: Meaning(200, "The venue confirmed that the order is cancelled", final=True, kept=True),
    Outcome.ALREADY_CANCELLED: Meaning(200, "The order was cancelled before", final=True, kept=True),
    Outcome.ACCEPTED: Meaning(202, "The venue took the cancel; not proven final", kept=True),
    Outcome.TOO_LATE_FILLED: Meaning(409, "The order was filled before it could be cancelled", final=True, kept=True),
    Outcome.CLOSED: Meaning(409, "The order is not open, and the venue does not say why", final=True, kept=True),
    Outcome.NOT_FOUND: Meaning(404, "The venue denies knowing the order", final=True, kept=True),
    Outcome.REJECTED: Meaning(422, "The venue refuses the cancel", final=True, kept=True),
    Outcome.INVALID_REQUEST: Meaning(400, "The request is not valid"),
    Outcome.AMBIGUOUS_REF: Meaning(400, "The reference could be an order id or a client id"),
    Outcome.UNAUTHENTICATED: Meaning(401, "No valid token"),
    Outcome.FORBIDDEN: Meaning(403, "The caller may not do this"),
    Outcome.UNKNOWN_VENUE: Meaning(404, "No such venue is served here"),
    Outcome.UNKNOWN_ACCOUNT: Meaning(404, "No such account is known for this venue"),
    Outcome.KEY_REUSED: Meaning(422, "This Idempotency-Key came before with another request"),
    Outcome.IN_PROGRESS: Meaning(409, "The same key or order is being worked on"),
    Outcome.OVER_DEADLINE: Meaning(429, "No slot under the venue's limit before the deadline"),
    Outcome.VENUE_LIMITED: Meaning(503, "The venue limits us at the moment"),
    Outcome.VENUE_BANNED: Meaning(503, "The venue has banned us for a while"),
    Outcome.VENUE_UNAVAILABLE: Meaning(503, "The venue could not be asked now; the order was not touched"),
    Outcome.VENUE_AUTH: Meaning(502, "The venue refuses our credential"),
    Outcome.SECRET_UNAVAILABLE: Meaning(503, "No usable credential"),
    Outcome.OVERLOADED: Meaning(503, "Too many cancels are waiting"),
    Outcome.DRAINING: Meaning(503, "This process is shutting down"),
    Outcome.UNKNOWN: Meaning(504, "The cancel left and no trustworthy answer came; it is being resolved"),
    Outcome.INTERNAL: Meaning(500, "A bug in the gateway"),
}


@quick
@dataclass(frozen=True, slots=True)
class Facts:
    """What a venue said about an order, in the venue's own words; None where it said nothing."""

    venue_status: str | None = None
    order_id: str | None = None
    client_id: str | None = None
    filled: str | None = None
    remaining: str | None = None
    venue_code: str | None = None
    venue_message: str | None = None

    def over(self, earlier: "Facts") -> "Facts":
        """These facts, with the gaps filled from what was said before."""
        return replace(
            earlier, **{name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        )


NOTHING_SAID = Facts()


@quick
@dataclass(frozen=True, slots=True)
class Settled:
    """The reply says what became of the cancel."""

    outcome: Outcome
    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The venue answered, but only the order itself can tell what is true.

    `if_cancelled` is what a cancelled order would mean (by us, or before us), `if_open` what an open one would,
    `if_missing` what an order unknown to the venue would.
    """

    if_cancelled: Outcome
    if_open: Outcome = Outcome.UNKNOWN
    if_missing: Outcome = Outcome.UNKNOWN
    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class AuthRefused:
    """The venue refuses the credential; the cancel was not looked at."""

    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Untimely:
    """The venue finds the time of the request outside its window: a matter of clocks; the cancel was not looked at."""

    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Throttled:
    """The venue refuses for now, by rate limit or ban; the cancel was not looked at."""

    scope: Scope
    banned: bool = False
    retry_after_ms: int | None = None
    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nothing trustworthy can be read out of the reply."""

    reason: str
    facts: Facts = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Unlisted(Unclear):
    """The order is not on this page of a list, and the list has so many pages in all."""

    pages: int = 1


Verdict = Settled | ReadBack | AuthRefused | Untimely | Throttled | Unclear


@unique
class OrderState(Word):
    """What reading an order back can show."""

    OPEN = "open"
    PENDING_CANCEL = "pending_cancel"
    CANCELLED = "cancelled"
    FILLED = "filled"
    CLOSED = "closed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Seen:
    """An order as the venue shows it now.

    `weak` is true only if it stays so: right after a cancel, a venue may not know better yet. `created_ms` is when the
    order was made, by the venue's clock, where it says so.
    """

    state: OrderState
    facts: Facts = NOTHING_SAID
    weak: bool = False
    created_ms: int | None = None


Sighting = Seen | AuthRefused | Throttled | Unclear


def conclude(asked: ReadBack, sighting: Sighting) -> Settled:
    """Join what the cancel's reply left open with what reading the order showed."""
    match sighting:
        case Seen(facts=facts, weak=True):
            return Settled(Outcome.UNKNOWN, facts.over(asked.facts))
        case Seen(state=state, facts=facts):
            return Settled(_by_state(asked, state), facts.over(asked.facts))
        case AuthRefused() | Throttled() | Unclear():
            return Settled(Outcome.UNKNOWN, asked.facts)
        case _:
            assert_never(sighting)


def _by_state(asked: ReadBack, state: OrderState) -> Outcome:
    match state:
        case OrderState.CANCELLED:
            return asked.if_cancelled
        case OrderState.OPEN:
            return asked.if_open
        case OrderState.MISSING:
            return asked.if_missing
        case OrderState.PENDING_CANCEL:
            return Outcome.ACCEPTED
        case OrderState.FILLED:
            return Outcome.TOO_LATE_FILLED
        case OrderState.CLOSED:
            return Outcome.CLOSED
        case _:
            assert_never(state)
