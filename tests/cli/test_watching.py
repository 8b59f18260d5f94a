"""`status --watch` and `tail`, and how every on-call command speaks to a terminal, a pipe and nobody."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cli_rig import Demo, command, demo_running, run

OK, REFUSED, USAGE, UNREACHABLE, BROKEN_PIPE = 0, 1, 2, 4, 141
NOBODY = "http://127.0.0.1:1"
SOON_S = 10.0
COLOUR = "\x1b["


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_running(tmp_path_factory.mktemp("demo")) as running:
        yield running


def surroundings(demo: Demo, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    own = {"CANCEL_GATEWAY_URL": demo.url, "CANCEL_GATEWAY_ADMIN_URL": demo.admin_url, "TERM": "xterm"}
    return plain | own | {"CANCEL_GATEWAY_TOKEN": demo.token} | more


@contextmanager
def following(demo: Demo, *words: str, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """A command that runs until it is told to stop; nothing waits for it for ever."""
    with subprocess.Popen(  # noqa: S603  our own program
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings(demo, **more)
    ) as process:
        guard = threading.Timer(SOON_S, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def on_a_terminal(demo: Demo, *words: str, **more: str) -> str:
    """What a command shows to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603  our own program
        command(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings(demo, **more)
    ) as process:
        os.close(theirs)
        guard = threading.Timer(SOON_S, process.kill)
        guard.start()
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:
            pass  # Linux's way to say that the other side has closed
        finally:
            guard.cancel()
            os.close(ours)
    return said.decode()


def lines_of(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stdout is not None
    return (line.rstrip("\n") for line in process.stdout)


# -- status --watch --------------------------------------------------------------------------------------------------


def test_status_is_shown_again_and_again_until_it_is_stopped(demo: Demo) -> None:
    with following(demo, "status", "--watch", "--every", "0.2") as process:
        headings = (line for line in lines_of(process) if line.startswith("VENUE:ACCOUNT"))
        assert [next(headings) for _ in range(3)]
        process.send_signal(signal.SIGINT)

        assert process.wait(SOON_S) == OK
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_watched_as_json_each_look_is_one_line(demo: Demo) -> None:
    with following(demo, "status", "--watch", "--every", "0.2", "--json") as process:
        lines = lines_of(process)

        assert all(json.loads(next(lines))["venues"] for _ in range(2))


def test_on_a_terminal_a_look_takes_the_place_of_the_one_before(demo: Demo) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603  our own program
        command("status", "--watch", "--every", "0.2"), stdout=theirs, env=surroundings(demo)
    ) as process:
        os.close(theirs)
        said = b""
        while said.count(b"\x1b[H") < 3:
            said += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON_S) == OK
    os.close(ours)


@pytest.mark.parametrize("pause", ["0", "0.1", "-1", "nan", "soon"])
def test_a_watch_that_would_be_a_storm_is_refused(pause: str) -> None:
    said = run("status", "--watch", "--every", pause, url=NOBODY, token="t")

    assert said.code == USAGE


def test_a_closed_gate_stands_in_the_row(demo: Demo) -> None:
    demo.control("loopring", "faults", {"faults": [{"kind": "banned", "times": 1, "account": "desk-b"}]})
    order = demo.control("loopring", "orders", {"count": 1, "account": "desk-b"})["orders"]
    assert isinstance(order, list)
    refused = demo.run("cancel", "loopring", str(order[0]["order_id"]), "--by", "order_id", "--account", "desk-b")

    rows = [line for line in demo.run("status").out.splitlines() if line.startswith("loopring:desk-b")]

    assert refused.code == REFUSED
    assert re.search(r"  (BANNED|SHUT):\w+ \d+\.\d s$", rows[0])


# -- tail ------------------------------------------------------------------------------------------------------------


def test_tail_shows_a_cancel_as_soon_as_it_is_answered(demo: Demo) -> None:
    with following(demo, "tail") as process:
        lines = lines_of(process)
        next(lines)
        order = demo.new_order("hashkey")
        demo.run("cancel", *order.words)
        line = next(line for line in lines if order.ref in line)
        process.send_signal(signal.SIGINT)

        assert process.wait(SOON_S) == OK
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  cancelled  +hashkey:desk-a  ", line)


