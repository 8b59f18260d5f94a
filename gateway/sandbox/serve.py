"""The way of one request through a venue: route, authenticate, fault, limit, act, answer. The only place that waits."""

import asyncio
import random
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, assert_never

from aiohttp import web

from gateway.sandbox.book import Twist
from gateway.sandbox.faults import (
    Canned,
    CannedAnswer,
    Cut,
    DelayedState,
    Fault,
    FaultList,
    FillBeforeCancel,
    Garble,
    Garbled,
    Hang,
    Latency,
    PartialBatch,
    Reset,
    SlowBody,
)
from gateway.sandbox.venue import Call, Caller, Venue, canned_answer
from gateway.sandbox.wire import Answer, Refusal, Request

_CHUNK: Final = bytes(64 << 10)
_HANG_CHECK_S: Final = 0.05
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
_SLOW_STEPS_PER_S: Final = 10
_RETRY_DATE_S: Final = 2

Ending = Hang | Reset | CannedAnswer | Garbled


@dataclass(slots=True)
class Plan:
    """What the faults that meet a request make of it."""

    wait_ms: float = 0
    twist: Twist = field(default_factory=Twist)
    ending: Ending | None = None
    slow: SlowBody | None = None

    @property
    def applied(self) -> bool:
        """Whether the venue acts at all."""
        return self.ending is None or self.ending.applied


def planned(faults: Iterable[Fault], delay_ms: int) -> Plan:
    """Put the effects together; of several that end a request the first counts."""
    plan, fill, partial = Plan(), None, PartialBatch(0, silent=False)
    for fault in faults:
        match fault.effect:
            case Latency() as latency:
                plan.wait_ms += latency.ms + random.uniform(0, latency.jitter_ms)  # noqa: S311  no secret
            case DelayedState() as delayed:
                delay_ms = delayed.ms
            case FillBeforeCancel() as filled:
                fill = filled.quantity
            case PartialBatch() as partial:
                pass
            case SlowBody() as slow:
                plan.slow = slow
            case Hang() | Reset() | CannedAnswer() | Garbled() as ending:
                plan.ending = plan.ending or ending
            case _:
                assert_never(fault.effect)
    plan.twist = Twist(delay_ms, fill, partial.fail_ids, partial.silent)
    return plan


