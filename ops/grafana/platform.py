"""What the service leans on: Redis, the secret store, the issuer, and the processes themselves."""

from ops.grafana.panel import AMBER, GREEN, RED, Board, Kind, Panel, Row, q, quantiles

CHOSEN = 'venue=~"$venue"'
RATE = "[$__rate_interval]"
OURS = 'job=~".*cancel-gateway.*"'

REDIS = Row(
    "Redis",
    (
        Panel(
            "What is lost",
            "Without Redis each replica works on its own share of every limit.",
            (q("max by (component) (~degraded)", "{{component}}"),),
            Kind.STATES,
            width=12,
            bounds=((1, RED),),
            words=((0, "there", GREEN), (1, "lost", RED)),
        ),
        Panel(
            "Errors",
            "Calls that failed or came too late.",
            (q(f"sum by (operation) (rate(~redis_errors_total{RATE})) > 0", "{{operation}}"),),
            unit="reqps",
            width=12,
            nothing="None",
        ),
        Panel(
            "Calls",
            "An uncontended cancel makes two.",
            (q(f"sum by (operation) (rate(~redis_seconds_count{RATE})) > 0", "{{operation}}"),),
            Kind.STACK,
            "reqps",
            width=12,
        ),
        Panel(
            "Time of a call",
            "p99 of what a cancel waits for.",
            quantiles(
                "redis_seconds", "operation", 0.99, legend="{{operation}}", labels='operation=~"claim|settle|reserve"'
            ),
            unit="s",
            width=12,
            bounds=((0.1, RED),),
        ),
    ),
)

SECRETS = Row(
    "Secrets and callers",
    (
        Panel(
            "Age of the oldest credential",
            "Since it was last read from the store. Above 15 minutes is a page.",
            (q(f"max by (venue) (~credential_age_seconds{{{CHOSEN}}})", "{{venue}}"),),
            unit="s",
            bounds=((900, RED),),
        ),
        Panel(
            "Looks at stored credentials",
            "By what they brought; refused: the venue did not take it.",
            (q(f"sum by (result) (rate(~credential_refresh_total{{{CHOSEN}}}{RATE}))", "{{result}}"),),
            Kind.STACK,
            "reqps",
        ),
        Panel(
            "On an old credential",
            "Accounts whose new credential the venue refuses while the old one still works.",
            (q(f"max by (venue) (~credential_fallback{{{CHOSEN}}})", "{{venue}}"),),
            bounds=((1, RED),),
        ),
        Panel(
            "The issuer's keys",
            "Looks at them, by result.",
            (q(f"sum by (result) (rate(~jwks_fetch_total{RATE}))", "{{result}}"),),
            unit="reqps",
        ),
        Panel(
            "Settings and certificates read again",
            "In ten minutes. Refused: the old ones stay in force.",
            (
                q("sum by (result) (increase(~config_reload_total[10m]))", "settings {{result}}"),
                q("sum by (result) (increase(~tls_reload_total[10m]))", "certificate {{result}}"),
            ),
        ),
        Panel(
            "Settings in force",
            "Refused: somebody changed the file, and it is not taken.",
            (q("min by (instance) (~config_last_reload_successful)", "{{instance}}"),),
            Kind.STATES,
            bounds=((1, GREEN),),
            words=((0, "refused", RED), (1, "taken", GREEN)),
        ),
    ),
)

PROCESS = Row(
    "Processes",
    (
        Panel(
            "CPU",
            "Cores in use; one process cannot use more than about one.",
            (q(f"rate(process_cpu_seconds_total{{{OURS}}}{RATE})", "{{instance}}"),),
            width=6,
            bounds=((0.9, AMBER),),
        ),
        Panel(
            "Memory",
            "Resident.",
            (q(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}"),),
            unit="bytes",
            width=6,
        ),
        Panel(
            "Open files, and tasks",
            "Sockets included. Both come and go with requests, and must not grow without them.",
            (
                q(f"process_open_fds{{{OURS}}}", "{{instance}} files"),
                q(f"cancel_gateway_tasks{{{OURS}}}", "{{instance}} tasks"),
            ),
            width=6,
        ),
        Panel(
            "Log lines lost",
            "In ten minutes, because the reader of stdout was too slow.",
            (q("sum by (instance) (increase(~log_dropped_total[10m]))", "{{instance}}"),),
            width=6,
            bounds=((1, RED),),
        ),
        Panel(
            "Versions",
            "Processes by version. Two at once: a roll-out is under way.",
            (q("count by (version) (~build_info)", "{{version}}"),),
            Kind.STACK,
            width=12,
        ),
        Panel(
            "Age of the processes",
            "Since they were started.",
            (q(f"time() - process_start_time_seconds{{{OURS}}}", "{{instance}}"),),
            unit="s",
            width=12,
        ),
    ),
)

BOARD = Board(
    "gateway-platform",
    "Cancel gateway: platform",
    "Redis, secrets, callers and processes.",
    (REDIS, SECRETS, PROCESS),
)
