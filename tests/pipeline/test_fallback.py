"""When the share ends, on virtual time: only after a rest on a Redis that serves before it and after it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from virtual_time import FakeClock, loop_clock, on_virtual_time

from gateway.backends.fallback import PROBE_EVERY_S, FallbackLimiter, LocalLimiter
from gateway.core.admission import Demand, Gated, Slot
from gateway.core.model import Account, VenueId
from gateway.ports import Outlook, TooFar, Unavailable

WINDOW_S = 1.0
SHARED_US = 1_790_000_000_000_000  # an instant of the server's time, as in a slot of the shared limiter
DESK = Account(VenueId("plain"), "desk-a")
DEMANDS = (Demand("cancel", DESK, 10, 1_000_000, 1, 10),)


class Redis:
    """The shared limiter and the probe of it: serves, unless it is told to refuse."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.refusal = ""
        self.asked_for: set[Account] = set()

    async def probe(self, holders: Iterable[Account]) -> None:
        self.asked_for |= set(holders)
        self._serve()

    async def reserve(self, demands: tuple[Demand, ...], patience_us: int, most: int = 1) -> tuple[Slot, ...]:  # noqa: ARG002
        self._serve()
        return (Slot(self.clock.monotonic(), 0, demands),)

    async def give_back(self, slot: Slot) -> bool:  # noqa: ARG002
        self._serve()
        return True

    async def confirm(self, slot: Slot) -> Slot:
        self._serve()
        return replace(slot, granted_us=1)

    async def exchange(self, slot: Slot) -> Slot:
        self._serve()
        return replace(slot, granted_us=2)

    async def postpone(self, slot: Slot, until: float) -> Slot:  # noqa: ARG002
        self._serve()
        return replace(slot, granted_us=3)

    async def tighten(self, demand: Demand, stated: int | None) -> int:  # noqa: ARG002
        self._serve()
        return demand.keep

    async def outlook(self, demands: tuple[Demand, ...]) -> Sequence[Outlook]:  # noqa: ARG002
        self._serve()
        return ()

    async def arm(self, demands: tuple[Demand, ...]) -> None:  # noqa: ARG002
        self._serve()

    def _serve(self) -> None:
        if self.refusal:
            raise Unavailable("redis", self.refusal)


class Rig:
    """A limiter that has lost Redis at the moment it was made, and the changes that it told of."""

    def __init__(self) -> None:
        self.clock = loop_clock()
        self.redis = Redis(self.clock)
        self.changes: list[tuple[float, bool, str]] = []
        self.began = self.clock.monotonic()
        local = LocalLimiter(self.clock, replicas_most=1, ahead=0)
        self.limiter = FallbackLimiter(self.redis, local, self.redis.probe, self._changed)

    async def lose(self, refusal: str) -> None:
        await self.limiter.arm(DEMANDS)
        self.redis.refusal = refusal
        await self.limiter.arm(DEMANDS)

    async def reserved(self) -> tuple[Slot, ...] | TooFar | Gated:
        return await self.limiter.reserve(DEMANDS, 0)

    def _changed(self, lost: bool, reason: str) -> None:  # noqa: FBT001  the callback's form
        self.changes.append((round(self.clock.monotonic() - self.began, 3), lost, reason))


@on_virtual_time
async def test_share_ends_one_window_after_redis_serves() -> None:
    rig = Rig()
    await rig.lose("gone")
    await asyncio.sleep(2.0)
    rig.redis.refusal = ""
    await asyncio.sleep(PROBE_EVERY_S + WINDOW_S + 0.01)

    assert [(lost, reason) for _, lost, reason in rig.changes] == [(True, "gone"), (False, "")]
    assert 2.0 + WINDOW_S <= rig.changes[1][0] <= 2.0 + PROBE_EVERY_S + WINDOW_S
    assert rig.redis.asked_for == {DESK}


@on_virtual_time
async def test_redis_that_fails_again_within_the_rest_is_not_told_as_back() -> None:
    rig = Rig()
    await rig.lose("gone")
    rig.redis.refusal = ""
    await asyncio.sleep(PROBE_EVERY_S + WINDOW_S / 2)
    rig.redis.refusal = "OOM"
    await asyncio.sleep(3.0)
    seen = rig.limiter.degraded, rig.limiter.reason, len(rig.changes)
    await rig.limiter.aclose()

    assert seen == (True, "OOM", 1)


