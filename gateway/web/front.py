"""What the handlers work with: the service behind them, and the trace that each request leaves."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from aiohttp import web

from gateway.core.access import Caller
from gateway.core.answer import Answer, Asked
from gateway.core.model import Lane, VenueId, Wait
from gateway.core.outcome import MEANINGS, Outcome
from gateway.core.tally import Kill, Tally
from gateway.desk import Desk
from gateway.dispatch import Patience
from gateway.follow import Follower
from gateway.kill import Killer
from gateway.pipeline import Pipeline
from gateway.planner import Planner
from gateway.ports import Clock, Log, Meter, Records
from gateway.recent import Recent
from gateway.survey import Survey
from gateway.web.codec import About, thousandths

CANCEL_DONE, KILL_DONE, KILL = "cancel.done", "kill.done", "kill"
# What the one line of a request is called, by the name of its route.
EVENTS = {KILL: KILL_DONE}


@dataclass(slots=True)
class Trace:
    """What is known of a cancel by the time it is answered; the rest of the line comes from `answer`."""

    caller: str | None = None
    venue: str | None = None
    asked: Asked | None = None
    answer: Answer | None = None
    status: int = 0
    detail: str | None = None
    event: str = CANCEL_DONE
    plan: bool = False
    kill: Kill | None = None
    tally: Tally | None = None

    @property
    def lane(self) -> Lane:
        """In which lane it is counted."""
        if self.event != CANCEL_DONE:
            return Lane.KILL
        return self.asked.lane if self.asked else Lane.NORMAL

    @property
    def outcome(self) -> Outcome:
        """What it came to, where nothing refused it before."""
        if self.tally is not None:
            return self.tally.outcome
        return self.answer.outcome if self.answer else Outcome.ACCEPTED

    @property
    def about(self) -> About:
        """What a refusal says it was about."""
        if self.asked is None:
            return About(self.venue, None if self.kill is None else self.kill.account.name)
        order = self.asked.cancel.order
        return About(self.venue, self.asked.cancel.account.name, order.value, order.by)

    def line(self) -> dict[str, object]:
        """What the log tells of it: identifiers and figures; what is not known is left out."""
        said: dict[str, object] = {"caller": self.caller, "venue": self.venue, "status": self.status}
        if self.plan:
            said["plan"] = True
        if (asked := self.asked) is not None:
            order = asked.cancel.order
            said["account"], said["ref"], said["by"] = asked.cancel.account.name, order.value, order.by
            said["symbol"], said["lane"] = order.symbol, asked.lane
            if asked.wait is Wait.TERMINAL:
                said["wait"] = asked.wait
        if self.answer is not None:
            self._tell_answer(said, self.answer)
        if self.event == KILL_DONE:
            said |= self._kill_line()
        told = self.tally or self.answer
        said["detail"] = self.detail or (told.detail if told else None)
        return {name: value for name, value in said.items() if value is not None}

    @staticmethod
    def _tell_answer(said: dict[str, object], answer: Answer) -> None:
        if answer.record is not None:
            said["record"] = str(answer.record)
        if answer.body is not None:
            said["replayed"] = True
        said["attempts"], said["batch"] = answer.attempts, answer.batch
        said["waited_ms"] = thousandths(answer.waited_ms)
        if answer.venue_ms is not None:
            said["venue_ms"] = thousandths(answer.venue_ms)
        said["venue_status"], said["venue_code"] = answer.facts.venue_status, answer.facts.venue_code
        if answer.degraded:
            said["degraded"] = True

    def _kill_line(self) -> dict[str, object]:
        said: dict[str, object] = {}
        if self.kill is not None:
            said |= {"account": self.kill.account.name, "symbol": self.kill.symbol, "lane": Lane.KILL}
        if (tally := self.tally) is not None:
            said |= {
                "record": None if tally.record is None else str(tally.record),
                "replayed": True if tally.body is not None else None,
                "requests": tally.requests,
                "rounds": tally.rounds,
                "open_before": tally.open_before,
                "open_after": tally.open_after,
                "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
                "proven": tally.proven,
                "degraded": True if tally.degraded else None,
            }
        return said


class Visit(NamedTuple):
    """A request that has got past the door: the trace that it leaves, who calls, and its id."""

    trace: Trace
    caller: Caller
    request_id: str


@dataclass(frozen=True, slots=True)
class Journal:
    """Where each cancel leaves its one line and its counts."""

    meter: Meter
    log: Log
    recent: Recent

    def done(self, trace: Trace, request_id: str, outcome: Outcome, seconds: float) -> None:
        """A cancel or a kill has been answered."""
        self.meter.answered(trace.venue, trace.lane, outcome, seconds, request_id)
        if trace.asked is not None and trace.answer is not None:
            venue = trace.asked.cancel.account.venue
            if trace.answer.body is not None:
                self.meter.replayed(venue)
            elif MEANINGS[outcome].final:
                self.meter.terminal(venue, seconds, request_id)
            elif outcome is Outcome.ACCEPTED and trace.asked.wait is Wait.TERMINAL:
                self.meter.waited_in_vain(venue)
        line = trace.line()
        line |= {"request_id": request_id, "outcome": outcome, "ms": thousandths(seconds * 1000)}
        if not trace.plan:
            self.recent.note(trace.event, line)
        if trace.event == CANCEL_DONE:
            self.log.done(line)
        else:
            self.log.event(trace.event, **line)

    def unheard(self, trace: Trace, work: Future[Answer], seconds: float) -> None:
        """A cancel came to its end, and its caller had left."""
        if trace.asked is None or work.cancelled():
            return
        request_id = trace.asked.request_id
        if (bug := work.exception()) is not None:
            self.broke(request_id, bug)
            return
        trace.answer = work.result()
        trace.status, trace.detail = MEANINGS[trace.answer.outcome].status, "the caller left"
        self.done(trace, request_id, trace.answer.outcome, seconds)

    def broke(self, request_id: str, error: BaseException) -> None:
        """A bug showed itself."""
        self.log.broke(request_id, error)


class Doorkeeper(Protocol):
    """Who finds out who calls; `door.py` does."""

    async def caller(self, request: web.Request) -> Caller:
        """Who calls, or Refused."""
        ...


@dataclass(slots=True)
class Front:
    """The service, as HTTP sees it."""

    desks: Mapping[VenueId, Desk]
    door: Doorkeeper
    clock: Clock
    pipeline: Pipeline
    planner: Planner
    records: Records
    follower: Follower
    killer: Killer
    survey: Survey
    journal: Journal
    new_request_id: Callable[[], str]
    draining: bool = False
    in_flight: int = 0
    ended: bool = False
    unanswered: dict[Future[Answer], Patience] = field(default_factory=dict)
    in_person: dict[asyncio.Task[object], Patience] = field(default_factory=dict)

    async def cancel(self, asked: Asked, patience: Patience) -> Answer:
        """One cancel in its caller's own task; it is broken off when the process ends, and what is certain is told."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine
        self.in_flight += 1
        self.in_person[task] = patience
        try:
            return await self.pipeline.cancel(asked, patience)
        except asyncio.CancelledError:
            if not self.ended:
                raise
            task.uncancel()
            return _certain(patience)
        finally:
            self.in_flight -= 1
            del self.in_person[task]

    async def end_of(self, work: Future[Answer], patience: Patience) -> Answer:
        """What the work comes to, or what is certain of it when the process ends; whoever leaves leaves it alone."""
        answered: Future[Answer] = asyncio.get_running_loop().create_future()
        work.add_done_callback(partial(_pass_on, answered))
        self.unanswered[answered] = patience
        try:
            return await answered
        finally:
            del self.unanswered[answered]

    def answer_all(self) -> None:
        """Nobody can wait any longer."""
        self.ended = True
        for task in self.in_person:
            task.cancel()
        for answered, patience in self.unanswered.items():
            if not answered.done():
                answered.set_result(_certain(patience))

    def landed(self, _: object) -> None:
        """One cancel has come to its end."""
        self.in_flight -= 1


def _certain(patience: Patience) -> Answer:
    known = patience.so_far
    return Answer(Outcome.UNKNOWN, detail="the process ends") if known is None else known()


def _pass_on(answered: Future[Answer], work: Future[Answer]) -> None:
    if answered.done():
        return
    if work.cancelled():
        answered.cancel()
    elif (error := work.exception()) is not None:
        answered.set_exception(error)
    else:
        answered.set_result(work.result())


FRONT = web.AppKey("front", Front)
REQUEST_ID = web.RequestKey("request_id", str)
CALLER = web.RequestKey("caller", Caller)
TRACE = web.RequestKey("trace", Trace)
