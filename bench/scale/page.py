"""docs/scale.md between its marks: what was measured, what the storms did, and what to buy. Text only."""

from collections.abc import Mapping, Sequence

from bench.scale.real import Real
from bench.scale.shards import Outcome, Purchase
from bench.scale.storm import Storm

MARK = "<!-- made by python -m bench.scale: the part between these marks -->"
FLAT = 0.15
KINDS = {
    "accounts": "accounts in one gateway",
    "processes": "gateways on one Redis",
    "shards": "Redis",
    "waiting": "callers that wait for another venue",
}


def page(
    real: Real | None,
    price_us: Mapping[str, float],
    storms: Sequence[tuple[str, Storm, Outcome]],
    bought: Purchase,
    units: Mapping[str, float],
) -> str:
    parts = [_real(real) if real else "", _price(price_us), _storms(storms), _buy(bought, units)]
    return "\n\n".join(part for part in parts if part)


def _real(real: Real) -> str:
    lines = [
        "### Measured here",
        "",
        "| | | CPU of a cancel, gateway | to the first | Redis | to the first | flat (±15 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, rows in real.figures.items():
        for name, own in rows.items():
            ratio, redis = own["ratio"]["median"], own["redis_ratio"]["median"]
            flat = "yes" if abs(ratio - 1) <= FLAT else "**no**"
            cells = (
                KINDS[kind],
                name,
                f"{own['cpu_us']['median']:.0f} µs",
                f"{ratio:.2f} ({own['ratio']['least']:.2f} to {own['ratio']['most']:.2f})",
                f"{own['redis_cpu_us']['median']:.0f} µs",
                f"{redis:.2f}",
                flat,
            )
            lines.append(f"| {' | '.join(cells)} |")
    memory = real.memory
    lines += [
        "",
        (
            f"An account that is used takes {memory['account'] / 1000:.1f} kB of a gateway's memory, a caller who "
            f"waits {memory['waiting caller'] / 1000:.1f} kB (of that, the open connection "
            f"{memory['of that the connection'] / 1000:.1f} kB). While 10,000 wait, the gateway uses "
            f"{memory['core while they wait']:.3f} of a core."
        ),
    ]
    return "\n".join(lines)


def _price(price_us: Mapping[str, float]) -> str:
    told = ", ".join(f"{verb} {price:.0f}" for verb, price in price_us.items())
    return f"What a call costs Redis, in µs of its CPU: {told}."


def _storms(storms: Sequence[tuple[str, Storm, Outcome]]) -> str:
    storm = storms[0][1]
    whole = storms[0][2].cancels
    lines = [
        "### A market-wide storm, simulated",
        "",
        (
            f"{storm.accounts:,} accounts cancel everything they have in one moment, {whole:,} cancels in all, through "
            f"{storm.replicas} replicas and {storm.shards} shards. Dispatcher, lines and ledger are the product's own "
            "code on virtual time; the table is from the accounts that were played, times the number of accounts."
        ),
        "",
        (
            "| | drained, median | p99 | beyond the possible, p99 | requests per cancel | slot calls per cancel |"
            " a shard's calls in the first 0.1 s | then, per s | a shard is behind by | CPU of a replica |"
        ),
        "|---" * 10 + "|",
    ]
    for name, _, one in storms:
        slots = sum(one.calls_per_cancel.get(verb, 0.0) for verb in ("reserve", "confirm", "give_back"))
        cells = (
            name,
            f"{one.drained_s['median']:.2f} s",
            f"{one.drained_s['p99']:.2f} s",
            f"{one.over_least['p99']:.3f} s",
            f"{one.requests_per_cancel:.2f}",
            f"{slots:.2f}",
            f"{one.shard_calls_per_s['first step'] / 10:,.0f}",
            f"{one.shard_calls_per_s['after it']:,.0f}",
            f"{one.shard_late_s:.1f} s",
            f"{one.replica_work_s:.1f} s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "![How long accounts take](../bench/results/scale-storm.svg)"])


def _buy(bought: Purchase, units: Mapping[str, float]) -> str:
    return "\n".join(
        [
            "### A million cancels a second",
            "",
            (
                f"From {units['gateway_us']:.0f} µs of gateway and {units['redis_us']:.0f} µs of Redis for a cancel, "
                f"and {units['record_bytes'] / 1000:.1f} kB that stay of it in Redis; every core at most 60 % busy:"
            ),
            "",
            "| what | how much |",
            "|---|---|",
            f"| accounts, at ten a second each | {bought.accounts:,} |",
            f"| cores for gateways, a process each | {bought.gateway_cores:,.0f} |",
            f"| Redis masters, a core each | {bought.redis_cores:,.0f} |",
            f"| memory of all masters, records and trail kept for an hour | {bought.redis_gb:,.0f} GB |",
        ]
    )
