"""Records of cancels (ports.Records): what `core/idempotency.py` allows, kept in Redis.

A value that nobody can read is treated as not there: a double cancel is harmless, a missing one is not.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from gateway.backends.admittance import Admittance, gated, odd, slot
from gateway.backends.redis.link import Argument, Link, Reply
from gateway.backends.redis.scripts import CLAIM, GET, KEY_FREE, MARK_SENT, SERVER_TIME, SETTLE, gate_keys
from gateway.core import keys
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.gate import SCOPES
from gateway.core.idempotency import (
    Claim,
    Claimed,
    Fresh,
    Known,
    Late,
    Mismatch,
    Record,
    RecordId,
    Settlement,
    State,
    fingerprint,
    parse_record_id,
)
from gateway.core.model import By
from gateway.core.outcome import Outcome
from gateway.ports import Unavailable

MS_PER_S = 1000
TRUSTED, UNTRUSTED = "1", "0"


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

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        """Write the wish down unless it is known; where `demands` has a slot at once, take it and mark it sent."""
        return await self.claim_after(None, claim, demands, patience_us)

    async def claim_after(
        self, elsewhere: Elsewhere | None, claim: Claim, demands: tuple[Demand, ...], patience_us: int
    ) -> Claimed | Gated:
        """The same on a cluster, once other slots were asked."""
        claimed = await self._claim(elsewhere, claim, demands, patience_us, TRUSTED)
        if claimed is None:
            claimed = await self._claim(elsewhere, claim, demands, patience_us, UNTRUSTED)
        if claimed is None:
            raise Unavailable("redis", "a record that can't be read where none was asked for")
        return claimed

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        """Write `sent` before bytes leave; False where the record is no longer ours, Gated where a gate has closed."""
        names = (keys.record(record), *gate_keys(record.account, self._admittance.gates_seen))
        arguments = (SERVER_TIME, fence, at_ms, int(probe), self._admittance.probe_us)
        match await self._link.run(MARK_SENT, names, arguments):
            case [b"gated", int(place), int(banned), int(wait_us)]:
                return gated(place, banned, wait_us)
            case answer:
                return answer == 1

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        """Write what came of it; `refused` also frees the key and the order. False where the step is illegal."""
        arguments = (
            fence,
            settlement.state.value,
            settlement.outcome.value,
            settlement.body,
            settlement.at_ms,
            settlement.attempts,
        )
        settled = await self._link.run(SETTLE, (keys.record(record),), arguments)
        if isinstance(settled, bytes):
            # It counts as free all the same where this can't be done.
            with contextlib.suppress(Unavailable):
                await self._link.run(KEY_FREE, (settled.decode(),), (keys.record(record),))
        return settled != 0

    async def get(self, record: RecordId) -> Record | None:
        """Read one record; None where there is none that can be read."""
        return await self.get_at(keys.record(record))

    async def get_at(self, key: str) -> Record | None:
        """Read the record that lies at a key."""
        reply = await self._link.run(GET, (key,), ())
        return read(_fields(reply)) if isinstance(reply, list) else None

    async def _claim(
        self, elsewhere: Elsewhere | None, claim: Claim, demands: tuple[Demand, ...], patience_us: int, trust: str
    ) -> Claimed | Gated | None:
        """One round trip; None where what is known can't be read."""
        admittance, form = self._admittance, self._admittance.form(claim.cancel.account, demands)
        asked = admittance.clock.monotonic()
        names = (*_claim_keys(claim, elsewhere), *form.keys)
        arguments = self._claim_arguments(elsewhere, claim, patience_us, trust)
        match await self._link.run(CLAIM, names, (*arguments, *admittance.arguments(form))):
            case [b"fresh", int(fence), int(wait_us), list(times), list(lost), *rest]:
                moment = admittance.told(asked, form, times, lost)
                return Fresh(fence, _slot(moment, times, demands, rest), wait_us)
            case [b"late", int(wait_us), list(times), list(lost)]:
                admittance.told(asked, form, times, lost)
                return Late(wait_us)
            case [b"gated", int(place), int(banned), int(wait_us)]:
                return gated(place, banned, wait_us)
            case [b"known", list(flat)]:
                record = read(_fields(flat))
                return None if record is None else Known(record)
            case [b"mismatch"]:
                return Mismatch()
            case _:
                raise odd()

    def _claim_arguments(
        self, elsewhere: Elsewhere | None, claim: Claim, patience_us: int, trust: str
    ) -> tuple[Argument, ...]:
        fields = _written(claim) if elsewhere is None else (*_written(claim), *elsewhere.fields)
        return (
            patience_us,
            fingerprint(claim.cancel) if elsewhere is None and claim.key is not None else "",
            trust,
            claim.at_ms,
            max(1, claim.lease_ms),
            self._ttl_ms,
            "" if elsewhere is None else elsewhere.said,
            len(fields),
            *fields,
        )


def _slot(moment: float, times: Sequence[Reply], demands: tuple[Demand, ...], rest: Sequence[Reply]) -> Slot | None:
    """The slot that a claim took, if it took one."""
    match times, rest:
        case [int(first_us), *_], [list(more)]:
            return slot(moment, first_us, demands, more)
        case _, []:
            return None
        case _:
            raise odd()


def _claim_keys(claim: Claim, elsewhere: Elsewhere | None) -> tuple[str, ...]:
    order = keys.order(claim.cancel.account, claim.cancel.order.by, claim.cancel.order.value)
    if elsewhere is not None:
        key = elsewhere.prior
    else:
        key = "" if claim.key is None else keys.idempotency(claim.caller, claim.key)
    return keys.record(claim.id), order, key or order


def _written(claim: Claim) -> tuple[str, ...]:
    order = claim.cancel.order
    symbol = () if order.symbol is None else ("symbol", order.symbol)
    return (
        *("id", str(claim.id), "by", order.by.value, "ref", order.value),
        *("caller", claim.caller, "request_id", claim.request_id),
        *symbol,
    )


def _fields(flat: Iterable[Reply]) -> dict[bytes, bytes]:
    words = [word for word in flat if isinstance(word, bytes)]
    return dict(zip(words[::2], words[1::2], strict=False))


def read(fields: Mapping[bytes, bytes]) -> Record | None:
    """A record from its fields; None where they can't be one of ours."""
    try:
        return _record({name.decode(): value for name, value in fields.items()})
    except (KeyError, ValueError):
        return None


def _record(fields: Mapping[str, bytes]) -> Record:
    text = {name: value.decode() for name, value in fields.items() if name != "body"}
    number = {name: int(value) for name, value in text.items() if name.endswith("_ms")}
    where = parse_record_id(text["id"])
    if where is None:
        raise ValueError("not a record's id")
    return Record(
        id=where,
        state=State(text["state"]),
        by=By(text["by"]),
        ref=text["ref"],
        symbol=text.get("symbol"),
        caller=text["caller"],
        request_id=text["request_id"],
        created_ms=number["created_ms"],
        fence=int(text["fence"]),
        attempts=int(text.get("attempts", "0")),
        lease_until_ms=number["lease_until_ms"],
        sent_ms=number.get("sent_ms"),
        settled_ms=number.get("settled_ms"),
        outcome=Outcome(text["outcome"]) if "outcome" in text else None,
        body=fields.get("body", b""),
    )
