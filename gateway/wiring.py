"""The composition root: the only file that knows everything. It builds the service from its settings, and ends it."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from gateway import __version__
from gateway.aftercare import look_after
from gateway.again import Retries
from gateway.backends.abroad import ClusterLimiter
from gateway.backends.admittance import Admittance
from gateway.backends.auditor import Auditor
from gateway.backends.clock import SystemClock
from gateway.backends.cluster_records import ClusterRecords
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.fallback import FallbackLimiter, LocalLimiter
from gateway.backends.gates import RedisGates
from gateway.backends.limiter import RedisLimiter
from gateway.backends.metrics import Metrics
from gateway.backends.records import RedisRecords
from gateway.backends.redis.embedded import EmbeddedRedis
from gateway.backends.redis.link import EMBEDDED, Link
from gateway.backends.rehearsal import Rehearsal
from gateway.backends.sender import Line, VenueSender
from gateway.backends.steady_records import SteadyRecords
from gateway.backends.tls import ListenerTls
from gateway.backends.trail import DAY_MS, RedisTrail, Watch
from gateway.backends.unknowns import RedisUnknowns
from gateway.breakers import Breakers, Change
from gateway.core.admission import Demand
from gateway.core.answer import Answer, Asked
from gateway.core.model import Account, VenueId
from gateway.core.tally import Kill, Tally
from gateway.core.trail import Began
from gateway.core.trail_backlog import Bounds as TrailBounds
from gateway.courier import Courier
from gateway.desk import Desk
from gateway.dispatch import Bounds, Dispatcher
from gateway.drain import HANDED_OVER, Drain, Times
from gateway.errand import Errands
from gateway.follow import Follower
from gateway.guard import GuardedSender
from gateway.kill import Killer
from gateway.lookout import Lookout
from gateway.offsets import Offsets
from gateway.pipeline import Pipeline
from gateway.planner import Planner
from gateway.ports import NO_TRAIL, Limiter, Log, RecordStore, Sender, Trail, Unavailable
from gateway.reader import Reader
from gateway.recent import Recent
from gateway.reload import Entrance, Reloader, Reread, Told
from gateway.resolve import Resolver
from gateway.settings import Settings
from gateway.settings.syntax import Listen
from gateway.stores import store_of
from gateway.survey import Survey, limits_of
from gateway.sweep import Hands
from gateway.traces import Traces, traces_of
from gateway.venues import ALL
from gateway.venues.base import Clocked, Venue, at
from gateway.voyage import Voyages
from gateway.watchman import Watchman
from gateway.weather import Weather
from gateway.web.app import admin_app, caller_app, runner
from gateway.web.codec import answer_body
from gateway.web.console import Console
from gateway.web.front import Front, Journal
from gateway.web.health import Component, Vitals
from gateway.web.kill_codec import kill_body
from gateway.web.listener import Site

SLOTS_AHEAD = 2
AGENT = f"cancel-gateway/{__version__}"
WARM_AT_ONCE = 8
ANSWER_MARGIN_S = 0.5
PROBE_MARGIN_MS, US_PER_MS, MS_PER_S = 2000, 1000, 1000
TRAIL_TIMEOUT_MS = 2000
ROLL = secrets.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it runs, and where it is reached."""

    front: Front
    url: str
    admin_url: str
    times: Times

    async def drain(self, hasten: asyncio.Event) -> bool:
        """Take nothing new, and let what was accepted end; False where the time was too short."""
        front = self.front
        front.draining = True

        def busy() -> bool:
            return front.in_flight > 0 or front.pipeline.busy

        def hand_over() -> None:
            front.pipeline.dispatcher.close(HANDED_OVER)

        return await Drain(front.clock, self.times, busy, hand_over, front.answer_all).run(hasten)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all replicas share, and what everything here leans on."""

    clock: SystemClock
    log: Log
    metrics: Metrics
    link: Link
    limiter: FallbackLimiter
    records: SteadyRecords
    gates: RedisGates
    trail: Trail
    traces: Traces


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


@asynccontextmanager
async def running(settings: Settings, log: Log, reread: Reread | None = None) -> AsyncIterator[Running]:
    """The whole service, up and listening, as long as the block runs."""
    async with AsyncExitStack() as ends:
        shared = await _shared(settings, log, ends)
        cancelling = _cancelling(settings, shared, ends)
        told = Told(shared.metrics, log)
        entrance = Entrance(settings, shared.clock, told, AGENT)
        ends.push_async_callback(entrance.aclose)
        front = _front(entrance, shared, cancelling)
        vitals = _vitals(front, shared, cancelling, entrance)
        app = caller_app(front, vitals, shared.traces.middlewares)
        url = await _listen(ends, app, settings.server.listen, entrance.tls)
        ends.callback(asyncio.create_task(Reloader(settings, entrance, told, reread).run()).cancel)
        admin = admin_app(front, vitals, _console(front, shared))
        admin_url = await _listen(ends, admin, settings.server.admin_listen, None)
        ends.callback(asyncio.create_task(_warm(shared, cancelling)).cancel)
        watchman = _watchman(front, shared, cancelling)
        look_after(watchman, front.follower.bell, shared.link.subscription, ends)
        log.event("gateway.started", version=__version__, url=url, admin_url=admin_url, venues=[*front.desks])
        yield Running(front, url, admin_url, _times(settings))


def _times(settings: Settings) -> Times:
    server, slowest_ms = settings.server, max(own.timeout_ms for own in settings.venues.values())
    return Times(server.drain_seconds, server.drain_lag_ms / MS_PER_S, slowest_ms / MS_PER_S + ANSWER_MARGIN_S)


async def _shared(settings: Settings, log: Log, ends: AsyncExitStack) -> Shared:
    clock = SystemClock()
    auditor = Auditor({venue: own.limits for venue, own in settings.venues.items()})
    traces = traces_of(settings.tracing, log, ends)
    metrics = traces.metrics(settings.venues, auditor, clock)

    def another_server(reason: str) -> None:
        limiter.lose(reason)

    url = await _redis_url(settings, log, ends)
    link = Link(url, settings.redis.timeout_ms, metrics.redis, on_new_server=another_server)
    ends.push_async_callback(link.aclose)
    probe_us = (max(own.timeout_ms for own in settings.venues.values()) + PROBE_MARGIN_MS) * US_PER_MS
    ahead = SLOTS_AHEAD * settings.redis.replicas_max
    admittance = Admittance(clock, ahead, partial(_tell_data_lost, log), probe_us)
    shared, stored = _store(settings, link, admittance, metrics, log)
    limiter = FallbackLimiter(
        shared,
        LocalLimiter(clock, settings.redis.replicas_max, ahead),
        Rehearsal(link),
        partial(_tell_degraded, metrics, log),
    )
    ends.push_async_callback(limiter.aclose)
    records = SteadyRecords(stored, clock, limiter, partial(_tell_restored, log))
    ends.push_async_callback(records.aclose)
    floors_ms = {venue: max(quota.per_ms for quota in own.limits.values()) for venue, own in settings.venues.items()}
    gates = RedisGates(link, floors_ms, probe_us)
    trail = _trail(settings, url, clock, log, metrics, ends)
    return Shared(clock, log, metrics, link, limiter, records, gates, trail, traces)


def _store(
    settings: Settings, link: Link, admittance: Admittance, metrics: Metrics, log: Log
) -> tuple[Limiter, RecordStore]:
    """Limiter and records as the server's topology needs them."""

    def learned(demand: Demand, tokens: int) -> None:
        if tokens != demand.keep:
            where = {"venue": demand.holder.venue, "limit": demand.limit}
            log.event("limiter.learned", **where, tokens=tokens, configured=demand.keep)
        metrics.limit_in_force(demand.holder.venue, demand.limit, tokens / demand.keep)

    ttl_seconds = settings.records.ttl_seconds
    if not link.is_cluster:
        return RedisLimiter(link, admittance, learned), RedisRecords(link, ttl_seconds, admittance)
    limiter = ClusterLimiter(link, admittance, learned)
    return limiter, ClusterRecords(link, ttl_seconds, admittance, limiter)


