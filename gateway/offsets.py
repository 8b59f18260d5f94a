"""What this process knows of the venues' clocks, from their answers. What they prove is core/offset.py.

Where a venue checks the time of a request, it is signed with our time moved by what is proven, up to the venue's own
window. Beyond that our clock, or the venue's, is broken, and nothing is signed; now and then one request goes all the
same, with our own time, to find out whether that is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.core.http_date import http_date_ms
from gateway.core.model import VenueId
from gateway.core.offset import Offset, Span, learn, seen
from gateway.core.outcome import Outcome
from gateway.core.shut import Shut
from gateway.core.wire import NotSent, Reply
from gateway.ports import Clock
from gateway.venues.base import Clocked

LOOK_AGAIN_S = 5.0
TRY_AGAIN_S = 1.0
KNOWN_MS, ROUNDING_MS = 1000, 2
DATE_GRAIN_MS, STAMP_GRAIN_MS = 1000, 1
MS_PER_S, US_PER_MS = 1000, 1000
OFF = NotSent("this gateway's clock and the venue's differ too much to sign", here=True)


@dataclass(slots=True)
class Watch:
    """One venue's clock: the rule for it, where it has one, and what is known."""

    rule: Clocked | None
    offset: Offset = field(default_factory=Offset)
    look_at: float = 0.0
    word: str = "ok"
    try_at: float = 0.0
    trying: bool = False
    proven: int = 0
    shift: int = 0
    known_until: int = 0


class Offsets:
    """Watches them. `told` hears each change: the venue, `ok`, `corrected` or `refused`, and the difference in ms."""

    def __init__(
        self, rules: Mapping[VenueId, Clocked | None], clock: Clock, told: Callable[[VenueId, str, int], None]
    ) -> None:
        self._watches = {venue: Watch(rule) for venue, rule in rules.items()}
        self._clock = clock
        self._told = told

    def signing_ms(self, venue: VenueId) -> int | None:
        """What to sign with now; None where nothing is to be signed."""
        watch, wall = self._watches[venue], self._clock.now_ms()
        if watch.rule is None or watch.offset.held is None:
            return wall
        if abs(proven := self._proven(venue, watch)) <= watch.rule.clock_bound_ms:
            return wall + proven
        trying, watch.trying = watch.trying, False
        return wall if trying else None

    def held_back(self, venue: VenueId) -> None:
        """What was signed did not leave. If it was to find out whether our clocks agree again, the next one is."""
        watch = self._watches[venue]
        watch.trying = watch.word == "refused"

    def correction_ms(self, venue: VenueId) -> int:
        """By how much our time is moved when signing; 0 where nothing is signed."""
        watch = self._watches[venue]
        proven = self._proven(venue, watch)
        return proven if watch.rule is not None and abs(proven) <= watch.rule.clock_bound_ms else 0

    def knock(self, venue: VenueId) -> Shut | None:
        """Before a slot is taken: whether our clocks differ too much. Where a try is due, this one is it."""
        watch = self._watches[venue]
        if watch.rule is None or abs(self._proven(venue, watch)) <= watch.rule.clock_bound_ms:
            return None
        now = self._clock.monotonic()
        if now >= watch.try_at:
            watch.try_at, watch.trying = now + TRY_AGAIN_S, True
            return None
        wait_us = int((watch.try_at - now) * MS_PER_S * US_PER_MS)
        return Shut(Outcome.VENUE_UNAVAILABLE, f"{OFF.reason}: by {self.proven_ms(venue) / MS_PER_S:g} s", wait_us)

    def learn(self, venue: VenueId, left: float, back: float, reply: Reply) -> None:
        """Look at the time in an answer, now and then; at each while something is unclear."""
        watch = self._watches[venue]
        if back >= watch.look_at or watch.word == "refused" or not watch.offset.settled:
            self._look(venue, watch, reply, left, back, sure=False)

    def refuses(self, venue: VenueId) -> bool:
        """Whether nothing is signed for it; what goes all the same is signed with our own time."""
        return self._watches[venue].word == "refused"

    def certain(self, venue: VenueId, left: float, back: float, reply: Reply) -> None:
        """The venue has refused our time, or taken it against what we believed: this one answer is believed."""
        self._look(venue, self._watches[venue], reply, left, back, sure=True)

    def _look(self, venue: VenueId, watch: Watch, reply: Reply, left: float, back: float, *, sure: bool) -> None:
        span = _shown(watch.rule, reply, left, back)
        if span is not None:
            watch.offset = learn(watch.offset, span, int(back * MS_PER_S), sure=sure)
            watch.look_at, watch.known_until = back + LOOK_AGAIN_S, 0
            self._proven(venue, watch)

    def _tell(self, venue: VenueId, watch: Watch) -> None:
        if watch.rule is None:
            return
        off = abs(watch.proven) > watch.rule.clock_bound_ms
        word = "refused" if off else "corrected" if watch.proven else "ok"
        if word != watch.word:
            watch.word = word
            self._told(venue, word, watch.proven)

    def proven_ms(self, venue: VenueId) -> int:
        """How far the venue's clock is ahead of ours, as far as that is certain; 0 where nothing is."""
        return self._proven(venue, self._watches[venue])

    def _proven(self, venue: VenueId, watch: Watch) -> int:
        """Reckoned anew each second, and as soon as the wall clock has been set."""
        if watch.offset.held is None:
            return 0
        wall, steady = self._clock.now_ms(), self._steady()
        if steady >= watch.known_until or abs(wall - steady - watch.shift) > ROUNDING_MS:
            span = watch.offset.against(wall, steady)
            watch.proven = 0 if span is None else span.proven()
            watch.known_until, watch.shift = steady + KNOWN_MS, wall - steady
            self._tell(venue, watch)
        return watch.proven

    def standing(self) -> Mapping[VenueId, tuple[str, int]]:
        """Every venue's clock as it stands now, in a word and in ms."""
        proven = {venue: self.proven_ms(venue) for venue in self._watches}
        return {venue: (watch.word, proven[venue]) for venue, watch in self._watches.items()}

    def now(self) -> float:
        """The steady clock, in seconds."""
        return self._clock.monotonic()

    def _steady(self) -> int:
        return int(self._clock.monotonic() * MS_PER_S)


def _shown(rule: Clocked | None, reply: Reply, left: float, back: float) -> Span | None:
    """What an answer proves, by the venue's own stamp or by its Date; a cache's answer is as old as it may be."""
    # The steady clock is counted in whole milliseconds, rounded outwards.
    sent, came = int(left * MS_PER_S), int(back * MS_PER_S) + 1
    stamp = rule.told_ms(reply) if rule is not None else None
    if stamp is not None:
        return seen(stamp, STAMP_GRAIN_MS, sent, came)
    date = None if "age" in reply.headers else http_date_ms(reply.headers.get("date", ""))
    return None if date is None else seen(date, DATE_GRAIN_MS, sent, came)
