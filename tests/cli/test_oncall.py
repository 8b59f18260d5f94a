"""`cancel`, `status`, `records`: what somebody on call types, against a real gateway."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cli_rig import END_S, Demo, demo_running, run

OK, REFUSED, USAGE, UNKNOWN, UNREACHABLE = 0, 1, 2, 3, 4
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A gateway with its sandbox, for all tests of this file."""
    with demo_running(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.mark.parametrize(
    ("venue", "outcome"),
    [
        ("orderly", "accepted"),
        ("hashkey", "cancelled"),
        ("loopring", "cancelled"),
        ("etna", "accepted"),
        ("b2trader", "cancelled"),
    ],
)
def test_cancel_says_in_one_line_what_became_of_it_and_where_its_record_is(
    demo: Demo, venue: str, outcome: str
) -> None:
    order = demo.new_order(venue)

    said = demo.run("cancel", *order.words)

    first, second = said.out.splitlines()
    assert (said.code, said.err) == (OK, "")
    assert first.startswith(f"{outcome}  {venue}:desk-a  {order.ref}  (")
    assert second.startswith("record: ")
    assert second.endswith(f".{venue}.desk-a")


def test_cancel_may_wait_for_the_end_in_the_urgent_lane(demo: Demo) -> None:
    order = demo.new_order("orderly")

    said = demo.run("cancel", *order.words, "--wait", "terminal", "--urgent", "--account", "desk-a")

    assert said.code == OK
    assert said.out.startswith("cancelled  ")


def test_json_is_the_answer_as_it_came(demo: Demo) -> None:
    order = demo.new_order("hashkey")

    answer = json.loads(demo.run("cancel", *order.words, "--json").out)

    assert (answer["outcome"], answer["ref"], answer["account"]) == ("cancelled", order.ref, "desk-a")


def test_the_same_key_is_the_same_cancel(demo: Demo) -> None:
    order = demo.new_order("b2trader")

    first, second = (demo.run("cancel", *order.words, "--key", "again", "--json") for _ in range(2))

    assert first.out == second.out
    assert demo.run("cancel", *demo.new_order("b2trader").words, "--key", "again").code == REFUSED


def test_without_a_key_each_command_is_a_cancel_of_its_own(demo: Demo) -> None:
    order = demo.new_order("hashkey")

    first, second = (json.loads(demo.run("cancel", *order.words, "--json").out) for _ in range(2))

    assert first["record"] != second["record"]


def test_a_plan_shows_the_request_without_secrets_and_sends_nothing(demo: Demo) -> None:
    order = demo.new_order("loopring")

    plan = demo.run("cancel", *order.words, "--plan")
    answer = demo.run("cancel", *order.words)

    lines = plan.out.splitlines()
    assert plan.code == OK
    assert lines[0] == "would: send, in 0.0 ms"
    assert lines[1].startswith(f"DELETE {demo.venue_urls['loopring']}/api/v3/order?")
    assert "  X-API-SIG: [redacted]" in lines
    assert answer.out.startswith("cancelled")


def test_an_order_that_is_not_there_is_told_in_the_venues_words(demo: Demo) -> None:
    said = demo.run("cancel", "hashkey", "1", "--by", "order_id")

    assert (said.code, said.out) == (REFUSED, "")
    lines = said.err.splitlines()
    assert lines[0].startswith("not_found: ")
    assert lines[1].startswith("record: ")
    assert lines[2].startswith("the venue said: ")


def test_an_unknown_end_has_an_exit_code_of_its_own_and_a_record_to_look_at(demo: Demo) -> None:
    order = demo.new_order("b2trader")
    demo.control("b2trader", "faults", {"faults": [{"kind": "reset_after_read", "times": 1}]})

    said = demo.run("cancel", *order.words)

    assert said.code == UNKNOWN
    assert said.err.startswith("unknown: ")
    assert "record: " in said.err


@pytest.mark.parametrize(
    ("words", "outcome", "code"),
    [
        (("hashkey", "12345"), "ambiguous_ref", USAGE),
        (("etna", "../6"), "invalid_request", USAGE),
        (("hashkey", "1", "--by", "order_id", "--account", "nobody"), "unknown_account", REFUSED),
        (("nasdaq", "1"), "unknown_venue", REFUSED),
        (("hashkey", "1", "--by", "order_id", "--timeout-ms", "0"), "invalid_request", USAGE),
    ],
)
def test_what_the_gateway_refuses_is_one_clear_line(
    demo: Demo, words: tuple[str, ...], outcome: str, code: int
) -> None:
    said = demo.run("cancel", *words)

    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"{outcome}: ")
    assert len(said.err.splitlines()) == 1


