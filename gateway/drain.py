"""Ending in order: nothing new, what can still go goes, the rest is handed over in time, and everybody is answered.

1. From the first signal on, newcomers are told `draining`, and readiness says no. The listeners stay open for a lag at
   least, since load balancers go on sending until they have noticed.
2. As long as there is time for a slot and an answer, those who wait in line go on.
3. Then the line is handed over: `draining`, nothing sent, and another replica can take the key at once.
4. What has left gets its answer. At the very end, whoever still waits for one is told what is certain by then; the
   record stays, and is resolved by another replica.

A second signal goes to step 3 at once, and leaves no more than one answer's time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.outcome import Outcome
from gateway.core.shut import Shut
from gateway.ports import Clock

LOOK_S = 0.01
CLOSE_S = 1.0
HANDED_OVER = Shut(Outcome.DRAINING, "this process is shutting down; nothing was sent, try another one", 1)


@dataclass(frozen=True, slots=True)
class Times:
    """How long it may take in all, how long newcomers are still answered, how long a slot and an answer take."""

    whole_s: float
    lag_s: float
    answer_s: float


@dataclass(frozen=True, slots=True)
class Drain:
    """What has to be told, and whom to ask."""

    clock: Clock
    times: Times
    busy: Callable[[], bool]
    hand_over: Callable[[], None]
    answer_all: Callable[[], None]

    async def run(self, hasten: asyncio.Event) -> bool:
        """To the end; False where somebody had to be answered before his work was done."""
        began = self.clock.monotonic()
        last = began + max(0.0, self.times.whole_s - CLOSE_S)
        quiet, over, handed, hastened = min(last, began + self.times.lag_s), last - self.times.answer_s, False, False
        while True:
            now = self.clock.monotonic()
            if hasten.is_set() and not hastened:
                hastened, quiet, over, last = True, now, now, min(last, now + self.times.answer_s)
            if now >= over and not handed:
                handed = True
                self.hand_over()
            if now >= quiet and not self.busy():
                return True
            if now >= last:
                self.answer_all()
                return False
            # What it waits for are counts that fall and times that come.
            await asyncio.sleep(LOOK_S)
