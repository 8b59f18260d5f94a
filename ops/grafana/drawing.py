"""Lines, bands and cells as SVG: what the pictures of the dashboards are made of."""

import html
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, TypeAlias

COLORS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d", "#ffb357", "#ff9cc6"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17", "#705da0", "#6ed0e0"),
)
MILLI, KILO = 1e-3, 1e3
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 6, 18
Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A place in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Line:
    """One series."""

    name: str
    points: list[tuple[float, float]]

    def color(self, number: int) -> str:
        """Its colour, as the number-th of a panel."""
        return PALETTE[number % len(PALETTE)]


def readable(value: float, unit: str) -> str:  # noqa: PLR0911  one for each unit
    """A value with its unit, as short as can be."""
    match unit:
        case "s" if 0 < abs(value) < MILLI:
            return f"{value * 1e6:.3g} µs"
        case "s" if abs(value) < 1:
            return f"{value * 1e3:.3g} ms" if value else "0 s"
        case "s":
            return f"{value:.3g} s"
        case "percentunit":
            return f"{value * 100:.3g}%"
        case "bytes":
            return f"{value / 2**20:.3g} MiB"
        case "reqps":
            return f"{value:.3g}/s"
        case _ if abs(value) >= KILO:
            return f"{value / KILO:.3g}k"
        case _:
            return f"{value:.3g}"


def lines(
    shown: Sequence[Line], box: Box, span: Span, unit: str, bounds: Sequence[tuple[float, str]], *, stacked: bool
) -> str:
    """Series over time, one above the other if stacked."""
    heaps = _heaped(shown) if stacked else [[(at, 0.0, value) for at, value in line.points] for line in shown]
    values = [high for heap in heaps for _, _, high in heap]
    low, high = min(0.0, *values), max(values) or 1.0
    high = max([high, *(at for at, _ in bounds if at < high * 2)]) * 1.05
    ticks = _ticks(low, high)
    frame = _Frame(box, span, (low, max(high, ticks[-1])))
    drawn = [_grid(frame, unit, ticks)]
    parts = [(number, part) for number, heap in enumerate(heaps) for part in _unbroken(heap)]
    for number, heap in parts:
        line = shown[number]
        top = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, _, value in heap)
        base = " ".join(f"{frame.x(at):.1f},{frame.y(under):.1f}" for at, under, _ in reversed(heap))
        opacity = 0.45 if stacked else 0.08 / len(shown)
        drawn += [
            f'<polygon points="{top} {base}" fill="{line.color(number)}" opacity="{opacity}"/>',
            f'<polyline points="{top}" fill="none" stroke="{line.color(number)}" stroke-width="1.5"/>',
        ]
    drawn += [
        f'<line x1="{LEFT}" x2="{box.width - RIGHT}" y1="{frame.y(at):.1f}" y2="{frame.y(at):.1f}" stroke="{color}"'
        ' stroke-dasharray="6 4"/>'
        for at, color in bounds
        if at <= high
    ]
    return _svg(box, drawn)


def bands(shown: Sequence[Line], box: Box, span: Span, words: Mapping[float, Mapping[str, Any]], step_s: float) -> str:
    """States over time, one band for each series."""
    frame = _Frame(Box(box.x + 76, 0, box.width - 76, box.height), span, (0, 1))
    tall = (box.height - BOTTOM - TOP) / len(shown)
    drawn = []
    for number, line in enumerate(sorted(shown, key=lambda each: each.name)):
        y = TOP + number * tall
        drawn.append(f'<text x="122" y="{y + tall / 2 + 3:.0f}" text-anchor="end">{html.escape(line.name)}</text>')
        for value, run in groupby(line.points, key=lambda point: point[1]):
            moments = [at for at, _ in run]
            color = COLORS[words[value]["color"]]
            wide = frame.x(moments[-1] + step_s) - frame.x(moments[0])
            drawn.append(
                f'<rect x="{frame.x(moments[0]):.1f}" y="{y + tall * 0.12:.1f}" width="{wide:.1f}"'
                f' height="{tall * 0.76:.1f}" fill="{color}" opacity="0.85"/>'
            )
    return _svg(box, [*drawn, _times(frame)])