def _trail(settings: Settings, url: str, clock: SystemClock, log: Log, metrics: Metrics, ends: AsyncExitStack) -> Trail:
    """Every decision, in Redis as well, but over a connection of its own: nothing that it meets concerns a cancel."""
    audit = settings.audit
    if not audit.enabled:
        return NO_TRAIL
    link = Link(url, TRAIL_TIMEOUT_MS, metrics.redis)
    bounds = TrailBounds(audit.retention_days * DAY_MS, audit.entries_most, audit.reply_bytes)
    began = Began(__version__, {venue: dict(own.site.options) for venue, own in settings.venues.items()})
    trail = RedisTrail(link, clock, secrets.token_hex(8), bounds, began, Watch(log, metrics))
    ends.push_async_callback(link.aclose)
    ends.push_async_callback(trail.aclose)
    return trail


def _tell_data_lost(log: Log, key: str, why: str) -> None:
    log.event("limiter.data_lost", key=key, why=why)


def _tell_restored(log: Log, written: int, dropped: int) -> None:
    log.event("records.restored", written=written, dropped=dropped)


def _tell_degraded(metrics: Metrics, log: Log, lost: bool, reason: str) -> None:  # noqa: FBT001  the callback's form
    metrics.degraded("redis", lost=lost)
    log.event("redis.lost" if lost else "redis.back", reason=reason)


