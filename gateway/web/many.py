"""`POST /cancels`: many at once, each answered by a line of its own as soon as it has come to its end.

They go through the same pipeline as single ones, so where they queue they share requests. At most WINDOW of a body are
under way or wait to be written, so a reader who is slow holds back what has not begun.
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias, TypeVar

from aiohttp import web

from gateway.core.access import Caller
from gateway.core.answer import Answer, Asked
from gateway.core.idempotency import fingerprint
from gateway.core.outcome import Outcome
from gateway.web.codec import About, Refused, Spoken, refusal, respond
from gateway.web.front import CALLER, FRONT, REQUEST_ID, Front, Trace
from gateway.web.handlers import desk_of, held_against, said_once, whole
from gateway.web.listener import SERVER
from gateway.web.many_codec import NDJSON, TOO_LARGE, Flaw, Item, items_of, line_of, wish_of_all

BODY_MOST = 1024 * 1024
BODY_WITHIN_S = 10.0
WRITE_WITHIN_S = 30.0
WINDOW = 256
SEND_BUFFER = 64 * 1024
TIMEOUT = 408
ID_MOST = 120
Told: TypeAlias = tuple[Outcome, Spoken]
Work = TypeVar("Work", asyncio.Future[Answer], asyncio.Future[Told])


async def cancel_many(request: web.Request) -> web.StreamResponse:
    """Receive the whole body, then answer line by line."""
    front = request.app[FRONT]
    said_once(request)
    common = wish_of_all(request.rel_url.raw_query_string, request.headers)
    items = items_of(await _body(request), common)
    response = web.StreamResponse(headers={"X-Request-ID": request[REQUEST_ID], "Server": SERVER})
    response.content_type = NDJSON
    _narrow(request)
    await response.prepare(request)
    deadline = front.clock.monotonic() + common.timeout_ms / 1000
    many = Many(front, request[CALLER], request[REQUEST_ID][:ID_MOST], deadline)
    front.in_flight += 1
    try:
        await many.answer(items, response)
    except (ConnectionError, TimeoutError):
        # Nobody reads any more: the connection is of no use to anybody.
        if request.transport is not None:
            request.transport.abort()
    finally:
        front.landed(None)
    return response


def _narrow(request: web.Request) -> None:
    """The kernel would take megabytes, in which a reader who is slow or gone would not be noticed."""
    own = None if request.transport is None else request.transport.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


async def _body(request: web.Request) -> bytes:
    """The body, bounded in size and time; single calls have a much smaller bound."""
    if (request.content_length or 0) > BODY_MOST:
        raise _too_large()
    chunks = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.content.iter_any():
                chunks += chunk
                if len(chunks) > BODY_MOST:
                    raise _too_large()
    except TimeoutError:
        raise Refused(Outcome.INVALID_REQUEST, "the body did not come in time", status=TIMEOUT) from None
    return bytes(chunks)


def _too_large() -> Refused:
    return Refused(Outcome.INVALID_REQUEST, f"the body is larger than {BODY_MOST} bytes", status=TOO_LARGE)


@dataclass(slots=True)
class Many:
    """The cancels of one body on their way."""

    front: Front
    caller: Caller
    request_id: str
    deadline: float
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW))
    _lines: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    _tasks: set[asyncio.Future[Answer] | asyncio.Future[Told]] = field(default_factory=set)
    _twins: dict[tuple[str, str | None], asyncio.Future[Answer]] = field(default_factory=dict)

    async def answer(self, items: tuple[Item | Flaw, ...], response: web.StreamResponse) -> None:
        """Write each line as it comes; whoever has not been sent when the reader leaves never will be."""
        starting = asyncio.ensure_future(self._start(items))
        try:
            for _ in items:
                line = await self._lines.get()
                async with asyncio.timeout(WRITE_WITHIN_S):
                    await response.write(line)
                self._room.release()
            await response.write_eof()
        finally:
            starting.cancel()
            for task in tuple(self._tasks):
                task.cancel()

    async def _start(self, items: Iterable[Item | Flaw]) -> None:
        for index, item in enumerate(items):
            await self._room.acquire()
            request_id = f"{self.request_id}.{index}"
            trace, began = Trace(caller=self.caller.name), self.front.clock.monotonic()
            work = self._tracked(asyncio.ensure_future(self._spoken(item, request_id, trace)))
            work.add_done_callback(partial(self._landed, index, request_id, trace, began))

    def _tracked(self, work: Work) -> Work:
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        return work

    def _landed(self, index: int, request_id: str, trace: Trace, began: float, work: asyncio.Future[Told]) -> None:
        """Its line and its log line; a bug in one is no reason to keep the others waiting."""
        if work.cancelled():
            return
        journal = self.front.journal
        if (bug := work.exception()) is not None:
            journal.broke(request_id, bug)
            outcome, spoken = Outcome.INTERNAL, refusal(Outcome.INTERNAL, None, request_id)
        else:
            outcome, spoken = work.result()
        trace.status = spoken.status
        journal.done(trace, request_id, outcome, self.front.clock.monotonic() - began)
        self._lines.put_nowait(line_of(index, spoken))

    async def _spoken(self, item: Item | Flaw, request_id: str, trace: Trace) -> Told:
        if isinstance(item, Flaw):
            return _refused(Refused(Outcome.INVALID_REQUEST, item.detail), request_id, trace, item.about)
        try:
            asked = self._asked(item, request_id, trace)
        except Refused as refused:
            about = About(trace.venue, item.wished.account, item.ref, item.wished.by)
            return _refused(refused, request_id, trace, about)
        answer = trace.answer = await asyncio.shield(self._single_flight(asked, trace))
        return answer.outcome, respond(asked, answer, self.front.clock.now_ms())

    def _asked(self, item: Item, request_id: str, trace: Trace) -> Asked:
        front = self.front
        desk = desk_of(front, item.venue)
        trace.venue = desk.venue.id
        asked = held_against(front, self.caller, desk, item.ref, item.wished, request_id)
        if front.draining:
            raise Refused(Outcome.DRAINING, "this process is shutting down; try another one")
        if front.clock.monotonic() >= self.deadline:
            raise Refused(Outcome.OVER_DEADLINE, "its turn came after the deadline; nothing was sent")
        trace.asked = replace(asked, deadline=self.deadline)
        return trace.asked

    def _single_flight(self, asked: Asked, trace: Trace) -> asyncio.Future[Answer]:
        """The same cancel twice in one body is one cancel, with or without the store."""
        which = (fingerprint(asked.cancel), asked.key)
        if (twin := self._twins.get(which)) is None:
            twin = self._twins[which] = self._tracked(asyncio.ensure_future(whole(self.front, asked, trace)))
        return twin


def _refused(refused: Refused, request_id: str, trace: Trace, about: About) -> Told:
    trace.detail = refused.detail
    return refused.outcome, refusal(refused.outcome, refused.detail, request_id, about)
