"""What a credential costs: the unlock of a cached one, and 1,000 accounts at a real OpenBao. `python bench/unlock.py`.

Counted at the store: reads at the start, reads in five refresh intervals, the most at once, and those of an outage.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from credential_fakes import HandClock, HandSender
from plain_venue import ID, PLAIN
from real_bao import Bao, bao_server
from store_rigs import VaultRig

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.credentials.store import Store, Stored
from gateway.core.model import Account, VenueId
from gateway.ports import Unlocked
from gateway.venues.base import Site

ACCOUNTS, REFRESH_S, INTERVALS, OUTAGE_S = 1000, 4.0, 5, 8.0
ROUNDS = 200_000


class Counting:
    """A store that is watched."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads = self.at_once = self.most_at_once = 0

    async def read(self, account: Account) -> Stored:
        self.reads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.store.read(account)
        finally:
            self.at_once -= 1

    async def names(self, venue: VenueId) -> Sequence[str]:
        return await self.store.names(venue)

    async def aclose(self) -> None:
        await self.store.aclose()


async def measure(bao: Bao) -> None:
    rig = VaultRig(bao)
    accounts = [Account(ID, f"desk-{number}") for number in range(ACCOUNTS)]
    for account in accounts:
        rig.put(account, {"key": "k1"})
    store = Counting(rig.open())
    served = {ID: Served(PLAIN, Site("https://venue.example"), 2000)}
    freshness = Freshness(REFRESH_S, 600.0, read_most_s=1.0)
    keeper = CredentialKeeper(served, store, HandSender(HandClock()), SystemClock(), freshness, lambda *_: None)

    began = time.perf_counter()
    await asyncio.gather(*(keeper.unlock(account) for account in accounts))
    _tell("start", store, time.perf_counter() - began)
    await _rest(store, "refreshes", INTERVALS * REFRESH_S)
    await _unlock_cost(keeper, accounts[0])
    rig.lose()
    await _rest(store, "outage", OUTAGE_S)
    served_through = [isinstance(await keeper.unlock(account), Unlocked) for account in accounts]
    print(f"  usable in the outage: {sum(served_through)} of {ACCOUNTS}")
    rig.find()
    began = time.perf_counter()
    while any(keeper.condition(account).word != "ok" for account in accounts):  # noqa: ASYNC110  nothing rings a bell
        await asyncio.sleep(0.01)
    _tell("back", store, time.perf_counter() - began)
    await keeper.aclose()


async def _rest(store: Counting, what: str, seconds: float) -> None:
    busy = time.process_time()
    await asyncio.sleep(seconds)
    _tell(what, store, seconds)
    print(f"  CPU: {(time.process_time() - busy) / seconds:.1%} of a core")


def _tell(what: str, store: Counting, seconds: float) -> None:
    print(f"{what}: {store.reads} reads in {seconds:.1f} s, at most {store.most_at_once} at once")
    store.reads = store.most_at_once = 0


async def _unlock_cost(keeper: CredentialKeeper, account: Account) -> None:
    began = time.perf_counter()
    for _ in range(ROUNDS):
        await keeper.unlock(account)
    unlock_us = (time.perf_counter() - began) / ROUNDS * 1e6
    print(f"unlock of a cached credential: {unlock_us:.2f} µs; {_empty_us():.2f} µs of it for the loop and the call")


def _empty_us(rounds: int = ROUNDS, nothing: Callable[[], None] = lambda: None) -> float:
    began = time.perf_counter()
    for _ in range(rounds):
        nothing()
    return (time.perf_counter() - began) / rounds * 1e6


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, bao_server(Path(folder)) as server:
        asyncio.run(measure(server))
