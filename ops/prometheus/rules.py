"""Recording rules and alerts as code. Writes the YAML beside it, and the chart's copy.

python ops/prometheus/rules.py [--check]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
CHART_COPIES = HERE.parents[1] / "helm" / "cancel-gateway" / "files" / "rules"
PREFIX = "cancel_gateway"
RUNBOOKS = "https://runbooks.internal/cancel-gateway"  # where ops/runbooks is published; the chart has a value for it
PAGE, TICKET = "page", "ticket"

# Refused for a reason of the caller's own: neither good nor bad service.
CALLERS_OWN = (
    "invalid_request|ambiguous_ref|unauthenticated|forbidden|unknown_venue|unknown_account|key_reused|in_progress"
)
# Wanted a cancel at the venue, and was not let through.
NOT_ADMITTED = (
    "over_deadline|overloaded|venue_limited|venue_banned|venue_unavailable|venue_auth|secret_unavailable|internal"
)
TERMINAL_BOUND_S, RESOLVED_BOUND_S = 5, 60


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of good events that is promised; `good` and `all` are rates over a window that is filled in."""

    name: str
    goal: float
    bad: str
    all: str
    alert: str
    summary: str
    dashboard: str

    def ratio(self, window: str) -> str:
        """The share of bad events; nothing where nothing happened."""
        return f"{self.bad.format(window=window)} / ({self.all.format(window=window)} > 0)"

    def recorded(self, window: str) -> str:
        """The name under which that share is recorded."""
        return f"{PREFIX}:{self.name}:bad_ratio_rate{window}"


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast the budget of 30 days may go before somebody hears of it, and over which two windows that is seen."""

    factor: float
    long: str
    short: str
    severity: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A cause that a person can act on."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    dashboard: str


BURNS = (
    Burn(14.4, "1h", "5m", PAGE),
    Burn(6, "6h", "30m", PAGE),
    Burn(3, "1d", "2h", TICKET),
    Burn(1, "3d", "6h", TICKET),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def _rate(metric: str, labels: str = "") -> str:
    chosen = f"{{{{{labels}}}}}" if labels else ""
    return f"sum by (venue) (rate({PREFIX}_{metric}{chosen}[{{window}}]))"


def _later_than(histogram: str, bound: int) -> tuple[str, str]:
    """Events beyond a bound, and all of them."""
    everything = _rate(f"{histogram}_count")
    within = _rate(f"{histogram}_bucket", f'le="{bound}.0"')
    return f"({everything} - {within})", everything


_terminal_late, _terminal_all = _later_than("time_to_terminal_seconds", TERMINAL_BOUND_S)
_resolved_late, _resolved_all = _later_than("unknown_resolution_seconds", RESOLVED_BOUND_S)

OBJECTIVES = (
    Objective(
        "admission",
        0.999,
        _rate("requests_total", f'outcome=~"{NOT_ADMITTED}"'),
        _rate("requests_total", f'outcome!~"{CALLERS_OWN}"'),
        "CancelsNotAdmitted",
        "Cancels for {{ $labels.venue }} are not let through to the venue",
        "gateway-overview",
    ),
    Objective(
        "terminal",
        0.99,
        _terminal_late,
        _terminal_all,
        "CancelsSlowToEnd",
        f"Orders at {{{{ $labels.venue }}}} take longer than {TERMINAL_BOUND_S} s to be provably gone",
        "gateway-truth",
    ),
    Objective(
        "resolution",
        0.99,
        _resolved_late,
        _resolved_all,
        "UnknownsSlowToResolve",
        f"Unknown cancels at {{{{ $labels.venue }}}} take longer than {RESOLVED_BOUND_S} s to resolve",
        "gateway-truth",
    ),
)

ALERTS = (
    Alert(
        "VenueBanned",
        f'sum by (venue) (increase({PREFIX}_gate_closures_total{{reason="banned"}}[5m])) > 0',
        "0m",
        PAGE,
        "{{ $labels.venue }} has banned us: nothing can be cancelled there until the gate opens",
        "gateway-venue",
    ),
    Alert(
        "GateClosed",
        # A probe opens it for a moment now and then, which must not begin the minute anew.
        f"max by (venue, scope) (max_over_time({PREFIX}_gate_closed[30s])) == 1",
        "1m",
        PAGE,
        "The {{ $labels.scope }} gate of {{ $labels.venue }} has been closed for a minute",
        "gateway-venue",
    ),
    Alert(
        "BreakerOpen",
        f"max by (venue, scope) (max_over_time({PREFIX}_breaker_open[30s])) == 1",
        "1m",
        PAGE,
        "The {{ $labels.scope }} breaker of {{ $labels.venue }} is open: cancels are refused before they are sent",
        "gateway-venue",
    ),
    Alert(
        "RedisLost",
        f'max by (component) ({PREFIX}_degraded{{component="redis"}}) == 1',
        "30s",
        PAGE,
        "A gateway works without Redis, on its own share of every limit",
        "gateway-platform",
    ),
    Alert(
        "SecretsStale",
        f"max by (venue) ({PREFIX}_credential_age_seconds) > 900",
        "1m",
        PAGE,
        "A credential of {{ $labels.venue }} was last read more than 15 minutes ago",
        "gateway-platform",
    ),
    Alert(
        "CredentialRefused",
        f'sum by (venue) (increase({PREFIX}_credential_refresh_total{{result="refused"}}[5m])) > 0'
        f" or max by (venue) ({PREFIX}_credential_fallback) > 0",
        "0m",
        PAGE,
        "{{ $labels.venue }} refuses a credential of ours",
        "gateway-platform",
    ),
    Alert(
        "LimitExceeded",
        f"max by (venue) ({PREFIX}_window_peak_ratio) > 1",
        "0m",
        PAGE,
        "More left for {{ $labels.venue }} in one window than its limit allows",
        "gateway-venue",
    ),
    Alert(
        "LimitLearned",
        f"min by (venue) ({PREFIX}_limit_learned_ratio) < 1",
        "1m",
        TICKET,
        "{{ $labels.venue }} allows less than is configured",
        "gateway-venue",
    ),
    Alert(
        "HiddenResend",
        f"sum by (venue) (increase({PREFIX}_hidden_resends_total[10m])) > 0",
        "0m",
        TICKET,
        "More requests went to {{ $labels.venue }} than were let go: something here sends by itself",
        "gateway-truth",
    ),
    Alert(
        "QueueLong",
        f"sum by (venue) ({PREFIX}_queue_depth) > 500",
        "30s",
        PAGE,
        "More than 500 cancels wait for {{ $labels.venue }}",
        "gateway-venue",
    ),
    Alert(
        "QueueFull",
        f'sum by (venue) (increase({PREFIX}_requests_total{{outcome="overloaded"}}[2m])) > 0',
        "0m",
        PAGE,
        "Cancels for {{ $labels.venue }} are refused because as many wait as may",
        "gateway-venue",
    ),
    Alert(
        "UnknownsOpen",
        f"max by (venue) ({PREFIX}_unknown_open) > 0",
        "10m",
        PAGE,
        "Cancels at {{ $labels.venue }} have been unknown for ten minutes: are these orders live?",
        "gateway-truth",
    ),
    Alert(
        "CancelsUnclear",
        f'sum by (venue) (increase({PREFIX}_requests_total{{outcome="unknown"}}[2m]))'
        f" > 0.25 * sum by (venue) (increase({PREFIX}_requests_total[2m]))"
        f' and sum by (venue) (increase({PREFIX}_requests_total{{outcome="unknown"}}[2m])) > 3',
        "30s",
        PAGE,
        "More than a quarter of the cancels at {{ $labels.venue }} end unknown: it gives no answer that can be trusted",
        "gateway-truth",
    ),
    Alert(
        "CancelsIgnored",
        f"sum by (venue) (increase({PREFIX}_waited_in_vain_total[5m]))"
        f" > sum by (venue) (increase({PREFIX}_time_to_terminal_seconds_count[5m]))"
        f" and sum by (venue) (increase({PREFIX}_waited_in_vain_total[5m])) > 3",
        "30s",
        PAGE,
        "{{ $labels.venue }} takes cancels, and the orders do not end",
        "gateway-truth",
    ),
    Alert(
        "ClockOff",
        f"max by (venue) (abs({PREFIX}_clock_offset_seconds)) > 1",
        "1m",
        PAGE,
        "Our clock and that of {{ $labels.venue }} are more than a second apart",
        "gateway-platform",
    ),
    Alert(
        "ReloadRefused",
        f"min by (job) ({PREFIX}_config_last_reload_successful) == 0",
        "1m",
        TICKET,
        "A changed settings file is refused; the old settings stay in force",
        "gateway-platform",
    ),
    Alert(
        "AuditGap",
        f"sum by (job) (increase({PREFIX}_trail_dropped_total[10m])) > 0",
        "0m",
        TICKET,
        "Entries of the audit trail were dropped; the chain has a gap that says so",
        "gateway-truth",
    ),
    Alert(
        "LogDropped",
        f"sum by (job) (increase({PREFIX}_log_dropped_total[10m])) > 0",
        "0m",
        TICKET,
        "Log lines were dropped because their reader was too slow",
        "gateway-platform",
    ),
    Alert(
        "InternalErrors",
        f'sum by (venue) (increase({PREFIX}_requests_total{{outcome="internal"}}[5m])) > 0',
        "0m",
        PAGE,
        "Cancels for {{ $labels.venue }} ended in a bug",
        "gateway-overview",
    ),
    Alert(
        "NoTraffic",
        f"sum by (job) (rate({PREFIX}_requests_total[10m])) == 0"
        f" and sum by (job) (rate({PREFIX}_requests_total[1h] offset 10m)) > 0.05",
        "5m",
        TICKET,
        "No cancel has come for ten minutes, where there were some before",
        "gateway-overview",
    ),
    Alert(
        "GatewayDown",
        'up{job=~".*cancel-gateway.*"} == 0',
        "30s",
        PAGE,
        "A gateway cannot be scraped: {{ $labels.instance }}",
        "gateway-overview",
    ),
)


def recording() -> dict[str, object]:
    """Every share that alerts and dashboards read, computed once."""
    groups = [
        {
            "name": f"{PREFIX}-{objective.name}",
            "rules": [{"record": objective.recorded(window), "expr": objective.ratio(window)} for window in WINDOWS],
        }
        for objective in OBJECTIVES
    ]
    return {"groups": groups}


def alerts() -> dict[str, object]:
    """Alerts on promises, and on causes."""
    promises = [_burning(objective, burn) for objective in OBJECTIVES for burn in BURNS]
    causes = [_rule(each.name, each.expr, each.wait, each.severity, each.summary, each.dashboard) for each in ALERTS]
    return {
        "groups": [{"name": f"{PREFIX}-promises", "rules": promises}, {"name": f"{PREFIX}-causes", "rules": causes}]
    }


def _burning(objective: Objective, burn: Burn) -> dict[str, object]:
    bound = f"{burn.factor * (1 - objective.goal):.6g}"
    expr = f"{objective.recorded(burn.long)} > {bound} and {objective.recorded(burn.short)} > {bound}"
    summary = f"{objective.summary} ({burn.factor:g} times what {objective.goal:.1%} allows, over {burn.long})"
    rule = _rule(objective.alert, expr, "0m", burn.severity, summary, objective.dashboard)
    return rule | {"labels": {"severity": burn.severity, "window": burn.long}}


def _rule(name: str, expr: str, wait: str, severity: str, summary: str, dashboard: str) -> dict[str, object]:
    notes = {"summary": summary, "runbook_url": f"{RUNBOOKS}/{name}.md", "dashboard": dashboard}
    return {"alert": name, "expr": expr, "for": wait, "labels": {"severity": severity}, "annotations": notes}


def files() -> dict[Path, str]:
    """Every file that follows from this one."""
    head = "# Made by ops/prometheus/rules.py; change that.\n"
    texts = {
        name: head + yaml.safe_dump(said, sort_keys=False, width=1000)
        for name, said in (("recording.yaml", recording()), ("alerts.yaml", alerts()))
    }
    return {folder / name: text for folder in (HERE, CHART_COPIES) for name, text in texts.items()}


def main() -> int:
    """Write them, or say whether they are as they should be."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        print(*stale, sep="\n")
        return int(bool(stale))
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
