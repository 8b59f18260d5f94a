"""The runbooks, walked: each alert has one, all that they name is there, and every command in them runs."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cli_rig import Demo, demo_running
from promql_rig import real_series

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
BOOKS = {path.stem: path.read_text() for path in (OPS / "runbooks").glob("*.md") if path.stem != "README"}
ALERTS = [
    rule
    for group in yaml.safe_load((OPS / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Verify", "Escalate"]
BLOCK = re.compile(r"^```sh( destructive)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVENT_ROOTS = {"breaker", "redis", "trail", "credential", "limiter", "config", "tls", "gateway", "cancel"}
# What changes something at the venue; it may only stand in a block that says so.
CHANGES = re.compile(r"cancel-gateway (?!\S.*--plan)(kill|cancel)\b(?!.*--plan)|-X (DELETE|POST)")


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a runbook."""

    text: str
    destructive: bool

    @property
    def fine(self) -> set[int]:
        """The exit codes that are answers: grep's 1 says that there is no such line."""
        return {0, 1} if "grep" in self.text else {0}


def commands(text: str) -> Iterator[Command]:
    """Every line of every block."""
    for block in BLOCK.finditer(text):
        yield from (Command(line, block[1] is not None) for line in block[2].splitlines() if line.strip())


ALL = sorted({command for text in BOOKS.values() for command in commands(text)}, key=lambda each: each.text)


@dataclass(frozen=True, slots=True)
class Desk:
    """A running demo, and the variables that the runbooks speak of."""

    demo: Demo
    folder: Path

    def variables(self) -> dict[str, str]:
        """With an order of its own, that is open now."""
        order = self.demo.new_order("orderly")
        lines = [json.loads(line) for line in (self.folder / "gateway.log").read_text().splitlines()]
        record = next(line["record"] for line in lines if line["event"] == "cancel.done" and line["venue"] == "orderly")
        return {
            "CANCEL_GATEWAY_URL": self.demo.url,
            "CANCEL_GATEWAY_TOKEN": self.demo.token,
            "ADMIN": self.demo.admin_url,
            "CONFIG": str(self.folder / "config.toml"),
            "LOG": str(self.folder / "gateway.log"),
            "VENUE": "orderly",
            "ACCOUNT": "desk-a",
            "ORDER": order.ref,
            "SYMBOL": str(order.symbol),
            "RECORD": record,
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A demo that stays for all commands, and `cancel-gateway` on the path as a person would have it."""
    folder = tmp_path_factory.mktemp("runbooks")
    program = folder / "bin" / "cancel-gateway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))}\nexec {shlex.quote(sys.executable)} -m gateway "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with demo_running(folder) as demo:
        yield Desk(demo, folder)


def ran(command: Command, desk: Desk) -> "subprocess.CompletedProcess[str]":
    """As a shell runs it."""
    path = f"{desk.folder / 'bin'}:{os.environ['PATH']}"
    plain: Mapping[str, str] = {"PATH": path, "HOME": str(desk.folder), **desk.variables()}
    shell = ["bash", "-o", "pipefail", "-u", "-c", command.text]
    return subprocess.run(shell, capture_output=True, text=True, timeout=30, check=False, env=plain)  # noqa: S603


@pytest.mark.parametrize("command", ALL, ids=lambda each: each.text[:60])
def test_a_command_runs(command: Command, desk: Desk) -> None:
    said = ran(command, desk)

    assert said.returncode in command.fine, said.stdout + said.stderr
    assert said.stderr == ""


def test_what_a_search_of_the_metrics_looks_for_is_there(desk: Desk) -> None:
    """A grep that finds nothing in /metrics looks for a name that is not there, unless it leaves the zeros out."""
    searches = [each for each in ALL if "/metrics" in each.text and "-v" not in each.text and "Accept" not in each.text]

    assert [each.text for each in searches if ran(each, desk).returncode != 0] == []


def test_every_alert_has_a_runbook_and_none_is_left_over() -> None:
    assert BOOKS.keys() == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("name", sorted(BOOKS))
def test_a_runbook_says_what_somebody_on_call_needs(name: str) -> None:
    text = BOOKS[name]
    (dashboard,) = {rule["annotations"]["dashboard"] for rule in ALERTS if rule["alert"] == name}
    found = list(commands(text))

    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE))
    assert len(found) >= 3
    assert re.search(r"\*\*.+\*\* on `gateway-", text)
    assert dashboard in {"gateway-overview", "gateway-venue", "gateway-truth", "gateway-platform"}
    assert all(each.destructive for each in found if CHANGES.search(each.text))
    assert not any(each.destructive for each in found if not CHANGES.search(each.text))


def test_every_panel_that_is_named_is_there() -> None:
    titles = {
        (board["title"], path.stem, panel["title"])
        for path in (OPS / "grafana" / "dashboards").glob("*.json")
        for board in [json.loads(path.read_text())]
        for panel in board["panels"]
    }
    there = {(uid, title) for _, uid, title in titles}
    named = {
        (uid, title)
        for text in BOOKS.values()
        for title, uid in re.findall(r"\*\*([^*\n]+)\*\* on `(gateway-\w+)`", text)
    }

    assert len(named) > 20
    assert named - there == set()
    assert not any(re.search(r"\*\* on\s*\n", text) for text in BOOKS.values())


async def test_every_metric_log_event_and_runbook_that_is_named_is_there() -> None:
    series = await real_series()
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    text = "".join(BOOKS.values())
    metrics = set(re.findall(r"cancel_gateway_[a-z_]+[a-z]", text))
    events = {event for event in re.findall(r"`([a-z]+\.[a-z_]+)`", text) if event.split(".")[0] in EVENT_ROOTS}

    assert metrics - series.keys() == set()
    assert {event for event in events if event not in source and event.split(".")[1] not in source} == set()
    assert {to for to in re.findall(r"\]\((\w+)\.md\)", text) if to not in BOOKS} == set()
