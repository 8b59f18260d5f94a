"""Spans as they are made, into an exporter in memory: whose they are, what they say, and what is never waited for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.backends.auditor import Auditor
from gateway.backends.tracing.marks import TracedLog, TracedMetrics, TracedSender
from gateway.backends.tracing.spans import QUEUE_MOST, Spans, Watched
from gateway.core.model import VenueId
from gateway.core.wire import NotSent, Reply, SendResult, Unconfirmed, WireRequest
from gateway.ports import always

VENUE = VenueId("hashkey")
ROUTE, URL = "/orders/{venue}/{ref}", ("https", "/orders/hashkey/17")
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST = WireRequest("DELETE", "https://venue.example/v1/order?orderId=17&signature=abc", (("X-KEY", "hidden"),))


@dataclass(frozen=True, slots=True)
class Answering:
    """A venue's side: one result, whatever is sent; an exception where there is none."""

    result: SendResult | None

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        del venue, request, timeout_ms, urgent
        assert may_leave()
        await asyncio.sleep(0)
        if self.result is None:
            raise asyncio.CancelledError
        return self.result


class Stuck(SpanExporter):
    """A collector that never answers."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        self.begun.set()
        self.end.wait(20)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        return


async def finished(spans: Spans, kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    await spans.aclose()
    return {span.name: span for span in kept.get_finished_spans()}


async def _one_cancel(spans: Spans, result: SendResult | None) -> None:
    with spans.serve("DELETE", ROUTE, URL, {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}) as journey:
        assert journey is not None
        spans.told("authenticate", 0.0)
        metrics = TracedMetrics([VENUE], "0", Auditor({}), time.monotonic, spans)
        for verb in ("unlock", "claim"):
            metrics.phase(VENUE, verb, 0.001)
        sender = TracedSender(Answering(result))
        await asyncio.create_task(sender.send(VENUE, REQUEST, 100))
        for verb in ("sign", "send", "interpret", "settle"):
            metrics.phase(VENUE, verb, 0.001)
        journey.answered(200, {"outcome": "cancelled", "ref": "17"})


async def test_verbs_become_spans_of_the_callers_trace() -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    await _one_cancel(spans, Reply(200, {}, b""))

    made = await finished(spans, kept)
    root = made.pop(f"DELETE {ROUTE}")
    assert root.parent is not None
    assert (root.kind, root.parent.span_id) == (SpanKind.SERVER, int(PARENT_ID, 16))
    assert set(made) == {
        "authenticate", "receive", "unlock", "claim", "sign", "send", "interpret", "settle", "respond"
    }  # fmt: skip
    assert {span.parent and span.parent.span_id for span in made.values()} == {root.context.span_id}
    assert {span.context.trace_id for span in made.values()} == {int(TRACE_ID, 16)}
    assert made["sign"].end_time == made["send"].start_time


async def test_send_says_where_it_went_and_nothing_that_is_secret() -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    await _one_cancel(spans, Reply(200, {}, b""))

    send = (await finished(spans, kept))["send"]
    assert send.attributes == {
        "http.request.method": "DELETE",
        "url.full": "https://venue.example/v1/order?orderId=17&signature=[redacted]",
        "server.address": "venue.example",
        "server.port": 443,
        "http.response.status_code": 200,
        "cancel_gateway.venue": "hashkey",
    }
    assert send.kind is SpanKind.CLIENT
    assert not [span for span in kept.get_finished_spans() if "hidden" in span.to_json()]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Reply(200, {}, b""), None),
        (Reply(404, {}, b""), "404"),
        (NotSent("connect"), "not_sent"),
        (Unconfirmed("reset"), "unconfirmed"),
    ],
    ids=str,
)
async def test_what_came_of_a_send_is_seen(result: SendResult, error: str | None) -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    await _one_cancel(spans, result)

    send = (await finished(spans, kept))["send"]
    assert (send.attributes or {}).get("error.type") == error
    assert send.status.status_code is (StatusCode.UNSET if error is None else StatusCode.ERROR)


async def test_send_that_is_broken_off_has_its_span_all_the_same() -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    with pytest.raises(asyncio.CancelledError):
        await _one_cancel(spans, None)

    made = await finished(spans, kept)
    assert (made["send"].attributes or {})["error.type"] == "unconfirmed"
    assert made[f"DELETE {ROUTE}"].end_time is not None


@pytest.mark.parametrize(
    ("flags", "ratio", "is_kept"), [("01", 0.0, True), ("00", 1.0, False), (None, 1.0, True), (None, 0.0, False)]
)
async def test_callers_decision_counts_before_the_ratio(flags: str | None, ratio: float, *, is_kept: bool) -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", ratio)
    headers = {} if flags is None else {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-{flags}"}

    with spans.serve("DELETE", ROUTE, URL, headers) as journey:
        assert (journey is not None, spans.trace_id() is not None) == (is_kept, is_kept)

    assert bool(await finished(spans, kept)) == is_kept


@pytest.mark.parametrize("said", ["", "00", "ff-1-2-01", f"00-{'0' * 32}-{PARENT_ID}-01", "x" * 5000])
async def test_traceparent_that_is_none_begins_a_trace(said: str) -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    with spans.serve("BREW", None, URL, {"traceparent": said}) as journey:
        assert journey is not None
        journey.answered(500, {})

    made = await finished(spans, kept)
    assert (set(made), made["_OTHER"].parent) == ({"_OTHER"}, None)
    assert (made["_OTHER"].attributes or {})["error.type"] == "500"
    assert made["_OTHER"].status.status_code is StatusCode.ERROR


async def test_what_nobody_asked_for_just_now_has_no_trace() -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    sent = await TracedSender(Answering(Reply(200, {}, b""))).send(VENUE, REQUEST, 100)
    spans.told("settle", 0.1)

    assert sent == Reply(200, {}, b"")
    assert await finished(spans, kept) == {}


async def test_two_requests_at_once_keep_their_spans_apart() -> None:
    kept = InMemorySpanExporter()
    spans = Spans(kept, "0", 1.0)

    async def one(verb: str) -> str | None:
        with spans.serve("DELETE", ROUTE, URL, {}):
            await asyncio.sleep(0)
            spans.told(verb, 0.0)
            await asyncio.sleep(0)
            return spans.trace_id()

    ids = await asyncio.gather(one("unlock"), one("claim"))
    made = await finished(spans, kept)

    assert [format(made[verb].context.trace_id, "032x") for verb in ("unlock", "claim")] == [*ids]


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.kept: list[dict[str, object]] = []

    def done(self, fields: object) -> None:
        assert isinstance(fields, dict)
        self.kept.append(fields)

    def event(self, name: str, **fields: object) -> None:
        self.kept.append({"event": name, **fields})

    def lines_lost(self) -> int:
        return 3

    def broke(self, request_id: str, error: BaseException) -> None:
        self.kept.append({"request_id": request_id, "error": error})


async def test_log_lines_name_their_trace() -> None:
    spans, lines, bug = Spans(InMemorySpanExporter(), "0", 1.0), Lines(), ValueError()
    log = TracedLog(lines, spans)

    with spans.serve("DELETE", ROUTE, URL, {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}):
        log.done({"ref": "1"})
        log.event("kill.done", venue="x")
    log.done({"ref": "2"})
    log.event("kill.done")
    log.broke("r", bug)

    assert lines.kept == [
        {"ref": "1", "trace_id": TRACE_ID},
        {"event": "kill.done", "venue": "x", "trace_id": TRACE_ID},
        {"ref": "2"},
        {"event": "kill.done"},
        {"request_id": "r", "error": bug},
    ]
    assert log.lines_lost() == 3
    await spans.aclose()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    exporter = Stuck()
    yield exporter
    exporter.end.set()


async def test_collector_that_hangs_costs_no_request_and_no_end_more_than_a_moment(stuck: Stuck) -> None:
    spans = Spans(stuck, "0", 1.0)

    def many(count: int) -> None:
        for _ in range(count):
            with spans.serve("DELETE", ROUTE, URL, {}):
                spans.told("settle", 0.0)

    many(QUEUE_MOST // 8)
    assert await asyncio.to_thread(stuck.begun.wait, 10)
    many(QUEUE_MOST // 2)  # far more than the queue holds: whatever does not fit is lost, and nothing raises
    began = time.monotonic()
    await spans.aclose()

    assert time.monotonic() - began < 3


def test_failures_and_returns_are_told_once_each() -> None:
    told: list[bool] = []
    results = iter((SpanExportResult.SUCCESS, *[SpanExportResult.FAILURE] * 3, *[SpanExportResult.SUCCESS] * 2))

    class Moody(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            super().export(spans)
            return next(results)

    watched = Watched(Moody(), told.append)
    for _ in range(6):
        watched.export(())
    watched.shutdown()

    assert told == [True, False]