class Front:
    """The door of one venue."""

    def __init__(self, venue: Venue, faults: FaultList, closing: asyncio.Event) -> None:
        self._venue = venue
        self._faults = faults
        self._closing = closing
        self._limited_at_ns: dict[str, int] = {}

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, dated by the venue's own clock."""
        response = await self._answered(http)
        if not response.prepared:
            response.headers["Date"] = formatdate(self._venue.desk.clock.wall_ms() // 1000, usegmt=True)
        return response

    async def _answered(self, http: web.BaseRequest) -> web.StreamResponse:
        desk = self._venue.desk
        request = await _received(http, desk.clock.wall_ms())
        call = self._routed(request)
        if call is None:
            return self._refused(Refusal(self._venue.error(404, None, "Not Found"), "unknown_path"))
        caller = self._venue.authenticate(call)
        if isinstance(caller, Refusal):
            return self._refused(caller)
        call = Call(call.endpoint, request, call.captures, caller.account or "")
        faults = self._faults.take(call.endpoint.names, caller.account)
        desk.stats.faults.update(fault.kind for fault in faults)
        plan = planned(faults, desk.config.cancel_delay_ms)
        if isinstance(plan.ending, Reset) and plan.ending.cut is Cut.BEFORE_READ:
            return _abort(http)
        limited = self._limited(call, caller)
        if limited is not None:
            return _response(limited)
        await asyncio.sleep(plan.wait_ms / 1000)
        return await self._perform(http, call, plan)

    def _routed(self, request: Request) -> Call | None:
        for route in self._venue.routes:
            match = route.pattern.fullmatch(request.path) if route.method == request.method else None
            if match is not None:
                return Call(route.endpoint, request, match.groupdict())
        return None

    def _limited(self, call: Call, caller: Caller) -> Answer | None:
        venue, stats = self._venue, self._venue.desk.stats
        at_ns = venue.desk.clock.monotonic_ns()
        stats.arrived(call.endpoint.name, at_ns)
        limits = venue.desk.config.limits.get(venue.id, {})
        name = call.endpoint.limit
        limit = limits.get(name) if name is not None else None
        fits = name is None or limit is None or stats.admit(name, caller.key, limit, at_ns, call.endpoint.weight)
        limited_at_ns = self._limited_at_ns.get(caller.key)
        if limited_at_ns is not None and at_ns - limited_at_ns < venue.ban_ms * 1_000_000:
            stats.banned += 1
            return canned_answer(venue, Canned.BANNED)
        if fits:
            return None
        if venue.ban_ms:
            self._limited_at_ns[caller.key] = at_ns
        return canned_answer(venue, Canned.RATE_LIMITED)

    async def _perform(self, http: web.BaseRequest, call: Call, plan: Plan) -> web.StreamResponse:
        done = self._venue.act(call, plan.twist) if plan.applied else Answer(200, b"{}")
        if isinstance(done, Refusal):
            return self._refused(done)
        match plan.ending:
            case None:
                return _response(done) if plan.slow is None else await _trickled(http, done, plan.slow)
            case Hang():
                await self._hold(http)
                return _abort(http)
            case Reset():
                return _abort(http)
            case CannedAnswer() as canned:
                return _response(_worded(self._venue, canned))
            case Garbled() as garbled:
                return await _garbled(http, done, garbled)
            case _:
                assert_never(plan.ending)

    async def _hold(self, http: web.BaseRequest) -> None:
        """Keep silent until the client gives up or the sandbox is stopped."""
        # A transport has no event for its end, hence the polling.
        while not self._closing.is_set() and http.transport is not None and not http.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(_HANG_CHECK_S)

    def _refused(self, refusal: Refusal) -> web.Response:
        self._venue.desk.stats.rejected[refusal.reason] += 1
        return _response(refusal.answer)


async def _received(http: web.BaseRequest, at_ms: int) -> Request:
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in http.headers.items():
        headers[name.lower()] = (*headers.get(name.lower(), ()), value)
    body = await http.read()
    return Request(http.method, http.raw_path, headers, body, at_ms, http.remote or "")


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
    if answer.content_type is not None:
        response.headers["Content-Type"] = answer.content_type
    return response


def _worded(venue: Venue, canned: CannedAnswer) -> Answer:
    shape = venue.canned[canned.kind]
    status = shape.status if canned.status is None else canned.status
    code = shape.code if canned.code is None else canned.code
    answer = venue.error(status, code, canned.message or shape.message)
    return Answer(
        answer.status, answer.body, answer.content_type, _retry_after(canned.retry_after, venue.desk.clock.wall_ms())
    )


def _retry_after(value: str | None, now_ms: int) -> tuple[tuple[str, str], ...]:
    match value:
        case None | "absent":
            return ()
        case "date":
            return (("Retry-After", formatdate(now_ms / 1000 + _RETRY_DATE_S, usegmt=True)),)
        case _:
            return (("Retry-After", value),)


def _abort(http: web.BaseRequest) -> web.Response:
    """Reset the connection at once, so that the client reads nothing more, not even an orderly end."""
    transport = http.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        transport.abort()
    return web.Response()


async def _garbled(http: web.BaseRequest, done: Answer, garbled: Garbled) -> web.StreamResponse:
    status = done.status if garbled.status is None else garbled.status
    match garbled.kind:
        case Garble.MALFORMED:
            return _response(Answer(status if done.body else 200, (done.body or b'{"order":')[:-1]))
        case Garble.HTML:
            page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
            return _response(Answer(garbled.status or 502, page, "text/html"))
        case Garble.WRONG_CONTENT_TYPE:
            return _response(Answer(status, done.body, "text/plain"))
        case Garble.HUGE_BODY:
            return await _streamed(http, 200, {"Content-Type": "application/json"}, _zeros(garbled.size))
        case Garble.GZIP_BOMB:
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            return await _streamed(http, 200, headers, _zipped(garbled.size))
        case _:
            assert_never(garbled.kind)


async def _trickled(http: web.BaseRequest, done: Answer, slow: SlowBody) -> web.StreamResponse:
    headers = {"Content-Type": done.content_type or "text/plain", "Content-Length": str(len(done.body))}
    return await _streamed(http, done.status, headers, _paced(done.body, slow.bytes_per_s))


async def _streamed(
    http: web.BaseRequest, status: int, headers: dict[str, str], chunks: AsyncIterator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    try:
        await response.prepare(http)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return response  # the client has seen enough
    return response


async def _paced(body: bytes, bytes_per_s: int) -> AsyncIterator[bytes]:
    step = max(1, bytes_per_s // _SLOW_STEPS_PER_S)
    for start in range(0, len(body), step):
        await asyncio.sleep(step / bytes_per_s)
        yield body[start : start + step]


async def _zeros(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, len(_CHUNK)):
        yield _CHUNK


async def _zipped(size: int) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for _ in range(0, size, len(_CHUNK)):
        packed = packer.compress(_CHUNK)
        if packed:
            yield packed
    yield packer.flush()
