"""What may be said at the end, where an earlier attempt may have arrived and was never answered. Pure.

A later refusal such as `draining` speaks of its own attempt only. What the gateway keeps under the key, it says of all.
"""

from dataclasses import replace
from typing import TypeVar

from gateway.client.heard import Answer, Killed
from gateway.core.outcome import MEANINGS, Outcome

Told = TypeVar("Told", Answer, Killed)
UNHEARD = "no gateway said what became of it; it may have been sent"
OVER = "its turn did not come within the time; nothing was sent"


def certain(heard: Told | None, blank: Told, *, in_doubt: bool) -> Told | None:
    """What was heard, or `unknown` where that can't stand for all attempts; None where provably nothing was sent.

    `blank` is what the client says by itself, where no answer came.
    """
    if not in_doubt or (heard is not None and _speaks_for_all(heard.outcome)):
        return heard
    if heard is None:
        return blank
    return replace(heard, outcome=Outcome.UNKNOWN, status=0, detail=f"{UNHEARD}; then: {heard.outcome}")


def _speaks_for_all(outcome: Outcome) -> bool:
    return MEANINGS[outcome].kept or outcome is Outcome.UNKNOWN
