"""A cancel as a caller asked for it, and the answer as it will be told. Values only; the bytes are web/codec.py's."""

from dataclasses import dataclass, field

import orjson

from gateway.core.idempotency import Record, RecordId
from gateway.core.model import Cancel, Lane, Wait
from gateway.core.outcome import NOTHING_SAID, Facts, Outcome, Settled
from gateway.core.value import quick
from gateway.core.wire import Shown

TOLD = ("venue_status", "order_id", "client_id", "filled", "remaining")


@quick
@dataclass(frozen=True, slots=True)
class Asked:
    """One valid request. `deadline` is in monotonic seconds: after it the answer is of no use."""

    cancel: Cancel
    caller: str
    lane: Lane
    request_id: str
    deadline: float
    weight: int = 1
    key: str | None = None
    wait: Wait = Wait.ACK


@quick
@dataclass(frozen=True, slots=True)
class Standing:
    """How the limit stands that this cancel met: so many tokens free, or the time until the next one is."""

    limit: str
    tokens: int
    per_ms: int
    free: int
    reset_ms: int


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it. `body` holds the bytes of a replay, which are told again as they were."""

    outcome: Outcome
    facts: Facts = NOTHING_SAID
    detail: str | None = None
    record: RecordId | None = None
    attempts: int = 0
    batch: int = 0
    waited_ms: float = 0.0
    venue_ms: float | None = None
    retry_after_ms: int | None = None
    degraded: bool = False
    standing: Standing | None = None
    body: bytes | None = field(default=None, repr=False)


def remembered(record: Record) -> Settled:
    """What is said of an order that was known to be gone before it was asked for."""
    outcome = Outcome.ALREADY_CANCELLED if record.outcome is Outcome.CANCELLED else record.outcome
    said = _said(record.body)
    facts = {name: value for name in TOLD if isinstance(value := said.get(name), str)}
    return Settled(outcome or Outcome.UNKNOWN, Facts(**facts))


def _said(body: bytes) -> dict[str, object]:
    try:
        said = orjson.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be sent, and when; `would` is the refusal where nothing would be."""

    request: Shown
    wait_ms: float
    free: dict[str, int]
    would: Outcome | None = None
