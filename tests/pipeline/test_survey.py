"""How each venue and account stands, for those who may use it."""

import asyncio

import orjson
from fake_venue import VENUE
from fakes import DESK_A, World
from virtual_time import let_run, on_virtual_time

from gateway.core.access import Caller
from gateway.core.breaker import FAILURES
from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.core.wire import Unconfirmed
from gateway.desk import Desk
from gateway.ports import NoSigner
from gateway.survey import limits_of

EVERYTHING = Caller("desk", allow=("*:*",))
TOKENS = 10


@on_virtual_time
async def test_an_account_is_shown_with_its_limits_queue_and_credential() -> None:
    world = World(reserve=2)
    world.spend(TOKENS)
    waits = asyncio.create_task(world.pipeline.cancel(world.ask()))
    await let_run()

    shown = orjson.loads(await world.survey.venues(EVERYTHING))["venues"][0]

    assert shown == {
        "venue": "venue",
        "account": "desk-a",
        "default": True,
        "limits": {
            "cancel": {"tokens": 10, "per_ms": 1000, "guard_ms": 20, "scope": "account", "free": 0, "wait_ms": 1020.0},
            "read": {"tokens": 20, "per_ms": 1000, "guard_ms": 20, "scope": "account", "free": 20, "wait_ms": 0.0},
        },
        "reserve": 2,
        "queue": {"kill": 0, "urgent": 0, "normal": 1, "reconcile": 0},
        "gates": [],
        "breaker": {},
        "clock": {"state": "ok", "venue_ahead_ms": 0},
        "credential": "ok",
        "credential_detail": "",
        "credential_version": "1",
        "degraded": False,
    }
    await waits


@on_virtual_time
async def test_an_open_breaker_is_shown_with_the_time_of_its_probe() -> None:
    world = World()
    world.sender.on_cancel = [Unconfirmed("silence")]
    for number in range(FAILURES):
        await world.pipeline.cancel(world.ask(str(number)))

    shown = orjson.loads(await world.survey.venues(EVERYTHING))["venues"][0]

    assert shown["breaker"] == {"host": {"probe_in_ms": 1000}}


@on_virtual_time
async def test_the_default_account_comes_first_and_others_are_shown_to_those_who_reach_them() -> None:
    world = World()
    world.credentials.known[Account(VENUE, "desk-b")] = NoSigner(Outcome.SECRET_UNAVAILABLE, "gone")
    world.continuity.degraded = True

    every = orjson.loads(await world.survey.venues(EVERYTHING))["venues"]
    one = orjson.loads(await world.survey.venues(Caller("desk", allow=("venue:desk-b",))))["venues"]
    none = orjson.loads(await world.survey.venues(Caller("desk", allow=("other:*",))))["venues"]

    assert [(row["account"], row["default"], row["credential"]) for row in every] == [
        ("desk-a", True, "ok"),
        ("desk-b", False, "unavailable"),
    ]
    assert [row["account"] for row in one] == ["desk-b"]
    assert none == []
    assert all(row["degraded"] for row in every)


@on_virtual_time
async def test_while_the_store_is_down_the_default_account_is_still_known() -> None:
    world = World()
    world.credentials.down = True
    without = Desk(world.venue, world.venue.quotas, 0, 2000)

    assert await world.survey.accounts(world.desk) == [DESK_A]
    assert await world.survey.accounts(without) == []


@on_virtual_time
async def test_without_a_default_account_the_stores_names_are_in_order() -> None:
    world = World()
    without = Desk(world.venue, world.venue.quotas, 0, 2000)

    assert [account.name for account in await world.survey.accounts(without)] == ["desk-a", "desk-b"]


@on_virtual_time
async def test_the_limits_are_shown_as_the_urgent_lane_sees_them() -> None:
    world = World(reserve=2)

    limits = limits_of(world.desk, DESK_A)

    assert {name: demand.tokens for name, demand in limits.items()} == {"cancel": 10, "read": 20}
