"""`DELETE /orders/{venue}`: receive and respond. A kill that has begun goes on whatever becomes of its caller."""

import asyncio

from aiohttp import web

from gateway.core.access import Permission
from gateway.core.outcome import Outcome
from gateway.core.tally import Kill, Tally
from gateway.venues.base import RefFault
from gateway.web.codec import JSON, Refused, Spoken
from gateway.web.front import CALLER, FRONT, REQUEST_ID, TRACE, Front, Trace
from gateway.web.handlers import account_of, desk_of, said_once
from gateway.web.kill_codec import KillWish, kill_plan_body, kill_status, kill_wish, respond_to_kill
from gateway.web.middleware import spoken


async def kill(request: web.Request) -> web.Response:
    """Get everything cancelled that is open."""
    front, trace = request.app[FRONT], request[TRACE]
    wanted, wished = receive(request, front, trace)
    if wished.plan:
        trace.plan = True
        return spoken(await _plan(front, wanted, trace))
    if front.draining:
        raise Refused(Outcome.DRAINING, "this process is shutting down; try another one")
    tally = trace.tally = await _whole(front, wanted, trace)
    return spoken(respond_to_kill(wanted, tally, front.clock.now_ms()))


def receive(request: web.Request, front: Front, trace: Trace) -> tuple[Kill, KillWish]:
    """Decode and validate, as for one cancel."""
    caller = request[CALLER]
    desk = desk_of(front, request.rel_url.raw_path.rpartition("/")[2])
    trace.venue = desk.venue.id
    said_once(request)
    wished = kill_wish(request.rel_url.raw_query_string, request.headers)
    if request.body_exists:
        raise Refused(Outcome.INVALID_REQUEST, "this call takes no body")
    account = account_of(desk, wished.account)
    if not caller.may(Permission.KILL) or not caller.reaches(account):
        where = f"{account.venue}:{wished.account}" if wished.account else f"the default account of {account.venue}"
        raise Refused(Outcome.FORBIDDEN, f"{caller.name} may not kill on {where}")
    fault = None if wished.symbol is None else desk.venue.symbol_fault(wished.symbol)
    if isinstance(fault, RefFault):
        raise Refused(fault.outcome, fault.detail)
    deadline = front.clock.monotonic() + wished.timeout_ms / 1000
    trace.kill = Kill(
        account, wished.symbol, caller.name, request[REQUEST_ID], deadline, caller.weight, wished.key, wished.wait
    )
    return trace.kill, wished


async def _whole(front: Front, wanted: Kill, trace: Trace) -> Tally:
    began = front.clock.monotonic()
    work = asyncio.ensure_future(front.killer.kill(wanted))
    front.in_flight += 1
    work.add_done_callback(front.landed)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(lambda done: _unheard(front, trace, done, began))
        raise


def _unheard(front: Front, trace: Trace, work: "asyncio.Future[Tally]", began: float) -> None:
    """It came to its end, and its caller had left."""
    if trace.kill is None or work.cancelled():
        return
    if (bug := work.exception()) is not None:
        front.journal.broke(trace.kill.request_id, bug)
        return
    trace.tally = work.result()
    trace.status, trace.detail = kill_status(trace.tally.outcome), "the caller left"
    front.journal.done(trace, trace.kill.request_id, trace.tally.outcome, front.clock.monotonic() - began)


async def _plan(front: Front, wanted: Kill, trace: Trace) -> Spoken:
    planned = await front.killer.plan(wanted)
    now_ms = front.clock.now_ms()
    if isinstance(planned, Tally):
        trace.tally = planned
        return respond_to_kill(wanted, planned, now_ms)
    return Spoken(200, kill_plan_body(wanted, planned, now_ms), JSON)
