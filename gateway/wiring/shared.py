"""What all replicas share, made: the link to Redis, the limiter, the records, the trail, and what measures them."""

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from gateway import __version__
from gateway.backends.abroad import ClusterLimiter
from gateway.backends.admittance import Admittance
from gateway.backends.auditor import Auditor
from gateway.backends.clock import SystemClock
from gateway.backends.cluster_records import ClusterRecords
from gateway.backends.fallback import FallbackLimiter, LocalLimiter
from gateway.backends.gates import RedisGates
from gateway.backends.limiter import RedisLimiter
from gateway.backends.metrics import Metrics
from gateway.backends.records import RedisRecords
from gateway.backends.redis.embedded import EmbeddedRedis
from gateway.backends.redis.link import EMBEDDED, Link
from gateway.backends.rehearsal import Rehearsal
from gateway.backends.steady_records import SteadyRecords
from gateway.backends.trail import DAY_MS, RedisTrail, Watch
from gateway.core.admission import Demand
from gateway.core.trail import Began
from gateway.core.trail_backlog import Bounds as TrailBounds
from gateway.ports import NO_TRAIL, Limiter, Log, RecordStore, Trail
from gateway.settings import Settings
from gateway.wiring.traces import Traces, traces_of

SLOTS_AHEAD = 2
PROBE_MARGIN_MS, US_PER_MS = 2000, 1000
TRAIL_TIMEOUT_MS = 2000


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


async def shared_parts(settings: Settings, log: Log, ends: AsyncExitStack) -> Shared:
    """Everything that leans on the shared store, ended with the service."""
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
