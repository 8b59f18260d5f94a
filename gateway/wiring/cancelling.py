"""What a cancel goes through on its way to a venue, made: desks, weather, credentials, lines, the wire."""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway import __version__
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.sender import Line, VenueSender
from gateway.breakers import Breakers, Change
from gateway.core.model import Account, VenueId
from gateway.desk import Desk
from gateway.dispatch import Bounds, Dispatcher
from gateway.guard import GuardedSender
from gateway.offsets import Offsets
from gateway.ports import Log, Sender
from gateway.settings import Settings
from gateway.survey import Survey, limits_of
from gateway.venues import ALL
from gateway.venues.base import Clocked, Venue, at
from gateway.weather import Weather
from gateway.wiring.shared import Shared
from gateway.wiring.stores import store_of

US_PER_MS, MS_PER_S = 1000, 1000
WARM_AT_ONCE = 8
AGENT = f"cancel-gateway/{__version__}"
ROLL = secrets.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Cancelling:
    """What a cancel goes through."""

    desks: Mapping[VenueId, Desk]
    sender: Sender
    weather: Weather
    keeper: CredentialKeeper
    dispatcher: Dispatcher
    survey: Survey
    give_up_ms: int


def cancelling_parts(settings: Settings, shared: Shared, ends: AsyncExitStack) -> Cancelling:
    """Everything on the way of a cancel, ended with the service."""
    venues = {venue.id: at(venue, settings.venues[venue.id].site) for venue in ALL if venue.id in settings.venues}
    desks = {
        venue: Desk(
            venues[venue],
            own.limits,
            own.reserve,
            own.timeout_ms,
            own.default_account,
            own.batching,
            own.cancel_all,
        )
        for venue, own in settings.venues.items()
    }
    lines = {
        venue: Line(own.site.base_url, connections=own.connections, warm=own.warm_connections)
        for venue, own in settings.venues.items()
    }
    wire = VenueSender(lines, shared.clock, AGENT)
    ends.push_async_callback(wire.aclose)
    ends.callback(asyncio.create_task(wire.keep_warm()).cancel)
    shared.metrics.on_scrape(lambda: shared.metrics.unasked(wire.unasked()))

    def changed(change: Change) -> None:
        _tell_breaker(shared.log, change)
        if change.shut is not None:
            dispatcher.turn_away(change.shut, change.concerns)

    weather = _weather(settings, shared, venues, changed)
    sender = GuardedSender(shared.traces.sender(wire), weather.breakers)
    keeper = CredentialKeeper(
        {venue: Served(venues[venue], own.site, own.timeout_ms) for venue, own in settings.venues.items()},
        store_of(settings.secrets, os.environ, shared.clock),
        sender,
        shared.clock,
        Freshness(settings.secrets.refresh_seconds, settings.secrets.stale_seconds),
        shared.metrics.credential,
    )
    ends.push_async_callback(keeper.aclose)
    bounds = Bounds(settings.server.max_waiting, settings.server.max_waiting_per_caller)
    dispatcher = Dispatcher(shared.limiter, shared.clock, bounds, shared.metrics.slot)
    ends.push_async_callback(dispatcher.aclose)
    survey = Survey(desks, keeper, shared.limiter, dispatcher, shared.gates, shared.limiter, weather)
    give_up_ms = settings.records.give_up_seconds * 1000
    return Cancelling(desks, sender, weather, keeper, dispatcher, survey, give_up_ms)


def _weather(
    settings: Settings, shared: Shared, venues: Mapping[VenueId, Venue], changed: Callable[[Change], None]
) -> Weather:
    def told(venue: VenueId, word: str, proven_ms: int) -> None:
        shared.log.event(f"clock.{word}", venue=venue, venue_ahead_ms=proven_ms)

    answers_s = {venue: own.timeout_ms / MS_PER_S for venue, own in settings.venues.items()}
    rules = {venue: known if isinstance(known, Clocked) else None for venue, known in venues.items()}
    off = frozenset(venue for venue, own in settings.venues.items() if not own.breaker)
    breakers = Breakers(answers_s, shared.clock, ROLL, changed, off)
    return Weather(breakers, Offsets(rules, shared.clock, told))


def _tell_breaker(log: Log, change: Change) -> None:
    where = {"venue": change.venue, "scope": change.scope, "account": change.account and change.account.name}
    if change.shut is None:
        log.event("breaker.closed", **where)
    else:
        log.event("breaker.opened", **where, probe_in_ms=change.shut.wait_us // US_PER_MS)


async def warm_up(shared: Shared, parts: Cancelling) -> None:
    """Read every credential and arm every limit before the first cancel comes, so that it does not pay for either."""
    turns = asyncio.Semaphore(WARM_AT_ONCE)

    async def warm(desk: Desk, account: Account) -> None:
        async with turns:
            await shared.limiter.arm(tuple(limits_of(desk, account).values()))
            await parts.keeper.unlock(account)

    for desk in parts.desks.values():
        await asyncio.gather(*(warm(desk, account) for account in await parts.survey.accounts(desk)))
