"""How far a venue's clock is from ours, as an interval that its answers prove. Pure.

An answer that left here at `sent` and was back at `back` shows a venue's time that was read in between, so the venue is
ahead of us by at least `told - back` and by at most `told + grain - sent`. What several answers say holds together: the
true difference lies in every interval. One answer alone moves nothing, however loud it is: three must agree against
what is held, unless the venue itself has refused our time.

What is held is the venue's clock against our *steady* one, which never jumps. So a wall clock that is set, rightly or
wrongly, is noticed at once, without asking anybody. Everything is in milliseconds.
"""

from dataclasses import dataclass

WITNESSES = 3
DRIFT_PER_MS = 10_000  # crystals differ by 100 parts in a million at most


@dataclass(frozen=True, slots=True)
class Span:
    """The difference lies from `low` to `high`."""

    low: int
    high: int

    def meets(self, other: "Span") -> "Span | None":
        """What both allow; None where they contradict each other."""
        return _common((self, other))

    def wider(self, by: int) -> "Span":
        """With so much more doubt on either side."""
        return Span(self.low - by, self.high + by)

    def moved(self, by: int) -> "Span":
        """The same against a clock that is behind by so much."""
        return Span(self.low + by, self.high + by)

    def proven(self) -> int:
        """What is certain of it: the least difference that it allows, which is 0 where it allows none."""
        return min(max(0, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Offset:
    """The venue's clock less our steady one: what is held since `at`, and what contradicts it."""

    held: Span | None = None
    at: int = 0
    rivals: tuple[Span, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether something is held, and nothing stands against it."""
        return self.held is not None and not self.rivals

    def aged(self, steady: int) -> Span | None:
        """What is held, with the doubt that came with age."""
        return None if self.held is None else self.held.wider(max(0, steady - self.at) // DRIFT_PER_MS)

    def against(self, wall: int, steady: int) -> Span | None:
        """How far the venue's clock is ahead of our wall clock now; None where nobody knows yet."""
        held = self.aged(steady)
        return None if held is None else held.moved(steady - wall)


def seen(told: int, grain: int, sent: int, back: int) -> Span:
    """What one answer proves, with its times on the steady clock."""
    return Span(told - back, told + grain - sent)


def learn(offset: Offset, span: Span, steady: int, *, sure: bool = False) -> Offset:
    """What is held after one more answer; `sure` where the venue itself has refused our time."""
    held = offset.aged(steady)
    if held is not None and (both := held.meets(span)) is not None:
        return Offset(both, steady)
    rivals = (*offset.rivals, span) if _common((*offset.rivals, span)) is not None else (span,)
    if sure or len(rivals) >= WITNESSES:
        return Offset(_common(rivals), steady)
    return Offset(offset.held, offset.at, rivals)


def _common(spans: tuple[Span, ...]) -> Span | None:
    low, high = max(span.low for span in spans), min(span.high for span in spans)
    return Span(low, high) if low <= high else None
