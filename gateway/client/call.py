"""What is asked, how much time is left, and what may be tried again. Pure; time and noise are arguments.

Every call carries a key of its own, the same in each attempt, so an attempt that did arrive is not made twice. It is
repeated where the answer says that nothing was sent, or where there was no answer; never where the outcome is
`unknown`: that is the caller's to know.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from gateway.client.heard import Answer, Killed
from gateway.core.model import By, Wait
from gateway.core.outcome import Outcome

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY_LETTERS, NOISE_BITS, NOISE_BYTES = 26, 80, 10
TIMEOUT_MOST_MS = 60_000
# The gateway is told a little less than what is left, so that its own word, with the record, arrives in time.
WAY_BACK_MOST_MS, WAY_BACK_SHARE = 100, 0.1
PAUSE_MS, PAUSE_MOST_MS = 50, 1000
# Nothing was sent and nothing is known against the order; or somebody is at it, and the same key follows him.
AGAIN = frozenset({
    Outcome.OVER_DEADLINE, Outcome.VENUE_LIMITED, Outcome.VENUE_BANNED, Outcome.VENUE_UNAVAILABLE,
    Outcome.SECRET_UNAVAILABLE, Outcome.OVERLOADED, Outcome.DRAINING, Outcome.IN_PROGRESS,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """An order that has to go. Where `by` is left out, the shape of `ref` must settle it, or `ambiguous_ref` comes."""

    venue: str
    ref: str
    by: By | None = None
    account: str | None = None
    symbol: str | None = None
    key: str | None = None
    wait: Wait | None = None

    @property
    def target(self) -> str:
        """The path and query of the call for this one."""
        said = {"by": self.by, "account": self.account, "symbol": self.symbol, "wait": self.wait}
        return with_query(f"/orders/{escaped(self.venue)}/{escaped(self.ref)}", said)

    def item(self, key: str) -> dict[str, str]:
        """As one of many."""
        said = {"by": self.by, "account": self.account, "symbol": self.symbol, "wait": self.wait}
        known = {name: str(value) for name, value in said.items() if value is not None}
        return {"venue": self.venue, "ref": self.ref, "idempotency_key": key} | known


def escaped(text: str) -> str:
    """One path segment."""
    return quote(text, safe="")


def with_query(path: str, said: dict[str, str | By | Wait | None]) -> str:
    """The path, and what is said beside it."""
    known = urlencode({name: str(value) for name, value in said.items() if value is not None})
    return f"{path}?{known}" if known else path


def new_key(at_ms: int, noise: bytes) -> str:
    """An Idempotency-Key: 26 letters as a ULID has them, so that keys sort by when they were made."""
    number = (at_ms << NOISE_BITS) | int.from_bytes(noise[:NOISE_BYTES], "big")
    return "".join(CROCKFORD[(number >> 5 * place) & 31] for place in reversed(range(KEY_LETTERS)))


def told_ms(left_s: float) -> int:
    """What the gateway is told of the time that is left."""
    left_ms = left_s * 1000
    return max(1, min(TIMEOUT_MOST_MS, int(left_ms - min(WAY_BACK_MOST_MS, left_ms * WAY_BACK_SHARE))))


def pause_ms(answer: Answer | Killed | None, attempts: int, chance: float) -> float | None:
    """How long to wait before the next attempt; None where there should be none.

    `chance` is from 0 to 1, so that callers who were refused together do not come back together.
    """
    if answer is not None and answer.outcome not in AGAIN:
        return None
    stated_ms = 0 if answer is None else answer.retry_after_ms or 0
    own_ms = min(PAUSE_MS << min(attempts - 1, 10), PAUSE_MOST_MS) * (0.5 + chance / 2)
    return max(float(stated_ms), own_ms)
