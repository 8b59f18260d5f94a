"""A market-wide cancel storm, on virtual time: everybody cancels everything at once. The code is the gateway's own.

An account's limits are its own, so accounts meet nowhere but in their shard of Redis. A few hundred accounts are
therefore played one by one, each with all replicas: real dispatchers and lines over the real ledger
(core/ledger.py, the reference of the Lua scripts), each call to Redis taking `trip_s`. What they ask of Redis, second
by second, is multiplied by the number of accounts (shards.py). Everything but the ledger's host is the product's.
"""

import asyncio
import math
import random
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from fake_store import FakeLimiter
from virtual_time import VirtualLoop, loop_clock

from gateway.core.admission import Fare, Slot
from gateway.core.model import Account, By, Lane, Op, VenueId
from gateway.desk import Desk
from gateway.dispatch import Bounds, Dispatcher, Seat
from gateway.line import Boarding
from gateway.venues import ALL

HASHKEY, ORDERLY = VenueId("hashkey"), VenueId("orderly")
PATIENCE_S = 3600.0
STEP_S = 0.1
CLAIM, ADMITTING = "claim", "claim with a slot"
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Storm:
    """Who cancels what: `orders` is the median of open orders of an account, whose spread is wide."""

    accounts: int = 100_000
    replicas: int = 200
    shards: int = 64
    orders: int = 30
    venue: VenueId = HASHKEY
    trip_s: float = 0.001
    batching: bool = False
    sticky: bool = False


@dataclass(slots=True)
class Played:
    """One account: its cancels, when the last left, and what Redis was asked for in each tenth of a second."""

    cancels: int
    drained_s: float
    least_s: float
    requests: int
    calls: Counter[tuple[int, str]] = field(default_factory=Counter)


class CountingLimiter(FakeLimiter):
    """The ledger, which notes when it was asked for what."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(loop_clock())
        self.began = self.clock.monotonic()
        self.trip_s = storm.trip_s
        self.asked: Counter[tuple[int, str]] = Counter()

    async def _call(self, verb: str) -> None:
        self.note(verb)
        await super()._call(verb)

    def note(self, verb: str) -> None:
        self.asked[int((self.clock.monotonic() - self.began) / STEP_S), verb] += 1


def open_orders(storm: Storm, chance: random.Random) -> int:
    """Most accounts have some, a few have hundreds."""
    return min(1000, max(1, round(math.exp(chance.gauss(math.log(storm.orders), 1.0)))))


def play(storm: Storm, cancels: int, seed: int) -> Played:
    """One account's storm from the first to the last cancel."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_account(storm, cancels, random.Random(seed)))  # noqa: S311  a model


async def _account(storm: Storm, cancels: int, chance: random.Random) -> Played:
    limiter, account = CountingLimiter(storm), Account(storm.venue, "one")
    fare = fare_of(storm, account)
    await limiter.arm(fare.single.normal + (fare.batch.normal if fare.batch else ()))
    limiter.asked.clear()
    replicas: dict[int, Dispatcher] = {}
    carried: list[tuple[float, int]] = []
    home = chance.randrange(storm.replicas)
    work = []
    for _ in range(cancels):
        at = home if storm.sticky else chance.randrange(storm.replicas)
        dispatcher = replicas.setdefault(
            at, Dispatcher(limiter, limiter.clock, Bounds(10_000, 10_000), lambda *_: None)
        )
        work.append(
            _cancel(storm, dispatcher, limiter, Seat(account, fare, Lane.NORMAL, "desk", 1, _late(limiter)), carried)
        )
    await asyncio.gather(*work)
    await asyncio.gather(*(dispatcher.aclose() for dispatcher in replicas.values()))
    drained = max(at for at, _ in carried) - limiter.began - storm.trip_s
    requests = sum(1 for _, first in carried if first)
    return Played(cancels, drained, least_s(fare, cancels), requests, limiter.asked)


def _late(limiter: CountingLimiter) -> float:
    return limiter.clock.monotonic() + PATIENCE_S


async def _cancel(
    storm: Storm, dispatcher: Dispatcher, limiter: CountingLimiter, seat: Seat, carried: list[tuple[float, int]]
) -> None:
    """What the pipeline asks for one cancel: the claim, which has the slot in it where nobody waits; else the line."""
    waits = dispatcher.must_wait(seat.fare, seat.lane)
    await asyncio.sleep(storm.trip_s)
    taken = None if waits else limiter.take_at_once(seat.fare.single.normal, 0)
    limiter.note(ADMITTING if isinstance(taken, Slot) else CLAIM)
    if isinstance(taken, Slot):
        carried.append((limiter.clock.monotonic(), 1))
        limiter.note("settle")
        return
    boarding = await dispatcher.admit(seat)
    assert isinstance(boarding, Boarding), boarding
    limiter.note("mark_sent")
    await asyncio.sleep(max(0.0, boarding.slot.matures_at - limiter.clock.monotonic()))
    party = boarding.party
    first = party is None or not any(at == limiter.clock.monotonic() for at, _ in carried)
    carried.append((limiter.clock.monotonic(), int(first)))
    limiter.note("settle")


def fare_of(storm: Storm, account: Account) -> Fare:
    """As the venue ships it."""
    venue = next(known for known in ALL if known.id == storm.venue)
    desk = Desk(venue, venue.quotas, 0, 2000, batching=storm.batching)
    return desk.fare(account, Op.CANCEL, By.ORDER_ID)


def least_s(fare: Fare, cancels: int) -> float:
    """When the last can leave at the earliest: whole windows, since spent tokens come back one window later.

    As many as the limit has go at once, alone; what is left then may go in full batches.
    """
    (single,) = fare.single.normal
    left = cancels - single.tokens
    if left <= 0:
        return 0.0
    if fare.batch is None:
        return math.ceil(left / single.tokens) * single.window_us / US_PER_S
    batch, requests = fare.batch.normal[-1], math.ceil(left / fare.batch_most)
    shares = any(demand.limit == single.limit for demand in fare.batch.normal)
    windows = math.ceil(requests * batch.weight / batch.tokens)
    return (windows if shares else windows - 1) * batch.window_us / US_PER_S


def sample(storm: Storm, count: int) -> list[Played]:
    """So many accounts, drawn as the storm says; the same for the same storm."""
    chance = random.Random(7)  # noqa: S311  a model
    return [play(storm, open_orders(storm, chance), seed) for seed in range(count)]


def calls_of(played: list[Played]) -> Mapping[str, int]:
    """What the sampled accounts asked of Redis in all."""
    found: Counter[str] = Counter()
    for one in played:
        for (_, verb), count in one.calls.items():
            found[verb] += count
    return found
