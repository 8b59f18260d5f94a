"""Why nothing goes to a venue now, as a value: told to newcomers and to all who wait. Pure."""

from dataclasses import dataclass

from gateway.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Shut:
    """What is told instead of a slot, and in how long it may be different. Nothing was sent."""

    outcome: Outcome
    detail: str
    wait_us: int
