"""Everything that callers meet, in this process: the real door, handlers and pipeline before ports that only count.

Every credential is refused, so an allowed cancel ends at the first port that it meets, and that is noted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from aiohttp import web
from fakes import FakeCredentials, World
from virtual_time import FakeClock

from gateway.core.access import Caller
from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.desk import Desk
from gateway.lookout import Lookout
from gateway.ports import Meter, NoSigner, OpenEnds, Unlocked
from gateway.recent import Recent
from gateway.venues import ALL
from gateway.web.app import admin_app, caller_app, runner
from gateway.web.console import Console
from gateway.web.door import Door
from gateway.web.front import Front, Journal
from gateway.web.health import Component, Vitals
from gateway.web.listener import Site

HEAD_END = b"\r\n\r\n"


class ShutCredentials(FakeCredentials):
    """Knows every account and opens none; who asks for which is noted."""

    async def unlock(self, account: Account) -> Unlocked | NoSigner:
        self.story.append(f"unlock {account.venue}:{account.name}")
        return NoSigner(Outcome.SECRET_UNAVAILABLE, "shut")


class NoEnds:
    """Nothing is left open."""

    async def oldest(self, account: Account, most: int) -> OpenEnds:
        assert account.name
        assert most > 0
        return OpenEnds(0)


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.kept: list[dict[str, object]] = []
        self.bugs: list[BaseException] = []

    def done(self, fields: Mapping[str, object]) -> None:
        self.kept.append(dict(fields))

    def event(self, name: str, **fields: object) -> None:
        self.kept.append({"event": name, **fields})

    def lines_lost(self) -> int:
        return 0

    def broke(self, request_id: str, error: BaseException) -> None:
        del request_id
        self.bugs.append(error)


class Everywhere(World):
    """All venues instead of one."""

    def __init__(self) -> None:
        desks = {venue.id: Desk(venue, venue.quotas, 0, 2000, "desk-a") for venue in ALL}
        super().__init__(clock=FakeClock(), desks=desks)

    def _credentials(self) -> FakeCredentials:
        return ShutCredentials(self.story)


@dataclass
class Heard:
    """One answer."""

    status: int
    head: bytes
    body: bytes


@dataclass
class Counter:
    """The service, and what was touched behind it."""

    world: Everywhere
    log: Lines
    door: Door
    app: web.Application
    port: int

    async def said(self, requests: Sequence[bytes]) -> list[Heard]:
        """What is answered to requests that come in one breath on one connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"".join(requests))
        try:
            return [await _heard(reader) for _ in requests]
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def counting(callers: Iterable[Caller], meter: Meter | None = None) -> AsyncIterator[Counter]:
    """The callers' listener on loopback; what it counts goes to `meter`."""
    world, log = Everywhere(), Lines()
    door = Door(callers, world.clock)
    app = caller_app(front_of(world, log, door, meter), VITALS)
    async with listening(app) as port:
        yield Counter(world, log, door, app, port)


@asynccontextmanager
async def counting_console(callers: Iterable[Caller]) -> AsyncIterator[Counter]:
    """Likewise the admin listener, whose console has nothing to show."""
    world, log = Everywhere(), Lines()
    door = Door(callers, world.clock)
    front = front_of(world, log, door)
    lookout = Lookout(front.survey, NoEnds(), world.clock, log)
    app = admin_app(front, VITALS, Console(lookout, front.journal.recent, front.killer.under_way, "0"))
    async with listening(app) as port:
        yield Counter(world, log, door, app, port)


def front_of(world: World, log: Lines, door: Door, meter: Meter | None = None) -> Front:
    """The service behind the listeners."""
    ids = count(1)
    return Front(
        desks=world.desks,
        door=door,
        clock=world.clock,
        pipeline=world.pipeline,
        killer=world.killer,
        planner=world.planner,
        records=world.records,
        follower=world.follower,
        survey=world.survey,
        journal=Journal(meter or world.meter, log, Recent(world.clock.now_ms)),
        new_request_id=lambda: f"request-{next(ids)}",
    )


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    """A listener on loopback, and its port."""
    runs = runner(app)
    await runs.setup()
    await Site(runs, "127.0.0.1", 0).start()
    try:
        yield int(runs.addresses[0][1])
    finally:
        await runs.cleanup()


async def _components() -> dict[str, Component]:
    return {}


async def _no_metrics(_: str) -> tuple[bytes, str]:
    return b"", "text/plain"


VITALS = Vitals(_components, lambda: False, _no_metrics, "0")


async def _heard(reader: asyncio.StreamReader) -> Heard:
    head = await reader.readuntil(HEAD_END)
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return Heard(int(head.split(b" ", 2)[1]), head, await reader.readexactly(int(length.split(b":")[1])))
