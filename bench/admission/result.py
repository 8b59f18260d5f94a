"""What a scenario has found, and how it is shown."""

from dataclasses import dataclass, field

from bench.admission.plot import Series


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that must hold, with what was measured."""

    text: str
    measured: str
    kept: bool


@dataclass(slots=True)
class Result:
    """One scenario."""

    name: str
    violations: int | None = None
    efficiency: float | None = None
    drain_s: float | None = None
    promises: list[Promise] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    skipped: str = ""
    series: Series | None = None

    def promise(self, text: str, measured: object, *, kept: bool) -> None:
        """Write one down."""
        shown = f"{measured:.3f}" if isinstance(measured, float) else str(measured)
        self.promises.append(Promise(text, shown, kept))

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises)

    @property
    def broken(self) -> list[Promise]:
        return [promise for promise in self.promises if not promise.kept]


def shown(result: Result) -> str:
    """For people."""
    if result.skipped:
        return f"{result.name:<24} skipped: {result.skipped}"
    violations = "-" if result.violations is None else str(result.violations)
    percent = "-" if result.efficiency is None else f"{result.efficiency:.1%}"
    drain = "-" if result.drain_s is None else f"{result.drain_s:.2f} s"
    head = f"{result.name:<24} violations {violations:>3}   efficiency {percent:>6}   drain {drain:>8}"
    lines = [f"   {'kept  ' if one.kept else 'BROKEN'} {one.text}: {one.measured}" for one in result.promises]
    notes = [f"          {name}: {value}" for name, value in result.notes.items()]
    return "\n".join([head, *lines, *notes])
