"""The run as a picture: answers, memory, descriptors and keys over time, with every fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, PANEL, GAP, TOP, FOOT = 960, 70, 150, 120, 46, 60, 40
INK, MUTED = "#222", "#777"
COLOURS = ("#1f5fa8", "#c2571a", "#2d7d46", "#8a3a9a")
FAULTS = {"store": "#c22", "gateway": "#9a4a00", "venue": "#bbb"}

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure over time, a line for each name."""

    title: str
    lines: tuple[tuple[str, Points], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault."""

    at_s: float
    lane: str
    word: str


def drawn(title: str, panels: Sequence[Panel], marks: Sequence[Mark], span_s: float) -> str:
    """The picture as SVG."""
    height = TOP + len(panels) * (PANEL + GAP) + FOOT
    floor = TOP + len(panels) * (PANEL + GAP) - GAP
    parts = [_text(LEFT, 22, title, 'font-size="15"'), _legend()]
    parts += [_mark(mark, span_s, floor) for mark in sorted(marks, key=lambda mark: mark.lane == "venue", reverse=True)]
    parts += [_panel(panel, TOP + index * (PANEL + GAP), span_s) for index, panel in enumerate(panels)]
    parts.append(_seconds(span_s, floor))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{INK}">\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _x(at_s: float, span_s: float) -> float:
    return LEFT + at_s / span_s * (WIDTH - LEFT - RIGHT)


def _legend() -> str:
    words = (f'<tspan fill="{colour}">{lane} faults </tspan>' for lane, colour in FAULTS.items())
    return f'<text x="{LEFT}" y="40">{" ".join(words)}</text>'


def _mark(mark: Mark, span_s: float, floor: float) -> str:
    x, colour = _x(mark.at_s, span_s), FAULTS[mark.lane]
    told = f"<title>{escape(mark.word)} at {mark.at_s:.1f} s</title>"
    dashes = 'stroke-width="0.6"' if mark.lane == "venue" else 'stroke-dasharray="3 3"'
    return f'<path d="M{x:.1f} {TOP}V{floor}" stroke="{colour}" {dashes}>{told}</path>'


def _panel(panel: Panel, top: float, span_s: float) -> str:
    most = max((value for _, points in panel.lines for _, value in points), default=0) * 1.1 or 1.0
    floor = top + PANEL
    parts = [
        f'<path d="M{LEFT} {top}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="{MUTED}"/>',
        _text(LEFT + 4, top - 5, panel.title, f'fill="{MUTED}"'),
        _text(LEFT - 6, floor + 4, "0", 'text-anchor="end"'),
        _text(LEFT - 6, top + 12, f"{most / 1.1:,.0f}", 'text-anchor="end"'),
    ]
    for index, (name, points) in enumerate(panel.lines):
        colour = COLOURS[index % len(COLOURS)]
        path = "L".join(f"{_x(at, span_s):.1f} {floor - PANEL * value / most:.1f}" for at, value in points)
        if path:
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
        parts.append(_text(WIDTH - RIGHT + 8, top + 14 + 14 * index, name, f'fill="{colour}"'))
    return "\n".join(parts)


def _seconds(span_s: float, floor: float) -> str:
    step = next(step for step in (5, 10, 30, 60, 120, 300, 600, 3600) if span_s / step <= 16)
    ticks = (
        _text(_x(at, span_s), floor + 16, str(at), 'text-anchor="middle"') for at in range(0, int(span_s) + 1, step)
    )
    return "".join(ticks) + _text(_x(span_s / 2, span_s), floor + 32, "seconds", 'text-anchor="middle"')


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(words)}</text>'