def test_tail_ends_with_those_that_were_answered_already_where_that_is_wanted(demo: Demo) -> None:
    orders = [demo.new_order("etna") for _ in range(3)]
    for order in orders:
        demo.run("cancel", *order.words)

    said = demo.run("tail", "--admin-url", demo.admin_url, "--no-follow", "-n", "2", "--venue", "etna", "--json")

    assert said.code == OK
    assert [json.loads(line)["ref"] for line in said.out.splitlines()] == [order.ref for order in orders[1:]]


@contextmanager
def a_gateway_that_goes_and_comes() -> Iterator[str]:
    """Tells of one cancel more each time that it is asked, and hangs up; where it is."""
    told: list[dict[str, object]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            about = {"event": "cancel.done", "venue": "etna", "account": "desk-a", "outcome": "accepted", "ms": 1.0}
            told.append(
                about | {"number": len(told) + 1, "at_ms": 1_795_000_000_000 + len(told), "ref": f"r{len(told)}"}
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"event: recent\ndata: " + json.dumps({"cancels": told, "missed": 0}).encode() + b"\n\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_tail_goes_on_when_the_gateway_is_back_and_repeats_nothing(demo: Demo) -> None:
    with a_gateway_that_goes_and_comes() as url, following(demo, "tail", "--admin-url", url) as process:
        lines = lines_of(process)
        seen = [next(lines).split()[3] for _ in range(3)]

        assert seen == ["r0", "r1", "r2"]


def test_tail_says_that_the_gateway_is_gone_and_goes_on_trying(demo: Demo) -> None:
    with ExitStack() as ends:
        with a_gateway_that_goes_and_comes() as url:
            process = ends.enter_context(following(demo, "tail", "--admin-url", url))
            next(lines_of(process))
        assert process.stderr is not None
        told = process.stderr.readline()

    assert told.startswith(f"no answer from {url}: ")
    assert told.endswith("; trying again\n")


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("tail",), ("tail", "--no-follow"), ("status", "--watch")])
def test_a_wrong_token_is_one_clear_line(demo: Demo, words: tuple[str, ...]) -> None:
    with following(demo, *words, CANCEL_GATEWAY_TOKEN="wrong") as process:
        out, err = process.communicate(timeout=SOON_S)

    assert (process.returncode, out) == (USAGE, "")
    assert err.startswith("unauthenticated: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("tail", "--admin-url", NOBODY), ("status", "--watch", "--url", NOBODY), ("tail", "--admin-url", "x")]
)
def test_a_wrong_address_is_one_clear_line(words: tuple[str, ...]) -> None:
    said = run(*words, token="t")

    assert (said.code, said.out, len(said.err.splitlines())) == (UNREACHABLE, "", 1)
    assert said.err.startswith("cancel-gateway: ")


def test_the_callers_address_has_no_console_and_that_is_told(demo: Demo) -> None:
    said = demo.run("tail", "--admin-url", demo.url)

    assert (said.code, len(said.err.splitlines())) == (REFUSED, 1)


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(demo: Demo) -> None:
    with following(demo, "status", "--watch", "--every", "0.2") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()

        assert process.wait(SOON_S) == BROKEN_PIPE
        assert process.stderr is not None
        assert process.stderr.read() == ""


# -- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("status",), ("tail", "--no-follow"), ("cancel", "etna", "1", "--by", "order_id")])
def test_colours_are_for_terminals_that_want_them(demo: Demo, words: tuple[str, ...]) -> None:
    demo.run("cancel", *demo.new_order("etna").words)

    assert COLOUR in on_a_terminal(demo, *words)
    assert COLOUR not in on_a_terminal(demo, *words, NO_COLOR="1")
    assert COLOUR not in on_a_terminal(demo, *words, TERM="dumb")
    said = demo.run(*words, *(("--admin-url", demo.admin_url) if words[0] == "tail" else ()))
    assert COLOUR not in said.out + said.err


def test_a_kill_shows_for_how_long_it_goes_on(demo: Demo) -> None:
    assert re.search(r"cancelling took \d+\.\d s", on_a_terminal(demo, "kill", "etna", "--yes"))
