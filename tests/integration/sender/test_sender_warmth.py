"""Connections that are there before they are needed, and those that are kept for the urgent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from raw_venue import Call, answer_all, raw_venue
from sender_rig import VENUE, Rig

from gateway.backends.sender import Line, VenueSender
from gateway.core.wire import NotSent, Reply, WireRequest


@asynccontextmanager
async def warming(sender: VenueSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.keep_warm())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  another side's count
            await asyncio.sleep(0.005)


def cancel(url: str) -> WireRequest:
    return WireRequest("DELETE", url + "/order?id=1", ())


async def test_a_first_send_finds_a_connection_open(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url, warm=2))

        async with warming(sender):
            await until(lambda: venue.connections == 3)
            replies = await asyncio.gather(
                *(sender.send(VENUE, cancel(venue.url), 5000, urgent=urgent) for urgent in (False, False, True))
            )

        assert all(isinstance(reply, Reply) for reply in replies)
        assert (venue.connections, len(venue.requests)) == (3, 3)


async def test_none_are_opened_beyond_the_most(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url, connections=1, warm=5))

        async with warming(sender):
            await until(lambda: venue.connections == 2)
            await asyncio.sleep(0.05)

        assert venue.connections == 2


async def test_a_warm_connection_that_the_venue_has_closed_is_not_used(rig: Rig) -> None:
    closing = asyncio.Event()

    async def close_the_first(call: Call) -> None:
        if not closing.is_set():
            await closing.wait()
            return
        await answer_all(call)

    async with raw_venue(close_the_first) as venue:
        sender = await rig.sender(Line(venue.url, warm=1))
        async with warming(sender):
            await until(lambda: venue.connections == 2)
            closing.set()
            await until(lambda: venue.open == 0)

            reply = await sender.send(VENUE, cancel(venue.url), 5000)

        assert isinstance(reply, Reply)
        assert len(venue.requests) == 1


async def test_a_venue_that_cannot_be_reached_breaks_nothing(rig: Rig) -> None:
    async with raw_venue(answer_all) as venue:
        sender = await rig.sender(Line(venue.url, warm=1), Line("http://127.0.0.1:1", warm=1))

        async with warming(sender):
            await until(lambda: venue.connections == 2)


async def test_the_urgent_pass_when_others_have_used_up_every_connection(rig: Rig) -> None:
    freed = asyncio.Event()

    async def hang_first(call: Call) -> None:
        if venue.connections == 1:
            await call.request()
            await freed.wait()
        await answer_all(call)

    async with raw_venue(hang_first) as venue:
        sender = await rig.sender(Line(venue.url, connections=1))
        stuck = asyncio.create_task(sender.send(VENUE, cancel(venue.url), 5000))
        await until(lambda: len(venue.requests) == 1)

        normal = await sender.send(VENUE, cancel(venue.url), 100)
        urgent = await sender.send(VENUE, cancel(venue.url), 2000, urgent=True)

        assert normal == NotSent("no connection in time")
        assert isinstance(urgent, Reply)
        freed.set()
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
