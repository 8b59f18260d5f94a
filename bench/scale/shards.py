"""From a storm's calls, and what each costs, to the machines: how busy they are, and which is full first. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.pace import quantile
from bench.scale.storm import STEP_S, Played, Storm


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a storm. Seconds; `late` is how long the work of a full machine lies behind at the worst."""

    cancels: int
    drained_s: Mapping[str, float]
    least_s: Mapping[str, float]
    over_least: Mapping[str, float]
    requests_per_cancel: float
    calls_per_cancel: Mapping[str, float]
    shard_calls_per_s: Mapping[str, float]
    shard_busy: Mapping[str, float]
    shard_late_s: float
    replica_work_s: float


def outcome(storm: Storm, played: Sequence[Played], price_us: Mapping[str, float], gateway_us: float) -> Outcome:
    """For the whole storm, from the accounts that were played."""
    accounts_each = storm.accounts / storm.shards / len(played)
    steps = max(step for one in played for step, _ in one.calls) + 1
    calls, work_us = [0.0] * steps, [0.0] * steps
    for one in played:
        for (step, verb), count in one.calls.items():
            calls[step] += count * accounts_each
            work_us[step] += count * accounts_each * price_us[verb]
    cancels = sum(one.cancels for one in played)
    verbs = sorted({verb for one in played for _, verb in one.calls})
    whole = cancels * storm.accounts / len(played)
    return Outcome(
        cancels=round(whole),
        drained_s=_spread([one.drained_s for one in played]),
        least_s=_spread([one.least_s for one in played]),
        over_least=_spread([one.drained_s - one.least_s for one in played]),
        requests_per_cancel=sum(one.requests for one in played) / cancels,
        calls_per_cancel={
            verb: sum(count for one in played for (_, of), count in one.calls.items() if of == verb) / cancels
            for verb in verbs
        },
        shard_calls_per_s={"first step": calls[0] / STEP_S, "after it": sum(calls[1:]) / max(1, steps - 1) / STEP_S},
        shard_busy={"most after the first step": max(work_us[1:], default=0.0) / 1e6 / STEP_S},
        shard_late_s=_latest(work_us),
        replica_work_s=whole / storm.replicas * gateway_us / 1e6,
    )


def _latest(work_us: Sequence[float]) -> float:
    """One core that does what it is asked for in turn: by how much it is behind at the worst."""
    behind, worst = 0.0, 0.0
    for work in work_us:
        behind += work / 1e6
        worst = max(worst, behind)
        behind = max(0.0, behind - STEP_S)
    return worst


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": quantile(values, 0.5), "p99": quantile(values, 0.99), "most": max(values)}


@dataclass(frozen=True, slots=True)
class Purchase:
    """What so many cancels a second need, each core this busy at the most."""

    accounts: int
    gateway_cores: float
    redis_cores: float
    redis_gb: float


def purchase(
    per_s: float, gateway_us: float, redis_us: float, bytes_each: float, *, busy: float = 0.6, kept_s: float = 3600.0
) -> Purchase:
    """At ten a second and account; records live for `kept_s`."""
    return Purchase(
        accounts=round(per_s / 10),
        gateway_cores=per_s * gateway_us / 1e6 / busy,
        redis_cores=per_s * redis_us / 1e6 / busy,
        redis_gb=per_s * kept_s * bytes_each / 1e9,
    )
