"""What an attempt to cancel came to, and how one after another is told. Values and decisions only; no I/O."""

from dataclasses import dataclass, replace
from typing import assert_never

from gateway.core.admission import Gated, Missed
from gateway.core.idempotency import SETTLED_AS, State
from gateway.core.outcome import AuthRefused, Outcome, ReadBack, Settled, Throttled, Unclear, Untimely
from gateway.core.wire import NotSent
from gateway.ports import NoSigner

TRY_AGAIN_MS = 1000
CLOCK_REFUSED = "the venue finds the time of the request, by this gateway's clock, outside its window"


@dataclass(frozen=True, slots=True)
class End:
    """What an attempt came to; why another one could be of use; what to `look` for, and what holds while unseen."""

    settled: Settled
    detail: str | None = None
    retry_after_ms: int | None = None
    again: str | None = None
    look: ReadBack | None = None
    unseen: Outcome = Outcome.UNKNOWN


def with_earlier(earlier: End | None, end: End) -> End:
    """An attempt that did nothing takes nothing back: one before it whose end is unknown may still be acted on."""
    if earlier is None or earlier.settled.outcome is not Outcome.UNKNOWN:
        return end
    if SETTLED_AS[end.settled.outcome] is State.REFUSED or end.settled.outcome is Outcome.REJECTED:
        return replace(earlier, again=end.again)
    if end.look is not None and end.look.if_open is Outcome.REJECTED:
        return replace(end, look=replace(end.look, if_open=Outcome.UNKNOWN))
    return end


def plainly(  # noqa: PLR0911  one per kind
    told: Untimely | Unclear | Throttled | AuthRefused | NotSent | NoSigner | Missed,
) -> End:
    """What needs no further look: the outcome, its detail, and when to try again."""
    match told:
        case Unclear(reason=reason, facts=facts):
            return End(Settled(Outcome.UNKNOWN, facts), reason)
        case Throttled(banned=banned, retry_after_ms=stated_ms, facts=facts):
            limited = Settled(Outcome.VENUE_BANNED if banned else Outcome.VENUE_LIMITED, facts)
            return End(limited, None, stated_ms or TRY_AGAIN_MS)
        case AuthRefused(facts=facts):
            return End(Settled(Outcome.VENUE_AUTH, facts))
        case Untimely(facts=facts):
            return End(Settled(Outcome.VENUE_UNAVAILABLE, facts), CLOCK_REFUSED, TRY_AGAIN_MS)
        case NotSent(reason=reason, here=here):
            again = None if here else "not_sent"
            return End(Settled(Outcome.VENUE_UNAVAILABLE), reason, TRY_AGAIN_MS, again=again)
        case Missed():
            return End(Settled(Outcome.OVER_DEADLINE), None, 0)
        case NoSigner(outcome=outcome, detail=detail):
            return End(Settled(outcome), detail)
        case _:
            assert_never(told)


def shut_as(gate: Gated) -> Outcome:
    """What is told of a closed gate."""
    return Outcome.VENUE_BANNED if gate.banned else Outcome.VENUE_LIMITED


def ms_up(microseconds: int) -> int:
    """Whole milliseconds, rounded up: a wait of 0.4 ms must not become none."""
    return -(-microseconds // 1000)
