"""Whether Redis would do what is asked of it now: a PING is answered by many a server that refuses every write."""

import asyncio
from collections.abc import Iterable

from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import REHEARSE
from gateway.core import keys
from gateway.core.model import Account


class Rehearsal:
    """Tries all commands of the scripts beside the data of given holders, and where idempotency keys lie."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def __call__(self, holders: Iterable[Account]) -> None:
        """Raise Unavailable with what Redis says: out of memory, read-only, too few replicas, not permitted."""
        await self._link.ping()
        places = (keys.idempotency_rehearsal(), *map(keys.rehearsal, holders))
        await asyncio.gather(*(self._link.run(REHEARSE, (key,), ()) for key in places))
