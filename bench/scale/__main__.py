"""`python -m bench.scale`: about five minutes. Writes bench/results/scale.json, a picture, and docs/scale.md.

With --only real or --only storm it does that part alone, prints, and writes nothing.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from redis import Redis

from bench.charts import Axis, lines
from bench.pace import quantile
from bench.scale.operations import operations_us
from bench.scale.page import MARK, page
from bench.scale.real import Real, measured
from bench.scale.shards import Outcome, outcome, purchase
from bench.scale.storm import ORDERLY, Played, Storm, sample
from bench.side_by_side.cost import Counter, measure
from bench.side_by_side.page import written
from bench.side_by_side.stage import ROOT, Stage, open_stage
from bench.side_by_side.targets import put_up

PAGE, RESULTS = ROOT / "docs" / "scale.md", ROOT / "bench" / "results"
BEGAN = time.monotonic()
UNIT = "gateway-hashkey"
STORMS = {
    "HashKey, one by one, cancels at any replica": Storm(),
    "HashKey, one by one, an account's at one replica": Storm(sticky=True),
    "HashKey with batches (100 in a request), any replica": Storm(batching=True),
    "HashKey with batches, one replica": Storm(batching=True, sticky=True),
    "Orderly with batches (10 in a request), any replica": Storm(venue=ORDERLY, batching=True),
    "Orderly with batches, one replica": Storm(venue=ORDERLY, batching=True, sticky=True),
}


def tell(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {line}", file=sys.stderr, flush=True)


def units_of(stage: Stage, count: int) -> dict[str, float]:
    """What one cancel takes of a gateway and of Redis, and what stays of it there."""
    target = put_up(stage, [UNIT], tell)[UNIT]
    measure(stage, target, count, 16, 1)  # warm
    with Redis(unix_socket_path=str(stage.redis_socket)) as client:
        before, numbers = _held(client), Counter(count + 1)
        rounds = [measure(stage, target, count, 16, numbers.take(count)) for _ in range(3)]
        time.sleep(1)
        kept = (_held(client) - before) / (3 * count)
    best = min(rounds, key=lambda one: one["cpu_us"])
    return {"gateway_us": best["cpu_us"], "redis_us": best["redis_cpu_us"], "record_bytes": kept}


def _held(client: "Redis") -> int:
    said = client.info("memory")
    assert isinstance(said, dict)
    return int(said["used_memory_dataset"])


def storms(price_us: Mapping[str, float], gateway_us: float, accounts: int) -> list[tuple[str, Storm, Outcome]]:
    found = []
    for name, storm in STORMS.items():
        played = sample(storm, accounts)
        found.append((name, storm, outcome(storm, played, price_us, gateway_us)))
        tell(f"{name}: {accounts} accounts played, drained in {found[-1][2].drained_s['median']:.2f} s (median)")
        PLAYED[name] = played
    return found


PLAYED: dict[str, list[Played]] = {}


def picture() -> str:
    """How long an account takes, by how many cancels it has: the part of accounts that are done by then."""
    parts = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
    series = {
        name: [(part * 100, quantile([one.drained_s for one in played], part)) for part in parts]
        for name, played in PLAYED.items()
    }
    series["the least that is possible, one by one"] = [
        (part * 100, quantile([one.least_s for one in next(iter(PLAYED.values()))], part)) for part in parts
    ]
    told = "seconds from the storm's moment to the account's last cancel"
    return lines("A market-wide storm", told, series, Axis("percent of accounts that are done"), Axis("seconds"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=(__doc__ or "").splitlines()[0])
    for name, default in (("rounds", 5), ("requests", 600), ("lanes", 16), ("played", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=("real", "storm"))
    options = parser.parse_args()
    real: Real | None = None
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        stage = open_stage(ends, folder)
        price_us = operations_us(stage.redis_socket, stage.redis_pid)
        tell("prices of calls: " + ", ".join(f"{verb} {price:.0f} µs" for verb, price in price_us.items()))
        units = units_of(stage, options.requests)
        tell(f"a cancel: {units['gateway_us']:.0f} µs of gateway, {units['redis_us']:.0f} µs of Redis")
        if options.only != "storm":
            real = asyncio.run(measured(stage, options.rounds, options.requests, options.lanes, tell))
    found = storms(price_us, units["gateway_us"], options.played) if options.only != "real" else []
    bought = purchase(1_000_000, units["gateway_us"], units["redis_us"], units["record_bytes"])
    if not found:
        print(json.dumps(asdict(real) if real else {}, indent=1))
        return
    text = page(real, price_us, found, bought, units)
    print(text)
    if options.only is None:
        keep(text, {"options": vars(options), "units": units, "price_us": price_us}, real, found)


def keep(text: str, known: dict[str, object], real: Real | None, found: list[tuple[str, Storm, Outcome]]) -> None:
    """Write figures, picture and page."""
    told = [{"name": name, "storm": asdict(storm), "outcome": asdict(one)} for name, storm, one in found]
    figures = known | {"real": asdict(real) if real else None, "storms": told}
    (RESULTS / "scale.json").write_text(json.dumps(figures, indent=1) + "\n")
    (RESULTS / "scale-storm.svg").write_text(picture())
    there = written(PAGE, text, MARK)
    tell(f"wrote bench/results/scale.json, bench/results/scale-storm.svg{', docs/scale.md' if there else ''}")


if __name__ == "__main__":
    main()
