"""Is any desk unable to cancel?"""

from ops.grafana.panel import AMBER, GREEN, RED, Board, Kind, Panel, Row, q, quantiles
from ops.prometheus.rules import NOT_ADMITTED, OBJECTIVES

CHOSEN = 'venue=~"$venue"'
RATE = "[$__rate_interval]"
SHUT = ((0, "reachable", GREEN), (1, "shut", RED))

ABLE = Row(
    "Can every desk cancel?",
    (
        Panel(
            "Gateways up",
            "Processes that Prometheus reaches. Fewer than you run is a page.",
            (q('sum(up{job=~".*cancel-gateway.*"})'),),
            Kind.STAT,
            width=4,
            height=4,
        ),
        Panel(
            "Venues shut",
            "Venues with a closed gate or an open breaker somewhere. Their desks cannot cancel now.",
            (q("count(max by (venue) (~gate_closed) + max by (venue) (~breaker_open) > 0) or vector(0)"),),
            Kind.STAT,
            width=4,
            height=4,
            bounds=((1, RED),),
        ),
        Panel(
            "Not let through",
            "Share at the worst venue, over 5 minutes, that was refused before it left. 0.1 % is promised.",
            (q("max(cancel_gateway:admission:bad_ratio_rate5m) or vector(0)"),),
            Kind.STAT,
            "percentunit",
            width=4,
            height=4,
            bounds=((0.001, AMBER), (0.0144, RED)),
        ),
        Panel(
            "Unknown now",
            "Cancels whose end nobody knows yet. Their orders may be live.",
            (q(f"sum(max by (venue) (~unknown_open{{{CHOSEN}}}))"),),
            Kind.STAT,
            width=4,
            height=4,
            bounds=((1, AMBER), (50, RED)),
        ),
        Panel(
            "Cancels per second",
            "Answered, whatever the outcome.",
            (q(f"sum(rate(~requests_total{{{CHOSEN}}}{RATE}))"),),
            Kind.STAT,
            "reqps",
            width=4,
            height=4,
            decimals=0,
        ),
        Panel(
            "Slowest in a hundred",
            "p99 from request to answer, waiting for a slot included.",
            quantiles("request_seconds", "", 0.99),
            Kind.STAT,
            "s",
            width=4,
            height=4,
        ),
        Panel(
            "Can each venue be reached?",
            "Shut: any gate is closed or any breaker open there, on any replica.",
            (
                q(
                    f"max by (venue) (~gate_closed{{{CHOSEN}}}) + max by (venue) (~breaker_open{{{CHOSEN}}}) > bool 0",
                    "{{venue}}",
                ),
            ),
            Kind.STATES,
            width=12,
            bounds=((1, RED),),
            words=SHUT,
        ),
        Panel(
            "Alerts firing",
            "What pages or makes a ticket now; each has a runbook of its name.",
            (q('sum by (alertname, severity, venue) (ALERTS{alertstate="firing"})'),),
            Kind.TABLE,
            width=12,
            nothing="Nothing fires",
        ),
    ),
)

TRAFFIC = Row(
    "What comes, and what comes of it",
    (
        Panel(
            "Cancels by venue",
            "Answers per second.",
            (q(f"sum by (venue) (rate(~requests_total{{{CHOSEN}}}{RATE}))", "{{venue}}"),),
            Kind.STACK,
            "reqps",
        ),
        Panel(
            "Outcomes",
            "Answers per second by outcome; what did not occur is left out.",
            (q(f"sum by (outcome) (rate(~requests_total{{{CHOSEN}}}{RATE})) > 0", "{{outcome}}"),),
            Kind.STACK,
            "reqps",
        ),
        Panel(
            "Refused before sending",
            "Cancels that wanted to go to the venue and were not let through, by reason.",
            (
                q(
                    f'sum by (venue, outcome) (rate(~requests_total{{{CHOSEN}, outcome=~"{NOT_ADMITTED}"}}{RATE})) > 0',
                    "{{venue}} {{outcome}}",
                ),
            ),
            unit="reqps",
            nothing="Everything was let through",
        ),
        Panel(
            "Time to answer",
            "From request to answer by lane. The dots are single requests: their id finds the log line.",
            (
                *quantiles("request_seconds", "lane", 0.5, legend="{{lane}}"),
                q(
                    f"histogram_quantile(0.99, sum by (le, lane) (rate(~request_seconds_bucket{{{CHOSEN}}}{RATE})))",
                    "{{lane}} p99",
                    exemplars=True,
                ),
            ),
            unit="s",
            width=12,
        ),
        Panel(
            "How fast each promise is used up",
            "1: as fast as 30 days allow. 14.4 over an hour, or 6 over six hours, pages.",
            tuple(
                q(f"max by (venue) ({each.recorded('1h')}) / {1 - each.goal:.6g}", f"{each.name} {{{{venue}}}}")
                for each in OBJECTIVES
            ),
            width=12,
            bounds=((6, AMBER), (14.4, RED)),
            nothing="Nothing was promised to anybody in this hour",
        ),
    ),
)

BOARD = Board(
    "gateway-overview",
    "Cancel gateway: overview",
    "Is any desk unable to cancel?",
    (ABLE, TRAFFIC),
)
