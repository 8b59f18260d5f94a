"""A ring: the last grant instants of one limit, newest first. Pure; the twin is lua/ring.lua.

A request of weight w may go one window after the (N-w)-th newest, for whatever is older rests by then.
"""

from bisect import bisect_left

from gateway.core.terms import Terms

Ring = tuple[int, ...]


def earliest(ring: Ring, terms: Terms) -> int:
    """From when on the request may go."""
    return _entry(ring, terms, terms.tokens - terms.weight) + terms.window_us


def spend(ring: Ring, weight: int, at_us: int, remembered: int) -> Ring:
    """The ring after a grant; a slot that was reserved ahead may be newer than this one."""
    return tuple(sorted((*ring, *(at_us,) * weight), reverse=True)[:remembered])


def undo(ring: Ring, terms: Terms, at_us: int) -> Ring | None:
    """The ring without a grant that was not used; None where it is no longer the newest.

    A full ring has pushed out older entries that may not have rested yet; they can't have been granted later than
    one window before this grant, nor than the oldest entry that is left, so that bound takes their place.
    """
    if ring[: terms.weight] != (at_us,) * terms.weight:
        return None
    left = ring[terms.weight :]
    if len(ring) < terms.keep:
        return left
    return left + (min((at_us - terms.window_us, *left[-1:])),) * terms.weight


def free(ring: Ring, terms: Terms, now_us: int) -> int:
    """How many tokens have rested."""
    rested = bisect_left(
        range(terms.tokens), True, key=lambda index: _entry(ring, terms, index) + terms.window_us <= now_us
    )
    return terms.tokens - rested


def _entry(ring: Ring, terms: Terms, index: int) -> int:
    """The index-th newest grant, known or assumed."""
    if index < len(ring):
        return max(ring[index], terms.armed_us)
    unsent = max(0, terms.ahead - (index - len(ring)))
    windows = -(-unsent // terms.keep)
    return terms.armed_us + windows * terms.window_us
