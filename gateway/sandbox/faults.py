"""The faults a venue can be told to have, and which of them meet a request. serve.py does them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum, unique
from typing import Final

from gateway.sandbox.fields import FieldFault, Fields

ALL_FILLED: Final = Decimal("Infinity")


@unique
class Cut(StrEnum):
    """When the connection is reset, and what had happened to the order by then."""

    BEFORE_READ = "reset_before_read"
    AFTER_READ = "reset_after_read"
    UNTOUCHED = "reset_after_read_untouched"


@unique
class Garble(StrEnum):
    """Answers that no client should trust."""

    MALFORMED = "malformed"
    HTML = "html"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    HUGE_BODY = "huge_body"
    GZIP_BOMB = "gzip_bomb"


@unique
class Canned(StrEnum):
    """Answers in the venue's own shape that come instead of the real one."""

    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    FORBIDDEN = "forbidden"
    SERVER_ERROR = "server_error"
    AUTH_FAILURE = "auth_failure"
    ERROR_CODE = "error_code"
    STRING_CODES = "string_codes"


@dataclass(frozen=True, slots=True)
class Latency:
    """The venue is slow to take the request up."""

    ms: int
    jitter_ms: int


@dataclass(frozen=True, slots=True)
class Hang:
    """The venue never answers; `applied` tells whether it had acted."""

    applied: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The venue resets the connection without an answer."""

    cut: Cut

    @property
    def applied(self) -> bool:
        """Whether the venue had acted before."""
        return self.cut is Cut.AFTER_READ


@dataclass(frozen=True, slots=True)
class CannedAnswer:
    """An error of the venue's; what is None is as the venue would have it."""

    kind: Canned
    applied: bool
    status: int | None
    code: int | str | None
    message: str | None
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Garbled:
    """An answer that was spoilt on the way; `size` in bytes once unpacked."""

    kind: Garble
    applied: bool
    status: int | None
    size: int


@dataclass(frozen=True, slots=True)
class SlowBody:
    """The answer trickles in."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class DelayedState:
    """The cancel is acknowledged, but the order stays open for so long."""

    ms: int


@dataclass(frozen=True, slots=True)
class FillBeforeCancel:
    """So much fills before the cancel gets to the order."""

    quantity: Decimal


@dataclass(frozen=True, slots=True)
class PartialBatch:
    """The first so many orders of a batch are not cancelled; silent, an answer that tells of each leaves them out."""

    fail_ids: int
    silent: bool


Effect = Latency | Hang | Reset | CannedAnswer | Garbled | SlowBody | DelayedState | FillBeforeCancel | PartialBatch


@dataclass(slots=True)
class Fault:
    """One fault: whom it meets, how often still (None: always), and what it does."""

    kind: str
    endpoint: str
    account: str | None
    times: int | None
    effect: Effect
    shown: Mapping[str, object]

    def meets(self, names: frozenset[str], account: str | None) -> bool:
        """Whether it concerns a request that goes by these names."""
        return self.times != 0 and self.endpoint in names and self.account in {None, account}


@dataclass(slots=True)
class FaultList:
    """The faults that are set."""

    faults: list[Fault] = field(default_factory=list)

    def take(self, names: frozenset[str], account: str | None) -> tuple[Fault, ...]:
        """The faults that meet a request; each has been used once more."""
        hit = tuple(fault for fault in self.faults if fault.meets(names, account))
        for fault in hit:
            fault.times = None if fault.times is None else fault.times - 1
        return hit

    def as_json(self) -> list[dict[str, object]]:
        """The faults as they were set, with the times that are left."""
        return [{**fault.shown, "times": fault.times} for fault in self.faults]


def fault_from(value: object, endpoints: frozenset[str]) -> Fault:
    """Read one fault; raises FieldFault."""
    fields = Fields.of(value, "a fault")
    kind = fields.text("kind")
    endpoint = fields.text("endpoint", "*")
    if endpoint not in endpoints:
        raise FieldFault(f"endpoint: {endpoint!r} is none of {', '.join(sorted(endpoints))}")
    account = fields.optional_text("account")
    times = fields.optional_number("times")
    effect = _effect(kind, fields)
    fields.finish()
    return Fault(kind, endpoint, account, times, effect, fields.source)


def _effect(kind: str, fields: Fields) -> Effect:  # noqa: PLR0911  one per kind
    match kind:
        case "latency":
            return Latency(fields.number("ms"), fields.number("jitter_ms", 0))
        case "hang":
            return Hang(fields.flag("applied", default=False))
        case "slow_body":
            return SlowBody(max(1, fields.number("bytes_per_s", 10)))
        case "delayed_state":
            return DelayedState(fields.number("ms"))
        case "fill_before_cancel":
            return FillBeforeCancel(fields.decimal("quantity", "all", {"all": ALL_FILLED}))
        case "partial_batch":
            return PartialBatch(fields.number("fail_ids", 1), fields.flag("silent", default=False))
        case _ if kind in set(Cut):
            return Reset(Cut(kind))
        case _ if kind in set(Garble):
            return _garbled(Garble(kind), fields)
        case _ if kind in set(Canned):
            return _canned(Canned(kind), fields)
        case _:
            raise FieldFault(f"kind: {kind!r} is no fault; there are {', '.join(KINDS)}")


def _garbled(kind: Garble, fields: Fields) -> Garbled:
    large = kind in {Garble.HUGE_BODY, Garble.GZIP_BOMB}
    size = fields.number("bytes", 64 << 20) if large else 0
    return Garbled(kind, fields.flag("applied", default=True), fields.optional_number("status"), size)


def _canned(kind: Canned, fields: Fields) -> CannedAnswer:
    return CannedAnswer(
        kind=kind,
        applied=fields.flag("applied", default=False),
        status=fields.optional_number("status"),
        code=fields.optional_code("code"),
        message=fields.optional_text("message"),
        retry_after=fields.optional_text("retry_after"),
    )


KINDS: Final = (
    "latency", "hang", "slow_body", "delayed_state", "fill_before_cancel", "partial_batch", *Cut, *Garble, *Canned,
)  # fmt: skip
