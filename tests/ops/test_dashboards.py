"""The dashboards as they are imported: whole, free of names that nothing has, and as the code makes them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_rig import dig, merged, render, values_of
from promql_rig import faults, read, real_series

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
BOARDS: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in (OPS / "grafana" / "dashboards").glob("*.json")
}
RULES, RECORDED = (
    [rule for group in yaml.safe_load((OPS / "prometheus" / name).read_text())["groups"] for rule in group["rules"]]
    for name in ("alerts.yaml", "recording.yaml")
)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where a query stands, and the query."""
    for uid, board in BOARDS.items():
        for panel in panels(board):
            yield from ((f"{uid}: {panel['title']}", target["expr"]) for target in panel["targets"])
        yield from ((f"{uid}: {each['name']}", each["expr"]) for each in board["annotations"]["list"])


def test_the_files_are_as_the_code_makes_them() -> None:
    command = [sys.executable, "-m", "ops.grafana", "--check"]

    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603  our own

    assert said.returncode == 0, f"run: python -m ops.grafana\n{said.stdout}{said.stderr}"


def test_the_alerts_point_to_dashboards_that_are_there() -> None:
    assert {rule["annotations"]["dashboard"] for rule in RULES} == BOARDS.keys()


async def test_every_query_reads_what_a_gateway_has() -> None:
    series, recorded = await real_series(), {rule["record"] for rule in RECORDED}

    assert {where: found for where, query in queries() if (found := list(faults(query, series, recorded)))} == {}


async def test_every_metric_is_shown_somewhere() -> None:
    shown = {selector.name for _, query in queries() for selector in read(query).selectors}
    recorded = {rule["record"]: rule["expr"] for rule in RECORDED}
    shown |= {selector.name for name in shown & recorded.keys() for selector in read(recorded[name]).selectors}
    plain = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown if name}
    own = {name for name in await real_series() if name.startswith("cancel_gateway_")}

    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in own} - plain == set()


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_a_board_can_be_imported_anywhere_and_told_apart(uid: str) -> None:
    board = BOARDS[uid]
    titles = [panel["title"] for panel in panels(board)]
    ids = [panel["id"] for panel in board["panels"]]
    sources = {panel["datasource"]["uid"] for panel in panels(board)}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]

    assert board["uid"] == uid
    assert len(set(titles)) == len(titles)
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
    assert sources == {"${datasource}"}
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "venue"]
    assert [each["name"] for each in board["annotations"]["list"]] == ["Deploys", "Gates", "Failovers"]
    assert all(panel["description"] for panel in panels(board))
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in board["panels"]) == 24


def test_the_chart_brings_each_of_them_to_grafana_whole() -> None:
    rendered = render(merged(values_of("minimal"), {"dashboards": {"enabled": True}}))
    maps = [each for each in rendered.all("ConfigMap") if dig(each, "metadata.labels.grafana_dashboard") == "1"]
    data = [each["data"] for each in maps]
    brought = {name: json.loads(text) for each in data if isinstance(each, dict) for name, text in each.items()}

    assert brought == {f"{uid}.json": board for uid, board in BOARDS.items()}
    assert all(len(json.dumps(board)) < 1_000_000 for board in brought.values())  # what a ConfigMap may hold
