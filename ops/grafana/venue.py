"""One venue or several: limits, slots, gates, the queue, batches, and where the time goes."""

from ops.grafana.panel import AMBER, GREEN, RED, Board, Kind, Panel, Row, q, quantiles

CHOSEN = 'venue=~"$venue"'
RATE = "[$__rate_interval]"
SHUT = ((0, "open", GREEN), (1, "shut", RED))

LIMITS = Row(
    "Limits",
    (
        Panel(
            "Fullest window",
            "Most sends in any sliding window of the last 15 minutes, as a part of the limit. Above 1 is a page.",
            (q(f"max by (venue) (~window_peak_ratio{{{CHOSEN}}})", "{{venue}}"),),
            unit="percentunit",
            bounds=((1, RED),),
        ),
        Panel(
            "Slots",
            "Used: a request left. Returned: not needed after all, and given back. Wasted: paid for and not used.",
            (q(f"sum by (result) (rate(~slots_total{{{CHOSEN}}}{RATE}))", "{{result}}"),),
            Kind.STACK,
            "reqps",
        ),
        Panel(
            "Limits in force",
            "The lowest limit that a venue has taught us, as a part of the configured one.",
            (q(f"min by (venue) (~limit_learned_ratio{{{CHOSEN}}})", "{{venue}}"),),
            unit="percentunit",
            most=1,
        ),
        Panel(
            "Gates and breakers",
            "Those that were shut in this time. A gate is shut by the venue, a breaker by us.",
            (
                q(
                    f"max by (venue, scope) (~gate_closed{{{CHOSEN}}})"
                    f" and max by (venue, scope) (max_over_time(~gate_closed{{{CHOSEN}}}[$__range] @ end())) > 0",
                    "{{venue}} gate: {{scope}}",
                ),
                q(
                    f"max by (venue, scope) (~breaker_open{{{CHOSEN}}})"
                    f" and max by (venue, scope) (max_over_time(~breaker_open{{{CHOSEN}}}[$__range] @ end())) > 0",
                    "{{venue}} breaker: {{scope}}",
                ),
            ),
            Kind.STATES,
            width=12,
            bounds=((1, RED),),
            words=SHUT,
            nothing="Nothing was shut",
        ),
        Panel(
            "Times shut out",
            "How often a venue shut us out in the last five minutes, and how.",
            (
                q(
                    f"sum by (venue, reason) (increase(~gate_closures_total{{{CHOSEN}}}[5m])) > 0",
                    "{{venue}} {{reason}}",
                ),
            ),
            width=12,
            bounds=((1, RED),),
            nothing="Nobody shut us out",
        ),
    ),
)

QUEUE = Row(
    "Queue and batches",
    (
        Panel(
            "Waiting for a slot",
            "Over all replicas. More than 500 for a venue is a page.",
            (q(f"sum by (venue) (~queue_depth{{{CHOSEN}}})", "{{venue}}"),),
            Kind.STACK,
        ),
        Panel(
            "Wait for a slot",
            "By lane: urgent ones go first.",
            quantiles("queue_wait_seconds", "lane", 0.5, 0.99, legend="{{lane}}"),
            unit="s",
        ),
        Panel(
            "Orders in one request",
            "The mean. Where nothing waits nothing is batched.",
            (
                q(
                    f"sum by (venue) (rate(~batch_size_sum{{{CHOSEN}}}{RATE}))"
                    f" / (sum by (venue) (rate(~batch_size_count{{{CHOSEN}}}{RATE})) > 0)",
                    "{{venue}}",
                ),
            ),
        ),
    ),
)

LATENCY = Row(
    "Where the time goes",
    (
        Panel(
            "Slowest in a hundred, by verb",
            "p99 of each verb of the path.",
            quantiles("phase_seconds", "phase", 0.99, legend="{{phase}}"),
            unit="s",
            width=12,
        ),
        Panel(
            "What the venue takes",
            "p99 from the first byte out to the answer read.",
            quantiles("phase_seconds", "venue", 0.99, legend="{{venue}}", labels='venue=~"$venue", phase="send"'),
            unit="s",
            width=12,
        ),
        Panel(
            "Answers by their time",
            "How many per second took how long.",
            (q(f"sum by (le) (rate(~request_seconds_bucket{{{CHOSEN}}}{RATE}))", "{{le}}"),),
            Kind.HEAT,
            "s",
        ),
        Panel(
            "Further attempts",
            "By reason; over_budget were not made.",
            (q(f"sum by (venue, reason) (rate(~retries_total{{{CHOSEN}}}{RATE})) > 0", "{{venue}} {{reason}}"),),
            unit="reqps",
            nothing="Each went at once",
        ),
        Panel(
            "The venue's clock",
            "By how much it is ahead of ours, as far as proven. Beyond its window nothing is signed.",
            (q(f"max by (venue) (~clock_offset_seconds{{{CHOSEN}}})", "{{venue}}"),),
            unit="s",
            bounds=((1, AMBER),),
            least=None,
        ),
    ),
)

BOARD = Board(
    "gateway-venue",
    "Cancel gateway: venue",
    "Limits, slots, gates, the queue and the time of each venue.",
    (LIMITS, QUEUE, LATENCY),
)
