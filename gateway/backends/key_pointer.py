"""Idempotency keys on a Redis Cluster, where a key's pointer can't lie in the slot of the record that it leads to.

So it takes steps: the key is taken for a record that does not exist yet, then the record is claimed, then the key is
looked at once more. Whoever dies between two steps leaves one of these, and each is read rightly by all others:

- a key that leads to no record: the same request takes it over at once, another one when the claim's lease has passed;
- a record that its key does not lead to any more: its owner finds that out before it sends, and gives way;
- a key that leads to a refused record, which was to be freed: it counts as free.
"""

from dataclasses import dataclass

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import KEY_FREE, KEY_KEEP, KEY_TAKE
from gateway.core import keys
from gateway.core.idempotency import Claim, fingerprint


@dataclass(frozen=True, slots=True)
class Hold:
    """A key as it was found, or taken: its pointer, the value for our record, the value that was seen there."""

    pointer: str
    value: str
    seen: str
    age_ms: int = 0

    @property
    def taken(self) -> bool:
        """Whether it was free, and leads to our record now."""
        return self.seen == self.value

    @property
    def prior(self) -> str:
        """The key of the record that it led to; empty where it was free."""
        return "" if self.taken else self.seen.partition(" ")[2]

    @property
    def foreign(self) -> bool:
        """Whether it was used for another request."""
        return self.seen.partition(" ")[0] != self.value.partition(" ")[0]


class KeyPointers:
    """Where callers' keys lead to."""

    def __init__(self, link: Link, ttl_ms: int) -> None:
        self._link = link
        self._ttl_ms = ttl_ms

    async def take(self, claim: Claim, key: str) -> Hold:
        """Take a key for a claim's record, or see where it leads."""
        pointer = keys.idempotency(claim.caller, key)
        value = f"{fingerprint(claim.cancel)} {keys.record(claim.id)}"
        match await self._link.run(KEY_TAKE, (pointer,), (value, self._ttl_ms)):
            case [b"taken"]:
                return Hold(pointer, value, value)
            case [b"held", bytes(seen), int(age_ms)]:
                return Hold(pointer, value, seen.decode("utf-8", "replace"), age_ms)
            case _:
                raise odd()

    async def keep(self, hold: Hold) -> Hold | None:
        """Make sure that the key leads to our record; or see where it leads instead, since we looked."""
        match await self._link.run(KEY_KEEP, (hold.pointer,), (hold.seen, hold.value, self._ttl_ms)):
            case 1:
                return None
            case bytes(seen):
                return Hold(hold.pointer, hold.value, seen.decode("utf-8", "replace"))
            case _:
                raise odd()

    async def free(self, pointer: str, record: str) -> None:
        """Nothing came of the record that this key led to."""
        await self._link.run(KEY_FREE, (pointer,), (record,))
