"""The list of scenarios: name, what plays it, and for how many seconds it is saturated."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.admission import batches, failovers, gates, lanes, parked, replica_faults, saturation, store_faults
from bench.admission.result import Result


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of them."""

    name: str
    play: Callable[[float], Awaitable[Result]]
    seconds: float


ALL = (
    Scenario("saturation", saturation.steady, 60),
    Scenario("jitter", saturation.jittered, 60),
    Scenario("saturation-batched", saturation.batched, 20),
    Scenario("redis-kill", store_faults.killed, 18),
    Scenario("redis-restart", store_faults.restarted, 15),
    Scenario("redis-stale", store_faults.stale, 15),
    Scenario("redis-flushall", store_faults.flushed, 15),
    Scenario("redis-sigstop", store_faults.stopped, 18),
    Scenario("script-flush", store_faults.scripts_lost, 12),
    Scenario("redis-clock", store_faults.stepped, 24),
    Scenario("redis-blips", store_faults.blips, 18),
    Scenario("redis-cut-off", store_faults.cut_off, 18),
    Scenario("split-brain", store_faults.split, 15),
    Scenario("sentinel-stale", failovers.sentinel_stale, 24),
    Scenario("sentinel-hasty", failovers.sentinel_hasty, 24),
    Scenario("sentinel-zombie", failovers.sentinel_zombie, 30),
    Scenario("cluster-kill", failovers.cluster_kill, 24),
    Scenario("cluster-failover", failovers.cluster_failover, 24),
    Scenario("cluster-migration", failovers.cluster_migration, 24),
    Scenario("gateway-kill", replica_faults.killed, 18),
    Scenario("gateway-sigstop", replica_faults.stopped, 18),
    Scenario("gateway-hiccups", replica_faults.hiccups, 18),
    Scenario("gateway-clock", replica_faults.in_another_time, 15),
    Scenario("roll-out", replica_faults.roll_out, 15),
    Scenario("batch-orderly", batches.orderly, 0),
    Scenario("batch-orderly-client", batches.orderly_client_ids, 0),
    Scenario("batch-hashkey", batches.hashkey, 0),
    Scenario("low-load", batches.unqueued, 20),
    Scenario("urgent", lanes.urgent, 40),
    Scenario("urgent-no-reserve", lanes.urgent_without_reserve, 40),
    Scenario("fairness", lanes.fair, 30),
    Scenario("disconnect", lanes.left_the_line, 0),
    Scenario("parked", parked.parked, 0),
    Scenario("gates", gates.retry_after, 0),
    Scenario("gates-hashkey", gates.hashkey, 0),
)