@on_virtual_time
async def test_another_server_within_the_rest_begins_it_anew() -> None:
    rig = Rig()
    await rig.lose("gone")
    rig.redis.refusal = ""
    await asyncio.sleep(PROBE_EVERY_S + WINDOW_S / 2)
    moved_at = rig.clock.monotonic() - rig.began
    rig.limiter.lose("another server answers than before")
    await asyncio.sleep(3 * WINDOW_S)

    assert [lost for _, lost, _ in rig.changes] == [True, False]
    assert rig.changes[1][0] >= moved_at + WINDOW_S


@on_virtual_time
async def test_nothing_is_given_while_the_local_sends_rest() -> None:
    rig = Rig()
    await rig.lose("gone")
    await asyncio.sleep(WINDOW_S + 0.01)
    share = await rig.reserved()
    rig.redis.refusal = ""
    await asyncio.sleep(PROBE_EVERY_S + WINDOW_S / 2)
    resting = await rig.reserved()
    await asyncio.sleep(WINDOW_S)

    assert isinstance(share, tuple)
    assert resting == TooFar(int(WINDOW_S * 1_000_000))
    assert isinstance(await rig.reserved(), tuple)


@on_virtual_time
async def test_reason_is_what_redis_said_last() -> None:
    rig = Rig()
    await rig.lose("not connected")
    rig.redis.refusal = "WRONGPASS"
    await asyncio.sleep(2 * PROBE_EVERY_S)
    reason = rig.limiter.reason
    await rig.limiter.aclose()

    assert reason == "WRONGPASS"
    assert [reason for _, _, reason in rig.changes] == ["not connected"]


@on_virtual_time
async def test_slots_of_the_shared_limiter_are_looked_at_and_moved_as_long_as_it_is_there() -> None:
    rig = Rig()
    slot = Slot(0.0, 0, DEMANDS)

    moved = [await rig.limiter.confirm(slot), await rig.limiter.exchange(slot), await rig.limiter.postpone(slot, 1.0)]
    assert [each and each.granted_us for each in moved] == [1, 2, 3]

    for ask, told in (
        (rig.limiter.confirm, None),
        (rig.limiter.exchange, slot),
        (lambda slot: rig.limiter.postpone(slot, 1.0), slot),
    ):
        rig.redis.refusal = "gone"
        assert await ask(slot) is told
        rig.redis.refusal = ""
        await asyncio.sleep(5.0)
        assert not rig.limiter.degraded
    await rig.limiter.aclose()


@on_virtual_time
async def test_without_redis_no_slot_that_lies_ahead_can_be_looked_at() -> None:
    rig = Rig()
    await rig.lose("gone")

    assert await rig.limiter.confirm(Slot(0.0, 0, DEMANDS)) is None
    await rig.limiter.aclose()


@on_virtual_time
async def test_what_others_build_on_rests_as_well_where_only_this_replica_is_without_redis() -> None:
    """It was given by the shared limiter, and came late after this replica had lost it."""
    rig = Rig()
    await rig.lose("a timeout of ours")
    rig.redis.refusal = ""

    moved = await rig.limiter.postpone(Slot(0.0, SHARED_US, DEMANDS), 1.0)

    assert rig.limiter.degraded
    assert moved.granted_us == 3
    await rig.limiter.aclose()


@on_virtual_time
async def test_a_request_of_the_own_share_that_came_late_rests_from_then_on() -> None:
    rig = Rig()
    await rig.lose("gone")
    await asyncio.sleep(3.0)
    slots = await rig.reserved()
    assert isinstance(slots, tuple)
    await asyncio.sleep(0.5)

    moved = await rig.limiter.postpone(slots[0], rig.clock.monotonic() - 0.1)
    unknown = await rig.limiter.postpone(replace(slots[0], granted_us=SHARED_US), rig.clock.monotonic() - 0.1)

    assert moved.granted_us == slots[0].granted_us + 400_000
    assert unknown.granted_us == SHARED_US
    await rig.limiter.aclose()
