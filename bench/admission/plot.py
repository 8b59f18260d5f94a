"""Draws the sends of a scenario over time: a tick for each, and how many lie in the window that ends there. SVG."""

from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 260, 46, 34, 46


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn; `marks` are times as well, each with a word."""

    name: str
    times: list[float]
    tokens: int
    per_ms: int
    marks: tuple[tuple[float, str], ...] = ()


def write_plot(series: Series) -> Path:
    """Write `bench/results/admission-NAME.svg`."""
    target = RESULTS / f"admission-{series.name}.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(drawn(series))
    return target


def drawn(series: Series) -> str:
    """The picture."""
    first = min(series.times, default=0.0)
    times = sorted(at - first for at in series.times)
    span = max(times[-1] if times else 1.0, 1.0)
    height = HEIGHT - TOP - BOTTOM
    most = max(series.tokens, *(_inside(times, at, series.per_ms / 1000) for at in times), 1)

    def x(at: float) -> float:
        return LEFT + at / span * (WIDTH - LEFT - 12)

    def y(count: float) -> float:
        return TOP + height * (1 - count / (most * 1.15))

    steps = " ".join(f"{x(at):.1f},{y(_inside(times, at, series.per_ms / 1000)):.1f}" for at in times)
    ticks = "".join(f'<path d="M{x(at):.1f} {HEIGHT - BOTTOM}v8"/>' for at in times)
    seconds = "".join(
        f'<text x="{x(second):.0f}" y="{HEIGHT - 12}" text-anchor="middle">{second} s</text>'
        for second in range(0, int(span) + 1, max(1, int(span) // 12))
    )
    marks = "".join(
        f'<path d="M{x(at):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#a40" stroke-dasharray="4 3"/>'
        f'<text x="{x(at) + 4:.1f}" y="{TOP + 12}" fill="#a40">{word}</text>'
        for at, word in ((mark - first, word) for mark, word in series.marks)
    )
    limit = y(series.tokens)
    title = f"{series.name}: requests in the {series.per_ms} ms up to each, as the venue saw them"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="{LEFT}" y="18">{title}</text>'
        f'<path d="M{LEFT} {limit:.1f}H{WIDTH - 12}" stroke="#c00"/>'
        f'<text x="6" y="{limit + 4:.0f}">N = {series.tokens}</text>'
        f'<polyline points="{steps}" fill="none" stroke="#248" stroke-width="1.5"/>'
        f'<g stroke="#248">{ticks}</g>{marks}{seconds}</svg>\n'
    )


def _inside(times: list[float], at: float, window_s: float) -> int:
    return sum(at - window_s < other <= at for other in times)
