"""Breakers: who failed us five times of the last ten is left alone for a while, then asked once. Pure.

Closed, open, half open. Open lasts for a pause that doubles with every probe that fails, up to a cap, with jitter, so
that replicas do not come back in step. Then one probe may go: `knock` lets it in before it takes a slot, `depart` sees
that it is the only one on the wire, and its result closes the breaker or opens it for longer. What was under way when
the breaker opened changes nothing. Times are monotonic seconds.
"""

from dataclasses import dataclass, replace
from enum import StrEnum, unique

LAST, FAILURES = 10, 5
MASK = (1 << LAST) - 1
DOUBLINGS_MOST = 16
# Who may knock early, before the pause is over, still waits so long after a probe that failed.
GAP_S = 0.25


@unique
class BreakerScope(StrEnum):
    """Whom a breaker leaves alone."""

    HOST = "host"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a breaker stays open at first, and at most."""

    first_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """`fails` holds the last ten results as bits, the newest lowest; open until `until`, where that is not None."""

    fails: int = 0
    until: float | None = None
    openings: int = 0
    probe_until: float = 0.0
    probing: bool = False


CLOSED = Breaker()


def shut_s(breaker: Breaker, now: float) -> float:
    """How long nobody gets through, as far as can be known; 0 where somebody may."""
    if breaker.until is None:
        return 0.0
    return max(0.0, breaker.until - now, breaker.probe_until - now)


def knock(breaker: Breaker, now: float, lease_s: float, *, early: bool = False) -> Breaker | None:
    """The breaker once this one was let in; None where it has to stay out. A probe has `lease_s` to be on its way.

    `early` may probe before the pause is over, which then is over for all.
    """
    if breaker.until is None:
        return breaker
    if now < breaker.probe_until or (now < breaker.until and not early):
        return None
    return replace(breaker, until=min(breaker.until, now), probe_until=now + lease_s, probing=False)


def depart(breaker: Breaker, now: float, lease_s: float) -> Breaker | None:
    """The breaker once a request has left; None where it must not. A probe's answer may take `lease_s`."""
    if breaker.until is None:
        return breaker
    if now < breaker.until or (breaker.probing and now < breaker.probe_until):
        return None
    return replace(breaker, probe_until=now + lease_s, probing=True)


def succeed(breaker: Breaker) -> Breaker:
    """The breaker after a good result."""
    if breaker.until is not None:
        return CLOSED if breaker.probing else breaker
    return replace(breaker, fails=breaker.fails << 1 & MASK) if breaker.fails else breaker


def fail(breaker: Breaker, backoff: Backoff, now: float, roll: float) -> Breaker:
    """The breaker after a bad result; `roll` from 0 to 1 makes the pause half as long to full."""
    if breaker.until is not None:
        return _opened(breaker.openings + 1, backoff, now, roll) if breaker.probing else breaker
    fails = (breaker.fails << 1 | 1) & MASK
    return _opened(0, backoff, now, roll) if fails.bit_count() >= FAILURES else replace(breaker, fails=fails)


def _opened(openings: int, backoff: Backoff, now: float, roll: float) -> Breaker:
    pause_s = min(backoff.most_s, backoff.first_s * 2 ** min(openings, DOUBLINGS_MOST)) * (1 + roll) / 2
    return Breaker(0, now + pause_s, openings, probe_until=now + min(GAP_S, pause_s))
