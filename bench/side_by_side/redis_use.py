"""What a cancel asks of Redis, as Redis itself counts it: commands of a client, commands inside scripts, and trips."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import uvloop
from redis import Redis

from bench.load import drive
from bench.side_by_side.cost import Counter as Numbers
from bench.side_by_side.cost import check
from bench.side_by_side.stage import Stage
from bench.side_by_side.targets import Target

COUNT = 100
QUIET_S = 0.3  # the trail is written a little later


def redis_use(stage: Stage, targets: Mapping[str, Target], numbers: Numbers) -> dict[str, dict[str, float]]:
    """Per cancel, one cancel at a time: nothing is shared with another that happens to leave together with it."""
    with Redis(unix_socket_path=str(stage.redis_socket)) as client:
        return {name: _used(client, target, numbers) for name, target in targets.items()}


def _used(client: "Redis", target: Target, numbers: Numbers) -> dict[str, float]:
    first = numbers.take(2 * COUNT)
    before = _reads(client)
    _go(target, first)
    trips = _reads(client) - before - 1
    with cast("Any", client).monitor() as monitor:
        _go(target, first + COUNT)
        client.echo("over")
        seen: Counter[str] = Counter()
        while (heard := monitor.next_command())["command"] != "ECHO over":
            inside = heard["client_type"] == "lua"
            seen["inside scripts" if inside else "commands"] += 1
    return {
        "trips": trips / COUNT,
        "commands": seen["commands"] / COUNT,
        "inside_scripts": seen["inside scripts"] / COUNT,
    }


def _go(target: Target, first: int) -> None:
    seen = uvloop.run(drive(target.port, COUNT, 1, lambda n: target.cancel(first + n)))
    check(target.name, seen.statuses)
    time.sleep(QUIET_S)


def _reads(client: "Redis") -> int:
    stats = client.info("stats")
    assert isinstance(stats, dict)
    return int(stats["total_reads_processed"])
