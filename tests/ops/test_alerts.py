"""Every alert, held against invented series by promtool: one that must fire, and one that must not."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml
from promql_rig import faults, real_series

OPS = Path(__file__).parents[2] / "ops"
ALERTS = OPS / "prometheus" / "alerts.yaml"
RECORDING = OPS / "prometheus" / "recording.yaml"
RULES, RECORDED = (
    [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    for path in (ALERTS, RECORDING)
)
NAMES = {rule["alert"] for rule in RULES}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)")

VENUE = 'venue="orderly"'


@dataclass(frozen=True, slots=True)
class Case:
    """One series or more, by name and labels, with promtool's values for each minute; and what then fires when."""

    alert: str
    firing: dict[str, str]
    silent: dict[str, str]
    at: str = "15m"
    severity: str = "page"
    window: str | None = None
    step: str = "1m"

    @property
    def id(self) -> str:
        """How the test is called."""
        return f"{self.alert}-{self.window or self.severity}"


def requests(outcome: str) -> str:
    return f'cancel_gateway_requests_total{{{VENUE},lane="normal",outcome="{outcome}"}}'


def admission(refused: int, steps: int) -> dict[str, str]:
    """So many of 100,000 in each step are refused."""
    return {
        requests("venue_limited"): f"0+{refused}x{steps}",
        requests("accepted"): f"0+{100_000 - refused}x{steps}",
    }


def late(histogram: str, bound: str, beyond: int, steps: int) -> dict[str, str]:
    """So many of 100,000 in each step take longer than the bound."""
    return {
        f'{histogram}_bucket{{{VENUE},le="{bound}"}}': f"0+{100_000 - beyond}x{steps}",
        f"{histogram}_count{{{VENUE}}}": f"0+100000x{steps}",
    }


def gauge(name: str, labels: str, firing: float, silent: float) -> tuple[dict[str, str], dict[str, str]]:
    series = f"cancel_gateway_{name}{{{labels}}}" if labels else f'cancel_gateway_{name}{{job="g"}}'
    return {series: f"{firing}x60"}, {series: f"{silent}x60"}


def rises(name: str, labels: str) -> tuple[dict[str, str], dict[str, str]]:
    series = f"cancel_gateway_{name}{{{labels}}}" if labels else f'cancel_gateway_{name}{{job="g"}}'
    return {series: "0x12 5x3"}, {series: "5x60"}


def answered_unknown(of_a_hundred: int) -> dict[str, str]:
    series = f'cancel_gateway_requests_total{{{VENUE},lane="normal",outcome='
    return {f'{series}"unknown"}}': f"0+{of_a_hundred}x60", f'{series}"cancelled"}}': f"0+{100 - of_a_hundred}x60"}


def in_vain(of_ten: int) -> dict[str, str]:
    return {
        f"cancel_gateway_waited_in_vain_total{{{VENUE}}}": f"0+{of_ten}x60",
        f"cancel_gateway_time_to_terminal_seconds_count{{{VENUE}}}": f"0+{10 - of_ten}x60",
    }


def promised(alert: str, budget: float, series: Callable[[int, int], dict[str, str]]) -> Iterator[Case]:
    """A share of bad events a little above each bound, and a little below it."""
    for factor, window, severity, at, step in BURNS:
        above, below = (round(100_000 * budget * factor * part) for part in (1.1, 0.9))
        yield Case(alert, series(above, 200), series(below, 200), at, severity, window, step)