async def _redis_url(settings: Settings, log: Log, ends: AsyncExitStack) -> str:
    if settings.redis.url != EMBEDDED:
        return settings.redis.url

    def told(event: str, detail: str) -> None:
        log.event(event, detail=detail)

    server = await ends.enter_async_context(EmbeddedRedis(settings.redis.data_dir, told))
    return server.url


def _cancelling(settings: Settings, shared: Shared, ends: AsyncExitStack) -> Cancelling:
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


def _front(entrance: Entrance, shared: Shared, parts: Cancelling) -> Front:
    clock, records, metrics, limiter = shared.clock, shared.records, shared.metrics, shared.limiter

    def encode(asked: Asked, answer: Answer) -> bytes:
        return answer_body(asked, answer, clock.now_ms())

    voyages = Voyages(clock, limiter)
    courier = Courier(clock, limiter, shared.gates, limiter, parts.sender, metrics, parts.weather, voyages)
    trail = shared.trail
    reader = Reader(clock, parts.dispatcher, courier, trail)
    resolver = Resolver(
        desks=parts.desks,
        clock=clock,
        credentials=parts.keeper,
        records=records,
        reader=reader,
        meter=metrics,
        log=shared.log,
        encode=encode,
        chance=random.random,
        give_up_ms=parts.give_up_ms,
        trail=trail,
    )
    follower = Follower(clock, records, resolver)
    errands = Errands(clock, courier, metrics, trail)
    pipeline = Pipeline(
        desks=parts.desks,
        clock=clock,
        credentials=parts.keeper,
        records=records,
        weather=parts.weather,
        retries=Retries(clock, metrics, ROLL),
        dispatcher=parts.dispatcher,
        errands=errands,
        reader=reader,
        follower=follower,
        continuity=limiter,
        meter=metrics,
        noise=secrets.token_bytes,
        encode=encode,
        trail=trail,
    )
    return Front(
        desks=parts.desks,
        door=shared.traces.door(entrance.door, clock),
        clock=clock,
        pipeline=pipeline,
        killer=_killer(shared, parts, Hands(clock, parts.keeper, parts.dispatcher, courier, errands, trail), follower),
        planner=Planner(parts.desks, clock, parts.keeper, limiter, parts.dispatcher, parts.weather),
        records=records,
        follower=follower,
        survey=parts.survey,
        journal=Journal(metrics, shared.traces.log(shared.log), Recent(clock.now_ms)),
        new_request_id=lambda: secrets.token_hex(12),
    )


def _killer(shared: Shared, parts: Cancelling, hands: Hands, follower: Follower) -> Killer:
    def encode(kill: Kill, tally: Tally) -> bytes:
        return kill_body(kill, tally, shared.clock.now_ms())

    limiter = shared.limiter
    return Killer(parts.desks, hands, shared.records, follower, limiter, limiter, secrets.token_bytes, encode)


def _console(front: Front, shared: Shared) -> Console:
    lookout = Lookout(front.survey, RedisUnknowns(shared.link), shared.clock, shared.log)
    return Console(lookout, front.journal.recent, front.killer.under_way, __version__)


