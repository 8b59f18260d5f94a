"""A thousand accounts: the store is asked as often as needed, a few at a time, and left alone while it is down."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from credential_fakes import HandClock, HandSender, let_run
from plain_venue import ID, PLAIN

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.credentials.reads import QUIET_AT_ONCE, URGENT_AT_ONCE
from gateway.backends.credentials.store import Material, Stored
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable, Unlocked
from gateway.venues.base import Site

ACCOUNTS = [Account(ID, f"desk-{number}") for number in range(1000)]


class BusyStore:
    """Takes a moment for each read, and counts who is there at once."""

    def __init__(self) -> None:
        self.reads = self.at_once = self.most_at_once = 0
        self.down = False

    async def read(self, account: Account) -> Stored:
        del account
        self.reads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self.down:
            raise Unavailable("busy store", "down")
        return Material({"key": "k1"}, "1")

    async def names(self, venue: VenueId) -> Sequence[str]:
        del venue
        return ()

    async def aclose(self) -> None:
        self.down = True


@pytest.fixture
async def store() -> BusyStore:
    return BusyStore()


@pytest.fixture
async def keeper(store: BusyStore) -> AsyncIterator[CredentialKeeper]:
    served = {ID: Served(PLAIN, Site("https://venue.example"), 2000)}
    clock = SystemClock()
    made = CredentialKeeper(served, store, HandSender(HandClock()), clock, Freshness(1.0, 60.0), lambda *_: None)
    yield made
    await made.aclose()


async def _unlock_all(keeper: CredentialKeeper) -> int:
    found = await asyncio.gather(*(keeper.unlock(account) for account in ACCOUNTS))
    return sum(isinstance(each, Unlocked) for each in found)


async def test_start_reads_each_once_and_a_few_at_a_time(keeper: CredentialKeeper, store: BusyStore) -> None:
    usable = await _unlock_all(keeper)

    assert (usable, store.reads) == (len(ACCOUNTS), len(ACCOUNTS))
    assert store.most_at_once <= URGENT_AT_ONCE


async def test_refresh_reads_each_about_once_an_interval_and_fewer_at_a_time(
    keeper: CredentialKeeper, store: BusyStore
) -> None:
    await _unlock_all(keeper)
    store.reads = store.most_at_once = 0

    await asyncio.sleep(2)

    assert len(ACCOUNTS) * 0.5 < store.reads <= len(ACCOUNTS) * 2 / 0.75
    assert store.most_at_once <= QUIET_AT_ONCE


async def test_outage_is_asked_after_once_a_second_and_all_go_on(keeper: CredentialKeeper, store: BusyStore) -> None:
    await _unlock_all(keeper)
    store.down = True
    await asyncio.sleep(1.2)
    store.reads = store.most_at_once = 0

    usable = await _unlock_all(keeper)
    await asyncio.sleep(1.5)

    assert usable == len(ACCOUNTS)
    assert store.reads <= 4
    assert store.most_at_once <= QUIET_AT_ONCE


async def test_store_that_is_down_at_the_start_is_not_asked_a_thousand_times(
    keeper: CredentialKeeper, store: BusyStore
) -> None:
    store.down = True

    usable = await _unlock_all(keeper)
    await let_run()

    assert (usable, store.reads <= URGENT_AT_ONCE) == (0, True)
