"""What one look makes of a record whose end is not known: its end, another look later, or that we give up."""

from dataclasses import dataclass, replace
from typing import assert_never

from gateway.core.idempotency import UNNOTED, Record, State, Step
from gateway.core.outcome import (
    AuthRefused,
    OrderState,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    conclude,
)

# The cancel did leave, so a cancelled order counts as ours. One that is open proves nothing while our cancel may still
# be on its way.
AFTER_SILENCE = ReadBack(Outcome.CANCELLED, if_open=Outcome.UNKNOWN, if_missing=Outcome.UNKNOWN)
AFTER_GRACE = replace(AFTER_SILENCE, if_missing=Outcome.NOT_FOUND)
# A cancel that the venue took: an order still open, or gone from view, only means that it is not proven final yet.
AFTER_ACK = ReadBack(Outcome.CANCELLED, if_open=Outcome.ACCEPTED, if_missing=Outcome.ACCEPTED)

# From when on an order that shows open says that our cancel never arrived: Orderly takes a signed request for five
# minutes, the others for less, and no request of ours lives as long. Longer still, for reads that show what was.
ARRIVED_MS = 360_000
DID_NOTHING = "open: the cancel did not arrive, and no longer can"

# hummingbot waits 20 s before it believes that a fresh order is not there, because it met venues that need so long.
GRACE_MS = 20_000
STEPS_KEPT = 20
RESULT_MOST = 160
PAUSE_LEAST_MS, PAUSE_MOST_MS, PAUSE_PART = 1000, 60_000, 4


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is proven; look again after `pause_ms`."""

    pause_ms: int
    result: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Nothing is proven, and it is too late to hope for more; the record stays unknown."""

    result: str


Next = Settled | Later | GivenUp


def sent_at_ms(record: Record) -> int:
    """When its cancel left, at the earliest."""
    return record.created_ms if record.sent_ms is None else record.sent_ms


def judge(record: Record, sighting: Sighting, now_ms: int, give_up_ms: int, chance: float) -> Next:
    """What follows from one look; `chance` from 0 to 1 spreads the looks of many records."""
    if record.state in UNNOTED and isinstance(sighting, Seen) and sighting.state is OrderState.OPEN:
        return _unsent(record)
    if record.state in UNNOTED and isinstance(sighting, Unclear):
        return Settled(Outcome.UNKNOWN)  # it may have been sent, and goes on as what was
    return _judged(record, sighting, now_ms, give_up_ms, chance)


def _unsent(record: Record) -> Settled | Later:
    """Whoever had it is gone, there is no note that it was sent, and the order is open: seen twice, that will do."""
    if any(step.result == OrderState.OPEN for step in record.steps):
        return Settled(Outcome.VENUE_UNAVAILABLE)
    return Later(PAUSE_LEAST_MS, OrderState.OPEN)


def _judged(record: Record, sighting: Sighting, now_ms: int, give_up_ms: int, chance: float) -> Next:
    age_ms = now_ms - sent_at_ms(record)
    settled = _concluded(record, sighting, believed=age_ms >= GRACE_MS)
    open_still = record.state is State.ACKNOWLEDGED and settled.outcome is Outcome.ACCEPTED
    if settled.outcome is not Outcome.UNKNOWN and not open_still:
        return settled
    if record.state is not State.ACKNOWLEDGED and age_ms >= ARRIVED_MS and _is_open(sighting):
        return GivenUp(DID_NOTHING)
    if record.state is not State.ACKNOWLEDGED and age_ms >= give_up_ms:
        return GivenUp(worded(sighting))
    return Later(pause_ms(age_ms, chance), worded(sighting))


def _is_open(sighting: Sighting) -> bool:
    return isinstance(sighting, Seen) and sighting.state is OrderState.OPEN and not sighting.weak


def pause_ms(age_ms: int, chance: float) -> int:
    """A part of the age, so that pauses grow with it; spread by a fifth to either side."""
    pause = min(PAUSE_MOST_MS, max(PAUSE_LEAST_MS, age_ms // PAUSE_PART))
    return int(pause * (0.8 + 0.4 * chance))


def worded(sighting: Sighting) -> str:
    """A look's result for people, short."""
    match sighting:
        case Seen(state=state, weak=weak):
            return f"{state}, not believed yet" if weak else str(state)
        case Unclear(reason=reason):
            return f"unclear: {reason}"[:RESULT_MOST]
        case AuthRefused():
            return "the venue refuses the credential"
        case Throttled():
            return "the venue refuses for now"
        case _:
            assert_never(sighting)


def with_step(record: Record, step: Step) -> tuple[Step, ...]:
    """The record's last steps, with this one."""
    return (*record.steps, step)[-STEPS_KEPT:]


def _concluded(record: Record, sighting: Sighting, *, believed: bool) -> Settled:
    if record.state is State.ACKNOWLEDGED:
        return conclude(AFTER_ACK, sighting)
    asked = AFTER_GRACE if believed else AFTER_SILENCE
    sure = replace(sighting, weak=False) if believed and isinstance(sighting, Seen) else sighting
    return conclude(asked, sure)


def another_order(sighting: Sighting, sent_ms: int) -> bool:
    """Whether the order seen may have been made after the cancel left, and so is not the one that was meant."""
    if not isinstance(sighting, Seen) or sighting.state is OrderState.MISSING:
        return False
    return sighting.created_ms is None or sighting.created_ms > sent_ms
