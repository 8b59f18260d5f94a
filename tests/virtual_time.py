"""An event loop on virtual time: whenever nothing is left to run, the clock jumps to the next timer.

`FakeClock` is both clocks of the gateway and the loop's own time at once. `on_virtual_time` runs a test's coroutine on
such a loop; a test that would hang says so at once.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine, Mapping

EPOCH_MS = 1_700_000_000_000


class FakeClock:
    """Time that moves when it is told to, by a test or by the loop."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds
        self.wall_ahead_ms = 0

    def now_ms(self) -> int:
        return EPOCH_MS + round(self.seconds * 1000) + self.wall_ahead_ms

    def monotonic(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds


class Stuck(Exception):  # noqa: N818  the test waits for what nobody will bring about
    """No timer is left, and nothing is there to run."""


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for the next timer, makes it now."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            raise Stuck
        if not ready and timeout is not None:
            self._clock.pass_s(max(0.0, timeout))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `clock` is its time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(_Jumping(self.clock))

    def time(self) -> float:
        return self.clock.monotonic()


def loop_clock() -> FakeClock:
    """The clock of the loop that runs now."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "only on virtual time"
    return loop.clock


def on_virtual_time(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Make a plain test of a coroutine."""

    @functools.wraps(test)
    def run(*args: object, **named: object) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            faults: list[Mapping[str, object]] = []
            runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
            runner.run(test(*args, **named))
        assert not faults, faults

    return run


async def let_run() -> None:
    """Give what is in the air the time to land, without letting the clock move."""
    for _ in range(20):
        await asyncio.sleep(0)
