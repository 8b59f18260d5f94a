"""One cancel on its way through the pipeline: what is known of it so far. A value that grows; no I/O."""

from dataclasses import dataclass, field

from gateway.core.admission import Demand, Fare
from gateway.core.answer import Answer, Asked, Standing
from gateway.core.idempotency import Claim, RecordId, record_id
from gateway.core.model import Account, Op, OrderRef
from gateway.core.outcome import Settled
from gateway.core.shut import Shut
from gateway.desk import Desk
from gateway.dispatch import Patience, Seat
from gateway.gangway import Gangway
from gateway.line import URGENT_LANES, Boarding
from gateway.ports import Unlocked

MS_PER_S, US_PER_MS = 1000, 1000


@dataclass(slots=True)
class Course:
    """Who asked for what, with which credential, and how far it came."""

    asked: Asked
    desk: Desk
    unlocked: Unlocked
    patience: Patience
    claim: Claim | None = None
    record: RecordId | None = None
    fence: int = 0
    boarding: Boarding | None = None
    shut: Shut | None = None
    attempts: int = 0
    retries: int = 0
    may_have_left: bool = False
    given_up: bool = False
    batch: int = 0
    waited_s: float = 0.0
    venue_s: float | None = None
    acknowledged: Settled | None = None
    degraded: bool = False
    sent_ms: int = 0
    gangway: Gangway | None = None

    account: Account = field(init=False)
    order: OrderRef = field(init=False)
    fare: Fare = field(init=False)

    def __post_init__(self) -> None:
        """Whose order it is, the order that has to go, and what the cancel costs."""
        self.account, self.order = self.asked.cancel.account, self.asked.cancel.order
        self.fare = self.desk.fare(self.account, Op.CANCEL, self.order.by)

    @property
    def demands(self) -> tuple[Demand, ...]:
        """What it costs alone, as its own lane sees the limits."""
        single = self.fare.single
        return single.urgent if self.asked.lane in URGENT_LANES else single.normal

    @property
    def seat(self) -> Seat:
        """Its place in the line."""
        asked = self.asked
        return Seat(self.account, self.fare, asked.lane, asked.caller, asked.weight, asked.deadline, self.patience)

    def departs(self) -> bool:
        """The moment before bytes leave; False where the caller has been told that nothing was sent."""
        self.may_have_left |= not self.given_up
        if self.gangway is not None:
            self.gangway.in_time()
            self.go_ashore()
        return not self.given_up

    def go_ashore(self) -> None:
        """Leave the gangway to the next, wherever that was not done yet."""
        if self.gangway is not None:
            self.gangway.leave()
            self.gangway = None

    def left_s(self, now: float) -> float:
        """Seconds until the answer is of no use; never negative."""
        return max(0.0, self.asked.deadline - now)

    def new_claim(self, now_ms: int, now: float, noise: bytes) -> Claim:
        """The wish as it is written down; the lease outlives the deadline and one attempt."""
        return Claim(
            id=record_id(now_ms, noise, self.account),
            cancel=self.asked.cancel,
            caller=self.asked.caller,
            key=self.asked.key,
            request_id=self.asked.request_id,
            at_ms=now_ms,
            lease_ms=self.desk.lease_ms(int(self.left_s(now) * MS_PER_S)),
        )

    def answer(self, settled: Settled, *, detail: str | None = None, retry_after_ms: int | None = None) -> Answer:
        """What is told to the caller."""
        return Answer(
            settled.outcome,
            settled.facts,
            detail,
            record=self.record,
            attempts=self.attempts,
            batch=self.batch,
            waited_ms=self.waited_s * MS_PER_S,
            venue_ms=None if self.venue_s is None else self.venue_s * MS_PER_S,
            retry_after_ms=retry_after_ms,
            degraded=self.degraded,
            standing=self._standing(retry_after_ms),
        )

    def _standing(self, retry_after_ms: int | None) -> Standing | None:
        """How the limit stands that the slot came from, or that no slot came from."""
        if self.boarding is None:
            return None if retry_after_ms is None else self._told(self.demands[0].limit, 0, retry_after_ms)
        slot = self.boarding.slot
        if slot.free is None:
            return None
        return self._told(slot.demands[0].limit, slot.free, -(-(slot.reset_us or 0) // US_PER_MS))

    def _told(self, limit: str, free: int, reset_ms: int) -> Standing:
        quota = self.desk.quotas[limit]
        return Standing(limit, quota.tokens, quota.per_ms, free, reset_ms)
