"""What is known of orders, and how soon: unknowns, time to the end, replays, the audit trail."""

from ops.grafana.panel import AMBER, RED, Board, Kind, Panel, Row, q, quantiles

CHOSEN = 'venue=~"$venue"'
RATE = "[$__rate_interval]"

UNKNOWNS = Row(
    "Unknown: are these orders live?",
    (
        Panel(
            "Unknown by venue",
            "Cancels that left without a trustworthy answer and are being looked for.",
            (q(f"max by (venue) (~unknown_open{{{CHOSEN}}})", "{{venue}}"),),
            bounds=((1, AMBER),),
        ),
        Panel(
            "Resolved as",
            "What unknown cancels turned out to be, per minute; unknown: given up.",
            (q(f"60 * sum by (outcome) (rate(~unknown_resolved_total{{{CHOSEN}}}{RATE})) > 0", "{{outcome}}"),),
            Kind.STACK,
            nothing="Nothing had to be resolved",
        ),
        Panel(
            "Age when resolved",
            "99 % within a minute are promised.",
            quantiles("unknown_resolution_seconds", "venue", 0.5, 0.99, legend="{{venue}}"),
            unit="s",
            bounds=((60, RED),),
            nothing="Nothing had to be resolved",
        ),
    ),
)

TERMINAL = Row(
    "How soon an order is provably gone",
    (
        Panel(
            "Time to the end",
            "p99 from request until the order was provably gone.",
            quantiles("time_to_terminal_seconds", "venue", 0.99, legend="{{venue}}"),
            unit="s",
            width=6,
            bounds=((5, RED),),
        ),
        Panel(
            "Later than five seconds",
            "Share over five minutes; 1 % is promised.",
            (q("cancel_gateway:terminal:bad_ratio_rate5m", "{{venue}}"),),
            unit="percentunit",
            width=6,
            bounds=((0.01, AMBER), (0.144, RED)),
        ),
        Panel(
            "Taken, and not ended",
            "Cancels that the venue took and whose caller waited for the end in vain, in five minutes.",
            (q(f"sum by (venue) (increase(~waited_in_vain_total{{{CHOSEN}}}[5m]))", "{{venue}}"),),
            width=6,
            bounds=((3, AMBER),),
        ),
        Panel(
            "Answers nobody can trust",
            "Share of cancels that ended unknown, over two minutes.",
            (
                q(
                    f'sum by (venue) (rate(~requests_total{{{CHOSEN},outcome="unknown"}}[2m]))'
                    f" / (sum by (venue) (rate(~requests_total{{{CHOSEN}}}[2m])) > 0)",
                    "{{venue}}",
                ),
            ),
            unit="percentunit",
            width=6,
            bounds=((0.05, AMBER), (0.25, RED)),
        ),
        Panel(
            "Ends by their time",
            "How many per second took how long.",
            (q(f"sum by (le) (rate(~time_to_terminal_seconds_bucket{{{CHOSEN}}}{RATE}))", "{{le}}"),),
            Kind.HEAT,
            "s",
            width=24,
        ),
    ),
)

RECORDS = Row(
    "Records and the trail",
    (
        Panel(
            "Replays",
            "Answers that repeat a stored one: the same key or the same order again. They cost the venue nothing.",
            (q(f"sum by (venue) (rate(~replays_total{{{CHOSEN}}}{RATE}))", "{{venue}}"),),
            Kind.STACK,
            "reqps",
            width=6,
        ),
        Panel(
            "Sent without leave",
            "Requests at the sockets beyond those that were let go. None, ever: a second one could hit another order.",
            (q(f"sum by (venue) (increase(~hidden_resends_total{{{CHOSEN}}}[10m]))", "{{venue}}"),),
            width=6,
            bounds=((1, RED),),
        ),
        Panel(
            "Audit entries not stored yet",
            "They wait in memory while Redis is away.",
            (q("sum by (instance) (~trail_waiting)", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Audit entries lost",
            "In ten minutes; the chain says where.",
            (q("sum by (instance) (increase(~trail_dropped_total[10m]))", "{{instance}}"),),
            width=6,
            bounds=((1, RED),),
        ),
    ),
)

BOARD = Board(
    "gateway-truth",
    "Cancel gateway: truth",
    "What is not known, how soon it is known, and what is kept of it.",
    (UNKNOWNS, TERMINAL, RECORDS),
)
