"""What of a limit is in force: as configured, or less where others know better. Pure; the twin is lua/terms.lua.

Two things lower a limit, neither ever raises it. Replicas that were configured differently (a rolling update) work
under the smaller tokens and the longer window, as long as somebody who was configured so has asked of late. And what
a venue's answers have taught counts for a quiet time, and is then relaxed step by step.
"""

from dataclasses import dataclass

FRESH_US = 60_000_000
QUIET_US = 600_000_000
RELAX_EVERY_US = 60_000_000
LARGE_KEEP = 256


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The fewest tokens and the longest window that any replica is configured with, each with its own end."""

    tokens: int
    tokens_until_us: int
    window_us: int
    window_until_us: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What a venue's answers have taught, fully in force until `until_us`."""

    tokens: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Terms:
    """One limit as one request meets it now. `large` limits are kept as one number instead of a ring."""

    tokens: int
    keep: int
    window_us: int
    weight: int
    armed_us: int
    ahead: int
    large: bool


def refresh(known: Ceiling | None, keep: int, window_us: int, now_us: int) -> Ceiling:
    """The ceiling after a replica with this configuration has asked; the same one where nothing has to be written.

    It must outlast the window, or sends from before it would be forgotten. Freshness is written anew only after a
    sixth of it has gone by, which spares most requests the write.
    """
    lasting_us = max(FRESH_US, window_us)
    until_us, soon_us = now_us + lasting_us, now_us + lasting_us * 5 // 6
    if known is None:
        return Ceiling(keep, until_us, window_us, until_us)
    tokens, tokens_until_us = known.tokens, known.tokens_until_us
    if tokens_until_us <= now_us or keep < tokens or (keep == tokens and tokens_until_us < soon_us):
        tokens, tokens_until_us = keep, until_us
    window, window_until_us = known.window_us, known.window_until_us
    if window_until_us <= now_us or window_us > window or (window_us == window and window_until_us < soon_us):
        window, window_until_us = window_us, until_us
    return Ceiling(tokens, tokens_until_us, window, window_until_us)


def relaxed(learned: Learned | None, keep: int, now_us: int) -> int:
    """How many tokens of `keep` a learned limit leaves now."""
    if learned is None:
        return keep
    if now_us < learned.until_us:
        return min(keep, learned.tokens)
    steps = (now_us - learned.until_us) // RELAX_EVERY_US + 1
    return min(keep, learned.tokens + steps * max(1, keep // 10))


def learn(learned: Learned | None, keep: int, window_us: int, stated: int | None, now_us: int) -> Learned:
    """Learn a limit that the venue stated; or, where it only refused, a fifth less than what is in force.

    Refusals of requests that were under way together are one lesson, so a window must pass before the next one.
    """
    in_force = relaxed(learned, keep, now_us)
    if stated is not None:
        return Learned(max(1, min(stated, in_force)), now_us + QUIET_US)
    if learned is not None and now_us < learned.until_us - QUIET_US + window_us:
        return learned
    return Learned(max(1, in_force * 4 // 5), now_us + QUIET_US)
