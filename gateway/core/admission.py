"""Tokens that rest: a spent token comes back one whole window after it was spent.

A bucket holds N tokens at once, and no sliding window ever holds more than N sends, which a refilling bucket can't
say of itself (it lets almost 2N through). The Lua twin in `backends/lua/` decides for real; what stands here is its
reference, and the tests hold both to the same answers.
"""

from dataclasses import dataclass

from gateway.core.model import Account, Scope


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit as a venue states it: `tokens` in any `per_ms`, the window stretched by `guard_ms` for jitter."""

    tokens: int
    per_ms: int
    guard_ms: int = 20
    scope: Scope = Scope.ACCOUNT


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs under one named limit."""

    limit: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Demand:
    """One limit as one request meets it: `tokens` is what its lane may use, `window_us` has the guard in it."""

    limit: str
    holder: Account
    tokens: int
    window_us: int
    weight: int
