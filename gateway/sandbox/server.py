"""Starts and stops the five servers, each on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.sandbox.b2trader import B2Trader
from gateway.sandbox.book import Book
from gateway.sandbox.clock import Clock, SystemClock, TurnedClock
from gateway.sandbox.config import VENUE_IDS, SandboxConfig
from gateway.sandbox.config_file import config_from_toml
from gateway.sandbox.control import ROOT, Control, is_control
from gateway.sandbox.etna import Etna
from gateway.sandbox.faults import FaultList
from gateway.sandbox.hashkey import HashKey
from gateway.sandbox.loopring import Loopring
from gateway.sandbox.orderly import Orderly
from gateway.sandbox.serve import Front
from gateway.sandbox.venue import Desk, Venue

_MAKERS: Final[Mapping[str, Callable[[Desk], Venue]]] = {
    "orderly": Orderly,
    "hashkey": HashKey,
    "loopring": Loopring,
    "etna": Etna,
    "b2trader": B2Trader,
}
_SHUTDOWN_S: Final = 0.2
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  compared, not bound


@dataclass(frozen=True, slots=True)
class RunningVenue:
    """One venue that is being served: `base_url` is what a client is configured with, `control_url` has /_sandbox."""

    id: str
    base_url: str
    control_url: str
    desk: Desk


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The venues that are being served, by id."""

    config: SandboxConfig
    venues: Mapping[str, RunningVenue]


@asynccontextmanager
async def running(config: SandboxConfig | None = None, clock: Clock | None = None) -> AsyncIterator[Sandbox]:
    """Serve all venues while the block runs."""
    config, clock = config or SandboxConfig(), clock or SystemClock()
    closing = asyncio.Event()
    async with AsyncExitStack() as stack:
        venues: dict[str, RunningVenue] = {}
        for venue_id in VENUE_IDS:
            turned = TurnedClock(clock)
            desk = Desk(config, turned, config.credentials.get(venue_id, {}), Book(turned))
            origin = await _served(_MAKERS[venue_id](desk), config, closing, stack)
            venues[venue_id] = origin
        stack.callback(closing.set)
        yield Sandbox(config, venues)


async def serve(config_path: Path | None, announce: Callable[[str], None]) -> None:
    """Serve until cancelled; raises BadSandboxConfig where the file is at fault."""
    config = SandboxConfig() if config_path is None else config_from_toml(config_path)
    async with running(config) as sandbox:
        for venue in sandbox.venues.values():
            announce(f"{venue.id}: {venue.base_url} (control: {venue.control_url}{ROOT})")
        await asyncio.Event().wait()


async def _served(venue: Venue, config: SandboxConfig, closing: asyncio.Event, stack: AsyncExitStack) -> RunningVenue:
    faults = FaultList()
    front, control = Front(venue, faults, closing), Control(venue, faults)

    async def handle(http: web.BaseRequest) -> web.StreamResponse:
        door = control.handle if is_control(http.raw_path) else front.handle
        return await door(http)

    # The low-level server: no router stands between the bytes of a path and the venue that judges them.
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, config.host, config.ports.get(venue.id, 0)).start()
    shown = "127.0.0.1" if config.host in _ANY_ADDRESS else config.host
    origin = f"http://{shown}:{runner.addresses[0][1]}"
    return RunningVenue(venue.id, origin + venue.base_path, origin, venue.desk)
