"""A level: one instant instead of a ring, for limits so large that a ring would be slow. Pure; the twin: lua/level.lua.

This is GCRA with its rate lowered: a tenth of the tokens may go at once, the others come one by one at an interval
T = window / (N - burst), so that burst + window / T <= N: no window ever holds more than N, at about nine tenths of the
rate. The level rises by T per token, and a request of weight w may go from level + (w - burst) * T on.

Why the sum holds, in whatever order instants are granted: once tokens at instants >= s were granted, the level is at
least s + T for each of them. So when the last one within [s, e] was granted, those before it were at most
(e - s) / T + burst - w. A weight above the burst only means waiting longer, by the same formula.

A grant that reaches the venue later than it was given, at b instead of a, is kept by raising the level: by b - a, for
level >= a + T per token from a on then gives level >= s + T per token from any s up to b on; or as if it were charged
anew at b, where that is less. Slots that were given ahead before that stay where they are.
"""

from dataclasses import dataclass, replace

from gateway.core.terms import Terms


@dataclass(frozen=True, slots=True)
class Level:
    """How far ahead the tokens are spent; and, until it is undone, the latest grant and the level before it."""

    spent_us: int
    last_us: int = 0
    before_us: int = 0


def earliest(level: Level | None, terms: Terms) -> int:
    """From when on the request may go."""
    burst = _burst(terms) - (terms.keep - terms.tokens)
    return max(_held_until(terms), _spent(level, terms) + (terms.weight - burst) * _interval(terms))


def spend(level: Level | None, terms: Terms, at_us: int) -> Level:
    """The level after a grant."""
    before_us = max(_spent(level, terms), at_us)
    return Level(before_us + terms.weight * _interval(terms), at_us, before_us)


def undo(level: Level | None, at_us: int) -> Level | None:
    """The level without a grant that was not used; None where it is not the latest, or the one before it."""
    if level is None or level.last_us != at_us:
        return None
    return Level(level.before_us)


def postpone(level: Level, terms: Terms, at_us: int, late_us: int) -> Level:
    """The level after a grant came to the venue late."""

    def raised(spent_us: int) -> int:
        anew_us = max(spent_us, late_us) + terms.weight * _interval(terms)
        return min(spent_us + late_us - at_us, anew_us)

    if level.last_us == at_us:
        return Level(raised(level.spent_us))
    return Level(raised(level.spent_us), level.last_us, raised(level.before_us))


def free(level: Level | None, terms: Terms, now_us: int) -> int:
    """How many requests of weight 1 could go now."""
    if earliest(level, replace(terms, weight=1)) > now_us:
        return 0
    over_us = max(0, _spent(level, terms) - now_us)
    burst = _burst(terms) - (terms.keep - terms.tokens)
    return max(1, (burst * _interval(terms) - over_us) // _interval(terms))


def _burst(terms: Terms) -> int:
    return terms.keep // 10


def _interval(terms: Terms) -> int:
    return -(-terms.window_us // (terms.keep - _burst(terms)))


def _held_until(terms: Terms) -> int:
    """After a loss everything that was reserved ahead goes out first, then one whole window passes."""
    paced = terms.keep - _burst(terms)
    return terms.armed_us + max(1, -(-terms.ahead // paced)) * terms.window_us


def _spent(level: Level | None, terms: Terms) -> int:
    assumed_us = _held_until(terms) + terms.ahead * _interval(terms)
    return assumed_us if level is None else max(level.spent_us, assumed_us)
