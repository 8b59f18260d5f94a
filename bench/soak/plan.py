"""What is done to whom and when, drawn from a seed: the same seed and length give the same plan. Pure."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.faults import KINDS

STORE = ("kill", "restart", "stale", "flush", "failover", "stop", "script-flush")
GATEWAY = ("kill", "term", "stop", "reload", "rotate", "roll")
REPLICAS = 3
ELDER = 0
"""This replica is stopped, but never ended: what grows, grows in it."""
LAST_CALM = 0.12
# In which of these the venue may have acted without saying so. An error in its own words is always honest: a venue that
# lies in them can't be seen through by anybody.
# So is a whole answer of another type.
EITHER_WAY = frozenset({"hang", "malformed", "html", "huge_body", "gzip_bomb", "server_error"})
SHUTTING = frozenset({"rate_limited", "banned", "forbidden"})
REBUFFS = frozenset({"auth_failure", "error_code", "string_codes"})
EVERY_S = {"venue": 2.5, "gateway": 9.0, "store": 21.0}


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that is done; `lasts_s` is how long it stays so."""

    at_s: float
    lane: str
    kind: str
    target: str = ""
    lasts_s: float = 0.0
    fault: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.fault.items() if name != "kind")
        words = (f"{self.at_s:7.1f} s", self.lane, self.kind, self.target, f"{self.lasts_s:.2f} s", more)
        return "  ".join(word for word in words if word)


def planned(seed: int, seconds: float, *, scale: float = 1.0) -> list[Deed]:
    """Everything that will be done; `scale` below 1 packs it more densely."""
    chance = random.Random(seed)  # noqa: S311  a plan is no secret
    deeds: list[Deed] = []
    for lane, every_s in EVERY_S.items():
        cards = _cards(chance, lane)
        at_s = every_s * scale * chance.uniform(0.4, 1.0)
        while at_s < seconds * (1 - LAST_CALM):
            deeds.append(_deed(chance, round(at_s, 2), lane, next(cards)))
            at_s += every_s * scale * chance.uniform(0.6, 1.4)
    return sorted(deeds, key=lambda deed: deed.at_s)


def _cards(chance: random.Random, lane: str) -> Iterator[tuple[str, str]]:
    """Kind and target, out of a shuffled deck: none comes twice before each has come."""
    deck = _deck(lane)
    while True:
        yield from chance.sample(deck, len(deck))


def _deck(lane: str) -> Sequence[tuple[str, str]]:
    match lane:
        case "venue":
            return [(kind, venue) for kind in KINDS for venue in VENUE_IDS]
        case "gateway":
            mortal = [str(number) for number in range(REPLICAS) if number != ELDER]
            ended = [(kind, number) for kind in ("kill", "term") for number in mortal]
            stopped = [("stop", str(number)) for number in range(REPLICAS)]
            return [*ended, *stopped, ("reload", ""), ("rotate", ""), ("roll", "")]
        case _:
            return [(kind, "") for kind in STORE]


def _deed(chance: random.Random, at_s: float, lane: str, card: tuple[str, str]) -> Deed:
    kind, target = card
    if lane == "venue":
        return Deed(at_s, lane, kind, target, round(chance.uniform(0.8, 2.2), 2), _fault(chance, kind))
    longest = {"stop": 3.0, "kill": 2.5, "failover": 1.0}.get(kind, 0.0)
    return Deed(at_s, lane, kind, target, round(chance.uniform(0.05, longest), 2) if longest else 0.0)


def _fault(chance: random.Random, kind: str) -> dict[str, object]:
    """As POST /_sandbox/faults takes it."""
    fault: dict[str, object] = {"kind": kind, "endpoint": chance.choice(("cancel", "cancel", "*"))}
    if kind in EITHER_WAY:
        fault["applied"] = chance.random() < 0.5
    if kind in SHUTTING:
        fault |= {"retry_after": str(chance.choice((1, 2))), "times": chance.choice((1, 2))}
    if kind in REBUFFS:
        fault["times"] = chance.choice((1, 2, 3))
    match kind:  # the others take nothing more
        case "latency":
            fault |= {"ms": chance.choice((50, 300, 1200)), "jitter_ms": 200}
        case "delayed_state":
            fault["ms"] = chance.choice((200, 1500, 4000))
        case "slow_body":
            fault["bytes_per_s"] = chance.choice((20, 200))
        case "huge_body" | "gzip_bomb":
            fault |= {"bytes": 8 << 20, "times": chance.choice((1, 2))}
        case "partial_batch":
            fault["fail_ids"] = chance.choice((1, 3))
        case _:
            pass
    return fault
