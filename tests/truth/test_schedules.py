"""Random fault schedules on virtual time: whatever fails in whatever order, nothing false is told, and nothing is lost.

`make schedules` plays ten thousand of them; the suite plays a fixed hundred.
"""

import asyncio
import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from judge import judge_answer, judge_process, judge_record, judge_sends
from mortal import Mortal, Shared, Store, Wish, shared_ground
from true_venue import Conduct, Glimpse, Manner, TrueOrder, Truth
from virtual_time import VirtualLoop

from gateway.core.model import By, Lane, Wait
from gateway.core.outcome import Outcome

SHORT, AT_ONCE = 100, 500  # hypothesis remembers all that it has drawn in one go
SCHEDULES = int(os.environ.get("CANCEL_GATEWAY_SCHEDULES", SHORT))
STEPS = 30
LIVING_LEAST = 2
ORDERS = ("o1", "o2", "o3", "o4", "o5", "o6", "c1", "gone", "never")
CALM_S = 70.0

manners = st.sampled_from(Manner)
delays = st.sampled_from([0.0, 0.005, 0.05, 0.7, 1.95, 2.5])
conducts = st.builds(Conduct, manners, st.sampled_from([None, 0.0, 0.0, 0.02, 1.0, 3.0, 18.0]), delays)
pauses = st.sampled_from([0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.02, 0.3, 1.1, 3.0, 9.0, 25.0])
glimpses = st.builds(
    Glimpse,
    st.sampled_from([Manner.HONEST, Manner.HONEST, Manner.GARBLED, Manner.SILENT, Manner.THROTTLING]),
    delays,
    st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    st.sampled_from([False, False, False, True]),
)


class Schedule(RuleBasedStateMachine):
    """Callers, processes, a store and a venue; each rule is something that may happen to them."""

    shared: Shared

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.faults: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.processes: list[Mortal] = []

    @initialize(batch_most=st.sampled_from([0, 3]), hears=st.booleans())
    def open_the_doors(self, batch_most: int, *, hears: bool) -> None:
        async def opened() -> None:
            self.shared = shared_ground(self.loop.clock, batch_most)
            for ref in ORDERS:
                truth = {"gone": Truth.CANCELLED, "never": Truth.NEVER_WAS}.get(ref, Truth.OPEN)
                self.shared.book.orders[ref] = TrueOrder(truth)
            self.processes = [Mortal(self.shared, hears=hears) for _ in range(2)]

        self.loop.run_until_complete(opened())

    @rule(
        at=st.integers(0, 3),
        refs=st.lists(st.sampled_from(ORDERS), min_size=1, max_size=6),
        key=st.sampled_from([None, None, "k1", "k2"]),
        urgent=st.booleans(),
        wait=st.sampled_from(Wait),
        within_s=st.sampled_from([0.03, 0.5, 2.5, 5.0, 30.0]),
        meets=st.lists(conducts, max_size=4),
        sees=st.lists(glimpses, max_size=3),
        then_s=pauses,
    )
    def ask(
        self,
        at: int,
        refs: list[str],
        key: str | None,
        wait: Wait,
        within_s: float,
        meets: list[Conduct],
        sees: list[Glimpse],
        then_s: float,
        *,
        urgent: bool,
    ) -> None:
        async def asked() -> None:
            self.shared.book.cancels.extend(meets)
            self.shared.book.glimpses.extend(sees)
            for ref in refs:
                self._ask(self._living(at), ref, key, wait, within_s, urgent=urgent)
            await asyncio.sleep(then_s)

        self.loop.run_until_complete(asked())

    @rule(at=st.integers(0, 3), which=st.integers(0, 50), then_s=pauses)
    def ask_again(self, at: int, which: int, then_s: float) -> None:
        async def asked() -> None:
            if wishes := self.shared.wishes:
                earlier = wishes[which % len(wishes)].asked
                process = self._living(at)
                process.wish(replace(earlier, deadline=process.clock.monotonic() + 5.0))
            await asyncio.sleep(then_s)

        self.loop.run_until_complete(asked())

    def _ask(
        self, process: Mortal, ref: str, key: str | None, wait: Wait, within_s: float, *, urgent: bool = False
    ) -> Wish:
        return process.wish(
            process.ask(
                ref,
                By.CLIENT_ID if ref == "c1" else By.ORDER_ID,
                key=None if key is None else f"{key}-{ref}",
                wait=wait,
                within_s=within_s,
                lane=Lane.URGENT if urgent else Lane.NORMAL,
            )
        )

    @rule(ref=st.sampled_from(ORDERS[:6]))
    def order_fills(self, ref: str) -> None:
        self.shared.book.fill(ref)

    @rule(seconds=pauses)
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(at=st.integers(0, 3), hears=st.booleans())
    def process_dies(self, at: int, *, hears: bool) -> None:
        async def died() -> None:
            self._living(at).kill()
            if sum(not process.life.dead for process in self.processes) < LIVING_LEAST or hears:
                self.processes.append(Mortal(self.shared, hears=hears))

        self.loop.run_until_complete(died())

    @rule(store=st.sampled_from(Store), flushed=st.sampled_from([False, False, False, True]), then_s=pauses)
    def store_answers_so(self, store: Store, then_s: float, *, flushed: bool) -> None:
        self.shared.store = store
        if flushed:
            self.shared.flush()
        self.loop.run_until_complete(asyncio.sleep(then_s))

    @rule(which=st.integers(0, 50))
    def caller_leaves(self, which: int) -> None:
        wishes = self.shared.wishes
        if wishes:
            wishes[which % len(wishes)].patience.leave()

    def _living(self, at: int) -> Mortal:
        living = [process for process in self.processes if not process.life.dead]
        return living[at % len(living)]

    def teardown(self) -> None:
        """The weather clears, time passes, and everything is held against the book."""
        try:
            if self.processes:
                self.loop.run_until_complete(self._judged())
        finally:
            self._close()

    async def _judged(self) -> None:
        shared = self.shared
        shared.store = Store.UP
        shared.book.cancels.clear()
        shared.book.glimpses.clear()
        fresh = Mortal(shared)
        self.processes.append(fresh)
        await asyncio.sleep(CALM_S)
        for wish in shared.wishes:
            assert wish.answer is not None or wish.process.life.dead, f"never answered: {wish.ref}, {wish.asked}"
            assert wish.task is not None
            if wish.task.done():
                wish.task.result()
            judge_answer(shared, wish)
        judge_sends(shared)
        for process in self.processes:
            judge_process(process)
        for record in tuple(shared.records.kept.values()):
            judge_record(shared, record)
        await self._nothing_is_locked(fresh)
        assert not self.faults, self.faults

    async def _nothing_is_locked(self, fresh: Mortal) -> None:
        """What is still open can be cancelled by whoever asks now."""
        asked = [
            self._ask(fresh, ref, None, Wait.TERMINAL, 30.0)
            for ref, order in self.shared.book.orders.items()
            if order.truth is Truth.OPEN
        ]
        await asyncio.sleep(31.0)
        for wish in asked:
            assert wish.answer is not None
            assert wish.answer.outcome is Outcome.CANCELLED, f"locked: {wish.ref}, {wish.answer}"

    def _close(self) -> None:
        if self.processes:
            self.shared.over = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()


@pytest.mark.timeout(0)
@pytest.mark.parametrize("played", range(0, SCHEDULES, AT_ONCE))
def test_nothing_false_is_told_and_nothing_is_lost_under_any_schedule_of_faults(played: int) -> None:
    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=min(AT_ONCE, SCHEDULES - played),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=SCHEDULES == SHORT,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        ),
    )
