"""Records of cancels (ports.Records): what `core/idempotency.py` allows, kept in Redis.

A value that nobody can read is treated as not there: a double cancel is harmless, a missing one is not.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from gateway.backends.admittance import Admittance, Form, gated, odd, slot
from gateway.backends.awaited import Awaited
from gateway.backends.claim_words import Asking, Frame, claim_words, frame, settle_words
from gateway.backends.marking import Marking
from gateway.backends.record_text import fields_of, note, read, steps_text
from gateway.backends.redis.link import Link, Reply
from gateway.backends.redis.scripts import CLAIM, GET, KEY_FREE, POSTPONE, RESTORE, SERVER_TIME, SETTLE, TAKE
from gateway.core import keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.gate import SCOPES
from gateway.core.idempotency import (
    Claim,
    Claimed,
    Fresh,
    Gone,
    Known,
    Late,
    Mismatch,
    Record,
    RecordId,
    Settlement,
    Step,
    fingerprint,
)
from gateway.core.model import Account
from gateway.ports import LocalRecord, Taken, Unavailable

MS_PER_S = 1000
# Nobody looks again before: many who ask for one record must not use up the venue's query limit.
REST_MS = 1000


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What was found in other slots of a cluster: the record that the key led to, the key's pointer, a refusal."""

    prior: str = ""
    pointer: str = ""
    refusal: Gated | Late | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What the record has to remember of it."""
        return ("far_key", self.pointer) if self.pointer else ()

    @property
    def said(self) -> str:
        """As claim.lua reads it."""
        match self.refusal:
            case Gated(scope, banned, wait_us):
                return f"gated {SCOPES.index(scope)} {int(banned)} {wait_us}"
            case Late(wait_us):
                return f"late {wait_us}"
            case None:
                return "none"
            case _:
                assert_never(self.refusal)


class RedisRecords:
    """The store that all replicas share."""

    def __init__(self, link: Link, ttl_seconds: int, admittance: Admittance) -> None:
        self._link = link
        self._ttl_ms = ttl_seconds * MS_PER_S
        self._admittance = admittance
        self._marking = Marking(link, admittance)
        self._awaited = Awaited(link)
        self._frames: dict[Form, Frame] = {}

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        """Write the wish down unless it is known; where `demands` has a slot at once, take it and mark it sent."""
        return await self.claim_after(None, claim, demands, patience_us)

    async def claim_after(
        self, elsewhere: Elsewhere | None, claim: Claim, demands: tuple[Demand, ...], patience_us: int
    ) -> Claimed | Gated:
        """The same on a cluster, once other slots were asked."""
        claimed = await self._claim(claim, demands, patience_us, _asking(claim, elsewhere))
        if claimed is None:
            claimed = await self._claim(claim, demands, patience_us, _asking(claim, elsewhere, trusted=False))
        if claimed is None:
            raise Unavailable("redis", "a record that can't be read where none was asked for")
        return claimed

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        """Write `sent` before bytes leave; False where the record is no longer ours, Gated where a gate has closed."""
        return await self._marking.mark(record, fence, at_ms, probe=probe)

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """Write what came of it; `refused` also frees the key and the order. False where the step is illegal."""
        name = keys.record(record)
        settled = await self._link.say(SETTLE, (name,), settle_words(record, fence, settlement))
        if isinstance(settled, bytes):
            await self._free(settled.decode(), name)
        return settled != 0

    async def _free(self, pointer: str, record: str) -> None:
        """Free a key that lies in another slot; it counts as free all the same where this can't be done."""
        with contextlib.suppress(Unavailable):
            await self._link.run(KEY_FREE, (pointer,), (record,))

    def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        """The accounts with records that are not at their end."""
        return self._awaited.among(accounts)

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        """Take records over whose end is not known and which nobody works on."""
        suffix = f".{account.venue}.{account.name}"
        arguments = (
            *(SERVER_TIME, keys.records(account), suffix, lease_ms, at_ms, keys.SETTLED, most),
            named.ulid if named is not None else "",
        )
        names = (keys.leases(account), keys.unknown(account))
        match await self._link.run(TAKE, names, arguments):
            case [int(unknown), list(flats), list(freed), list(lost)]:
                pointers = [word.decode() for word in freed if isinstance(word, bytes)]
                for pointer, record in zip(pointers[::2], pointers[1::2], strict=True):
                    await self._free(pointer, record)
                told = [fields_of(flat) for flat in flats if isinstance(flat, list)]
                found = [(fields, read(fields)) for fields in told]
                unread = [fields for fields, record in found if record is None]
                for fields in unread:
                    await self._drop(account, fields)
                whole = tuple(record for _, record in found if record is not None)
                return Taken(whole, unknown, len(lost) + len(unread))
            case _:
                raise odd()

    async def _drop(self, account: Account, fields: Mapping[bytes, bytes]) -> None:
        """Nobody will ever be able to work on this record: take it out of the index."""
        ulid = fields.get(b"id", b"").decode("ascii", "replace").partition(".")[0]
        names = (keys.record(RecordId(ulid, account)), keys.unknown(account), keys.leases(account))
        fence = fields.get(b"fence", b"")
        await self._link.run(POSTPONE, names, (SERVER_TIME, fence, "", REST_MS, b"", keys.SETTLED))

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        """Give a record back that was taken over: look again after a pause, or, without one, never by ourselves."""
        account = record.id.account
        names = (keys.record(record.id), keys.unknown(account), keys.leases(account))
        pause = "" if pause_ms is None else pause_ms
        arguments = (SERVER_TIME, record.fence, pause, REST_MS, steps_text(steps), keys.SETTLED)
        return await self._link.run(POSTPONE, names, arguments) == 1

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        """Write down what was done while the store was away; False where it is no news."""
        record, account, key = kept.record, kept.record.id.account, kept.claim.key
        order = keys.order(account, record.by, record.ref)
        # On a cluster the key's pointer lies elsewhere: it is left alone, and the order stands in for it.
        keyed = key is not None and not self._link.is_cluster
        pointer = keys.idempotency(record.caller, key) if keyed and key is not None else order
        names = (keys.record(record.id), order, pointer, keys.leases(account), keys.unknown(account))
        arguments = (
            *(SERVER_TIME, fingerprint(kept.claim.cancel) if keyed else "", record.fence, record.state.value),
            *("" if record.outcome is None else record.outcome.value, record.body),
            *("" if record.settled_ms is None else record.settled_ms, record.attempts, lease_ms, self._ttl_ms),
            *(keys.SETTLED, *note(record)),
        )
        return await self._link.run(RESTORE, names, arguments) == 1

    async def get(self, record: RecordId) -> Record | None:
        """Read one record; None where there is none that can be read."""
        return await self.get_at(keys.record(record))

    async def get_at(self, key: str) -> Record | None:
        """Read the record that lies at a key."""
        reply = await self._link.run(GET, (key,), ())
        return read(fields_of(reply)) if isinstance(reply, list) else None

    async def _claim(
        self, claim: Claim, demands: tuple[Demand, ...], patience_us: int, asking: Asking
    ) -> Claimed | Gated | None:
        """One round trip; None where what is known can't be read."""
        admittance, form = self._admittance, self._admittance.form(claim.cancel.account, demands)
        if (known := self._frames.get(form)) is None:
            known = self._frames[form] = frame(claim.cancel.account, form, self._ttl_ms)
        asked = admittance.clock.monotonic()
        said = claim_words(known, claim, asking, patience_us, admittance.expected_us(form, asked))
        match await self._link.say(CLAIM, (asking.order,), said):
            case [b"fresh", int(fence), int(wait_us), list(times), list(lost), *rest]:
                moment = admittance.told(asked, form, times, lost)
                return Fresh(fence, _slot(moment, times, form, rest), wait_us)
            case [b"late", int(wait_us), list(times), list(lost)]:
                admittance.told(asked, form, times, lost)
                return Late(wait_us)
            case [b"gated", int(place), int(banned), int(wait_us)]:
                return gated(place, banned, wait_us)
            case [b"known", list(flat)]:
                record = read(fields_of(flat))
                return None if record is None else Known(record)
            case [b"gone", list(flat)]:
                record = read(fields_of(flat))
                return None if record is None else Gone(record)
            case [b"mismatch"]:
                return Mismatch()
            case _:
                raise odd()


def _slot(moment: float, times: Sequence[Reply], form: Form, rest: Sequence[Reply]) -> Slot | None:
    """The slot that a claim took, if it took one."""
    match times, rest:
        case [int(first_us), *_], [list(more)]:
            return slot(moment, first_us, form, more)
        case _, []:
            return None
        case _:
            raise odd()


def _asking(claim: Claim, elsewhere: Elsewhere | None, *, trusted: bool = True) -> Asking:
    order = keys.order(claim.cancel.account, claim.cancel.order.by, claim.cancel.order.value)
    if elsewhere is not None:
        return Asking(order, elsewhere.prior or order, elsewhere.fields, elsewhere.said, trusted)
    return Asking(order, order if claim.key is None else keys.idempotency(claim.caller, claim.key), trusted=trusted)
