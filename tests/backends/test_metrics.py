"""The names are a promise to those who alert on them, and no caller can add a series."""

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from gateway.backends.auditor import Auditor
from gateway.backends.metrics import Metrics
from gateway.core.admission import Demand, Quota
from gateway.core.breaker import BreakerScope
from gateway.core.model import Account, Lane, VenueId
from gateway.core.outcome import Outcome

PROMTOOL = shutil.which("promtool")
ORDERLY, HASHKEY = VenueId("orderly"), VenueId("hashkey")

PROMISED = {
    "requests_total": {"venue", "lane", "outcome"},
    "request_seconds": {"venue", "lane"},
    "phase_seconds": {"venue", "phase"},
    "time_to_terminal_seconds": {"venue"},
    "queue_depth": {"venue", "lane"},
    "queue_wait_seconds": {"venue", "lane"},
    "slots_total": {"venue", "result"},
    "window_peak_ratio": {"venue"},
    "batch_size": {"venue"},
    "degraded": {"component"},
    "gate_closed": {"venue", "scope"},
    "gate_closures_total": {"venue", "reason"},
    "limit_learned_ratio": {"venue"},
    "breaker_open": {"venue", "scope"},
    "clock_offset_seconds": {"venue"},
    "retries_total": {"venue", "reason"},
    "unknown_open": {"venue"},
    "replays_total": {"venue"},
    "unknown_resolved_total": {"venue", "outcome"},
    "unknown_resolution_seconds": {"venue"},
    "hidden_resends_total": {"venue"},
    "credential_refresh_total": {"venue", "result"},
    "credential_age_seconds": {"venue"},
    "credential_fallback": {"venue"},
    "redis_seconds": {"operation"},
    "redis_errors_total": {"operation"},
    "build_info": {"version"},
}
BESIDES: dict[str, set[str]] = {
    "log_dropped_total": set(),
    "trail_dropped_total": set(),
    "trail_waiting": set(),
    "waited_in_vain_total": {"venue"},
    "tasks": set(),
    "jwks_fetch_total": {"result"},
    "config_reload_total": {"result"},
    "config_last_reload_successful": set(),
    "tls_reload_total": {"result"},
}


@pytest.fixture
def metrics() -> Metrics:
    auditor = Auditor({venue: {"cancel": Quota(10, 1000)} for venue in (ORDERLY, HASHKEY)})
    return Metrics((ORDERLY, HASHKEY), "1.2.3", auditor, lambda: 0.0)