def test_records_shows_how_far_a_cancel_came(demo: Demo) -> None:
    answer = json.loads(demo.run("cancel", *demo.new_order("hashkey").words, "--json").out)
    record = answer["record"].removeprefix("/cancels/")

    shown, told = demo.run("records", record), demo.run("records", record, "--json")

    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert (shown.code, rows["id"], rows["state"], rows["outcome"]) == (OK, record, "terminal", "cancelled")
    assert (rows["venue"], rows["account"], rows["attempts"]) == ("hashkey", "desk-a", "1")
    assert json.loads(told.out)["answer"] == answer


@pytest.mark.parametrize("record", ["nonsense", "01HF7YAT000000000000000000.hashkey.desk-a", "../venues", "a b/ü"])
def test_a_record_that_is_not_there_is_one_clear_line(demo: Demo, record: str) -> None:
    said = demo.run("records", record)

    assert (said.code, said.out) == (REFUSED, "")
    assert len(said.err.splitlines()) == 1


def test_status_is_a_table_of_everything_that_the_caller_may_use(demo: Demo) -> None:
    said = demo.run("status")

    heading, *rows = said.out.splitlines()
    assert said.code == OK
    assert heading.split()[:3] == ["VENUE:ACCOUNT", "CREDENTIAL", "WAITING"]
    assert {"hashkey:desk-a", "hashkey:desk-b", "b2trader:desk-a"} <= {row.split()[0] for row in rows}
    assert all(row.split()[1:3] == ["ok", "0"] for row in rows)
    assert json.loads(demo.run("status", "--json").out)["venues"]


# --- what goes wrong before the gateway


def test_without_a_token_the_way_out_is_told(demo: Demo) -> None:
    for token in (None, "", "wrong"):
        said = run("status", url=demo.url, token=token)

        assert (said.code, said.out) == (USAGE, "")
        assert said.err.splitlines() == [
            "unauthenticated: a valid bearer token is needed; put your caller token into $CANCEL_GATEWAY_TOKEN"
        ]


def test_a_token_with_the_line_end_of_its_file_is_good(demo: Demo) -> None:
    assert run("status", url=demo.url, token=demo.token + "\n").code == OK


@pytest.mark.parametrize("token", ["secret\nword", "sécret", "secret\x7f"])
def test_an_impossible_token_is_refused_and_not_shown(token: str) -> None:
    said = run("status", url=NOBODY, token=token)

    assert (said.code, said.err) == (
        UNREACHABLE,
        "cancel-gateway: $CANCEL_GATEWAY_TOKEN holds what cannot be a token\n",
    )


@pytest.mark.parametrize(
    "words", [("status",), ("records", "x"), ("cancel", "hashkey", "1"), ("cancel", "a", "b", "--json")]
)
def test_where_nobody_listens_it_is_said_in_one_line(words: tuple[str, ...]) -> None:
    said = run(*words, url=NOBODY, token="t")

    assert (said.code, said.out) == (UNREACHABLE, "")
    assert said.err.startswith(f"cancel-gateway: no answer from {NOBODY}: ")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://[", "http://host:99999", "http://host:x"])
def test_an_address_that_is_none_is_said_in_one_line(url: str) -> None:
    said = run("status", "--url", url, token="t")

    assert (said.code, said.err) == (UNREACHABLE, f"cancel-gateway: {url!r} is not an http or https address\n")


@contextmanager
def somebody_else(body: bytes) -> Iterator[str]:
    """A server that is no gateway; where it is."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

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


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"\xff", b"[" * 100_000, b'{"status":"ok"}', b'{"venues":[1]}', b'{"venues":[{}]}']
)
def test_somebody_else_at_the_address_is_said_in_one_line(body: bytes) -> None:
    with somebody_else(body) as url:
        said = run("status", url=url, token="t")

    assert (said.code, said.out) == (UNREACHABLE, "")
    assert url in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [(), ("cancel",), ("cancel", "hashkey"), ("cancel", "a", "b", "--by", "name"), ("fly",)]
)
def test_words_that_are_no_command_show_the_usage(words: tuple[str, ...]) -> None:
    said = run(*words)

    assert said.code == USAGE
    assert said.err.startswith("usage: cancel-gateway")


def test_the_version_is_told() -> None:
    assert run("--version").out.startswith("cancel-gateway 0.")


HEAVY = ("aiohttp", "redis", "structlog", "prometheus_client", "uvloop", "gateway.wiring", "gateway.sandbox")
LOOK = f"""
import sys
from gateway.__main__ import main
try:
    main()
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("cancel", "--help"),
        ("status", "--url", NOBODY),
        ("tail", "--admin-url", NOBODY),
        ("completion", "zsh"),
    ],
)
def test_an_on_call_command_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    ended = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", LOOK, *words], capture_output=True, text=True, timeout=END_S, check=False
    )

    assert ended.stderr.splitlines()[-1] == "[]"


def test_help_names_every_command() -> None:
    shown = run("--help").out

    for name in ("serve", "check-config", "sandbox", "demo", "cancel", "records", "status", "tail", "kill", "secrets"):
        assert f"\n    {name}" in shown
