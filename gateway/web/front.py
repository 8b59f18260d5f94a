"""What the handlers work with: the service behind them, and the trace that each request leaves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from gateway.core.access import Caller
from gateway.core.answer import Answer, Asked
from gateway.core.model import VenueId
from gateway.core.outcome import Outcome
from gateway.desk import Desk
from gateway.follow import Follower
from gateway.pipeline import Pipeline
from gateway.planner import Planner
from gateway.ports import Clock, Records
from gateway.survey import Survey


class Journal(Protocol):
    """Where each request leaves its one line and its counts."""

    def done(self, trace: "Trace", request_id: str, outcome: Outcome, seconds: float) -> None:
        """A cancel has been answered."""
        ...

    def broke(self, request_id: str, error: BaseException) -> None:
        """A bug showed itself."""
        ...


@dataclass(slots=True)
class Trace:
    """What is known of a cancel by the time it is answered; the rest of the line comes from `answer`."""

    caller: str | None = None
    venue: str | None = None
    asked: Asked | None = None
    answer: Answer | None = None
    status: int = 0
    detail: str | None = None


@dataclass(slots=True)
class Front:
    """The service, as HTTP sees it."""

    desks: Mapping[VenueId, Desk]
    callers: tuple[Caller, ...]
    clock: Clock
    pipeline: Pipeline
    planner: Planner
    records: Records
    follower: Follower
    survey: Survey
    journal: Journal
    new_request_id: Callable[[], str]
    draining: bool = False
    in_flight: int = field(default=0)


FRONT = web.AppKey("front", Front)
REQUEST_ID = web.RequestKey("request_id", str)
CALLER = web.RequestKey("caller", Caller)
TRACE = web.RequestKey("trace", Trace)
