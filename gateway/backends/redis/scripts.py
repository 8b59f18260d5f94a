"""The Lua scripts as values, and how a demand is handed to one. What they decide stands in `core/`."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from gateway.backends.redis.link import Argument, Reply
from gateway.core import gate, keys
from gateway.core.admission import Demand
from gateway.core.idempotency import FACTS, OPEN, STEPS, UNNOTED, State
from gateway.core.ledger import distinct
from gateway.core.model import Account

SERVER_TIME = ""
"""The first argument of every script that needs a time; only tests pass another one."""

Lost = Callable[[str, str], None]
"""Told the holder's key and `missing`, `corrupt` or `changed`, once per loss: by the replica that noticed first."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's name, text and digest."""

    name: str
    text: str = field(repr=False)
    sha1: str


def _lua(name: str) -> str:
    return files("gateway.backends").joinpath("lua", f"{name}.lua").read_text()


def _steps() -> str:
    """The transition tables in Lua; second, hand-written ones could differ."""
    rows = (f"{state}={{{','.join(f'{after}=true' for after in sorted(steps))}}}" for state, steps in STEPS.items())
    sets = {"FACTS": FACTS, "UNNOTED": UNNOTED, "OPEN": OPEN}
    tables = (
        f"local STEPS = {{{','.join(rows)}}}",
        *(f"local {name} = {_set(states)}" for name, states in sets.items()),
    )
    return "\n".join((*tables, ""))


def _set(states: Iterable[State]) -> str:
    return f"{{{','.join(f'{state}=true' for state in sorted(states))}}}"


def _script(name: str, *parts: str) -> Script:
    text = "\n".join((*parts, _lua(name)))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


TIME, RECORD, GATE = _lua("time"), _steps() + _lua("record"), _lua("gate")
ADMIT = "\n".join((TIME, GATE, *map(_lua, ("terms", "ring", "level", "admit"))))

RESERVE = _script("reserve", ADMIT)
GIVE_BACK = _script("give_back", ADMIT)
LATE = _script("late", ADMIT)
CONFIRM = _script("confirm", ADMIT)
OUTLOOK = _script("outlook", ADMIT)
ARM = _script("arm", ADMIT)
LEARN = _script("learn", ADMIT)
CLAIM = _script("claim", ADMIT, RECORD)
MARK_SENT = _script("mark_sent", TIME, GATE, RECORD)
SETTLE, TAKE, POSTPONE, RESTORE = (_script(name, TIME, RECORD) for name in ("settle", "take", "postpone", "restore"))
GET = _script("get", RECORD)
UNKNOWNS = _script("unknowns")
AWAITED = _script("awaited")
CLOSE = _script("close", TIME, GATE)
REOPEN = _script("reopen", TIME, GATE)
STANDING = _script("standing", TIME, GATE)
CROSS = _script("cross", TIME, GATE)
RETREAT = _script("retreat", TIME, GATE)
REHEARSE = _script("rehearse")
KEY_TAKE, KEY_KEEP, KEY_FREE = (_script(name) for name in ("key_take", "key_keep", "key_free"))
TRAIL_APPEND, TRAIL_REGISTER = _script("trail_append"), _script("trail_register")
TRAIL_READ, TRAIL_LIST = _script("trail_read"), _script("trail_list")

ALL = (
    *(RESERVE, GIVE_BACK, LATE, CONFIRM, OUTLOOK, ARM, LEARN, CLAIM, MARK_SENT, SETTLE, GET, CLOSE),
    *(REOPEN, STANDING, CROSS, RETREAT, KEY_TAKE, KEY_KEEP, KEY_FREE, REHEARSE, TAKE, POSTPONE, RESTORE, UNKNOWNS),
    *(TRAIL_APPEND, TRAIL_REGISTER, TRAIL_READ, TRAIL_LIST),
)


@lru_cache(maxsize=1024)
def holders_of(demands: tuple[Demand, ...]) -> tuple[Account, ...]:
    """Each holder once, the first demand's first."""
    return tuple(dict.fromkeys(demand.holder for demand in distinct(demands)))


@lru_cache(maxsize=1024)
def holder_keys(demands: tuple[Demand, ...]) -> tuple[str, ...]:
    """The key of each holder."""
    return tuple(keys.holder(holder) for holder in holders_of(demands))


@lru_cache(maxsize=1024)
def gate_keys(account: Account, most: int) -> tuple[str, ...]:
    """The gates that an account stands behind, its own first."""
    return tuple(keys.gate(holder) for holder in gate.holders(account)[:most])


@lru_cache(maxsize=1024)
def demand_arguments(demands: tuple[Demand, ...]) -> tuple[Argument, ...]:
    """Six words of each demand, in the order that admit.lua reads them."""
    places = {holder: place for place, holder in enumerate(holders_of(demands), 1)}
    return tuple(
        word
        for demand in demands
        for word in (
            *(demand.limit, places[demand.holder], demand.tokens, demand.keep),
            *(demand.window_us, demand.weight),
        )
    )


def ignore_loss(key: str, reason: str) -> None:
    """Tell nobody; for tests and tools."""


def report(lost: Iterable[Reply], tell: Lost) -> None:
    """Pass on what a script found missing: key and reason, one after the other."""
    words = [word.decode("utf-8", "replace") for word in lost if isinstance(word, bytes)]
    for key, reason in zip(words[::2], words[1::2], strict=False):
        tell(key, reason)