# Factor, long window, severity, when it is looked at, and a step that keeps the number of samples small.
BURNS = (
    (14.4, "1h", "page", "65m", "1m"),
    (6.0, "6h", "page", "370m", "10m"),
    (3.0, "1d", "ticket", "1500m", "30m"),
    (1.0, "3d", "ticket", "4350m", "30m"),
)
CASES = (
    *promised("CancelsNotAdmitted", 0.001, admission),
    *promised("CancelsSlowToEnd", 0.01, partial(late, "cancel_gateway_time_to_terminal_seconds", "5.0")),
    *promised("UnknownsSlowToResolve", 0.01, partial(late, "cancel_gateway_unknown_resolution_seconds", "60.0")),
    Case("VenueBanned", *rises("gate_closures_total", f'{VENUE},reason="banned"')),
    Case("GateClosed", *gauge("gate_closed", f'{VENUE},scope="account"', 1, 0)),
    Case("BreakerOpen", *gauge("breaker_open", f'{VENUE},scope="host"', 1, 0)),
    Case("RedisLost", *gauge("degraded", 'component="redis"', 1, 0)),
    Case("SecretsStale", *gauge("credential_age_seconds", VENUE, 1000, 80)),
    Case("CredentialRefused", *rises("credential_refresh_total", f'{VENUE},result="refused"')),
    Case("LimitExceeded", *gauge("window_peak_ratio", VENUE, 1.1, 1)),
    Case("LimitLearned", *gauge("limit_learned_ratio", VENUE, 0.5, 1), severity="ticket"),
    Case("HiddenResend", *rises("hidden_resends_total", VENUE), severity="ticket"),
    Case("QueueLong", *gauge("queue_depth", f'{VENUE},lane="normal"', 501, 500)),
    Case("QueueFull", *rises("requests_total", f'{VENUE},lane="normal",outcome="overloaded"'), at="13m"),
    Case("UnknownsOpen", *gauge("unknown_open", VENUE, 1, 0)),
    Case("CancelsUnclear", answered_unknown(30), answered_unknown(20)),
    Case("CancelsIgnored", in_vain(6), in_vain(4)),
    Case("ClockOff", *gauge("clock_offset_seconds", VENUE, -1.5, 0.9)),
    Case("ReloadRefused", *gauge("config_last_reload_successful", "", 0, 1), severity="ticket"),
    Case("AuditGap", *rises("trail_dropped_total", ""), severity="ticket"),
    Case("LogDropped", *rises("log_dropped_total", ""), severity="ticket"),
    Case("InternalErrors", *rises("requests_total", f'{VENUE},lane="normal",outcome="internal"')),
    Case(
        "NoTraffic",
        {'cancel_gateway_requests_total{job="g"}': "0+60x60 3600x40"},
        {'cancel_gateway_requests_total{job="g"}': "0x100"},
        "85m",
        "ticket",
    ),
    Case("GatewayDown", {'up{job="cancel-gateway"}': "1x5 0x60"}, {'up{job="cancel-gateway"}': "1x60"}),
)


def fired(case: Case, series: dict[str, str], folder: Path) -> bool:
    """Whether promtool sees the alert fire; it is asked for none, and complains where there is one."""
    # In one group rules are evaluated one after the other, so that an alert sees what was recorded at its own instant.
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [*RECORDED, *RULES]}]}))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": case.step,
        "tests": [
            {
                "interval": case.step,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": []}],
            }
        ],
    }
    file = folder / "case.yaml"
    file.write_text(yaml.safe_dump(test))
    assert PROMTOOL is not None
    said = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)  # noqa: S603
    text = said.stdout + said.stderr
    got = text.partition("got:")[2]
    assert said.returncode == 0 or got, text
    window = f'.*window="{case.window}"' if case.window else ""
    return re.search(f'alertname="{case.alert}".*severity="{case.severity}"{window}', got) is not None


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_alert_fires_for_its_cause_and_not_without_it(case: Case, tmp_path: Path) -> None:
    assert fired(case, case.firing, tmp_path)
    assert not fired(case, case.silent, tmp_path)


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == NAMES


def test_every_alert_says_what_a_person_needs() -> None:
    dashboards = {"gateway-overview", "gateway-venue", "gateway-truth", "gateway-platform"}
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["dashboard"] in dashboards
        assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")
        if "by (venue" in rule["expr"] or "{{ $labels.venue }}" in rule["annotations"]["summary"]:
            assert "$labels.venue" in rule["annotations"]["summary"]


async def test_every_rule_reads_what_a_gateway_has() -> None:
    series, recorded = await real_series(), {rule["record"] for rule in RECORDED}
    by_name = {rule.get("alert") or rule["record"]: rule["expr"] for rule in (*RECORDED, *RULES)}

    assert {name: found for name, expr in by_name.items() if (found := list(faults(expr, series, recorded)))} == {}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cancel_gateway_none", ["no metric cancel_gateway_none"]),
        ('cancel_gateway_degraded{component="disk"}', ["cancel_gateway_degraded: component is never 'disk'"]),
        ('cancel_gateway_degraded{venue="orderly"}', ["cancel_gateway_degraded has no label venue"]),
        ("sum by (lane) (cancel_gateway_unknown_open)", ["grouped by lane, which nothing has"]),
    ],
)
async def test_a_rule_on_what_is_not_there_is_found(query: str, found: list[str]) -> None:
    assert list(faults(query, await real_series())) == found


def test_the_files_are_as_the_code_makes_them() -> None:
    command = [sys.executable, str(OPS / "prometheus" / "rules.py"), "--check"]

    said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own

    assert said.returncode == 0, f"run: python ops/prometheus/rules.py\n{said.stdout}{said.stderr}"


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    assert PROMTOOL is not None
    command = [PROMTOOL, "check", "rules", str(ALERTS), str(RECORDING)]

    assert subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def test_alertmanager_takes_its_settings() -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool is not installed (apt-get install prometheus-alertmanager)")
    command = [amtool, "check-config", str(OPS / "alertmanager" / "alertmanager.yaml")]

    assert subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
