"""`demo`: from nothing to five cancelled orders with one command, and lines that work when they are pasted."""

import json
import signal
import stat
from pathlib import Path

from cli_rig import END_S, ORDER, demo_running, run

VENUES = ("orderly", "hashkey", "loopring", "etna", "b2trader")


def test_once_cancels_one_order_at_every_venue_and_ends(tmp_path: Path) -> None:
    said = run("demo", "--once", "--directory", str(tmp_path), "--port", "0", "--admin-port", "0")

    assert (said.code, said.err) == (0, "")
    rows = [line.split() for line in said.out.partition("\nvenue ")[2].splitlines()[1:]]
    assert {row[0]: row[2] for row in rows} == {
        "orderly": "accepted",
        "hashkey": "cancelled",
        "loopring": "cancelled",
        "etna": "accepted",
        "b2trader": "cancelled",
    }
    events = [json.loads(line) for line in (tmp_path / "gateway.log").read_text().splitlines()]
    assert [event["outcome"] for event in events if event["event"] == "cancel.done"] == [row[2] for row in rows]
    assert [event["drained"] for event in events if event["event"] == "gateway.stopped"] == [True]


def test_its_files_keep_secrets_and_no_token(tmp_path: Path) -> None:
    with demo_running(tmp_path) as demo:
        token = demo.token

    secrets = list(tmp_path.glob("secrets/*/*.json"))
    assert {file.parent.name for file in secrets} == set(VENUES)
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    assert token not in (tmp_path / "config.toml").read_text()
    assert token not in (tmp_path / "gateway.log").read_text()
    assert run("check-config", str(tmp_path / "config.toml")).code == 0


def test_it_offers_an_open_order_of_each_venue_and_stops_when_told(tmp_path: Path) -> None:
    with demo_running(tmp_path) as demo:
        offered = {match["venue"]: match["ref"] for match in ORDER.finditer(demo.text)}
        said = demo.run("status", "--json")
        verify = next(line for line in demo.text.splitlines() if "audit verify" in line)
        audited = run(*verify.split()[1:])
        demo.process.send_signal(signal.SIGINT)
        code = demo.process.wait(END_S)

    assert offered.keys() == set(VENUES) == demo.venue_urls.keys()
    assert {row["venue"] for row in json.loads(said.out)["venues"]} == set(VENUES)
    assert (audited.code, audited.err) == (0, "")
    assert ": ok, " in audited.out
    assert code == 0