def cells(shown: Sequence[Line], box: Box, span: Span, unit: str, step_s: float) -> str:
    """How many fell into which bucket, over time."""
    buckets = sorted(shown, key=lambda line: float(line.name))
    full = [line for line in buckets if math.isfinite(float(line.name))]
    below = [dict(line.points) for line in buckets]
    counts = [
        {at: max(0.0, value - lower.get(at, 0.0)) for at, value in upper.items()}
        for lower, upper in pairwise([dict[float, float](), *below])
    ]
    most = max((value for each in counts for value in each.values()), default=0) or 1
    tall = (box.height - BOTTOM - TOP) / len(full)
    frame = _Frame(box, span, (0, 1))
    drawn = []
    for number, (line, count) in enumerate(zip(full, counts, strict=False)):
        y = box.height - BOTTOM - (number + 1) * tall
        if number % 2 == 0:
            label = readable(float(line.name), unit)
            drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{label}</text>')
        for at, value in count.items():
            if value > 0:
                wide = frame.x(at + step_s) - frame.x(at)
                drawn.append(
                    f'<rect x="{frame.x(at):.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall - 1:.1f}"'
                    f' fill="#5794f2" opacity="{0.15 + 0.85 * math.sqrt(value / most):.2f}"/>'
                )
    return _svg(box, [*drawn, _times(frame)])


# -- axes --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a value stands."""

    box: Box
    span: Span
    values: Span

    def x(self, at: float) -> float:
        start, end = self.span
        part = min(1.0, max(0.0, (at - start) / (end - start)))
        return self.box.x + LEFT + part * (self.box.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return TOP + (1 - (value - low) / (high - low)) * (self.box.height - TOP - BOTTOM)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough)
    return [step * n for n in range(math.floor(low / step), math.floor(high / step) + 1)]


def _grid(frame: _Frame, unit: str, ticks: Sequence[float]) -> str:
    right = frame.box.width - RIGHT
    drawn = [
        f'<line x1="{LEFT}" x2="{right}" y1="{frame.y(tick):.1f}" y2="{frame.y(tick):.1f}" stroke="#25272d"/>'
        f'<text x="{LEFT - 6}" y="{frame.y(tick) + 3:.0f}" text-anchor="end">{readable(tick, unit)}</text>'
        for tick in ticks
        if frame.y(tick) >= 0
    ]
    return "".join(drawn) + _times(frame)


def _times(frame: _Frame) -> str:
    start, end = frame.span
    count = max(2, int(frame.box.width // 140))
    moments = [start + (end - start) * (n + 0.5) / count for n in range(count)]
    y = frame.box.height - 5
    said = [(frame.x(at), time.strftime("%H:%M:%S", time.gmtime(at))) for at in moments]
    return "".join(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{text}</text>' for x, text in said)


def _heaped(shown: Sequence[Line]) -> list[list[tuple[float, float, float]]]:
    moments = sorted({at for line in shown for at, _ in line.points})
    under, heaps = dict.fromkeys(moments, 0.0), []
    for line in shown:
        own = dict(line.points)
        heaps.append([(at, under[at], under[at] + own.get(at, 0.0)) for at in moments])
        under = {at: high for at, _, high in heaps[-1]}
    return heaps


def _unbroken(heap: list[tuple[float, float, float]]) -> list[list[tuple[float, float, float]]]:
    """A series in parts: where nothing was told, nothing is drawn."""
    step = min((later[0] - before[0] for before, later in pairwise(heap)), default=0.0)
    parts = [heap[:1]]
    for before, point in pairwise(heap):
        if point[0] - before[0] > 1.5 * step:
            parts.append([])
        parts[-1].append(point)
    return parts


def _svg(box: Box, drawn: Sequence[str]) -> str:
    return f'<svg width="{box.width}" height="{box.height}">{"".join(drawn)}</svg>'
