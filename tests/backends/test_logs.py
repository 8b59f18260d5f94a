"""What stands in a line, and what never does."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.logs import Journal, _JsonHandler, line, looks_secret, open_journal
from gateway.backends.stdout import LineWriter
from gateway.core.outcome import Outcome
from gateway.core.wire import WireRequest
from gateway.ports import Unavailable

CANARY = "c4n4ry-5ecret"


class Lines:
    """Takes lines instead of a file descriptor."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    def write(self, line: bytes) -> None:
        """Keep it."""
        self.raw.append(line)

    @property
    def events(self) -> list[dict[str, object]]:
        """The lines as values."""
        return [orjson.loads(raw) for raw in self.raw]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def routed() -> Iterator[Callable[[], Lines]]:
    """Everything that logs goes into a pipe, which the returned function empties; afterwards it is as it was before."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    reader, writer_end = os.pipe()
    writer = LineWriter(writer_end, lambda _: None)
    open_journal(writer, logging.DEBUG)

    def read() -> Lines:
        writer.close()
        lines = Lines()
        lines.raw = os.read(reader, 65536).splitlines()
        return lines

    yield read
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)
    writer.close()
    os.close(reader)
    os.close(writer_end)


def test_done_is_one_json_line_with_time_and_level(lines: Lines) -> None:
    Journal(lines.write).done({"venue": "orderly", "outcome": Outcome.CANCELLED, "waited_ms": 0.0, "order_id": None})

    (event,) = lines.events
    stamp = datetime.fromisoformat(str(event.pop("timestamp")))
    assert stamp.utcoffset() == timedelta(0)
    assert event == {
        "level": "info",
        "event": "cancel.done",
        "venue": "orderly",
        "outcome": "cancelled",
        "waited_ms": 0.0,
        "order_id": None,
    }
    assert b'Z","level"' in lines.raw[0]
    assert lines.raw[0].endswith(b"}\n")


def test_event_may_set_its_level(lines: Lines) -> None:
    Journal(lines.write).event("gate.closed", level="warning", venue="orderly")

    assert (lines.events[0]["event"], lines.events[0]["level"]) == ("gate.closed", "warning")


@given(st.dictionaries(st.text(max_size=8), st.text() | st.integers() | st.floats() | st.binary(), max_size=5))
def test_whatever_stands_in_the_fields_is_one_line(fields: dict[str, object]) -> None:
    written = line("x", "info", fields)

    assert written.count(b"\n") == 1
    assert b"\r" not in written
    assert isinstance(orjson.loads(written), dict)


@pytest.mark.parametrize(
    "hostile", ['a"}\n{"event":"cancel.done"', "a\r\nb", "\x00\x1b[2J", "a\ud800", 2**80, -(2**70)]
)
def test_hostile_value_stays_a_value(lines: Lines, hostile: object) -> None:
    Journal(lines.write).done({"ref": hostile, "venue": "orderly"})

    (event,) = lines.events
    assert event["event"] == "cancel.done"
    assert event["venue"] == "orderly"
    assert isinstance(event["ref"], str)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "signature",
        "orderly-signature",
        "token",
        "offline_token",
        "accessToken",
        "secret",
        "private_key",
        "privateKey",
        "PRIVATE-KEY",
        "password",
        "api_key",
        "X-API-KEY",
        "apikey",
        "X-API-SIG",
        "jwt",
        "Set-Cookie",
    ],
)
def test_field_named_like_a_secret_is_dropped_at_any_depth(lines: Lines, name: str) -> None:
    Journal(lines.write).event("x", **{name: CANARY}, inner={"deep": [{name: CANARY, "kept": 1}]})

    assert CANARY.encode() not in lines.raw[0]
    assert lines.events[0]["inner"] == {"deep": [{"kept": 1}]}


@pytest.mark.parametrize("name", ["tokens", "venue", "key", "request_id", "signed_ms", "account", "design", "keys"])
def test_harmless_names_are_kept(name: str) -> None:
    assert not looks_secret(name)


def test_object_is_shown_by_its_type_only(lines: Lines) -> None:
    @dataclass
    class Held:
        value: str

    request = WireRequest("DELETE", f"https://x/?signature={CANARY}", (("X-Sig", CANARY),), CANARY.encode())
    Journal(lines.write).event("x", a=Held(CANARY), b=request, c=[Held(CANARY)], d=CANARY.encode())

    event = lines.events[0]
    assert CANARY.encode() not in lines.raw[0]
    assert [event["a"], event["b"], event["c"], event["d"]] == ["<Held>", "<WireRequest>", ["<Held>"], "<bytes>"]


def test_bug_is_told_by_kind_and_place_without_its_words(lines: Lines) -> None:
    try:
        int(CANARY)
    except ValueError as bug:
        Journal(lines.write).broke("req-1", bug)

    (event,) = lines.events
    assert (event["event"], event["level"], event["request_id"]) == ("request.broke", "error", "req-1")
    assert b"ValueError" in lines.raw[0]
    assert b"backends/test_logs.py:" in lines.raw[0]
    assert CANARY.encode() not in lines.raw[0]


def test_error_of_ours_keeps_its_words(lines: Lines) -> None:
    Journal(lines.write).broke("req-1", Unavailable("redis", "timeout"))

    assert b"redis: timeout" in lines.raw[0]


def test_structlog_goes_the_same_way(routed: Callable[[], Lines]) -> None:
    log = structlog.get_logger()
    log.warning("credential.stale", venue="orderly", token=CANARY)
    try:
        int(CANARY)
    except ValueError:
        log.exception("credential.bug")

    lines = routed()
    stale, bug = lines.events
    assert (stale["event"], stale["level"], stale["venue"]) == ("credential.stale", "warning", "orderly")
    assert (bug["event"], bug["level"]) == ("credential.bug", "error")
    assert b'"kind":"ValueError"' in lines.raw[1]
    assert CANARY.encode() not in b"".join(lines.raw)


def test_standard_library_goes_the_same_way(routed: Callable[[], Lines]) -> None:
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed: https://x/o?signature=%s&id=1", CANARY)
    logging.getLogger("aiohttp.client").error("Authorization: Bearer %s, X-API-KEY: %s", CANARY, CANARY)
    logging.getLogger("quiet").info("not worth a line")

    lines = routed()
    assert [event["event"] for event in lines.events] == ["asyncio", "aiohttp.client"]
    assert lines.events[0]["message"] == "Task failed: https://x/o?signature=[redacted]&id=1"
    assert CANARY.encode() not in b"".join(lines.raw)
    assert b'"kind":"ValueError"' in lines.raw[0]


def test_wrong_format_is_logged_without_its_values(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.makeLogRecord({"name": "other", "msg": "wrong %d", "args": (CANARY,), "levelname": "ERROR"})

    _JsonHandler(lines.write).handle(record)

    assert (lines.events[0]["event"], lines.events[0]["message"]) == ("other", "wrong %d")
    assert capsys.readouterr().err == ""


def test_lines_are_flushed_at_exit() -> None:
    program = (
        "from gateway.backends.logs import open_journal\n"
        "from gateway.backends.stdout import LineWriter\n"
        "journal = open_journal(LineWriter(1, print))\n"
        "[journal.done({'n': n}) for n in range(500)]\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=30)  # noqa: S603  our own

    assert [orjson.loads(row)["n"] for row in ended.stdout.splitlines()] == list(range(500))


def test_reader_that_never_reads_does_not_hold_up_the_exit() -> None:
    program = (
        "from gateway.backends.logs import open_journal\n"
        "from gateway.backends.stdout import LineWriter\n"
        "journal = open_journal(LineWriter(1, lambda n: None))\n"
        "[journal.done({'n': 'x' * 1000}) for n in range(500)]\n"
    )
    blocked = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)  # noqa: S603  our own

    try:
        assert blocked.wait(timeout=20) == 0
    finally:
        blocked.kill()
        assert blocked.stdout
        blocked.stdout.close()
        blocked.wait()
