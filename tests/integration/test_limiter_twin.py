"""The Lua and the reference on the same random histories: they must say the same, step by step.

HISTORIES=10000 in the environment runs so many.
"""

import os
from collections.abc import Sequence
from typing import assert_never

import pytest
from admission_histories import (
    GATES,
    HOLDERS,
    LEASE_US,
    Confirm,
    Flush,
    GiveBack,
    Jump,
    Learn,
    Pass,
    Postpone,
    Refuse,
    Reopen,
    Reserve,
    Step,
    World,
    confirmations,
    demand_sets,
    flushes,
    give_backs,
    histories,
    jumps,
    leaps,
    lessons,
    long_passes,
    passes,
    postponements,
    refusals,
    reopenings,
    rested,
    wild_reserves,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from real_valkey import Server

from gateway.backends.redis import scripts
from gateway.core import keys
from gateway.core.admission import Demand
from gateway.core.gate import DOUBLINGS_MOST
from gateway.core.ledger import Prospect
from gateway.core.model import Account

HISTORIES = int(os.environ.get("HISTORIES", "100"))


def steps(sets: st.SearchStrategy[tuple[Demand, ...]]) -> st.SearchStrategy[Step]:
    asked = wild_reserves(sets)
    moves = (passes, passes, long_passes, give_backs, jumps, leaps, lessons(sets), refusals, reopenings, flushes)
    late = (postponements, postponements, confirmations, confirmations)
    return st.one_of(asked, asked, asked, asked, asked, asked, *moves, *late)


def lua(
    server: Server,
    script: scripts.Script,
    world: World,
    demands: tuple[Demand, ...],
    *before: int | str,
    expected: dict[Account, int] | None = None,
    gates: Sequence[str] = (),
) -> object:
    """Run an admitting script at the world's time."""
    holders = scripts.holders_of(demands)
    names = (*gates, *scripts.holder_keys(demands))
    known = expected or {}
    arguments = (world.server_us, world.ahead, len(gates), LEASE_US, len(holders), *(known.get(h, 0) for h in holders))
    return server.client.eval(script.text, len(names), *names, *before, *arguments, *scripts.demand_arguments(demands))


def twin(server: Server, world: World, step: Step) -> object:  # noqa: C901, PLR0911, PLR0912  one per kind
    """What the Lua says to a step that the reference has yet to walk."""
    gates = [keys.gate(holder) for holder in GATES]
    match step:
        case Reserve(demands=demands, patience_us=patience_us, most=most, gated=gated):
            behind = gates if gated else ()
            reply = lua(
                server, scripts.RESERVE, world, demands, patience_us, most, expected=world.expected(step), gates=behind
            )
            assert isinstance(reply, list)
            said = [word.decode() if isinstance(word, bytes) else word for word in reply]
            return tuple(said[:4] + said[5:] if said[0] == "slots" else said[:3] if said[0] == "far" else said)
        case GiveBack(ago=ago):
            if ago > len(world.held):
                return False
            demands, at_us, _ = world.held[-ago]
            return lua(server, scripts.GIVE_BACK, world, demands, at_us) == 1
        case Postpone(ago=ago, before_now_us=before_now_us):
            if ago > len(world.held):
                return 0
            demands, at_us, _ = world.held[-ago]
            return lua(server, scripts.LATE, world, demands, at_us, world.now_of(demands) - before_now_us)
        case Confirm(ago=ago, missed=missed):
            if ago > len(world.held):
                return None
            demands, at_us, _ = world.held[-ago]
            reply = lua(server, scripts.CONFIRM, world, demands, at_us, int(missed))
            assert isinstance(reply, list)
            return reply[1] if reply[0] == b"moved" else reply[0].decode()
        case Learn(demand=demand, stated=stated):
            return lua(server, scripts.LEARN, world, (demand,), "" if stated is None else stated)
        case Refuse(place=place, closure=closure):
            words = (int(closure.banned), "" if closure.stated_us is None else closure.stated_us)
            bounds = (closure.least_us, closure.usual_us, closure.most_us, DOUBLINGS_MOST)
            return server.client.eval(scripts.CLOSE.text, 1, gates[place], world.server_us, *words, *bounds)
        case Reopen():
            server.client.eval(scripts.REOPEN.text, 3, *gates, world.server_us)
            return None
        case Flush():
            server.client.flushall()
            return None
        case Pass() | Jump():
            return None
        case _:
            assert_never(step)


@pytest.mark.timeout(60 + HISTORIES // 10)
@settings(max_examples=HISTORIES, deadline=None)
@given(histories(shrunk=True, with_sets=steps), st.integers(0, 3), demand_sets)
def test_lua_and_reference_agree_on_any_history(
    valkey_session: Server, history: list[Step], ahead: int, looked_at: tuple[Demand, ...]
) -> None:
    valkey_session.client.flushall()
    for holder in HOLDERS:
        valkey_session.rest(holder)
    world = World(ahead=ahead, ledger=rested())

    for step in history:
        said = twin(valkey_session, world, step)

        assert said == world.walk(step), step

        prospects = lua(valkey_session, scripts.OUTLOOK, world, looked_at)
        assert isinstance(prospects, list)
        assert _pairs(prospects) == world.outlook(looked_at)


def walked(server: Server, history: list[Step]) -> None:
    """Hold both to one history."""
    server.client.flushall()
    for holder in HOLDERS:
        server.rest(holder)
    world = World(ledger=rested())
    for step in history:
        assert twin(server, world, step) == world.walk(step), step


@pytest.mark.parametrize("pause_us", [5_000_000, 30_000_000, 55_000_000, 70_000_000])
def test_lua_and_reference_agree_how_long_a_smaller_configuration_stays_fresh(
    valkey_session: Server, pause_us: int
) -> None:
    larger = (Demand("fast", HOLDERS[0], 3, 1_000_000, 1, 3),)
    smaller = (Demand("fast", HOLDERS[0], 2, 1_300_000, 1, 2),)

    for first, second in ((larger, smaller), (smaller, larger)):
        asked: list[Step] = [
            Reserve(first, 0),
            Pass(pause_us),
            Reserve(first, 0),
            Pass(pause_us),
            Reserve(second, 0, most=30),
        ]
        walked(valkey_session, [*asked, Pass(pause_us), Reserve(first, 0, most=30), Pass(1), Reserve(second, 0)])


def _pairs(numbers: Sequence[object]) -> tuple[Prospect, ...]:
    whole = [number for number in numbers if isinstance(number, int)]
    return tuple(Prospect(free, wait) for free, wait in zip(whole[::2], whole[1::2], strict=True))
