"""The Lua scripts as values, and how a demand is handed to one. What they decide stands in `core/`."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from gateway.backends.redis.link import Argument, Reply
from gateway.core import keys
from gateway.core.admission import Demand, distinct
from gateway.core.idempotency import STEPS

SERVER_TIME = ""
"""The first argument of every script that needs a time; only tests pass another one."""

Lost = Callable[[str, str], None]
"""Told the epoch's key and `missing` or `corrupt`, once per loss: by the replica that noticed first."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's name, text and digest."""

    name: str
    text: str = field(repr=False)
    sha1: str


def _lua(name: str) -> str:
    return files("gateway.backends").joinpath("lua", f"{name}.lua").read_text()


def _steps() -> str:
    """The transition table in Lua; a second, hand-written one could differ."""
    rows = (f"{state}={{{','.join(f'{after}=true' for after in sorted(steps))}}}" for state, steps in STEPS.items())
    return f"local STEPS = {{{','.join(rows)}}}\n"


def _script(name: str, *parts: str) -> Script:
    text = "\n".join((*parts, _lua(name)))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


RING, RECORD = _lua("ring"), _steps() + _lua("record")

RESERVE = _script("reserve", RING)
GIVE_BACK = _script("give_back", RING)
OUTLOOK = _script("outlook", RING)
ARM = _script("arm", RING)
CLAIM = _script("claim", RING, RECORD)
MARK_SENT = _script("mark_sent", RING, RECORD)
SETTLE = _script("settle", RECORD)
GET = _script("get", RECORD)

ALL = (RESERVE, GIVE_BACK, OUTLOOK, ARM, CLAIM, MARK_SENT, SETTLE, GET)


@lru_cache(maxsize=1024)
def demand_keys(demands: tuple[Demand, ...]) -> tuple[str, ...]:
    """Ring and epoch of each demand."""
    return tuple(
        key
        for demand in distinct(demands)
        for key in (keys.ring(demand.holder, demand.limit), keys.epoch(demand.holder))
    )


@lru_cache(maxsize=1024)
def demand_arguments(demands: tuple[Demand, ...]) -> tuple[Argument, ...]:
    """Four numbers of each demand, in the order that ring.lua reads them."""
    return tuple(
        number for demand in demands for number in (demand.tokens, demand.keep, demand.window_us, demand.weight)
    )


def ignore_loss(key: str, reason: str) -> None:
    """Tell nobody; for tests and tools."""


def report(lost: Iterable[Reply], tell: Lost) -> None:
    """Pass on what a script found missing: key and reason, one after the other."""
    words = [word.decode("utf-8", "replace") for word in lost if isinstance(word, bytes)]
    for key, reason in zip(words[::2], words[1::2], strict=False):
        tell(key, reason)
