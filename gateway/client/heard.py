"""What the gateway said, as values. Pure. What is no answer of the gateway, such as a proxy's page, is None here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.outcome import MEANINGS, Outcome

Members = Mapping[str, object]
PROVEN = frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED})
WAIT_MOST_MS = 9_999_999_000  # some four months; more is a mistake
WAIT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one cancel. `said` holds every member of the answer, empty where none came.

    `status` is 0 where the client itself says `unknown`: the request may have arrived, and no answer came.
    `attempts` are the venue's, `tries` are the client's.
    """

    outcome: Outcome
    status: int
    key: str
    index: int = 0
    tries: int = 1
    detail: str | None = None
    record: str | None = None
    retry_after_ms: int | None = None
    replayed: bool = False
    said: Members = field(default_factory=dict, repr=False)

    @property
    def gone(self) -> bool:
        """Whether the order is provably cancelled. `accepted` and `unknown` are not that."""
        return self.outcome in PROVEN

    @property
    def final(self) -> bool:
        """Whether it is a fact that never changes."""
        return MEANINGS[self.outcome].final


@dataclass(frozen=True, slots=True)
class Killed:
    """What a kill did. Only where `proven`, an empty list of open orders was seen after the last cancel."""

    outcome: Outcome
    status: int
    key: str
    proven: bool = False
    open_after: int | None = None
    left: tuple[str, ...] = ()
    tries: int = 1
    detail: str | None = None
    note: str | None = None
    record: str | None = None
    retry_after_ms: int | None = None
    said: Members = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One cancel's record: how far it came, and its outcome as far as it is known."""

    id: str
    state: str
    outcome: Outcome | None
    final: bool
    said: Members = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class VenueState:
    """A venue's account as it stands; `free` tells the tokens of each limit, where the gateway knows them."""

    venue: str
    account: str
    credential: str
    degraded: bool
    free: Mapping[str, int | None]
    said: Members = field(default_factory=dict, repr=False)


def members(body: bytes) -> Members | None:
    """A JSON object; None where it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def outcome_of(said: Members) -> Outcome | None:
    """The outcome; None where it is not one of the closed set, so that it is no answer that can be trusted."""
    stated = said.get("outcome")
    return Outcome(stated) if isinstance(stated, str) and stated in tuple(Outcome) else None


def answer_of(status: int, said: Members | None, retry_after: str | None, key: str, tries: int) -> Answer | None:
    """The answer to a single cancel, or to one of many."""
    if said is None or (outcome := outcome_of(said)) is None:
        return None
    return Answer(
        outcome,
        status,
        key,
        index=whole(said, "index") or 0,
        tries=tries,
        detail=text(said, "detail"),
        record=record_id(said),
        retry_after_ms=_retry_after_ms(said, retry_after),
        replayed=said.get("replayed") is True,
        said=said,
    )


def killed_of(status: int, said: Members | None, retry_after: str | None, key: str, tries: int) -> Killed | None:
    """The answer to a kill."""
    if said is None or (outcome := outcome_of(said)) is None:
        return None
    left = said.get("left")
    return Killed(
        outcome,
        status,
        key,
        proven=said.get("proven") is True,
        open_after=whole(said, "open_after"),
        left=tuple(str(ref) for ref in left) if isinstance(left, list) else (),
        tries=tries,
        detail=text(said, "detail"),
        note=text(said, "note"),
        record=record_id(said),
        retry_after_ms=_retry_after_ms(said, retry_after),
        said=said,
    )


def record_of(said: Members) -> Record | None:
    """A record."""
    at, state = text(said, "id"), text(said, "state")
    if at is None or state is None:
        return None
    return Record(at, state, outcome_of(said), said.get("final") is True, said)


def venues_of(said: Members) -> tuple[VenueState, ...]:
    """Every venue and account that the caller may use."""
    stated = said.get("venues")
    return tuple(_venue(each) for each in stated if isinstance(each, dict)) if isinstance(stated, list) else ()


def _venue(said: Members) -> VenueState:
    limits = said.get("limits")
    free = {name: whole(each, "free") for name, each in limits.items()} if isinstance(limits, dict) else {}
    degraded = said.get("degraded") is True
    return VenueState(
        text(said, "venue") or "", text(said, "account") or "", text(said, "credential") or "", degraded, free, said
    )


def record_id(said: Members) -> str | None:
    """The id in the path that an answer tells."""
    path = text(said, "record")
    return None if path is None else path.rpartition("/")[2]


def text(said: Members, name: str) -> str | None:
    """A member that is text."""
    value = said.get(name)
    return value if isinstance(value, str) else None


def whole(said: Members, name: str) -> int | None:
    """A member that is a whole number."""
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _retry_after_ms(said: Members, header: str | None) -> int | None:
    """The body's milliseconds; else the header, which is in whole seconds and may have been set by a proxy."""
    stated = whole(said, "retry_after_ms")
    if stated is None and header is not None and header.isascii() and header.isdigit():
        stated = int(header[:WAIT_DIGITS]) * 1000
    return None if stated is None else max(0, min(stated, WAIT_MOST_MS))
