"""Wishes and settlements for tests of records on a real server."""

from real_valkey import Server

from gateway.backends.admittance import Admittance
from gateway.backends.clock import SystemClock
from gateway.backends.records import RedisRecords
from gateway.backends.redis.scripts import Lost, ignore_loss
from gateway.core import keys
from gateway.core.admission import Demand
from gateway.core.idempotency import Claim, Settlement, State, record_id
from gateway.core.model import Account, By, Cancel, OrderRef, VenueId
from gateway.core.outcome import Outcome

ACCOUNT = Account(VenueId("venue"), "desk a")
AT_MS = 1_790_000_000_000
LEASE_MS = 5000
TTL_SECONDS = 600
ONE = Demand("cancel", ACCOUNT, tokens=2, window_us=200_000, weight=1, keep=2)


def admittance(lost: Lost = ignore_loss) -> Admittance:
    return Admittance(SystemClock(), ahead=0, lost=lost)


def wish(number: int, ref: str = "order-1", key: str | None = None, symbol: str | None = None) -> Claim:
    return Claim(
        id=record_id(AT_MS, number.to_bytes(10, "big"), ACCOUNT),
        cancel=Cancel(ACCOUNT, OrderRef(By.ORDER_ID, ref, symbol)),
        caller="desk",
        key=key,
        request_id=f"req-{number}",
        at_ms=AT_MS,
        lease_ms=LEASE_MS,
    )


def settled(state: State, outcome: Outcome = Outcome.CANCELLED) -> Settlement:
    return Settlement(state, outcome, b'{"a":\x00\xff}', AT_MS + 9, attempts=2)


def run_out(valkey: Server, claim: Claim) -> None:
    """Let a record's lease end now, and with it what Redis itself ends then."""
    valkey.client.hset(keys.record(claim.id), "lease_until_ms", 1)


async def state_of(records: RedisRecords, claim: Claim) -> State | None:
    record = await records.get(claim.id)
    return None if record is None else record.state
