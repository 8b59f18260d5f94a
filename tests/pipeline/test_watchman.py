"""Whoever walks round the accounts calls only where something is open. On virtual time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from fakes import DESK_A, World
from virtual_time import on_virtual_time

from gateway.core.idempotency import Record, RecordId, Settlement, State
from gateway.core.model import Account
from gateway.core.outcome import OrderState, Outcome, Seen, Settled, Unclear
from gateway.ports import Taken
from gateway.watchman import ACCOUNTS_EVERY_S

MANY = [Account(DESK_A.venue, f"desk-{number}") for number in range(1000)]


@dataclass
class Counted:
    """A store of records that tells where somebody called."""

    world: World
    calls: Counter[Account] = field(default_factory=Counter)
    asked: list[Sequence[Account]] = field(default_factory=list)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        records, take, awaited = self.world.records, self.world.records.take, self.world.records.awaited

        async def counted(
            account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
        ) -> Taken:
            self.calls[account] += 1
            return await take(account, at_ms, lease_ms, most=most, named=named)

        def answered(accounts: Sequence[Account]) -> AsyncIterator[Account]:
            self.asked.append(accounts)
            return awaited(accounts)

        monkeypatch.setattr(records, "take", counted)
        monkeypatch.setattr(records, "awaited", answered)


def world_of_many(monkeypatch: pytest.MonkeyPatch) -> tuple[World, Counted]:
    world = World()
    counted = Counted(world)
    counted.watch(monkeypatch)

    async def accounts() -> list[Account]:
        return [DESK_A, *MANY]

    world.watchman = type(world.watchman)(
        *(world.clock, world.resolver, world.continuity, accounts, world.log), chance=lambda: 0.5
    )
    return world, counted


async def left_unknown(world: World) -> Record:
    world.sender.on_cancel = [Unclear("HTML"), Settled(Outcome.CANCELLED)]
    await world.pipeline.cancel(world.ask())
    return world.records.one()


@on_virtual_time
async def test_nobody_is_called_at_where_nothing_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world, counted = world_of_many(monkeypatch)
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(30)

    assert not counted.calls
    assert 25 <= len(counted.asked) <= 35
    walk.cancel()


@on_virtual_time
async def test_only_he_is_called_at_who_has_something_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world, counted = world_of_many(monkeypatch)
    await left_unknown(world)
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(30)

    assert world.records.one().outcome is Outcome.CANCELLED
    assert world.meter.unknown == {DESK_A: 0}
    assert counted.calls.keys() == {DESK_A}
    assert counted.calls[DESK_A] < 6
    walk.cancel()


@on_virtual_time
async def test_what_another_replica_has_settled_is_no_longer_told_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = world_of_many(monkeypatch)
    world.sender.on_read = [Seen(OrderState.OPEN)]
    record = await left_unknown(world)
    walk = asyncio.create_task(world.watchman.walk())
    await asyncio.sleep(3.5)
    assert world.meter.unknown == {DESK_A: 1}

    cancelled = Settlement(State.TERMINAL, Outcome.CANCELLED, b"", world.clock.now_ms(), attempts=1)
    assert await world.records.settle(record.id, world.records.one().fence, cancelled)
    await asyncio.sleep(3)

    assert world.meter.unknown == {DESK_A: 0}
    walk.cancel()


@on_virtual_time
async def test_the_same_accounts_are_asked_about_with_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked every second is written down anew only where an account came or went."""
    world, counted = world_of_many(monkeypatch)
    walk = asyncio.create_task(world.watchman.walk())

    await asyncio.sleep(3 * ACCOUNTS_EVERY_S)

    assert len({id(asked) for asked in counted.asked}) == 1
    walk.cancel()


@on_virtual_time
async def test_a_store_that_cannot_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world, counted = world_of_many(monkeypatch)
    await left_unknown(world)
    world.records.down.add("awaited")
    walk = asyncio.create_task(world.watchman.walk())
    await asyncio.sleep(5)
    assert not counted.calls

    world.records.down.clear()
    await asyncio.sleep(5)

    assert world.records.one().outcome is Outcome.CANCELLED
    walk.cancel()