def _vitals(front: Front, shared: Shared, parts: Cancelling, entrance: Entrance) -> Vitals:
    def look() -> None:
        shared.metrics.log_dropped(shared.log.lines_lost())
        for venue, age_s in parts.keeper.ages().items():
            shared.metrics.credential_age(venue, age_s)
        for venue, accounts in parts.keeper.fallen_back().items():
            shared.metrics.credential_fallback(venue, accounts)
        for venue, depths in parts.dispatcher.depths(front.desks).items():
            for lane, waiting in depths.items():
                shared.metrics.queue_depth(venue, lane, waiting)
        for venue, scope, is_open in parts.weather.breakers.open_scopes():
            shared.metrics.breaker(venue, scope, is_open=is_open)
        for venue, (_, proven_ms) in parts.weather.offsets.standing().items():
            shared.metrics.clock_offset(venue, proven_ms / MS_PER_S)

    async def components() -> Mapping[str, Component]:
        return {
            "redis": await _redis_state(shared),
            "secrets": await _secrets_state(parts),
            "clock": _clock_state(parts),
            "venues": Component(ok=bool(front.desks), detail=", ".join(front.desks), needed=True),
            **_issuer_component(entrance),
        }

    shared.metrics.on_scrape(look)
    return Vitals(components, lambda: front.draining, shared.metrics.scrape, __version__)


def _issuer_component(entrance: Entrance) -> Mapping[str, Component]:
    """Without the issuer's keys its tokens can't be taken; static ones and certificates can."""
    match entrance.issuer_state:
        case None:
            return {}
        case True:
            return {"issuer": Component(ok=True, detail="its keys are here")}
        case _:
            return {"issuer": Component(ok=False, detail="its keys cannot be had, so its tokens are refused")}


async def _redis_state(shared: Shared) -> Component:
    if shared.limiter.degraded:
        return Component(ok=False, detail=f"working on this replica's own share: {shared.limiter.reason}")
    try:
        await shared.limiter.check()
    except Unavailable as lost:
        return Component(ok=False, detail=lost.reason)
    return Component(ok=True, detail="answers")


def _clock_state(parts: Cancelling) -> Component:
    """A clock that is off shuts the venues that look at it, and no other."""
    told = parts.weather.offsets.standing().items()
    off = [f"{venue} {word}: {proven_ms / MS_PER_S:g} s ahead" for venue, (word, proven_ms) in told if word != "ok"]
    ok = all(word != "refused" for _, (word, _) in told)
    return Component(ok=ok, detail=", ".join(off) or "as the venues' clocks, as far as known")


async def _secrets_state(parts: Cancelling) -> Component:
    accounts = await parts.survey.every_account()
    found = [(f"{account.venue}:{account.name}", parts.keeper.condition(account)) for account in accounts]
    bad = [f"{name} {how.word} ({how.detail})" for name, how in found if how.word not in {"ok", "unread"}]
    return Component(ok=not bad, detail=", ".join(bad) or "usable")


def _watchman(front: Front, shared: Shared, parts: Cancelling) -> Watchman:
    accounts = parts.survey.every_account
    return Watchman(shared.clock, front.follower.resolver, shared.limiter, accounts, shared.log, random.random)


async def _warm(shared: Shared, parts: Cancelling) -> None:
    """Read every credential and arm every limit before the first cancel comes, so that it does not pay for either."""
    turns = asyncio.Semaphore(WARM_AT_ONCE)

    async def warm(desk: Desk, account: Account) -> None:
        async with turns:
            await shared.limiter.arm(tuple(limits_of(desk, account).values()))
            await parts.keeper.unlock(account)

    for desk in parts.desks.values():
        await asyncio.gather(*(warm(desk, account) for account in await parts.survey.accounts(desk)))


async def _listen(ends: AsyncExitStack, app: web.Application, where: Listen, tls: ListenerTls | None) -> str:
    runs = runner(app)
    await runs.setup()
    ends.push_async_callback(runs.cleanup)
    await Site(runs, where.host, where.port, ssl_context=tls.context if tls else None).start()
    host, port = runs.addresses[0][:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
