"""A SIGKILL at every await between receive and respond, on virtual time: the points are counted out, not chosen.

Each pass of the event loop is a point, so every suspension of the request is among them. A scene is played once to its
end to learn how many passes it has, then once for each pass that its process dies after. Then others look after what is
left, with nobody asking, or the caller asks them again under his key.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import pytest
from judge import judge_answer, judge_record, judge_sends
from mortal import Mortal, Wish, shared_ground
from true_venue import Conduct, Glimpse, Manner, TrueOrder, Truth
from virtual_time import VirtualLoop

from gateway.core.model import Wait
from gateway.core.outcome import Outcome

DEADLINE_S = 5.0
LEASE_S = DEADLINE_S + 2.0 + 1.0
LOOKS, LOOKS_S, ROUND_MOST_S, GRACE_S = 2, 2 * 2.5, 1.2, 25.0
POINTS_LEAST = 5
SILENT = Manner.SILENT


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cancel meets, and what of its order the venue shows."""

    name: str
    meets: tuple[Conduct, ...] = ()
    sees: tuple[Glimpse, ...] = ()
    wait: Wait = Wait.ACK
    queued: bool = False
    party: int = 0
    truth: Truth = Truth.OPEN


SCENES = (
    Scene("cancelled at once"),
    Scene("already filled", truth=Truth.FILLED),
    Scene("never was", truth=Truth.NEVER_WAS),
    Scene("waits for its slot", queued=True),
    Scene("goes in a batch", queued=True, party=3),
    Scene("acknowledged", (Conduct(Manner.ACKNOWLEDGING, 1.0),)),
    Scene("acknowledged and waited for", (Conduct(Manner.ACKNOWLEDGING, 0.3),), wait=Wait.TERMINAL),
    Scene("read back", (Conduct(Manner.UNCERTAIN),)),
    Scene("read back and tried again", (Conduct(Manner.UNCERTAIN, None),)),
    Scene("not sent and tried again", (Conduct(Manner.UNREACHABLE),)),
    Scene("renewed", (Conduct(Manner.DISTRUSTING),)),
    Scene("limited", (Conduct(Manner.THROTTLING),)),
    Scene("lost on the way back", (Conduct(SILENT),)),
    Scene("lost on the way there", (Conduct(SILENT, None),)),
    Scene("late", (Conduct(SILENT, 6.0),)),
    Scene("garbled", (Conduct(Manner.GARBLED),)),
    Scene("garbled and waited for", (Conduct(Manner.GARBLED),), (Glimpse(Manner.GARBLED),), wait=Wait.TERMINAL),
)  # fmt: skip


class CountedLoop(VirtualLoop):
    """Counts its passes once `watched`, and calls `at_last` after the one that is told."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0
        self.last = 0
        self.at_last: Callable[[], None] | None = None

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio keeps it to itself
        if self.at_last is None:
            return
        self.passes += 1
        if self.passes == self.last:
            self.at_last()


class Play:
    """One scene, with a process that dies after so many passes, or never."""

    def __init__(self, scene: Scene, loop: CountedLoop, last: int) -> None:
        self.scene, self.loop = scene, loop
        self.shared = shared_ground(loop.clock, scene.party)
        refs = ["mine", *(f"other-{number}" for number in range(1, scene.party))]
        for ref in refs:
            self.shared.book.orders[ref] = TrueOrder(scene.truth)
        self.shared.book.cancels.extend(scene.meets)
        self.shared.book.glimpses.extend(scene.sees)
        self.first = Mortal(self.shared)
        self.first.walking.cancel()
        if scene.queued:
            self.first.spend(10)
        self.died = asyncio.Event()
        self.wishes = [self.asks(self.first, ref, DEADLINE_S) for ref in refs]
        loop.last, loop.passes, loop.at_last = last, 0, self._die

    def asks(self, process: Mortal, ref: str, within_s: float) -> Wish:
        return process.wish(process.ref_asked(ref, within_s, self.scene.wait))

    @property
    def grace_s(self) -> float:
        """A venue is not believed at once that it does not know an order."""
        return GRACE_S if self.scene.truth is Truth.NEVER_WAS else 0.0

    def _die(self) -> None:
        self.first.kill()
        self.died.set()

    async def over(self) -> int:
        """Wait until everybody has his answer, or the process is dead; how many passes there were."""
        answers = asyncio.ensure_future(asyncio.wait([wish.task for wish in self.wishes if wish.task is not None]))
        died = asyncio.ensure_future(self.died.wait())
        await asyncio.wait({answers, died}, return_when=asyncio.FIRST_COMPLETED)
        self.loop.at_last = None
        return self.loop.passes

    def judge(self) -> None:
        """Everything against the book, and no record left behind."""
        for wish in self.shared.wishes:
            judge_answer(self.shared, wish)
        judge_sends(self.shared)
        for record in self.shared.records.kept.values():
            judge_record(self.shared, record)


def played(scene: Scene, last: int, rescue: Callable[[Play], Coroutine[object, object, None]]) -> int:
    """Play it; how many points it has."""
    with asyncio.Runner(loop_factory=CountedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountedLoop)

        async def all_of_it() -> int:
            play = Play(scene, loop, last)
            passes = await play.over()
            if play.first.life.dead:
                await rescue(play)
                play.judge()
            play.shared.over = True
            return passes

        return runner.run(all_of_it())


async def nobody_asks(play: Play) -> None:
    """Another replica looks after what is left: within the lease and two looks at what is true by then."""
    book, other = play.shared.book, Mortal(play.shared)
    looked = len(book.reads)
    await asyncio.sleep(LEASE_S + ROUND_MOST_S + LOOKS_S + play.grace_s)
    mine = book.orders["mine"]
    looks = [at for at, ref, _ in book.reads[looked:] if ref == "mine" and at >= mine.ended_at]
    assert len(looks) <= LOOKS or mine.truth in {Truth.OPEN, Truth.NEVER_WAS}
    assert other.log.bugs == []


async def asked_again(play: Play) -> None:
    """The caller comes back under his key, to a process that was started anew."""
    again = play.asks(Mortal(play.shared), "mine", 2 * LEASE_S + GRACE_S)
    assert again.task is not None
    await again.task
    assert again.answer is not None
    left = [attempt for attempt in play.shared.book.of("mine") if 0 in attempt.callers]
    own = [attempt for attempt in play.shared.book.of("mine") if again.number in attempt.callers]
    assert not own or not left or left[-1].definite, "sent again blindly"
    assert again.answer.outcome not in {Outcome.IN_PROGRESS, Outcome.INTERNAL}
    await asyncio.sleep(LEASE_S + ROUND_MOST_S + play.grace_s)


@pytest.mark.parametrize("rescue", [nobody_asks, asked_again])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_process_killed_at_any_await_leaves_only_records_that_end_in_the_truth(
    scene: Scene, rescue: Callable[[Play], Coroutine[object, object, None]]
) -> None:
    points = played(scene, 0, rescue)

    assert points > POINTS_LEAST
    for last in range(1, points + 1):
        assert played(scene, last, rescue) >= last
