"""One served venue, as configured: what it is, and what each request spends there. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.admission import Demand, Quota
from gateway.core.model import Account, By, Lane, Op, Scope
from gateway.venues.base import Venue

PRIVILEGED = frozenset({Lane.KILL, Lane.URGENT})


@dataclass(frozen=True, slots=True)
class Desk:
    """A venue with its limits in force. `reserve` tokens of each account limit are kept for urgent and kill."""

    venue: Venue
    quotas: Mapping[str, Quota]
    reserve: int
    timeout_ms: int
    default_account: str | None = None
    _known: dict[tuple[Account, Op, By, bool], tuple[Demand, ...]] = field(default_factory=dict, repr=False)

    def demands(self, account: Account, op: Op, by: By, lane: Lane) -> tuple[Demand, ...]:
        """What one request spends, under every limit that it is linked to."""
        which = (account, op, by, lane in PRIVILEGED)
        if (known := self._known.get(which)) is None:
            known = self._known[which] = tuple(self._demands(*which))
        return known

    def _demands(self, account: Account, op: Op, by: By, privileged: bool) -> list[Demand]:  # noqa: FBT001  a dict key
        held_back = 0 if privileged or op is Op.READ else self.reserve
        found = []
        for charge in self.venue.charges(op, by):
            quota = self.quotas[charge.limit]
            found.append(
                Demand(
                    limit=charge.limit,
                    holder=holder(account, quota.scope),
                    tokens=max(charge.weight, quota.tokens - held_back),
                    keep=quota.tokens,
                    window_us=(quota.per_ms + quota.guard_ms) * 1000,
                    weight=charge.weight,
                )
            )
        return found


def holder(account: Account, scope: Scope) -> Account:
    """Whose tokens these are; all replicas are taken to leave by one address, which errs on the safe side."""
    return account if scope is Scope.ACCOUNT else Account(account.venue, f"@{scope}")
