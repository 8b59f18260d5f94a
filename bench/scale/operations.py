"""What each call to Redis costs the server: microseconds of its CPU, by the gateway's own limiter and records."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from bench.side_by_side.stage import cpu_us
from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.limiter import RedisLimiter
from gateway.backends.records import RedisRecords
from gateway.backends.redis.link import Link
from gateway.core.admission import Demand, Slot
from gateway.core.idempotency import Claim, Fresh, RecordId, Settlement, State, record_id
from gateway.core.model import Account, By, Cancel, OrderRef, VenueId
from gateway.core.outcome import Outcome

ACCOUNTS, EACH, WINDOW_US, FAR_US = 200, 8, 1_020_000, 3_600_000_000
BODY = b'{"outcome":"cancelled","final":true}' + b" " * 300
Steps = dict[str, float]
Call = Callable[[], Awaitable[object]]


def operations_us(socket: Path, redis_pid: int) -> Steps:
    """Per call of each kind; limits are rings of ten, as most venues have them."""
    return uvloop.run(_measured(socket, redis_pid))


async def _measured(socket: Path, redis_pid: int) -> Steps:
    clock = SystemClock()
    async with AsyncExitStack() as ends:
        link = Link(f"unix://{socket}", 5000)
        ends.push_async_callback(link.aclose)
        admittance = Admittance(clock, 2)
        limiter = RedisLimiter(link, admittance, lambda *_: None)
        records = RedisRecords(link, 600, admittance)
        demands = [(demand_of(Account(VenueId("hashkey"), f"op-{number}")),) for number in range(ACCOUNTS)]
        await asyncio.gather(*(limiter.arm(each) for each in demands))
        await asyncio.sleep(2.1)  # what is new is held for a window
        bench = Bench(redis_pid)
        claims = [claim_of(each[0].holder) for each in demands for _ in range(EACH)]
        fresh = await bench.each("claim", [_claiming(records, claim) for claim in claims])
        pairs = [(claim.id, one.fence) for claim, one in zip(claims, fresh, strict=True) if isinstance(one, Fresh)]
        at_ms = clock.now_ms()
        await bench.each("mark_sent", [_marking(records, record, fence, at_ms) for record, fence in pairs])
        await bench.each("settle", [_settling(records, record, fence, at_ms) for record, fence in pairs])
        taken = await bench.each("reserve", [_reserving(limiter, each) for each in demands for _ in range(EACH)])
        slots = [slot for one in taken if isinstance(one, tuple) for slot in one]
        await bench.each("confirm", [_of(limiter.confirm, slot) for slot in slots])
        await bench.each("give_back", [_of(limiter.give_back, slot) for slot in slots])
        await asyncio.sleep(1.1)
        again = [claim_of(each[0].holder) for each in demands for _ in range(EACH)]
        await bench.each(
            "claim with a slot", [_claiming(records, claim, demand_of(claim.cancel.account)) for claim in again]
        )
        return bench.found


class Bench:
    """Runs calls and watches the server's CPU."""

    def __init__(self, redis_pid: int) -> None:
        self.found: Steps = {}
        self._pid = redis_pid

    async def each(self, name: str, calls: list[Call]) -> list[object]:
        """Sixteen at a time; what they gave."""
        before, said = cpu_us([self._pid]), []
        for start in range(0, len(calls), 16):
            said += await asyncio.gather(*(call() for call in calls[start : start + 16]))
        self.found[name] = (cpu_us([self._pid]) - before) / len(calls)
        return said


def demand_of(holder: Account) -> Demand:
    return Demand("cancel", holder, 10, WINDOW_US, 1, 10, 20_000)


def claim_of(account: Account) -> Claim:
    order, at_ms = OrderRef(By.ORDER_ID, str(secrets.randbelow(10**18)), None), SystemClock().now_ms()
    record = record_id(at_ms, secrets.token_bytes(10), account)
    return Claim(record, Cancel(account, order), "bench", None, "request-0123456789", at_ms, 10_000)


def _claiming(records: RedisRecords, claim: Claim, *demands: Demand) -> Call:
    return lambda: records.claim(claim, demands, 0)


def _marking(records: RedisRecords, record: RecordId, fence: int, at_ms: int) -> Call:
    return lambda: records.mark_sent(record, fence, at_ms)


def _settling(records: RedisRecords, record: RecordId, fence: int, at_ms: int) -> Call:
    return lambda: records.settle(record, fence, Settlement(State.TERMINAL, Outcome.CANCELLED, BODY, at_ms))


def _reserving(limiter: RedisLimiter, demands: tuple[Demand, ...]) -> Call:
    return lambda: limiter.reserve(demands, FAR_US)


def _of(verb: Callable[[Slot], Awaitable[object]], slot: Slot) -> Call:
    return lambda: verb(slot)
