"""Counts what happens (ports.Meter, and more). Names and labels stand in series.py."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as PLAIN
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.backends.auditor import Auditor
from gateway.backends.series import OTHER, Register
from gateway.core.admission import Demand
from gateway.core.breaker import BreakerScope
from gateway.core.model import Account, Lane, Scope, VenueId
from gateway.core.outcome import MEANINGS, Outcome, Throttled

LESSON_S = 600.0
OPENMETRICS = "application/openmetrics-text"


class Metrics:
    """All counts of one process. A venue that is not served is counted as `other`, whatever it is called."""

    def __init__(self, venues: Iterable[VenueId], version: str, auditor: Auditor, now: Callable[[], float]) -> None:
        """`now` is monotonic seconds, as in `sent`."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        register = Register(self._registry)
        register.build_info.labels(version).set(1)
        self._venues = {venue: register.venue(venue) for venue in venues}
        self._answers = {venue: register.answers(venue) for venue in (*self._venues, OTHER)}
        self._process = register.process()
        self._auditor = auditor
        self._looks: list[Callable[[], None]] = []
        self._now = now
        self._lessons: dict[tuple[VenueId, str], tuple[float, float]] = {}
        self._issuer_lost = False
        self._process.config_last_ok.set(1)
        self._unknown: dict[Account, int] = {}
        self._unasked: dict[VenueId, int] = {}
        self._next: dict[str, asyncio.Future[bytes]] = {}
        self._turn = asyncio.Lock()
        self._gates: dict[tuple[VenueId, Scope], float] = {}
        for venue in self._venues:
            self._watch(venue)

    def _watch(self, venue: VenueId) -> None:
        series = self._venues[venue]
        series.window_peak_ratio.set_function(lambda: self._auditor.peak(venue, self._now()))
        series.limit_learned.set_function(partial(self._learned, venue))
        for scope, gauge in series.gate_closed.items():
            gauge.set_function(partial(self._is_closed, venue, scope))

    def _learned(self, venue: VenueId) -> float:
        now = self._now()
        return min(
            (part for (of, _), (part, until) in self._lessons.items() if of == venue and until > now), default=1.0
        )

    def _is_closed(self, venue: VenueId, scope: Scope) -> float:
        return float(self._gates.get((venue, scope), 0.0) > self._now())

    # -- the path ------------------------------------------------------------------------------------------------

    def answered(self, venue: str | None, lane: Lane, outcome: Outcome, seconds: float, request_id: str) -> None:
        """A cancel was answered; `venue` may be anything a caller wrote."""
        series = self._answers.get(venue or OTHER) or self._answers[OTHER]
        series.requests[lane, outcome].inc()
        series.request_s[lane].trace(seconds, request_id)

    def phase(self, venue: VenueId, verb: str, seconds: float) -> None:
        """How long one verb of the path took."""
        if spread := self._venues[venue].phase_s.get(verb):
            spread.observe(seconds)

    def sent(self, demands: tuple[Demand, ...], at: float) -> None:
        """A request leaves now (monotonic seconds)."""
        self._auditor.sent(demands, at)

    def slot(self, venue: VenueId, result: str) -> None:
        """What became of a slot."""
        if count := self._venues[venue].slots.get(result):
            count.inc()

    def retried(self, venue: VenueId, reason: str) -> None:
        """Another attempt was made, or refused."""
        if count := self._venues[venue].retries.get(reason):
            count.inc()

    def waited(self, venue: VenueId, lane: Lane, seconds: float) -> None:
        """A cancel waited so long for its slot."""
        self._venues[venue].queue_wait_s[lane].observe(seconds)

    def batch(self, venue: VenueId, orders: int) -> None:
        """One request asked for so many orders."""
        self._venues[venue].batch_size.observe(orders)

    def terminal(self, venue: VenueId, seconds: float, request_id: str) -> None:
        """An order was proven gone, so long after it was asked for."""
        self._venues[venue].time_to_terminal_s.trace(seconds, request_id)

    def replayed(self, venue: VenueId) -> None:
        """An answer repeated a stored one."""
        self._venues[venue].replays.inc()

    def waited_in_vain(self, venue: VenueId) -> None:
        """The venue took a cancel, and the order was not seen to end while its caller waited for that."""
        self._venues[venue].waited_in_vain.inc()

    def unknown_open(self, account: Account, records: int) -> None:
        """So many of an account's records are unknown, over all replicas."""
        self._unknown[account] = records
        of_venue = sum(number for each, number in self._unknown.items() if each.venue == account.venue)
        self._venues[account.venue].unknown_open.set(of_venue)

    def resolved(self, venue: VenueId, outcome: Outcome, age_s: float, request_id: str) -> None:
        """An unknown was settled, or given up, so long after it was asked for."""
        series = self._venues[venue]
        series.unknown_resolved.get(outcome, series.unknown_resolved[Outcome.UNKNOWN]).inc()
        series.unknown_resolution_s.trace(age_s, request_id)
        if MEANINGS[outcome].final:
            series.time_to_terminal_s.trace(age_s, request_id)

    def gate_shut(self, venue: VenueId, refusal: Throttled) -> None:
        """A venue shut us out, in an answer to this process."""
        self._venues[venue].gate_closures["banned" if refusal.banned else "limited"].inc()

    def gated(self, venue: VenueId, scope: Scope, wait_s: float) -> None:
        """A gate is closed for so long, whoever closed it."""
        self._gates[venue, scope] = self._now() + wait_s

    def limit_in_force(self, venue: VenueId, limit: str, ratio: float) -> None:
        """A limit was learned; it counts until it is learned anew, and no longer than a lesson does."""
        self._lessons[venue, limit] = (ratio, self._now() + LESSON_S)

    # -- what stands behind it -----------------------------------------------------------------------------------

    def credential(self, venue: VenueId, result: str) -> None:
        """A stored credential was looked at."""
        if count := self._venues[venue].credential_refresh.get(result):
            count.inc()

    def redis(self, operation: str, seconds: float, error: str | None) -> None:
        """One call to Redis; any error counts, also a deadline."""
        series = self._process
        operation = operation if operation in series.redis_s else OTHER
        series.redis_s[operation].observe(seconds)
        if error is not None:
            series.redis_errors[operation].inc()

    def degraded(self, component: str, *, lost: bool) -> None:
        """A component was lost, or is back."""
        if level := self._process.degraded.get(component):
            level.set(lost)

    def issuer(self, failure: str | None) -> bool:
        """An issuer's keys were asked for; whether that is another state than before."""
        series = self._process
        series.jwks_fetches["ok" if failure is None else "failed"].inc()
        changed, self._issuer_lost = self._issuer_lost is not (failure is not None), failure is not None
        series.degraded["issuer"].set(self._issuer_lost)
        return changed

    def config_reloaded(self, result: str) -> None:
        """The settings were read again: taken or refused."""
        self._process.config_reloads[result].inc()
        self._process.config_last_ok.set(result == "taken")

    def tls_reloaded(self, result: str) -> None:
        """The listener's certificate was read again: taken or refused."""
        self._process.tls_reloads[result].inc()

    def log_dropped(self, lines: int) -> None:
        """So many log lines were dropped."""
        self._process.log_dropped.inc(lines)

    def trail_dropped(self, decisions: int) -> None:
        """The audit trail lost so many decisions."""
        self._process.trail_dropped.inc(decisions)

    def trail_waiting(self, entries: int) -> None:
        """So many entries of the audit trail are not stored yet."""
        self._process.trail_waiting.set(entries)

    # -- levels, looked up when somebody asks --------------------------------------------------------------------

    def on_scrape(self, look: Callable[[], None]) -> None:
        """Call `look` before each rendering, to set the levels below."""
        self._looks.append(look)

    def unasked(self, sends: Mapping[VenueId, int]) -> None:
        """So many requests have gone to each venue that nobody had let go, since the process began."""
        for venue, number in sends.items():
            self._venues[venue].hidden_resends.inc(max(0, number - self._unasked.get(venue, 0)))
            self._unasked[venue] = number

    def queue_depth(self, venue: VenueId, lane: Lane, waiting: int) -> None:
        """So many wait now."""
        self._venues[venue].queue_depth[lane].set(waiting)

    def breaker(self, venue: VenueId, scope: BreakerScope, *, is_open: bool) -> None:
        """A host, or any credential of a venue, is left alone."""
        self._venues[venue].breaker_open[scope].set(is_open)

    def clock_offset(self, venue: VenueId, seconds: float) -> None:
        """The venue's clock is provably so far ahead."""
        self._venues[venue].clock_offset_s.set(seconds)

    def credential_age(self, venue: VenueId, seconds: float) -> None:
        """The oldest credential in use was last read so long ago."""
        self._venues[venue].credential_age_s.set(seconds)

    def credential_fallback(self, venue: VenueId, accounts: int) -> None:
        """So many accounts work with an old credential, because the venue refuses the new one."""
        self._venues[venue].credential_fallback.set(accounts)

    def render(self) -> bytes:
        """Everything, as Prometheus reads it."""
        for look in self._looks:
            look()
        return generate_latest(self._registry)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Likewise, in the form that is asked for, and that form's name; exemplars are only in OpenMetrics.

        It is made beside the loop: a full rendering takes long enough to make a cancel wait. Those who ask while one is
        being made get the next one together, so that many scrapers cost no more than two.
        """
        wanted = openmetrics.CONTENT_TYPE_LATEST if OPENMETRICS in accept else PLAIN
        if (making := self._next.get(wanted)) is None:
            making = self._next[wanted] = asyncio.ensure_future(self._made(wanted))
        return await asyncio.shield(making), wanted

    async def _made(self, wanted: str) -> bytes:
        async with self._turn:
            del self._next[wanted]
            for look in self._looks:
                look()
            self._process.tasks.set(len(asyncio.all_tasks()))
            make = self._openmetrics if wanted != PLAIN else partial(generate_latest, self._registry)
            return await asyncio.to_thread(make)

    def _openmetrics(self) -> bytes:
        made: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # likewise
        return made
