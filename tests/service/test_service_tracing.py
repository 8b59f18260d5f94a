"""Traces as a collector gets them from a real gateway, and a gateway whose collector is no good."""

import asyncio
import hashlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from otlp_receiver import Receiver, attributes, receiving
from real_valkey import Server
from service_process import Gateway, Tree, put_secrets, rested, serving, token_of, tree_of
from service_rig import SYMBOL, Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

VERBS = {
    "receive", "authenticate", "unlock", "claim", "admit", "sign", "send", "interpret", "settle", "respond",
}  # fmt: skip
SERVER, CLIENT = 2, 3
ROUTE = "/orders/{venue}/{ref}"
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as started:
        yield started


@pytest.fixture
def tree(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> Tree:
    secrets = put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    return tree_of(sandbox, rested(valkey_session), secrets)


@pytest.fixture
async def traced(receiver: Receiver, tree: Tree, sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        with _serving(tree, receiver.url, tmp_path) as gateway:
            rig = Rig(gateway, sandbox, http)
            yield rig
            await rig.calm()


@contextmanager
def _serving(tree: Tree, endpoint: str, folder: Path, ratio: float = 1.0) -> Iterator[Gateway]:
    told = tree | {"tracing": {"enabled": True, "endpoint": endpoint, "sample_ratio": ratio}}
    with serving(told, folder / "gateway") as gateway:
        yield gateway


async def _arrived(receiver: Receiver, trace_id: str, name: str) -> None:
    """The server span ends last, but a batch may hold part of a trace."""
    async with asyncio.timeout(10):
        while name not in receiver.trace(trace_id):  # noqa: ASYNC110  it happens in the gateway
            await asyncio.sleep(0.02)


async def test_cancel_is_one_trace_with_a_span_for_each_verb(traced: Rig, receiver: Receiver) -> None:
    order = await traced.order("orderly")
    parent = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    await traced.venue("orderly").fault("latency", endpoint="cancel", ms=50)

    said = await traced.desk().cancel("orderly", order["order_id"], parent, symbol=SYMBOL)
    await _arrived(receiver, TRACE_ID, f"DELETE {ROUTE}")

    spans = receiver.trace(TRACE_ID)
    root = spans.pop(f"DELETE {ROUTE}")
    assert set(spans) == VERBS - {"admit"}, "nobody waits here, so claiming takes the slot"
    assert (root.kind, root.parent_span_id.hex()) == (SERVER, PARENT_ID)
    assert said.headers["traceparent"] == f"00-{TRACE_ID}-{root.span_id.hex()}-01"
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}
    assert [name for name in spans if spans[name].kind == CLIENT] == ["send"]
    in_order = ["authenticate", "receive", "unlock", "claim", "sign", "send", "interpret", "settle", "respond"]
    starts = [spans[name].start_time_unix_nano for name in in_order]
    assert starts == sorted(starts)
    ends = [span.end_time_unix_nano for span in spans.values()]
    assert root.start_time_unix_nano <= min(ends) <= max(ends) <= root.end_time_unix_nano
    assert spans["send"].end_time_unix_nano - spans["send"].start_time_unix_nano > 40e6
    assert receiver.resource["service.name"] == "cancel-gateway"


async def test_spans_say_what_the_conventions_want_and_no_name_holds_a_reference(
    traced: Rig, receiver: Receiver
) -> None:
    order = await traced.order("hashkey")

    said = await traced.desk().cancel("hashkey", order["order_id"])
    trace_id = said.headers["traceparent"].split("-")[1]
    await _arrived(receiver, trace_id, f"DELETE {ROUTE}")

    spans = receiver.trace(trace_id)
    root, send = attributes(spans[f"DELETE {ROUTE}"]), attributes(spans["send"])
    assert root | {
        "http.request.method": "DELETE", "http.route": ROUTE, "http.response.status_code": 200, "url.scheme": "http",
        "cancel_gateway.outcome": "cancelled", "cancel_gateway.venue": "hashkey", "cancel_gateway.account": "desk-a",
        "cancel_gateway.ref": order["order_id"], "cancel_gateway.request_id": said.json["request_id"],
        "cancel_gateway.record": said.json["record"].rpartition("/")[2],
    } == root  # fmt: skip
    assert (send["http.request.method"], send["http.response.status_code"]) == ("DELETE", 200)
    assert (send["server.address"], send["server.port"] or 0) == ("127.0.0.1", send["server.port"])
    assert "signature=[redacted]" in str(send["url.full"])
    assert not [name for name in spans if order["order_id"] in name]
    line = traced.gateway.heard("cancel.done", ref=order["order_id"])
    assert line["trace_id"] == trace_id


async def test_refusals_and_silent_venues_are_seen_as_such(traced: Rig, receiver: Receiver) -> None:
    order = await traced.order("hashkey")
    await traced.venue("hashkey").fault("reset_after_read", endpoint="cancel")

    said = await traced.desk().cancel("hashkey", order["order_id"])
    stranger = await traced.stranger("nonsense").cancel("hashkey", "1")
    ids = [each.headers["traceparent"].split("-")[1] for each in (said, stranger)]
    for trace_id in ids:
        await _arrived(receiver, trace_id, f"DELETE {ROUTE}")

    lost, refused = receiver.trace(ids[0]), receiver.trace(ids[1])
    assert attributes(lost["send"])["error.type"] == "unconfirmed"
    assert (lost["send"].status.code, lost[f"DELETE {ROUTE}"].status.code) == (2, 2)
    assert attributes(lost[f"DELETE {ROUTE}"])["cancel_gateway.outcome"] == "unknown"
    assert set(refused) == {f"DELETE {ROUTE}", "authenticate", "receive"}
    assert refused[f"DELETE {ROUTE}"].status.code == 0


async def test_nothing_secret_is_in_any_span(traced: Rig, receiver: Receiver) -> None:
    ids = []
    for venue in DEFAULT_CREDENTIALS:
        order = await traced.order(venue)
        said = await traced.desk().cancel(venue, order["order_id"])
        ids.append(said.headers["traceparent"].split("-")[1])
    for trace_id in ids:
        await _arrived(receiver, trace_id, f"DELETE {ROUTE}")

    secrets = [
        value
        for accounts in DEFAULT_CREDENTIALS.values()
        for fields in accounts.values()
        for name, value in fields.items()
        if name not in {"account_id", "username"}
    ]
    seen = b"".join(receiver.raw)
    marks = [*secrets, token_of("desk"), hashlib.sha256(token_of("desk").encode()).hexdigest()]
    assert len(secrets) > 10
    assert [mark for mark in marks if mark.encode() in seen] == []


async def test_venue_never_hears_of_the_trace(receiver: Receiver, tree: Tree, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def venue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(venue, "127.0.0.1", 0)
    tree["venues"]["etna"]["base_url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tree["venues"] = {"etna": tree["venues"]["etna"]}
    told = tree | {"tracing": {"enabled": True, "endpoint": receiver.url}}
    tree["callers"] = {"desk": tree["callers"]["desk"] | {"allow": ["etna:*"]}}
    put_secrets(
        Path(tree["secrets"]["directory"]), {"etna": {"desk-a": {"account_id": "1", "app_key": "k", "token": "t"}}}
    )
    async with caller_session() as http, server:
        with serving(told, tmp_path / "gateway", warm=False, ends_well=False) as gateway:
            await http.delete(
                f"{gateway.url}/orders/etna/17?by=order_id",
                headers={"Authorization": f"Bearer {token_of('desk')}", "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"},
            )
            await _arrived(receiver, TRACE_ID, "send")

    sent = b"".join(heard)
    assert b"DELETE" in sent
    assert [mark for mark in (b"trace", TRACE_ID.encode()) if mark in sent.lower()] == []


async def test_ratio_of_nought_keeps_only_what_the_caller_traces(
    receiver: Receiver, tree: Tree, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with caller_session() as http:
        with _serving(tree, receiver.url, tmp_path, ratio=0.0) as gateway:
            rig = Rig(gateway, sandbox, http)
            plain = await rig.desk().cancel("hashkey", (await rig.order("hashkey"))["order_id"])
            theirs = await rig.desk().cancel(
                "hashkey", (await rig.order("hashkey"))["order_id"], {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
            )
            await _arrived(receiver, TRACE_ID, f"DELETE {ROUTE}")

    assert "traceparent" not in plain.headers
    assert theirs.headers["traceparent"].startswith(f"00-{TRACE_ID}-")
    assert {span.trace_id.hex() for span in receiver.spans} == {TRACE_ID}


async def test_collector_that_hangs_delays_no_cancel_and_no_end(tree: Tree, sandbox: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with caller_session() as http:
            with _serving(tree, f"http://127.0.0.1:{deaf.getsockname()[1]}", tmp_path) as gateway:
                rig = Rig(gateway, sandbox, http)
                orders = [(await rig.order("hashkey"))["order_id"] for _ in range(30)]
                await asyncio.sleep(1.2)  # by now the exporter has begun, and hangs
                told = [await rig.desk().cancel("hashkey", order) for order in orders]
                began = time.monotonic()
                gateway.process.send_signal(signal.SIGTERM)
                code = await asyncio.to_thread(gateway.process.wait, 10)
                took_s = time.monotonic() - began

    assert {said.outcome for said in told} == {"cancelled"}
    assert sorted(said.took_s for said in told)[15] < 0.1
    assert (code, took_s < 4) == (0, True)


async def test_collector_that_refuses_is_told_of_once_and_so_is_its_return(traced: Rig, receiver: Receiver) -> None:
    receiver.status = 400
    for _ in range(3):
        await traced.desk().cancel("hashkey", (await traced.order("hashkey"))["order_id"])
        await asyncio.to_thread(traced.gateway.heard, "tracing.lost")
    receiver.status = 200
    await traced.desk().cancel("hashkey", (await traced.order("hashkey"))["order_id"])
    await asyncio.to_thread(traced.gateway.heard, "tracing.back")

    assert len(traced.gateway.lines("tracing.lost")) == 1


async def test_without_tracing_no_answer_and_no_line_has_a_trace(rig: Rig) -> None:
    order = await rig.order("hashkey")

    said = await rig.desk().cancel("hashkey", order["order_id"], {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})

    assert "traceparent" not in said.headers
    assert "trace_id" not in rig.gateway.heard("cancel.done", ref=order["order_id"])
