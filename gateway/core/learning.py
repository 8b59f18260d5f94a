"""What a reply's headers say about a limit. Pure. What becomes of it: terms.learn, which only ever tightens.

Only a limit for the very window that is configured counts, or one without a window, which can only mean its own. Used
and remaining counts say nothing about the limit and are not read. Names are lower case, as in wire.Reply.
"""

import re
from collections.abc import Iterator, Mapping

from gateway.core.admission import Demand

US_PER_S = 1_000_000
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = 200
NUMBER = re.compile(r"\d{1,9}", re.ASCII)
PLAIN = frozenset({"x-ratelimit-limit", "x-rate-limit-limit", "ratelimit-limit"})
POLICIES = frozenset({"ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit"})
# The name tells the window: x-ratelimit-limit-10s, x-mbx-order-limit-1m.
NAMED = re.compile(r"x-[a-z-]*limit-(?P<many>\d{1,4})(?P<unit>[smhd])", re.ASCII)
OLD_DRAFT = re.compile(r"(?:^|[,;\s])limit=(\d{1,9})(?![\w.])", re.ASCII)


def stated(headers: Mapping[str, str], demand: Demand) -> int | None:
    """The fewest tokens that the venue states for this limit's window, where that is fewer than configured."""
    window_us = demand.window_us - demand.guard_us
    said = [
        tokens
        for name, value in headers.items()
        if "limit" in name
        for tokens, seconds in _limits(name, value[:LONGEST])
        if tokens > 0 and (seconds is None or seconds * US_PER_S == window_us)
    ]
    fewest = min(said, default=demand.keep)
    return fewest if fewest < demand.keep else None


def _limits(name: str, value: str) -> Iterator[tuple[int, int | None]]:
    """Limits and, where they are told, their windows in seconds."""
    if name == "ratelimit":
        yield from ((int(tokens), None) for tokens in OLD_DRAFT.findall(value))
    elif named := NAMED.fullmatch(name):
        if NUMBER.fullmatch(value.strip()):
            yield int(value), int(named["many"]) * SECONDS[named["unit"]]
    elif name in POLICIES:
        policies = [_policy(item) for item in value.split(",")]
        told = [(tokens, seconds) for tokens, seconds in policies if tokens is not None and seconds is not None]
        # A bare number beside policies only repeats the one that is closest to being met.
        bare = [(tokens, None) for tokens, seconds in policies if tokens is not None and seconds is None]
        yield from told or (bare if name in PLAIN else ())


def _policy(item: str) -> tuple[int | None, int | None]:
    """`"name";q=10;w=1`, or the older `10;w=1`."""
    head, *rest = (part.strip() for part in item.split(";"))
    parameters = dict(part.split("=", 1) for part in rest if "=" in part)
    tokens, seconds = parameters.get("q", head), parameters.get("w", "")
    return _number(tokens), _number(seconds)


def _number(text: str) -> int | None:
    return int(text) if NUMBER.fullmatch(text) else None
