"""Every Prometheus series of one process: names, help and closed label sets. Nothing is counted here.

All children are made once at the start, so that the number of series is the same whatever callers send and no label is
looked up by text on the path of a cancel. What nothing fills yet is not registered: an empty metric misleads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.backends.spreads import Spread, Spreads
from gateway.core.breaker import BreakerScope
from gateway.core.model import Lane, Scope, VenueId
from gateway.core.outcome import MEANINGS, Outcome

PREFIX = "cancel_gateway_"
OTHER = "other"
VERBS = (
    "receive",
    "authenticate",
    "claim",
    "admit",
    "unlock",
    "sign",
    "send",
    "interpret",
    "settle",
    "respond",
)
SLOTS = ("used", "returned", "wasted")
REFRESHES = ("fetched", "unchanged", "failed", "refused")
COMPONENTS = ("redis", "secrets", "issuer")
FETCHES = ("ok", "failed")
RELOADS = ("taken", "refused")
REDIS_CALLS = (
    *("claim", "mark_sent", "settle", "get", "reserve", "confirm", "give_back", "late", "outlook", "arm", "ping"),
    *("rehearse", "cross", "key_take", "key_keep", "awaited", "take", "postpone", "restore", "trail_append"),
    OTHER,
)
CLOSURES = ("limited", "banned")
RETRIES = ("not_sent", "clock", "still_open", "over_budget")
RESOLVED = (*(outcome for outcome in Outcome if MEANINGS[outcome].kept), Outcome.UNKNOWN)

SLOW_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FAST_S = (0.0001, 0.00025, 0.0005, *SLOW_S)
RESOLVED_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
BATCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True, slots=True)
class AnswerSeries:
    """The children that tell of answers: of each served venue, and of `other`, which is any that is not served."""

    requests: dict[tuple[Lane, Outcome], Counter]
    request_s: dict[Lane, Spread]


@dataclass(frozen=True, slots=True)
class VenueSeries:
    """The other children of one served venue."""

    phase_s: dict[str, Spread]
    time_to_terminal_s: Spread
    queue_depth: dict[Lane, Gauge]
    queue_wait_s: dict[Lane, Spread]
    slots: dict[str, Counter]
    window_peak_ratio: Gauge
    batch_size: Spread
    gate_closed: dict[Scope, Gauge]
    gate_closures: dict[str, Counter]
    breaker_open: dict[BreakerScope, Gauge]
    clock_offset_s: Gauge
    retries: dict[str, Counter]
    limit_learned: Gauge
    replays: Counter
    waited_in_vain: Counter
    unknown_open: Gauge
    unknown_resolved: dict[Outcome, Counter]
    unknown_resolution_s: Spread
    hidden_resends: Counter
    credential_refresh: dict[str, Counter]
    credential_age_s: Gauge
    credential_fallback: Gauge


@dataclass(frozen=True, slots=True)
class ProcessSeries:
    """The children that belong to no venue."""

    degraded: dict[str, Gauge]
    redis_s: dict[str, Spread]
    redis_errors: dict[str, Counter]
    log_dropped: Counter
    jwks_fetches: dict[str, Counter]
    config_reloads: dict[str, Counter]
    config_last_ok: Gauge
    tls_reloads: dict[str, Counter]
    trail_dropped: Counter
    trail_waiting: Gauge
    tasks: Gauge


def _unit(name: str) -> str:
    """What OpenMetrics calls the unit: the end of a name that has one."""
    return next((unit for unit in ("seconds", "ratio") if name.endswith(f"_{unit}")), "")


class Register:
    """Names and help of every metric, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        count, level, spread = self._count, self._level, self._spread
        self.requests = count("requests", "Cancels answered.", "venue", "lane", "outcome")
        self.request_s = spread("request_seconds", "From request to answer, in seconds.", SLOW_S, "venue", "lane")
        self.phase_s = spread("phase_seconds", "One verb of the path, in seconds.", FAST_S, "venue", "phase")
        self.time_to_terminal_s = spread(
            "time_to_terminal_seconds", "From request until the order was provably gone, in seconds.", SLOW_S, "venue"
        )
        self.queue_depth = level("queue_depth", "Cancels waiting for a slot now.", "venue", "lane")
        self.queue_wait_s = spread("queue_wait_seconds", "Wait for a slot, in seconds.", SLOW_S, "venue", "lane")
        self.slots = count("slots", "Slots by what became of them: used, returned or wasted.", "venue", "result")
        self.window_peak_ratio = level(
            "window_peak_ratio", "Most sends in any window of the last 15 minutes, divided by the limit.", "venue"
        )
        self.batch_size = spread("batch_size", "Orders in one request to a venue.", BATCH, "venue")
        self.gate_closed = level("gate_closed", "1 while a venue has shut us out, as far as known.", "venue", "scope")
        self.breaker_open = level(
            "breaker_open", "1 while this process leaves a host or a credential alone.", "venue", "scope"
        )
        self.clock_offset_s = level(
            "clock_offset_seconds", "By how many seconds the venue's clock is ahead of ours, as far as proven.", "venue"
        )
        self.retries = count("retries", "Further attempts, by reason; over_budget were not made.", "venue", "reason")
        self.limit_learned = level(
            "limit_learned_ratio", "The lowest limit learned from the venue, divided by the configured one.", "venue"
        )
        self.gate_closures = count("gate_closures", "Times that a venue shut us out.", "venue", "reason")
        self.replays = count("replays", "Answers that repeat a stored one.", "venue")
        self.waited_in_vain = count(
            "waited_in_vain",
            "Cancels that the venue took and whose caller waited for the end, which did not come in time.",
            "venue",
        )
        self.unknown_open = level(
            "unknown_open", "Cancels whose end is not known yet, over all replicas: each tells the same.", "venue"
        )
        self.unknown_resolved = count(
            "unknown_resolved", "Unknown cancels that were resolved, or, as unknown, given up.", "venue", "outcome"
        )
        self.unknown_resolution_s = spread(
            "unknown_resolution_seconds",
            "Age of an unknown cancel when it was resolved or given up, in seconds since it was asked for.",
            RESOLVED_S,
            "venue",
        )
        self.hidden_resends = count(
            "hidden_resends", "Requests written to the venue's sockets beyond those that were let go: a bug.", "venue"
        )
        self.credential_refresh = count("credential_refresh", "Looks at stored credentials.", "venue", "result")
        self.credential_age_s = level(
            "credential_age_seconds", "Age of the oldest credential in use, in seconds since it was last read.", "venue"
        )
        self.credential_fallback = level(
            "credential_fallback", "Accounts whose new credential the venue refuses while the old one works.", "venue"
        )
        self.degraded = level("degraded", "1 while a component is lost and the service works without it.", "component")
        self.redis_s = spread("redis_seconds", "One call to Redis, in seconds.", FAST_S, "operation")
        self.redis_errors = count("redis_errors", "Calls to Redis that failed or came too late.", "operation")
        self.build_info = level("build_info", "Always 1; the version that runs.", "version")
        self.jwks_fetches = count("jwks_fetch", "Looks at the issuer's keys.", "result")
        self.config_reloads = count("config_reload", "Settings read again while running.", "result")
        self.config_last_ok = level("config_last_reload_successful", "0 while a changed settings file is refused.")
        self.tls_reloads = count("tls_reload", "The listener's certificate read again while running.", "result")
        self.log_dropped = count("log_dropped", "Log lines dropped because the reader of stdout was too slow.")
        self.trail_dropped = count("trail_dropped", "Decisions that the audit trail lost; it says where.")
        self.trail_waiting = level("trail_waiting", "Entries of the audit trail that are not stored yet.")
        self.tasks = level("tasks", "Tasks of the event loop; at rest it stays the same.")

    def _count(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def _level(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self._registry, unit=_unit(name))

    def _spread(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Spreads:
        made = Spreads(PREFIX + name, text, _unit(name), buckets, labels)
        self._registry.register(made)
        return made

    def answers(self, venue: str) -> AnswerSeries:
        """Make the children that tell of answers."""
        pairs = [(lane, outcome) for lane in Lane for outcome in Outcome]
        return AnswerSeries(
            requests={(lane, outcome): self.requests.labels(venue, lane, outcome) for lane, outcome in pairs},
            request_s={lane: self.request_s.labels(venue, lane) for lane in Lane},
        )

    def venue(self, venue: VenueId) -> VenueSeries:
        """Make every other child of one served venue."""
        return VenueSeries(
            phase_s={verb: self.phase_s.labels(venue, verb) for verb in VERBS},
            time_to_terminal_s=self.time_to_terminal_s.labels(venue),
            queue_depth={lane: self.queue_depth.labels(venue, lane) for lane in Lane},
            queue_wait_s={lane: self.queue_wait_s.labels(venue, lane) for lane in Lane},
            slots={result: self.slots.labels(venue, result) for result in SLOTS},
            window_peak_ratio=self.window_peak_ratio.labels(venue),
            batch_size=self.batch_size.labels(venue),
            gate_closed={scope: self.gate_closed.labels(venue, scope) for scope in Scope},
            breaker_open={scope: self.breaker_open.labels(venue, scope) for scope in BreakerScope},
            clock_offset_s=self.clock_offset_s.labels(venue),
            retries={reason: self.retries.labels(venue, reason) for reason in RETRIES},
            limit_learned=self.limit_learned.labels(venue),
            gate_closures={reason: self.gate_closures.labels(venue, reason) for reason in CLOSURES},
            replays=self.replays.labels(venue),
            waited_in_vain=self.waited_in_vain.labels(venue),
            unknown_open=self.unknown_open.labels(venue),
            unknown_resolved={outcome: self.unknown_resolved.labels(venue, outcome) for outcome in RESOLVED},
            unknown_resolution_s=self.unknown_resolution_s.labels(venue),
            hidden_resends=self.hidden_resends.labels(venue),
            credential_refresh={result: self.credential_refresh.labels(venue, result) for result in REFRESHES},
            credential_age_s=self.credential_age_s.labels(venue),
            credential_fallback=self.credential_fallback.labels(venue),
        )

    def process(self) -> ProcessSeries:
        """Make every child that belongs to no venue."""
        return ProcessSeries(
            degraded={component: self.degraded.labels(component) for component in COMPONENTS},
            redis_s={operation: self.redis_s.labels(operation) for operation in REDIS_CALLS},
            redis_errors={operation: self.redis_errors.labels(operation) for operation in REDIS_CALLS},
            log_dropped=self.log_dropped,
            jwks_fetches={result: self.jwks_fetches.labels(result) for result in FETCHES},
            config_reloads={result: self.config_reloads.labels(result) for result in RELOADS},
            config_last_ok=self.config_last_ok,
            tls_reloads={result: self.tls_reloads.labels(result) for result in RELOADS},
            trail_dropped=self.trail_dropped,
            trail_waiting=self.trail_waiting,
            tasks=self.tasks,
        )
