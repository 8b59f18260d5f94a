"""Pictures of the dashboards for the README: real answers, drawn as SVG, photographed by chromium.

Not Grafana's own drawing, but its layout, units, thresholds, words and colours, read from the same JSON.
"""

import html
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ops.grafana.drawing import COLORS, Box, Line, bands, cells, lines, readable

COLUMN, UNIT, GAP, HEAD = 46, 28, 8, 28
STYLE = """
body { margin: 0; background: #111217; color: #ccccdc; font: 12px Inter, "DejaVu Sans", sans-serif; }
.board { position: relative; } .board > * { position: absolute; box-sizing: border-box; overflow: hidden; }
.title { left: 12px; top: 10px; font-size: 19px; color: #fff; } .title small { color: #8e8e9a; font-size: 12px; }
.row { font-size: 14px; color: #fff; padding: 1px 4px 0; }
.panel { background: #181b1f; border: 1px solid #25272d; border-radius: 3px; }
.panel h3 { font-size: 12px; font-weight: 600; margin: 0; padding: 7px 10px; color: #d8d9e3; height: 13px; }
.legend { padding: 1px 10px; line-height: 15px; font-size: 10.5px; color: #a9a9b8; height: 30px; overflow: hidden; }
.legend b { display: inline-block; width: 11px; height: 3px; border-radius: 2px; margin: 0 4px 3px 0; }
.legend span { margin-right: 12px; white-space: nowrap; display: inline-block; }
.stat { font-size: 34px; font-weight: 600; text-align: center; padding-top: 12px; } .none { color: #8e8e9a;
text-align: center; padding-top: 60px; } table { border-collapse: collapse; width: 100%; font-size: 11.5px; }
td, th { text-align: left; padding: 4px 10px; border-bottom: 1px solid #25272d; } th { color: #6e9fff; }
text { font: 10px Inter, "DejaVu Sans", sans-serif; fill: #8e8e9a; }
"""


@dataclass(frozen=True, slots=True)
class Look:
    """Which time is shown, in what steps, and over what the rates are taken; in seconds."""

    start: float
    end: float
    step_s: int
    rate_s: int

    @property
    def range_s(self) -> int:
        """How long it is."""
        return int(self.end - self.start)


@dataclass(frozen=True, slots=True)
class Told:
    """What Prometheus answered to one query of a panel."""

    target: Mapping[str, Any]
    series: list[dict[str, Any]]

    def lines(self) -> Iterator[Line]:
        """Each series under the name that its legend gives it."""
        for each in self.series:
            name = str(self.target["legendFormat"])
            for label, value in each["metric"].items():
                name = name.replace("{{" + label + "}}", value)
            yield Line(name, [(at, float(value)) for at, value in each["values"] if value != "NaN"])


Answers: TypeAlias = list[Told]


