"""What a venue's refusals close, on every replica at once (ports.Gates): what `core/gate.py` says, kept in Redis."""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.backends.admittance import PROBE_US, gated, odd
from gateway.backends.redis.link import Argument, Link, Reply
from gateway.backends.redis.scripts import CLOSE, REOPEN, SERVER_TIME, STANDING, Script, gate_keys
from gateway.core import keys
from gateway.core.admission import Gated
from gateway.core.gate import DOUBLINGS_MOST, SCOPES, Closure, holders
from gateway.core.model import Account, VenueId
from gateway.core.outcome import Throttled

US_PER_MS = 1000
NO_FLOORS: Mapping[VenueId, int] = {}


class RedisGates:
    """The gates that all replicas share, by the server's time.

    `floors_ms` is the least time per venue, for which a limit's window is a good one: nothing comes back before.
    """

    def __init__(self, link: Link, floors_ms: Mapping[VenueId, int] = NO_FLOORS, probe_us: int = PROBE_US) -> None:
        self._link = link
        self._floors_ms = floors_ms
        self._probe_us = probe_us

    async def close(self, account: Account, refusal: Throttled) -> int:
        """Shut the scope that the venue named; how many ms from now it may be tried again."""
        stated_us = None if refusal.retry_after_ms is None else max(0, refusal.retry_after_ms) * US_PER_MS
        closure = Closure(refusal.banned, stated_us, self._floors_ms.get(account.venue, 0) * US_PER_MS)
        arguments = (
            *(SERVER_TIME, int(closure.banned), "" if stated_us is None else stated_us),
            *(closure.least_us, closure.usual_us, closure.most_us, DOUBLINGS_MOST),
        )
        holder = holders(account)[SCOPES.index(refusal.scope)]
        match await self._link.run(CLOSE, (keys.gate(holder),), arguments):
            case int(wait_us):
                return -(-wait_us // US_PER_MS)
            case _:
                raise odd()

    async def reopen(self, account: Account) -> None:
        """A probe was let in: every gate that it went through is open again."""
        await self._run(REOPEN, account, SERVER_TIME)

    async def standing(self, account: Account) -> Sequence[Gated]:
        """The gates that are closed for this account now."""
        answers = await self._run(STANDING, account, SERVER_TIME, self._probe_us)
        return [shut for place, said in answers for shut in _shut(place, said)]

    async def _run(self, script: Script, account: Account, *arguments: Argument) -> Sequence[tuple[int, Reply]]:
        """One call for all gates; on a cluster, where each lies in a slot of its own, one for each."""
        gates = gate_keys(account, len(SCOPES))
        groups = tuple((gate,) for gate in gates) if self._link.is_cluster else (gates,)
        replies = await asyncio.gather(*(self._link.run(script, group, arguments) for group in groups))
        return list(enumerate(replies))


def _shut(first: int, said: Reply) -> Sequence[Gated]:
    """What STANDING said of the gates from the first one on."""
    if not isinstance(said, list):
        raise odd()
    words = [word for word in said if isinstance(word, int)]
    return [gated(first + place, *each) for place, *each in zip(words[::3], words[1::3], words[2::3], strict=True)]
