"""Which records are unknown, over all replicas (ports.Unknowns). Only looked at; the resolver works on them."""

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import UNKNOWNS
from gateway.core import keys
from gateway.core.idempotency import RecordId
from gateway.core.model import Account
from gateway.ports import OpenEnds


class RedisUnknowns:
    """The index that the store keeps of them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def oldest(self, account: Account, most: int) -> OpenEnds:
        """How many there are, and the oldest of them with their references."""
        match await self._link.run(UNKNOWNS, (keys.unknown(account),), (keys.records(account), most)):
            case [int(count), *rest]:
                words = [word.decode("utf-8", "replace") for word in rest if isinstance(word, bytes)]
                pairs = zip(words[::2], words[1::2], strict=True)
                return OpenEnds(count, tuple((RecordId(ulid, account), ref) for ulid, ref in pairs))
            case _:
                raise odd()
