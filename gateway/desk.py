"""One served venue, as configured: what it is, and what each request spends there. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Charge, Demand, Fare, Quota, Spending
from gateway.core.model import Account, By, Op, Scope
from gateway.venues.base import Venue

LEASE_MARGIN_MS = 1000


@dataclass(frozen=True, slots=True)
class Desk:
    """A venue with its limits in force. `reserve` tokens of each account limit are kept for urgent and kill."""

    venue: Venue
    quotas: Mapping[str, Quota]
    reserve: int
    timeout_ms: int
    default_account: str | None = None
    batching: bool = True
    cancel_all: bool = True
    _known: dict[tuple[Account, Op, By], Fare] = field(default_factory=dict, repr=False)

    def lease_ms(self, work_ms: int) -> int:
        """How long a record is somebody's who needs so long for it: one attempt may begin at the very end."""
        return work_ms + self.timeout_ms + LEASE_MARGIN_MS

    def fare(self, account: Account, op: Op, by: By) -> Fare:
        """What one request costs, alone and in a batch, under every limit that it is linked to."""
        which = (account, op, by)
        if (known := self._known.get(which)) is None:
            known = self._known[which] = self._fare(account, op, by)
        return known

    def _fare(self, account: Account, op: Op, by: By) -> Fare:
        key = f"{account.venue}:{account.name}:{op}:{by}"
        single = self._spending(account, self.venue.charges(op, by))
        charged = self.venue.charges(Op.BATCH, by)
        if op is not Op.CANCEL or not self.batching or not self.venue.batch_most or not charged:
            return Fare(key, single)
        batch = self._spending(account, charged)
        return Fare(key, single, batch, self.venue.batch_most, _batch_from(single, batch))

    def _spending(self, account: Account, charges: tuple[Charge, ...]) -> Spending:
        urgent = tuple(self._demand(account, charge, held_back=0) for charge in charges)
        normal = tuple(self._demand(account, charge, held_back=self._held_back(charge)) for charge in charges)
        return Spending(normal, urgent)

    def _held_back(self, charge: Charge) -> int:
        """The reserve is kept where an urgent single cancel would spend it; nowhere else does it help anybody."""
        singles = {charge.limit for by in By for charge in self.venue.charges(Op.CANCEL, by)}
        return self.reserve if charge.limit in singles else 0

    def _demand(self, account: Account, charge: Charge, held_back: int) -> Demand:
        quota = self.quotas[charge.limit]
        return Demand(
            limit=charge.limit,
            holder=holder(account, quota.scope),
            tokens=max(charge.weight, quota.tokens - held_back),
            keep=quota.tokens,
            window_us=(quota.per_ms + quota.guard_ms) * 1000,
            weight=charge.weight,
            guard_us=quota.guard_ms * 1000,
        )


def _batch_from(single: Spending, batch: Spending) -> int:
    """From how many cancels on a batch is cheaper: where both spend the same tokens, by weight; else from two."""
    weights = {demand.limit: demand.weight for demand in single.urgent}
    return (
        max((demand.weight // weights[demand.limit] for demand in batch.urgent if demand.limit in weights), default=1)
        + 1
    )


def holder(account: Account, scope: Scope) -> Account:
    """Whose tokens these are; all replicas are taken to leave by one address, which errs on the safe side."""
    return account if scope is Scope.ACCOUNT else Account(account.venue, f"@{scope}")
