"""receive and respond: a request becomes an Asked, an Answer becomes a response."""

import asyncio

from aiohttp import web

from gateway.core.access import Caller, Permission
from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import Record, State, parse_record_id
from gateway.core.model import Account, Cancel, Lane, VenueId
from gateway.core.outcome import Outcome
from gateway.desk import Desk
from gateway.dispatch import Patience
from gateway.ports import Unavailable
from gateway.venues.base import RefFault
from gateway.web.codec import (
    JSON,
    Refused,
    Spoken,
    Wish,
    plan_body,
    query,
    record_body,
    refusal,
    respond,
    segment,
    shown,
    wish,
)
from gateway.web.front import CALLER, FRONT, REQUEST_ID, TRACE, Front, Trace, Visit
from gateway.web.listener import Connection
from gateway.web.middleware import spoken

VENUE_AT, REF_AT = 2, 3
RESOLVE_S = 2.0
SINGLE = ("Idempotency-Key", "X-Request-Timeout-Ms")


async def cancel(request: web.Request, front: Front) -> web.Response:
    """`DELETE /orders/{venue}/{ref}`, found by the router."""
    return spoken(await single(request, front, Visit(request[TRACE], request[CALLER], request[REQUEST_ID])))


async def single(request: web.Request, front: Front, visit: Visit) -> Spoken:
    """One cancel, to its end, even if its caller leaves: only waiting in line ends with the caller."""
    trace = visit.trace
    asked, wished = receive(request, front, visit)
    if wished.plan:
        trace.plan = True
        return await _plan(front, asked)
    if front.draining:
        raise Refused(Outcome.DRAINING, "this process is shutting down; try another one")
    connection, patience = request.protocol, Patience()
    assert isinstance(connection, Connection)  # noqa: S101  our listener makes no other
    connection.on_leave = patience.leave
    try:
        answer = trace.answer = await front.cancel(asked, patience)
    finally:
        connection.on_leave = None
        trace.detail = "the caller left" if patience.left else None
    return respond(asked, answer, front.clock.now_ms())


async def whole(front: Front, asked: Asked, trace: Trace) -> Answer:
    """One of many: a task of its own, which goes on when the one that wanted it is broken off."""
    patience, began = Patience(), front.clock.monotonic()
    work = asyncio.ensure_future(front.pipeline.cancel(asked, patience))
    front.in_flight += 1
    work.add_done_callback(front.landed)
    try:
        return await front.end_of(work, patience)
    except asyncio.CancelledError:
        patience.leave()
        work.add_done_callback(lambda done: front.journal.unheard(trace, done, front.clock.monotonic() - began))
        raise


def receive(request: web.Request, front: Front, visit: Visit) -> tuple[Asked, Wish]:
    """Decode and validate; nothing that was not understood gets past here."""
    url = request.rel_url
    path = url.raw_path.split("/")
    desk = desk_of(front, path[VENUE_AT])
    visit.trace.venue = desk.venue.id
    said_once(request)
    wished = wish(url.raw_query_string, request.headers)
    if request.body_exists:
        raise Refused(Outcome.INVALID_REQUEST, "this call takes no body")
    asked = held_against(front, visit.caller, desk, segment(path[REF_AT], "ref"), wished, visit.request_id)
    visit.trace.asked = asked
    return asked, wished


def said_once(request: web.Request) -> None:
    """Some headers must not stand there twice."""
    headers = request.headers
    for header in SINGLE:
        if header in headers and len(headers.getall(header)) > 1:
            raise Refused(Outcome.INVALID_REQUEST, f"{header} stands there twice")


def held_against(front: Front, caller: Caller, desk: Desk, ref: str, wished: Wish, request_id: str) -> Asked:
    """A wish held against its venue and its caller's rights; raises Refused."""
    order = desk.venue.order_ref(ref, wished.by, wished.symbol)
    if isinstance(order, RefFault):
        raise Refused(order.outcome, order.detail)
    account = account_of(desk, wished.account)
    if not caller.may(Permission.CANCEL) or not caller.reaches(account):
        where = f"{account.venue}:{wished.account}" if wished.account else f"the default account of {account.venue}"
        raise Refused(Outcome.FORBIDDEN, f"{caller.name} may not cancel on {where}")
    if wished.urgent and not caller.may(Permission.URGENT):
        raise Refused(Outcome.FORBIDDEN, f"{caller.name} may not use the urgent lane")
    return Asked(
        Cancel(account, order),
        caller.name,
        Lane.URGENT if wished.urgent else Lane.NORMAL,
        request_id,
        front.clock.monotonic() + wished.timeout_ms / 1000,
        caller.weight,
        wished.key,
        wished.wait,
    )


def account_of(desk: Desk, named: str | None) -> Account:
    """The account that was named, or the venue's default; raises Refused where there is none."""
    name = named or desk.default_account
    if name is None:
        raise Refused(Outcome.INVALID_REQUEST, "account is needed: this venue has no default_account")
    return Account(desk.venue.id, name)


def desk_of(front: Front, raw_venue: str) -> Desk:
    """Venue ids are plain words, so an escaped one is none."""
    desk = front.desks.get(VenueId(raw_venue))
    if desk is None:
        raise Refused(Outcome.UNKNOWN_VENUE, f"no venue {shown(raw_venue)} is served here")
    return desk


async def _plan(front: Front, asked: Asked) -> Spoken:
    planned = await front.planner.plan(asked)
    now_ms = front.clock.now_ms()
    if isinstance(planned, Answer):
        return respond(asked, planned, now_ms)
    return Spoken(200, plan_body(asked, planned, now_ms), JSON)


async def show_record(request: web.Request) -> web.Response:
    """`GET /cancels/{id}`: only for its caller, or admin; an unknown one is looked at once more first."""
    front, caller = request.app[FRONT], request[CALLER]
    query(request.rel_url.raw_query_string, {})
    if not (caller.may(Permission.READ) or caller.may(Permission.ADMIN)):
        raise Refused(Outcome.FORBIDDEN, f"{caller.name} may not read records")
    try:
        record = await _record(front, caller, request.match_info["id"])
    except Unavailable as lost:
        return spoken(refusal(Outcome.UNKNOWN, f"records cannot be read now: {lost}", request[REQUEST_ID], status=503))
    return spoken(Spoken(200, record_body(record), JSON))


async def _record(front: Front, caller: Caller, written: str) -> Record:
    at, is_admin = parse_record_id(written), caller.may(Permission.ADMIN)
    if at is None or at.account.venue not in front.desks or not (is_admin or caller.reaches(at.account)):
        raise Refused(Outcome.NOT_FOUND, "no such record")
    resolver = front.follower.resolver
    record = await front.records.get(at) or await resolver.mend(at)
    if record is None or (record.caller != caller.name and not is_admin):
        raise Refused(Outcome.NOT_FOUND, "no such record")
    if record.state is not State.ACKNOWLEDGED and not resolver.due(record):
        return record
    return await resolver.look_once(record, front.clock.monotonic() + RESOLVE_S)


async def show_venues(request: web.Request) -> web.Response:
    """`GET /venues`: every venue and account that the caller may use, as it stands."""
    front, caller = request.app[FRONT], request[CALLER]
    query(request.rel_url.raw_query_string, {})
    if not (caller.may(Permission.READ) or caller.may(Permission.ADMIN)):
        raise Refused(Outcome.FORBIDDEN, f"{caller.name} may not read the state of venues")
    return spoken(Spoken(200, await front.survey.venues(caller), JSON))
