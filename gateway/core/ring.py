"""A ring: the last grant instants of one limit, newest first. Pure; the twin is lua/ring.lua.

A request of weight w may go one window after the (N-w)-th newest, for whatever is older rests by then.
"""

from bisect import bisect_left

from gateway.core.terms import Terms

Ring = tuple[int, ...]

# Besides twice the limit, as much as replicas hold reserved ahead: what that has pushed out could come late or go back.
AHEAD_MOST = 64
# A slot is looked at once more so long before it matures, at the most.
SOON_US = 20_000


def remembered(keep: int) -> int:
    """How many grants are remembered of a limit."""
    return 2 * keep + AHEAD_MOST


def earliest(ring: Ring, terms: Terms) -> int:
    """From when on the request may go."""
    return _entry(ring, terms, terms.tokens - terms.weight) + terms.window_us


def fits(ring: Ring, terms: Terms, at_us: int) -> bool:
    """Whether the request may go before slots that are reserved for later, without any window being overfull.

    Windows that end with it hold what its lane may use; those that end with a later slot, which now has more before it,
    hold the whole limit. While assumed entries may lie ahead, or slots far ahead have pushed out what would have to be
    known, nothing is let in between.
    """
    later = _place(ring, at_us)
    assumed_us = terms.armed_us + (1 + -(-terms.ahead // terms.keep)) * terms.window_us
    forgotten = len(ring) >= remembered(terms.keep) and len(ring) < later + terms.keep
    if later == 0 or assumed_us > at_us or forgotten:
        return False
    if _entry(ring, terms, later + terms.tokens - terms.weight) + terms.window_us > at_us:
        return False
    return all(
        ring[index] - _after(ring, terms, index + terms.keep, later, at_us) >= terms.window_us
        for index in range(max(0, later - terms.keep), later)
    )


def _after(ring: Ring, terms: Terms, index: int, later: int, at_us: int) -> int:
    """The index-th newest grant as it would be with the request let in."""
    return at_us if index < later + terms.weight else _entry(ring, terms, index - terms.weight)


def spend(ring: Ring, weight: int, at_us: int, keep: int) -> Ring:
    """The ring after a grant; a slot that was reserved ahead may be newer than this one."""
    return tuple(sorted((*ring, *(at_us,) * weight), reverse=True)[: remembered(keep)])


def undo(ring: Ring, terms: Terms, at_us: int) -> Ring | None:
    """The ring without a grant that was not used; None where it is not there any more.

    Later ones may build on it; that it is gone makes none of them wrong. A full ring has pushed out older entries, and
    many that are taken back would bring them to the fore. They can't be newer than the oldest entry that is left, nor
    than the grant, nor, where that was the newest, than one window before it; so that bound takes their place.
    """
    at = _place(ring, at_us)
    if ring[at : at + terms.weight] != (at_us,) * terms.weight:
        return None
    left = ring[:at] + ring[at + terms.weight :]
    if len(ring) < remembered(terms.keep):
        return left
    bound_us = at_us - terms.window_us if at == 0 else at_us
    return left + (min((bound_us, *left[-1:])),) * terms.weight


def pushed_out(ring: Ring, terms: Terms, at_us: int) -> bool:
    """Whether a grant is not there because more were granted after it than are remembered. Nothing was lost then."""
    at = _place(ring, at_us)
    return len(ring) >= remembered(terms.keep) and at + terms.weight > len(ring)


def postpone(ring: Ring, weight: int, at_us: int, late_us: int) -> Ring | None:
    """The ring with a grant that came to the venue late, and rests from there on; None where it is not there any more.

    Later slots may build on it; they are looked at once more before they are used (`holds`).
    """
    at = _place(ring, at_us)
    if ring[at : at + weight] != (at_us,) * weight:
        return None
    return tuple(sorted((*ring[:at], *ring[at + weight :], *(late_us,) * weight), reverse=True))


def holds(ring: Ring, terms: Terms, at_us: int) -> bool:
    """Whether a slot that lies ahead still has its window: what it was built on may have moved, or the limit shrunk."""
    at = _place(ring, at_us)
    before = ring[at + terms.keep : at + terms.keep + 1]
    return not before or before[0] + terms.window_us <= at_us


def soonest(ring: Ring, terms: Terms, from_us: int) -> int:
    """The next instant for a slot that has to move. Slots further ahead need not hold: they are looked at again.

    Those that lie within SOON_US were looked at already, so their windows must hold as well.
    """
    while True:
        later = _place(ring, from_us + SOON_US)
        index = later + terms.tokens - terms.weight
        forgotten = len(ring) >= remembered(terms.keep) and index >= len(ring)
        rested_us = (ring[-1] if forgotten else _entry(ring, terms, index)) + terms.window_us
        if rested_us <= from_us:
            return from_us
        from_us = rested_us


def free(ring: Ring, terms: Terms, now_us: int) -> int:
    """How many tokens have rested."""
    rested = bisect_left(
        range(terms.tokens), True, key=lambda index: _entry(ring, terms, index) + terms.window_us <= now_us
    )
    return terms.tokens - rested


def _place(ring: Ring, at_us: int) -> int:
    """How many grants are newer than that instant."""
    return next((index for index, entry in enumerate(ring) if entry <= at_us), len(ring))


def _entry(ring: Ring, terms: Terms, index: int) -> int:
    """The index-th newest grant, known or assumed."""
    if index < len(ring):
        return max(ring[index], terms.armed_us)
    unsent = max(0, terms.ahead - (index - len(ring)))
    windows = -(-unsent // terms.keep)
    return terms.armed_us + windows * terms.window_us
