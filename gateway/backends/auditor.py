"""Watches what really leaves, by venue. It never stands in anyone's way: the limiter decides, this only counts."""

from collections.abc import Mapping

from gateway.core.admission import Demand, Quota
from gateway.core.audit_window import SECOND_US, WindowAudit
from gateway.core.model import Account, VenueId


class Auditor:
    """One WindowAudit per limit and holder; who holds what is settled by the configuration, so this does not grow."""

    def __init__(self, quotas: Mapping[VenueId, Mapping[str, Quota]]) -> None:
        self._quotas = quotas
        self._audits: dict[VenueId, dict[tuple[Account, str], WindowAudit]] = {venue: {} for venue in quotas}

    def sent(self, demands: tuple[Demand, ...], at: float) -> None:
        """A request with these demands leaves at `at` (monotonic seconds)."""
        at_us = int(at * SECOND_US)
        for demand in demands:
            audits = self._audits[demand.holder.venue]
            key = (demand.holder, demand.limit)
            if (audit := audits.get(key)) is None:
                audit = audits[key] = WindowAudit(self._quotas[demand.holder.venue][demand.limit])
            audit.sent(at_us, demand.weight)

    def peak(self, venue: VenueId, at: float) -> float:
        """The fullest window of any of a venue's limits lately, as a part of that limit."""
        at_us = int(at * SECOND_US)
        return max((audit.peak(at_us) for audit in self._audits[venue].values()), default=0.0)
