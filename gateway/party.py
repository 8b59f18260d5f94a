"""Those who share one batch request: each boards once its record says `sent`, and each gets its own verdict."""

import asyncio
from collections.abc import Callable, Coroutine

from gateway.core.admission import Missed
from gateway.core.model import OrderRef
from gateway.core.outcome import Verdict
from gateway.core.wire import NotSent

Told = Verdict | NotSent | Missed
Send = Callable[[tuple[OrderRef, ...]], Coroutine[object, object, tuple[Told, ...]]]


class Party:
    """A fixed number of seats. When the last is taken or given up, one request goes out for all that are aboard."""

    def __init__(self, seats: int) -> None:
        self._missing = seats
        self._aboard: list[OrderRef] = []
        self._sailed = asyncio.Event()
        self._send: Send | None = None
        self._voyage: asyncio.Future[tuple[Told, ...]] | None = None

    @property
    def size(self) -> int:
        """How many orders the request asks for."""
        return len(self._aboard)

    def stay_away(self) -> bool:
        """Give a seat up; the others must not wait for it. Whether nobody is left who would use the slot."""
        return self._seated()

    async def board(self, order: OrderRef, send: Send) -> Told:
        """Take a seat, and learn what became of this order; its twin in the same request shares its verdict."""
        if order not in self._aboard:
            self._aboard.append(order)
        self._send = send
        self._seated()
        await self._sailed.wait()
        assert self._voyage is not None  # noqa: S101  set before the event
        return (await asyncio.shield(self._voyage))[self._aboard.index(order)]

    def _seated(self) -> bool:
        self._missing -= 1
        if self._missing > 0:
            return False
        if self._send is None:
            return True
        self._voyage = asyncio.ensure_future(self._send(tuple(self._aboard)))
        self._sailed.set()
        return False
