"""Draws a scenario as the venue saw it: how many requests lie in the window that ends now, and each of them. SVG."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 960, 56, 84
ROW, TITLE, HEIGHT, RUG, FOOT = 16, 50, 190, 16, 40
INK, MUTED, LINE, AREA, LIMIT, FAULT = "#222", "#777", "#1f5fa8", "#dbe7f5", "#c22", "#9a4a00"
HALO = 'stroke="#fff" stroke-width="4" paint-order="stroke"'
LETTER = 6.6
STEPS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn; `marks` are times as well, each with what was done then."""

    name: str
    title: str
    times: list[float]
    tokens: int
    per_ms: int
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def first(self) -> float:
        """When it begins."""
        return min(self.times, default=0.0)

    @property
    def arrivals(self) -> list[float]:
        """Seconds from the first on."""
        return sorted(at - self.first for at in self.times)

    @property
    def faults(self) -> list[tuple[float, str]]:
        """Likewise, the marks."""
        return [(at - self.first, word) for at, word in self.marks]


def write_plot(series: Series, folder: Path) -> Path:
    """Write `admission-NAME.svg` there."""
    target = folder / f"admission-{series.name}.svg"
    target.write_text(drawn(series))
    return target


def levels(arrivals: list[float], window_s: float) -> list[tuple[float, int]]:
    """Whenever it changes: how many arrivals lie in the half-open window that ends there."""
    # At one and the same moment an arrival leaves the window before another enters it.
    changes = sorted([(at, 1) for at in arrivals] + [(at + window_s, -1) for at in arrivals])
    counts = accumulate(step for _, step in changes)
    return [(at, count) for (at, _), count in zip(changes, counts, strict=True)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where things lie on the picture."""

    span_s: float
    most: int
    rows: int

    @property
    def top(self) -> float:
        return TITLE + self.rows * ROW + 6

    @property
    def floor(self) -> float:
        return self.top + HEIGHT

    @property
    def height(self) -> float:
        return self.floor + RUG + FOOT

    def x(self, at: float) -> float:
        return LEFT + at / self.span_s * (WIDTH - LEFT - RIGHT)

    def y(self, count: float) -> float:
        return self.floor - HEIGHT * count / (self.most * 1.1)


def drawn(series: Series) -> str:
    """The picture."""
    steps = levels(series.arrivals, series.per_ms / 1000)
    most = max((count for _, count in steps), default=0)
    span_s = max([1.0, *series.arrivals, *(at for at, _ in series.faults)])
    rows = _rows(series.faults, span_s)
    frame = Frame(span_s, max(most, series.tokens), max(rows, default=-1) + 1)
    parts = (
        f'<rect width="{WIDTH}" height="{frame.height:.0f}" fill="#fff"/>',
        _heading(series, most),
        _curve(frame, steps),
        _axes(frame),
        _limit(frame, series.tokens),
        _faults(frame, series.faults, rows),
        _rug(frame, series.arrivals),
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {frame.height:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _heading(series: Series, most: int) -> str:
    gap_s = max((later - sooner for sooner, later in pairwise(series.arrivals)), default=0.0)
    told = (
        f"requests in the {series.per_ms} ms up to each moment, counted by the venue; "
        f"at most {most} in any such window, longest pause {gap_s:.2f} s"
    )
    return _text(LEFT, 20, f"{series.name}: {series.title}", 'font-size="15"') + _text(
        LEFT, 38, told, f'fill="{MUTED}"'
    )


def _curve(frame: Frame, steps: list[tuple[float, int]]) -> str:
    end = frame.x(frame.span_s)
    path = "".join(f"H{min(frame.x(at), end):.1f}V{frame.y(count):.1f}" for at, count in steps if frame.x(at) <= end)
    line = f"M{frame.x(0):.1f} {frame.floor:.1f}{path}H{end:.1f}"
    area = f'<path d="{line}V{frame.floor:.1f}Z" fill="{AREA}"/>'
    return f'{area}<path d="{line}" fill="none" stroke="{LINE}" stroke-width="1.2"/>'


def _axes(frame: Frame) -> str:
    end, second_step, count_step = frame.x(frame.span_s), _step(frame.span_s, 14), _step(frame.most, 6)
    lines = f'<path d="M{LEFT} {frame.top:.0f}V{frame.floor:.0f}H{end:.0f}" fill="none" stroke="{MUTED}"/>'
    counts = "".join(
        _text(LEFT - 6, frame.y(count) + 4, str(count), 'text-anchor="end"')
        for count in range(0, frame.most + 1, count_step)
    )
    seconds = "".join(
        _text(frame.x(second), frame.floor + RUG + 14, str(second), 'text-anchor="middle"')
        for second in range(0, int(frame.span_s) + 1, second_step)
    )
    middle = (frame.top + frame.floor) / 2
    names = _text(
        (LEFT + end) / 2, frame.floor + RUG + 32, "seconds since the first request", 'text-anchor="middle"'
    ) + _text(16, middle, "in the window", f'text-anchor="middle" transform="rotate(-90 16 {middle:.0f})"')
    return lines + counts + seconds + names


def _limit(frame: Frame, tokens: int) -> str:
    y, end = frame.y(tokens), frame.x(frame.span_s)
    line = f'<path d="M{LEFT} {y:.1f}H{end:.0f}" stroke="{LIMIT}" stroke-width="1.5"/>'
    return line + _text(end + 6, y + 4, f"limit {tokens}", f'fill="{LIMIT}"')


def _faults(frame: Frame, faults: list[tuple[float, str]], rows: list[int]) -> str:
    lines: list[str] = []
    words: list[str] = []
    for (at, word), row in zip(faults, rows, strict=True):
        x, y = frame.x(at), TITLE + (row + 1) * ROW
        dashes = f'stroke="{FAULT}" stroke-dasharray="4 3"'
        lines.append(f'<path d="M{x:.1f} {y - 9:.0f}V{frame.floor:.0f}" {dashes}/>')
        words.append(_text(x + 4, y, f"{word} ({at:.1f} s)", f'fill="{FAULT}" {HALO}'))
    return "".join([*lines, *words])


def _rows(faults: list[tuple[float, str]], span_s: float) -> list[int]:
    """A row for each word, so that none runs into the next."""
    frame = Frame(span_s, 1, 0)
    ends: list[float] = []
    rows: list[int] = []
    for at, word in faults:
        begin = frame.x(at)
        row = next((row for row, end in enumerate(ends) if end < begin), len(ends))
        ends[row : row + 1] = [begin + 4 + LETTER * (len(word) + 9)]
        rows.append(row)
    return rows


def _rug(frame: Frame, arrivals: list[float]) -> str:
    ticks = "".join(f"M{frame.x(at):.1f} {frame.floor + 3:.0f}v9" for at in arrivals)
    return f'<path d="{ticks}" stroke="{LINE}" stroke-width="0.8"/>' + _text(
        frame.x(frame.span_s) + 6, frame.floor + 12, "each request", f'fill="{MUTED}" font-size="11"'
    )


def _step(span: float, most: int) -> int:
    return next((step for step in STEPS if span / step <= most), STEPS[-1])


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escape(words)}</text>'
