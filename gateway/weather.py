"""What stands against sending to a venue at all, as far as this process knows. Limits are the slots' matter."""

from dataclasses import dataclass

from gateway.breakers import Breakers
from gateway.core.breaker import BreakerScope
from gateway.core.model import Account, Lane
from gateway.core.outcome import Outcome, Settled, Untimely, Verdict
from gateway.core.shut import Shut
from gateway.core.wire import Reply, SendResult
from gateway.offsets import Offsets


@dataclass(frozen=True, slots=True)
class Weather:
    """The breakers and the clocks."""

    breakers: Breakers
    offsets: Offsets

    def against(self, account: Account, version: str, lane: Lane) -> Shut | None:
        """Asked before a slot is taken, so that none is burnt."""
        return self.offsets.knock(account.venue) or self.breakers.knock(account, version, lane)

    def standing(self, account: Account) -> Outcome | None:
        """What a cancel would be told now, looked at without knocking."""
        waits_ms = self.breakers.shut_ms(account)
        if self.offsets.standing()[account.venue][0] == "refused" or waits_ms.get(BreakerScope.HOST):
            return Outcome.VENUE_UNAVAILABLE
        return Outcome.VENUE_AUTH if waits_ms.get(BreakerScope.CREDENTIAL) else None

    def judged(self, account: Account, version: str, verdict: Verdict, result: SendResult, left: float) -> None:
        """What an answer says of the credential, and of our clock."""
        if not isinstance(result, Reply):
            return
        self.breakers.judged(account, version, verdict)
        if isinstance(verdict, Untimely) or (isinstance(verdict, Settled) and self.offsets.refuses(account.venue)):
            self.offsets.certain(account.venue, left, self.offsets.now(), result)