def series(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("cancel_gateway_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_names_and_labels_are_the_promised_ones(metrics: Metrics) -> None:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        if family.name.startswith("cancel_gateway_"):
            name = family.name.removeprefix("cancel_gateway_") + ("_total" if family.type == "counter" else "")
            found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}

    assert found == PROMISED | BESIDES


def test_every_metric_says_what_it_is(metrics: Metrics) -> None:
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.documentation.endswith((".", "seconds since it was last read.")) or "process_" in family.name
        if family.name.endswith("_seconds") and not family.name.startswith("process_"):
            assert "seconds" in family.documentation


def test_what_was_sent_without_leave_is_counted_once(metrics: Metrics) -> None:
    for told in (0, 2, 2, 3):
        metrics.unasked({ORDERLY: told, HASHKEY: 0})

    assert series(metrics)['cancel_gateway_hidden_resends_total{venue="orderly"}'] == 3
    assert series(metrics)['cancel_gateway_hidden_resends_total{venue="hashkey"}'] == 0


def test_nothing_a_caller_sends_makes_a_series(metrics: Metrics) -> None:
    before = set(series(metrics))
    dice = random.Random(1)  # noqa: S311  repeatable noise, no secret

    for _ in range(10_000):
        noise = "".join(chr(dice.randrange(1, 0x2FF)) for _ in range(dice.randrange(20)))
        metrics.answered(noise, dice.choice(list(Lane)), dice.choice(list(Outcome)), dice.random(), noise)
        metrics.redis(noise, dice.random(), noise)
        metrics.phase(ORDERLY, noise, dice.random())
        metrics.slot(ORDERLY, noise)
        metrics.credential(ORDERLY, noise)
        metrics.degraded(noise, lost=True)
        metrics.resolved(ORDERLY, dice.choice(list(Outcome)), dice.random(), noise)

    assert set(series(metrics)) == before


def test_answer_is_counted_under_its_venue_lane_and_outcome(metrics: Metrics) -> None:
    metrics.answered("orderly", Lane.URGENT, Outcome.CANCELLED, 0.003, "r-1")

    now = series(metrics)
    assert now['cancel_gateway_requests_total{lane="urgent",outcome="cancelled",venue="orderly"}'] == 1
    assert now['cancel_gateway_request_seconds_bucket{lane="urgent",le="0.0025",venue="orderly"}'] == 0
    assert now['cancel_gateway_request_seconds_bucket{lane="urgent",le="0.005",venue="orderly"}'] == 1
    assert sum(value for name, value in now.items() if name.startswith("cancel_gateway_requests_total")) == 1


@pytest.mark.parametrize("venue", ["binance", "", None, "other", 'orderly"} 1\n'])
def test_venue_that_is_not_served_is_other(metrics: Metrics, venue: str | None) -> None:
    metrics.answered(venue, Lane.NORMAL, Outcome.UNKNOWN_VENUE, 0.001, "r-1")

    assert series(metrics)['cancel_gateway_requests_total{lane="normal",outcome="unknown_venue",venue="other"}'] == 1


def test_each_report_lands_where_it_belongs(metrics: Metrics) -> None:
    metrics.phase(ORDERLY, "sign", 0.00002)
    metrics.slot(ORDERLY, "used")
    metrics.waited(ORDERLY, Lane.NORMAL, 2.0)
    metrics.batch(ORDERLY, 7)
    metrics.replayed(ORDERLY)
    metrics.terminal(ORDERLY, 0.2, "r-1")
    metrics.resolved(ORDERLY, Outcome.TOO_LATE_FILLED, 3.0, "r-1")
    metrics.resolved(ORDERLY, Outcome.UNKNOWN, 9.0, "r-2")
    metrics.credential(ORDERLY, "fetched")
    metrics.redis("claim", 0.0004, None)
    metrics.redis("claim", 0.1, "timeout")
    metrics.degraded("redis", lost=True)
    metrics.log_dropped(3)
    metrics.issuer("down")
    metrics.config_reloaded("refused")
    metrics.config_reloaded("taken")
    metrics.tls_reloaded("refused")
    metrics.on_scrape(lambda: metrics.queue_depth(ORDERLY, Lane.KILL, 4))
    metrics.on_scrape(lambda: metrics.credential_age(ORDERLY, 5))
    metrics.limit_in_force(ORDERLY, "cancel", 0.8)
    metrics.breaker(ORDERLY, BreakerScope.HOST, is_open=True)
    metrics.clock_offset(ORDERLY, -1.5)
    metrics.retried(ORDERLY, "not_sent")
    metrics.retried(ORDERLY, "for no reason")
    metrics.on_scrape(lambda: metrics.credential_age(ORDERLY, 6.0))

    filled = {name: value for name, value in series(metrics).items() if value and "bucket" not in name}

    assert filled == {
        "cancel_gateway_" + name: value
        for name, value in {
            'phase_seconds_count{phase="sign",venue="orderly"}': 1,
            'phase_seconds_sum{phase="sign",venue="orderly"}': 0.00002,
            'slots_total{result="used",venue="orderly"}': 1,
            'queue_wait_seconds_count{lane="normal",venue="orderly"}': 1,
            'queue_wait_seconds_sum{lane="normal",venue="orderly"}': 2,
            'batch_size_count{venue="orderly"}': 1,
            'replays_total{venue="orderly"}': 1,
            'batch_size_sum{venue="orderly"}': 7,
            'time_to_terminal_seconds_count{venue="orderly"}': 2,
            'time_to_terminal_seconds_sum{venue="orderly"}': 3.2,
            'unknown_resolved_total{outcome="too_late_filled",venue="orderly"}': 1,
            'breaker_open{scope="host",venue="orderly"}': 1,
            'clock_offset_seconds{venue="orderly"}': -1.5,
            'retries_total{reason="not_sent",venue="orderly"}': 1,
            'unknown_resolved_total{outcome="unknown",venue="orderly"}': 1,
            'unknown_resolution_seconds_count{venue="orderly"}': 2,
            'unknown_resolution_seconds_sum{venue="orderly"}': 12,
            'credential_refresh_total{result="fetched",venue="orderly"}': 1,
            'redis_seconds_count{operation="claim"}': 2,
            'redis_seconds_sum{operation="claim"}': 0.1004,
            'redis_errors_total{operation="claim"}': 1,
            'degraded{component="redis"}': 1,
            "log_dropped_total": 3,
            'degraded{component="issuer"}': 1,
            'jwks_fetch_total{result="failed"}': 1,
            'config_reload_total{result="refused"}': 1,
            'config_reload_total{result="taken"}': 1,
            "config_last_reload_successful": 1,
            'tls_reload_total{result="refused"}': 1,
            'queue_depth{lane="kill",venue="orderly"}': 4,
            'credential_age_seconds{venue="orderly"}': 6,
            'limit_learned_ratio{venue="orderly"}': 0.8,
            'limit_learned_ratio{venue="hashkey"}': 1,
            'build_info{version="1.2.3"}': 1,
        }.items()
    }


def test_fullest_window_is_shown_per_venue(metrics: Metrics) -> None:
    demand = Demand("cancel", Account(ORDERLY, "desk-a"), tokens=8, window_us=1_020_000, weight=1, keep=10)
    for n in range(11):
        metrics.sent((demand,), n / 100)

    now = series(metrics)
    assert now['cancel_gateway_window_peak_ratio{venue="orderly"}'] == 1.1
    assert now['cancel_gateway_window_peak_ratio{venue="hashkey"}'] == 0


def test_accounts_of_a_venue_are_watched_apart(metrics: Metrics) -> None:
    for name in ("desk-a", "desk-b"):
        metrics.sent((Demand("cancel", Account(ORDERLY, name), 10, 1_020_000, 6, 10),), 0.0)

    assert series(metrics)['cancel_gateway_window_peak_ratio{venue="orderly"}'] == 0.6


async def test_scrape_is_the_same_text(metrics: Metrics) -> None:
    metrics.on_scrape(lambda: metrics.credential_age(ORDERLY, 5))

    text, form = await metrics.scrape("text/plain;version=0.0.4")

    assert b'cancel_gateway_credential_age_seconds{venue="orderly"} 5.0' in text
    assert form.startswith("text/plain; version=0.0.4")


async def test_openmetrics_names_units_and_the_last_request_in_each_bucket(metrics: Metrics) -> None:
    for request_id, seconds in (("r-1", 0.003), ("r-2", 0.005), ("r-3", 0.2), ("r-4", 61.0)):
        metrics.answered("orderly", Lane.NORMAL, Outcome.CANCELLED, seconds, request_id)
    metrics.resolved(ORDERLY, Outcome.CANCELLED, 60.0, "x" * 128)

    text, form = await metrics.scrape("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")

    read = openmetrics_families(text.decode())  # type: ignore[no-untyped-call]  # the library has no types there
    families = {family.name: family for family in read}
    marked = {
        (sample.name, sample.labels["le"]): (sample.exemplar.labels["request_id"], sample.exemplar.value)
        for family in families.values()
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert form.startswith("application/openmetrics-text; version=1.0.0")
    assert marked == {
        ("cancel_gateway_request_seconds_bucket", "0.005"): ("r-2", 0.005),
        ("cancel_gateway_request_seconds_bucket", "0.25"): ("r-3", 0.2),
        ("cancel_gateway_request_seconds_bucket", "+Inf"): ("r-4", 61.0),
        ("cancel_gateway_unknown_resolution_seconds_bucket", "60.0"): ("x" * 118, 60.0),
        ("cancel_gateway_time_to_terminal_seconds_bucket", "60.0"): ("x" * 118, 60.0),
    }
    named = {name: family.unit for name, family in families.items() if name.startswith("cancel_gateway_")}
    assert all(unit == "seconds" for name, unit in named.items() if name.endswith("_seconds"))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)")
def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    assert PROMTOOL is not None
    said = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics.render(), capture_output=True, check=False)  # noqa: S603

    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "family", ["request_seconds", "phase_seconds", "time_to_terminal_seconds", "queue_wait_seconds", "redis_seconds"]
)
def test_latencies_are_told_apart_from_a_millisecond_to_a_minute(metrics: Metrics, family: str) -> None:
    bounds = re.findall(rf'cancel_gateway_{family}_bucket{{.*le="([0-9.]+)"', metrics.render().decode())

    assert {"0.001", "0.01", "0.1", "1.0", "5.0", "60.0"} <= set(bounds)


def test_no_label_is_looked_up_outside_series() -> None:
    source = Path(__file__).parents[2] / "gateway" / "backends" / "metrics.py"

    assert re.findall(r"\.labels\(", source.read_text()) == [".labels("]  # build_info, once at the start
