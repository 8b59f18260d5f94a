"""One served venue, as configured: what it is, and what each request spends there. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Demand, Quota, Spending
from gateway.core.model import Account, By, Op, Scope
from gateway.venues.base import Venue


@dataclass(frozen=True, slots=True)
class Desk:
    """A venue with its limits in force. `reserve` tokens of each account limit are kept for urgent and kill."""

    venue: Venue
    quotas: Mapping[str, Quota]
    reserve: int
    timeout_ms: int
    default_account: str | None = None
    _known: dict[tuple[Account, Op, By], Spending] = field(default_factory=dict, repr=False)

    def spending(self, account: Account, op: Op, by: By) -> Spending:
        """What one request costs, under every limit that it is linked to."""
        which = (account, op, by)
        if (known := self._known.get(which)) is None:
            held_back = 0 if op is Op.READ else self.reserve
            normal, urgent = (tuple(self._demands(*which, held)) for held in (held_back, 0))
            known = self._known[which] = Spending(normal, urgent)
        return known

    def _demands(self, account: Account, op: Op, by: By, held_back: int) -> Iterator[Demand]:
        for charge in self.venue.charges(op, by):
            quota = self.quotas[charge.limit]
            yield Demand(
                limit=charge.limit,
                holder=holder(account, quota.scope),
                tokens=max(charge.weight, quota.tokens - held_back),
                keep=quota.tokens,
                window_us=(quota.per_ms + quota.guard_ms) * 1000,
                weight=charge.weight,
            )


def holder(account: Account, scope: Scope) -> Account:
    """Whose tokens these are; all replicas are taken to leave by one address, which errs on the safe side."""
    return account if scope is Scope.ACCOUNT else Account(account.venue, f"@{scope}")
