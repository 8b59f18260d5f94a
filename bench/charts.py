"""Two kinds of picture, as SVG: bars with their ranges, and lines over an axis. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP = 960, 90, 220, 58
BAR, GAP, WORDS = 20, 10, 330
HEIGHT, FOOT = 300, 50
INK, MUTED, GRID, ACCENT = "#222", "#777", "#ddd", "#1f5fa8"
COLOURS = ("#1f5fa8", "#c2571a", "#2d7d46", "#8a3a9a", "#b8860b", "#c22", "#3a8a9a", "#555", "#9a6a3a", "#7a7ad0")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row; `ours` is drawn in colour."""

    name: str
    value: float
    least: float
    most: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """How values lie on the picture."""

    name: str
    log: bool = False
    shown: Callable[[float], str] = "{:g}".format


def bars(title: str, told: str, rows: Sequence[Bar]) -> str:
    """A row for each, longest value to the right; the thin line is the range over the rounds."""
    most = max(row.most for row in rows)
    width = WIDTH - WORDS - 110

    def x(value: float) -> float:
        return WORDS + value / most * width

    parts = [_heading(title, told)]
    for index, row in enumerate(rows):
        y = TOP + index * (BAR + GAP)
        fill = ACCENT if row.ours else "#b9c3cf"
        parts += [
            _text(WORDS - 8, y + 14, row.name, 'text-anchor="end"'),
            f'<rect x="{WORDS}" y="{y}" width="{max(1.0, x(row.value) - WORDS):.1f}" height="{BAR}" fill="{fill}"/>',
            f'<path d="M{x(row.least):.1f} {y + BAR / 2}H{x(row.most):.1f}" stroke="{INK}" stroke-width="1.2"/>',
            _text(x(row.most) + 6, y + 14, f"{row.value:.2f}" if row.value < 100 else f"{row.value:,.0f}"),
        ]
    return _svg(TOP + len(rows) * (BAR + GAP) + 8, parts)


def lines(
    title: str, told: str, series: Mapping[str, Sequence[tuple[float, float]]], across: Axis, upward: Axis
) -> str:
    """A line for each name; ticks across are where there are points."""
    xs = sorted({point[0] for points in series.values() for point in points})
    ys = [point[1] for points in series.values() for point in points]
    place_x = _place(across, min(xs), max(xs), LEFT, WIDTH - RIGHT)
    low = min(ys) * 0.8 if upward.log else 0.0
    place_y = _place(upward, low, max(ys) * 1.1, TOP + HEIGHT, TOP)
    parts = [_heading(title, told), *_grid(xs, ys, place_x, place_y, across, upward)]
    ends = _apart([place_y(points[-1][1]) for points in series.values()])
    for (name, points), end, colour in zip(series.items(), ends, _colours(len(series)), strict=True):
        path = "L".join(f"{place_x(x):.1f} {place_y(y):.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        parts.append(_text(WIDTH - RIGHT + 10, end + 4, name, f'fill="{colour}"'))
    return _svg(TOP + HEIGHT + FOOT, parts)


def _grid(
    xs: Sequence[float],
    ys: Sequence[float],
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
    across: Axis,
    upward: Axis,
) -> list[str]:
    floor, end = TOP + HEIGHT, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{floor}H{end}" fill="none" stroke="{MUTED}"/>']
    for tick in _ticks(min(ys), max(ys), log=upward.log):
        y = place_y(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{end}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 6, y + 4, upward.shown(tick), 'text-anchor="end"'))
    parts += [_text(place_x(x), floor + 16, across.shown(x), 'text-anchor="middle"') for x in xs]
    middle = TOP + HEIGHT / 2
    parts.append(_text((LEFT + end) / 2, floor + 36, across.name, 'text-anchor="middle"'))
    turned = f'text-anchor="middle" transform="rotate(-90 22 {middle:.0f})"'
    return [*parts, _text(22, middle, upward.name, turned)]


def _place(axis: Axis, low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    def scale(value: float) -> float:
        return math.log(max(value, 1e-9)) if axis.log else value

    span = (scale(high) - scale(low)) or 1.0
    return lambda value: begin + (scale(value) - scale(low)) / span * (end - begin)


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        found = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
        return [tick for tick in found if low * 0.8 <= tick <= high * 1.1]
    step = 10 ** math.floor(math.log10(high / 4)) if high > 0 else 1.0
    step = next(step * many for many in (1, 2, 5, 10) if high / (step * many) <= 7)
    return [step * count for count in range(int(high / step) + 1)]


def _apart(ends: Sequence[float]) -> list[float]:
    """Names beside the ends of their lines, none over another."""
    placed: dict[int, float] = {}
    last = -math.inf
    for index in sorted(range(len(ends)), key=lambda index: ends[index]):
        last = placed[index] = max(ends[index], last + 14)
    return [placed[index] for index in range(len(ends))]


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _heading(title: str, told: str) -> str:
    return _text(20, 22, title, 'font-size="15"') + _text(20, 42, told, f'fill="{MUTED}"')


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(words)}</text>'
