"""One call in the air at a time: whoever asks meanwhile shares what comes of it, good or bad."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """A caller that leaves does not bring it down."""

    def __init__(self) -> None:
        self._flight: asyncio.Task[Result] | None = None

    async def share(self, call: Callable[[], Coroutine[object, object, Result]]) -> Result:
        """The result of the call in the air, or of this one."""
        if self._flight is None:
            self._flight = asyncio.create_task(call())
            self._flight.add_done_callback(self._land)
        return await asyncio.shield(self._flight)

    async def aclose(self) -> None:
        """End what is in the air."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _land(self, flight: asyncio.Task[Result]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # looked at, in case that everybody has left
