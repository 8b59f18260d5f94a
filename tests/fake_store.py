"""The shared state in memory: slots by the pure reference, records by the table of steps."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from virtual_time import FakeClock

from gateway.core import ledger
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.idempotency import (
    IN_FLIGHT,
    STEPS,
    UNNOTED,
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
    State,
    Step,
    fingerprint,
    may_restore,
    may_settle,
    settled_record,
)
from gateway.core.ledger import Denied, Epoch, Forgotten, Granted, Ledger
from gateway.core.model import Account, By
from gateway.core.outcome import Throttled
from gateway.ports import LocalRecord, Outlook, Taken, TooFar, Unavailable

US_PER_S = 1_000_000
FIRST_LOOK_MS, REST_MS = 500, 1000


class FakeLimiter:
    """`core/admission.py` itself, with every window rested at the start; `trip_s` is how long each call takes."""

    def __init__(self, clock: FakeClock, story: list[str] | None = None) -> None:
        self.clock = clock
        self.story = [] if story is None else story
        self.ledger = Ledger()
        self.calls: Counter[str] = Counter()
        self.granted: list[Slot] = []
        self.returned: list[Slot] = []
        self.most_ahead = 0
        self.trip_s = 0.0
        self.down = False
        self.too_far_us: int | None = None
        self.gate: Gated | None = None
        self.lessons: list[tuple[str, int | None]] = []

    async def reserve(
        self, demands: tuple[Demand, ...], patience_us: int, most: int = 1
    ) -> tuple[Slot, ...] | TooFar | Gated:
        await self._call("reserve")
        if self.gate is not None:
            return self.gate
        if self.too_far_us is not None:
            return TooFar(self.too_far_us)
        taken: list[Slot] = []
        while len(taken) < most:
            before = self.ledger
            decided = self._decide(demands, patience_us)
            if isinstance(decided, Denied):
                return tuple(taken) or TooFar(decided.wait_us)
            if decided.wait_us and taken:
                self.ledger = before
                break
            taken.append(Slot(self.clock.monotonic() + decided.wait_us / US_PER_S, decided.at_us, demands))
            if decided.wait_us:
                break
        self.granted += taken
        self.most_ahead = max(self.most_ahead, self.ahead())
        return tuple(taken)

    async def give_back(self, slot: Slot) -> bool:
        await self._call("give_back")
        self.returned.append(slot)
        left = ledger.give_back(self.ledger, slot.demands, slot.granted_us, self.now_us())
        if left is not None:
            self.ledger = left
        return left is not None

    async def confirm(self, slot: Slot) -> Slot | None:
        await self._call("confirm")
        moved = ledger.confirm(self.ledger, slot.demands, slot.granted_us, self.now_us())
        return None if isinstance(moved, Forgotten) else self._moved(slot, moved)

    async def exchange(self, slot: Slot) -> Slot:
        await self._call("exchange")
        moved = ledger.exchange(self.ledger, slot.demands, slot.granted_us, self.now_us())
        return slot if isinstance(moved, Forgotten) else self._moved(slot, moved)

    def _moved(self, slot: Slot, moved: Granted | None) -> Slot:
        if moved is None:
            return slot
        self.ledger = moved.ledger
        other = replace(slot, matures_at=self.clock.monotonic() + moved.wait_us / US_PER_S, granted_us=moved.at_us)
        if slot in self.granted:
            self.granted[self.granted.index(slot)] = other
        return other

    async def postpone(self, slot: Slot, until: float) -> Slot:
        await self._call("postpone")
        until_us = round(until * US_PER_S)
        self.ledger = ledger.postpone(self.ledger, slot.demands, slot.granted_us, until_us, self.now_us())
        return replace(slot, granted_us=max(slot.granted_us, until_us))

    async def tighten(self, demand: Demand, stated: int | None) -> int:
        await self._call("tighten")
        self.lessons.append((demand.limit, stated))
        return demand.keep if stated is None else stated

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:
        await self._call("outlook")
        self._rest(demands)
        seen = ledger.outlook(self.ledger, demands, self.now_us())
        return [
            Outlook(demand.limit, demand.tokens, prospect.free, prospect.wait_us)
            for demand, prospect in zip(demands, seen, strict=True)
        ]

    async def arm(self, demands: tuple[Demand, ...]) -> None:
        await self._call("arm")
        self._rest(demands)

    def take_at_once(self, demands: tuple[Demand, ...], patience_us: int) -> Slot | int:
        """What a claim does: take the slot if it is free now; how long it is to the next one otherwise."""
        before = self.ledger
        decided = self._decide(demands, patience_us)
        if decided.wait_us or isinstance(decided, Denied):
            self.ledger = before
            return decided.wait_us
        return Slot(self.clock.monotonic(), decided.at_us, demands)

    def forget(self) -> None:
        """As a flush would, without the hold that follows one."""
        self.ledger = Ledger()

    def hold(self) -> None:
        """As a flush would: the window from now on counts as full."""
        now_us = self.now_us()
        self.ledger = Ledger(dict.fromkeys(self.ledger.epochs, Epoch(now_us, now_us)))

    def spend(self, demands: tuple[Demand, ...], times: int) -> None:
        """As if somebody else had just sent so many."""
        for _ in range(times):
            self._decide(demands, 600 * US_PER_S)

    def ahead(self) -> int:
        """How many granted slots lie ahead and were not given back."""
        kept = [slot for slot in self.granted if slot not in self.returned]
        return sum(slot.matures_at > self.clock.monotonic() + 1e-9 for slot in kept)

    def now_us(self) -> int:
        return round(self.clock.monotonic() * US_PER_S)

    async def _call(self, verb: str) -> None:
        self.calls[verb] += 1
        self.story.append(verb)
        if self.trip_s:
            await asyncio.sleep(self.trip_s)
        if self.down:
            raise Unavailable("limiter", "down")

    def _rest(self, demands: tuple[Demand, ...]) -> None:
        rested = {demand.holder: Epoch(0, 0) for demand in demands}
        self.ledger = replace(self.ledger, epochs=rested | dict(self.ledger.epochs))

    def _decide(self, demands: tuple[Demand, ...], patience_us: int) -> Granted | Denied:
        self._rest(demands)
        decided = ledger.decide(self.ledger, demands, self.now_us(), patience_us)
        self.ledger = decided.ledger
        return decided


class FakeRecords:
    """The store in memory, with the steps of `core/idempotency.py`; verbs in `down` do not answer."""

    def __init__(self, clock: FakeClock, limiter: FakeLimiter, story: list[str]) -> None:
        self.clock = clock
        self.limiter = limiter
        self.story = story
        self.kept: dict[RecordId, Record] = {}
        self.orders: dict[tuple[Account, By, str], RecordId] = {}
        self.keys: dict[tuple[str, str], tuple[str, RecordId]] = {}
        self.down: set[str] = set()
        self.stolen = False
        self.stolen_refs: set[str] = set()
        self.settled: list[Settlement] = []
        self.taken_at: Counter[Account] = Counter()
        self.asked_about: list[Sequence[Account]] = []
        self.due: dict[RecordId, int] = {}
        self.bells: list[Callable[[RecordId], None]] = []

    def one(self) -> Record:
        """The only record."""
        (record,) = self.kept.values()
        return record

    async def claim(self, claim: Claim, demands: tuple[Demand, ...], patience_us: int) -> Claimed | Gated:
        await self._call("claim")
        found = self._known(claim)
        if not isinstance(found, int):
            return found
        if self.limiter.gate is not None:
            return self.limiter.gate
        taken = self.limiter.take_at_once(demands, patience_us) if demands else 0
        slot, wait_us = (taken, 0) if isinstance(taken, Slot) else (None, taken)
        if wait_us > patience_us:
            return Late(wait_us)
        self._write(claim, found, State.RECEIVED if slot is None else State.SENT)
        return Fresh(found, slot, wait_us)

    async def mark_sent(self, record: RecordId, fence: int, at_ms: int, *, probe: bool = False) -> bool | Gated:
        await self._call("mark_sent")
        if self.limiter.gate is not None and not probe:
            return self.limiter.gate
        kept = self.kept.get(record)
        if kept is None:
            return True
        mine = (
            not self.stolen
            and kept.ref not in self.stolen_refs
            and kept.fence == fence
            and kept.lease_until_ms > self.clock.now_ms()
        )
        if not mine or State.SENT not in STEPS[kept.state]:
            return False
        self.kept[record] = replace(kept, state=State.SENT, sent_ms=at_ms)
        return True

    async def settle(self, record: RecordId, fence: int, settlement: Settlement) -> bool:
        await self._call("settle")
        kept = self.kept.get(record)
        if kept is None or not may_settle(kept.state, kept.fence, settlement.state, fence):
            return False
        self.settled.append(settlement)
        self.kept[record] = settled_record(kept, settlement)
        self.orders = {order: at for order, at in self.orders.items() if at != record}
        if settlement.gone is not None:
            self.orders[record.account, settlement.gone.by, settlement.gone.value] = record
        self.due.pop(record, None)
        if settlement.state is State.UNKNOWN:
            self.kept[record] = replace(self.kept[record], lease_until_ms=self.clock.now_ms())
            self.due[record] = self.clock.now_ms() + FIRST_LOOK_MS
        self._announce(record)
        if settlement.state is State.REFUSED:
            self.keys = {key: known for key, known in self.keys.items() if known[1] != record}
        return True

    async def get(self, record: RecordId) -> Record | None:
        await self._call("get")
        return self.kept.get(record)

    async def awaited(self, accounts: Sequence[Account]) -> AsyncIterator[Account]:
        self.asked_about.append(accounts)
        await self._call("awaited")
        open_at = {at.account for at, record in self.kept.items() if at in self.due or record.state in IN_FLIGHT}
        for account in accounts:
            if account in open_at:
                yield account

    async def take(
        self, account: Account, at_ms: int, lease_ms: int, *, most: int = 1, named: RecordId | None = None
    ) -> Taken:
        del at_ms
        self.taken_at[account] += 1
        await self._call("take")
        wanted = [named] if named is not None else [at for at in self.kept if at.account == account]
        taken: list[Record] = []
        for at in wanted:
            record = self.kept.get(at)
            due = record is not None and (named is not None or self._is_due(record))
            if record is None or not due or len(taken) == most or record.lease_until_ms > self.clock.now_ms():
                continue
            if record.state in UNNOTED:
                self.keys = {key: known for key, known in self.keys.items() if known[1] != at}
            if record.state in {*UNNOTED, State.SENT, State.UNKNOWN, State.ACKNOWLEDGED}:
                state = State.UNKNOWN if record.state is State.SENT else record.state
                ends = self.clock.now_ms() + lease_ms
                self.kept[at] = replace(record, state=state, fence=record.fence + 1, lease_until_ms=ends)
                self.due[at] = ends
                taken.append(self.kept[at])
        unknown = sum(record.state is State.UNKNOWN and record.id in self.due for record in self.kept.values())
        return Taken(tuple(taken), unknown)

    def _is_due(self, record: Record) -> bool:
        if record.state is State.UNKNOWN:
            return record.id in self.due and self.due[record.id] <= self.clock.now_ms()
        return record.state in IN_FLIGHT and self.due.get(record.id, 0) <= self.clock.now_ms()

    async def postpone(self, record: Record, pause_ms: int | None, steps: tuple[Step, ...]) -> bool:
        await self._call("postpone")
        kept = self.kept.get(record.id)
        if kept is None or kept.fence != record.fence:
            return False
        self.kept[record.id] = replace(kept, steps=steps, lease_until_ms=self.clock.now_ms() + REST_MS)
        self.due.pop(record.id, None)
        if pause_ms is not None and kept.state in UNNOTED | {State.UNKNOWN}:
            self.due[record.id] = self.clock.now_ms() + pause_ms
        self._announce(record.id)
        return True

    async def restore(self, kept: LocalRecord, lease_ms: int) -> bool:
        await self._call("restore")
        record, known = kept.record, self.kept.get(kept.record.id)
        if known is not None and not may_restore(known.state, known.fence, record.state, record.fence):
            return False
        self.kept[record.id] = replace(
            known or record,
            state=record.state,
            outcome=record.outcome,
            body=record.body,
            settled_ms=record.settled_ms,
            attempts=record.attempts,
            sent_ms=record.sent_ms if known is None or known.sent_ms is None else known.sent_ms,
            lease_until_ms=self.clock.now_ms() + lease_ms,
        )
        if known is None and kept.claim.key is not None and record.state is not State.REFUSED:
            self.keys.setdefault((record.caller, kept.claim.key), (fingerprint(kept.claim.cancel), record.id))
        if record.state is State.SENT:
            return True
        self.due.pop(record.id, None)
        if record.state is State.UNKNOWN:
            self.due[record.id] = self.clock.now_ms()
        self.orders = {order: at for order, at in self.orders.items() if at != record.id}
        if record.state is State.REFUSED:
            self.keys = {key: at for key, at in self.keys.items() if at[1] != record.id}
        self._announce(record.id)
        return True

    def forget(self) -> None:
        """As a flush would."""
        for kept in (self.kept, self.orders, self.keys, self.due):
            kept.clear()

    def _announce(self, record: RecordId) -> None:
        for ring in self.bells:
            ring(record)

    async def _call(self, verb: str) -> None:
        self.story.append(verb)
        await asyncio.sleep(0)
        if verb in self.down:
            raise Unavailable("records", f"{verb} does not answer")

    def _known(self, claim: Claim) -> Known | Gone | Mismatch | int:
        """What stands against a fresh record, or the fence of one."""
        if claim.id in self.kept:
            return Known(self.kept[claim.id])
        under_key = self._under_key(claim)
        if isinstance(under_key, Mismatch):
            return under_key
        on_order = self.kept.get(self.orders.get(_order(claim), claim.id))
        if under_key is None and on_order is not None and on_order.state is State.TERMINAL:
            return Gone(on_order)
        in_flight = on_order if on_order and on_order.state in IN_FLIGHT else None
        fence = 1
        for record, alone in ((under_key, True), (in_flight, False)):
            if record is None:
                continue
            if record.lease_until_ms > self.clock.now_ms() or (alone and record.state not in UNNOTED):
                return Known(record)
            fence = max(fence, record.fence + 1)
        return fence

    def _under_key(self, claim: Claim) -> Record | Mismatch | None:
        known = None if claim.key is None else self.keys.get((claim.caller, claim.key))
        if known is None:
            return None
        return Mismatch() if known[0] != fingerprint(claim.cancel) else self.kept.get(known[1])

    def _write(self, claim: Claim, fence: int, state: State) -> None:
        order = claim.cancel.order
        self.orders[_order(claim)] = claim.id
        if claim.key is not None:
            self.keys[claim.caller, claim.key] = (fingerprint(claim.cancel), claim.id)
        self.kept[claim.id] = Record(
            claim.id, state, order.by, order.value, order.symbol, claim.caller, claim.request_id, claim.at_ms, fence,
            lease_until_ms=self.clock.now_ms() + claim.lease_ms, sent_ms=claim.at_ms if state is State.SENT else None,
        )  # fmt: skip


def _order(claim: Claim) -> tuple[Account, By, str]:
    return claim.cancel.account, claim.cancel.order.by, claim.cancel.order.value


class FakeGates:
    """Remembers what was closed; the limiter beside it shuts with it, for what the venue said or a second."""

    def __init__(self, limiter: FakeLimiter) -> None:
        self.limiter = limiter
        self.closed: list[tuple[Account, Throttled]] = []
        self.reopened: list[Account] = []

    async def close(self, account: Account, refusal: Throttled) -> int:
        wait_ms = refusal.retry_after_ms or 1000
        self.closed.append((account, refusal))
        self.limiter.gate = Gated(refusal.scope, refusal.banned, wait_ms * 1000)
        return wait_ms

    async def reopen(self, account: Account) -> None:
        self.reopened.append(account)
        self.limiter.gate = None

    async def standing(self, account: Account) -> Sequence[Gated]:
        del account
        return () if self.limiter.gate is None else (self.limiter.gate,)
