"""What a cancel costs over a bare pass-through, in CPU of the serving process, both in one run. Linux only.

    python -m bench.passthrough [--rounds 7] [--requests 2000] [--lanes 16] [--tokens 100000]

(a) an aiohttp server with one client session, (b) `cancel-gateway serve` with an embedded Redis; the same constant
upstream behind both, rounds taken in turns. Redis is a process of its own and counted apart.
"""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.load import Round, drive

HERE = Path(__file__).parent
TOKEN = "bench-token"  # noqa: S105  made up, valid for one run
CONFIG = """
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin}"
[redis]
url = "embedded"
timeout_ms = 1000
[secrets]
provider = "files"
directory = "{secrets}"
[callers.bench]
token_sha256 = "{digest}"
allow = ["*:*"]
permissions = ["cancel"]
[venues.hashkey]
base_url = "http://127.0.0.1:{upstream}"
default_account = "bench"
batching = false
[venues.hashkey.limits.cancel]
tokens = {tokens}
per_ms = 1000
"""


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process for the length of the run."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)  # noqa: S603  our own commands
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def port_told_by(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, upstream: int, tokens: int) -> tuple[Path, int, int]:
    secret = folder / "secrets" / "hashkey" / "bench.json"
    secret.parent.mkdir(parents=True)
    secret.write_text(json.dumps({"api_key": "k" * 32, "secret": "s" * 32}))
    secret.chmod(0o600)
    port, admin, digest = free_port(), free_port(), hashlib.sha256(TOKEN.encode()).hexdigest()
    config = folder / "gateway.toml"
    config.write_text(
        CONFIG.format(
            port=port, admin=admin, secrets=folder / "secrets", digest=digest, upstream=upstream, tokens=tokens
        )
    )
    return config, port, admin


def wait_ready(admin: int) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise SystemExit("the gateway did not become ready")


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return found + [deeper for child in found for deeper in children(child)]


def cpu_us(pids: list[int]) -> float:
    """CPU used so far by all threads of these processes, in microseconds."""
    tasks = (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def pin(pid: int, core: int) -> None:
    if core < (os.cpu_count() or 1):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def cancel(n: int) -> bytes:
    return (
        f"DELETE /orders/hashkey/{n}?by=order_id HTTP/1.1\r\nHost: gateway\r\n"
        f"Authorization: Bearer {TOKEN}\r\nAccept: */*\r\n\r\n"
    ).encode()


def measure(port: int, pids: list[int], beside: list[int], first: int, options: argparse.Namespace) -> dict[str, float]:
    before, before_beside = cpu_us(pids), cpu_us(beside)
    seen: Round = asyncio.run(drive(port, options.requests, options.lanes, lambda n: cancel(first + n)))
    assert set(seen.statuses) == {200}, f"not every cancel succeeded: {seen.statuses}"
    return {
        "cpu_us": (cpu_us(pids) - before) / options.requests,
        "redis_cpu_us": (cpu_us(beside) - before_beside) / options.requests,
        "per_s": options.requests / seen.wall_s,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summary(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: spread([one[name] for one in rounds]) for name in rounds[0]}


def start_gateway(stack: ExitStack, folder: Path, upstream: int, tokens: int) -> tuple[int, subprocess.Popen[bytes]]:
    """The gateway in front of an upstream, ready, until the stack ends: its port and its process."""
    config, port, admin = write_config(folder, upstream, tokens)
    log = stack.enter_context((folder / "log").open("w"))
    gateway = subprocess.Popen(  # noqa: S603  our own command
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)], stdout=log, cwd=HERE.parent
    )
    stack.callback(gateway.wait, 30)
    stack.callback(gateway.terminate)
    wait_ready(admin)
    return port, gateway


Measured = dict[str, dict[str, float]]


def run(options: argparse.Namespace) -> dict[str, Measured]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        venue = stack.enter_context(running(sys.executable, "-m", "bench.roles", "upstream"))
        upstream = port_told_by(venue)
        bare = stack.enter_context(running(sys.executable, "-m", "bench.roles", "forward", str(upstream)))
        bare_port = port_told_by(bare)
        port, gateway = start_gateway(stack, folder, upstream, options.tokens)
        redis = children(gateway.pid)
        for pid in (bare.pid, gateway.pid):
            pin(pid, 0)
        for pid in (venue.pid, os.getpid(), *redis):
            pin(pid, 1)
        targets = {"passthrough": (bare_port, [bare.pid], []), "gateway": (port, [gateway.pid], redis)}
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
        first = 1
        for turn in range(options.rounds + 1):
            for name in sorted(targets, reverse=bool(turn % 2)):
                one = measure(*targets[name], first, options)
                first += options.requests
                if turn:  # the first is for warming up
                    rounds[name].append(one)
    pairs = zip(rounds["passthrough"], rounds["gateway"], strict=True)
    ratio = summary([{"cpu_us": theirs["cpu_us"] / bare["cpu_us"]} for bare, theirs in pairs])
    return {**{name: summary(found) for name, found in rounds.items()}, "gateway / passthrough": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 7), ("requests", 2000), ("lanes", 16), ("tokens", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    result = run(options)
    for name, measured in result.items():
        for what, value in measured.items():
            print(f"{name:22} {what:13} {value['median']:9.2f}   ({value['least']:.2f} to {value['most']:.2f})")
    target = HERE / "results" / "passthrough.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"options": vars(options), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