def taken(folder: Path, boards: Sequence[Mapping[str, Any]], answers: Mapping[str, Answers], look: Look) -> None:
    """One picture of each board."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no pictures: chromium is not installed (apt-get install chromium)")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for board in boards:
        height = 52 + max(_place(panel).bottom for panel in board["panels"]) + GAP
        with tempfile.TemporaryDirectory() as scratch:
            page = Path(scratch) / "page.html"
            page.write_text(_page(board, answers, look))
            picture = folder / f"dashboard-{board['uid'].removeprefix('gateway-')}.png"
            size = f"--window-size={24 * COLUMN + 2 * GAP},{height:.0f}"
            options = (
                "--headless",
                "--no-sandbox",
                "--hide-scrollbars",
                "--disable-lcd-text",
                f"--screenshot={picture}",
                size,
            )
            subprocess.run(  # noqa: S603  found above
                (chromium, *options, f"--user-data-dir={scratch}/profile", page.as_uri()),
                check=True,
                capture_output=True,
                timeout=60,
            )


def _place(panel: Mapping[str, Any]) -> Box:
    at = panel["gridPos"]
    return Box(GAP + at["x"] * COLUMN, at["y"] * UNIT, at["w"] * COLUMN - GAP, at["h"] * UNIT - GAP)


def _page(board: Mapping[str, Any], answers: Mapping[str, Answers], look: Look) -> str:
    title, says = html.escape(board["title"]), html.escape(board["description"])
    head = f"<div class=title>{title} <small>&nbsp; {says}</small></div>"
    parts = [_framed(panel, answers.get(f"{board['uid']}: {panel['title']}", []), look) for panel in board["panels"]]
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><div class=board>{head}{''.join(parts)}</div>"


def _framed(panel: Mapping[str, Any], told: Answers, look: Look) -> str:
    box, title = _place(panel), html.escape(panel["title"])
    style = f"left:{box.x}px;top:{box.y + 52}px;width:{box.width}px;height:{box.height}px"
    if panel["type"] == "row":
        return f'<div class=row style="{style}">{title}</div>'
    shown = [line for each in told for line in each.lines() if line.points]
    defaults = panel["fieldConfig"]["defaults"]
    if not shown:
        drawn = f"<div class=none>{html.escape(defaults.get('noValue', 'No data'))}</div>"
        return f'<div class=panel style="{style}"><h3>{title}</h3>{drawn}</div>'
    if panel["type"] == "stat":
        return _stat(title, style, defaults, shown[0])
    if panel["type"] == "table":
        return f'<div class=panel style="{style}"><h3>{title}</h3>{_table(told)}</div>'
    inner = Box(0, 0, box.width - 2, box.height - HEAD)
    return f'<div class=panel style="{style}"><h3>{title}</h3>{_drawn(panel, defaults, shown, inner, look)}</div>'


def _drawn(panel: Mapping[str, Any], defaults: Mapping[str, Any], shown: list[Line], inner: Box, look: Look) -> str:
    span, unit = (look.start, look.end), defaults.get("unit", "short")
    bounds = _bounds(defaults)
    if panel["type"] == "heatmap":
        return cells(shown, inner, span, unit, look.step_s)
    if panel["type"] == "state-timeline":
        words = {float(value): said for each in defaults["mappings"] for value, said in each["options"].items()}
        return bands(shown, inner, span, words, look.step_s)
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    chart = Box(0, 0, inner.width, inner.height - 32)
    return lines(shown, chart, span, unit, bounds, stacked=stacked) + _legend(shown)


def _bounds(defaults: Mapping[str, Any]) -> list[tuple[float, str]]:
    steps = defaults.get("thresholds", {}).get("steps", [])
    return [(step["value"], COLORS.get(step["color"], step["color"])) for step in steps if step["value"] is not None]


def _legend(shown: Sequence[Line]) -> str:
    named = [
        f"<span><b style='background:{line.color(number)}'></b>{html.escape(line.name or 'value')}</span>"
        for number, line in enumerate(shown)
    ]
    return f"<div class=legend>{''.join(named)}</div>"


def _stat(title: str, style: str, defaults: Mapping[str, Any], line: Line) -> str:
    last, bounds = line.points[-1][1], _bounds(defaults)
    color = next((color for at, color in reversed(bounds) if last >= at), COLORS["green"])
    back = f";background:{color}33;border-color:{color}" if bounds else ""
    said = readable(last, defaults.get("unit", "short"))
    tint = color if bounds else "#fff"
    inner = f"<h3>{title}</h3><div class=stat style='color:{tint}'>{said}</div>"
    return f"<div class=panel style='{style}{back}'>{inner}</div>"


def _table(told: Answers) -> str:
    found = [each["metric"] for answer in told for each in answer.series]
    names = sorted({name for labels in found for name in labels})
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    ranked = sorted(found, key=lambda labels: (labels.get("severity", ""), labels.get("alertname", "")))
    rows = ["".join(f"<td>{html.escape(labels.get(name, ''))}</td>" for name in names) for labels in ranked[:7]]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
