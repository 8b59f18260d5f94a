"""`serve --workers N`: real processes behind one port, looked after by one that serves nobody."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from real_valkey import Server
from service_process import (
    STOP_S,
    command,
    environment,
    put_secrets,
    rested,
    token_of,
    tree_of,
    until,
    written,
)

from gateway.cli.check_config import check
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox
from gateway.venues import ALL

WORKERS = 2
LONG_S = 30.0  # several start at once, on a machine that has other things to do


@pytest.fixture
def tree(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> dict[str, Any]:
    secrets = put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    made = tree_of(sandbox, rested(valkey_session), secrets)
    made["redis"]["replicas_max"] = WORKERS
    return made


class Crew:
    """A supervisor, and what it and its workers have logged."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    def lines(self, event: str) -> list[dict[str, Any]]:
        whole = self.log.read_bytes().rpartition(b"\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line["event"] == event]

    def heard(self, event: str, times: int) -> list[dict[str, Any]]:
        heard = lambda: len(self.lines(event)) >= times or self.process.poll() is not None  # noqa: E731  used once
        until(heard, f"{event}, {times} times", LONG_S)
        assert len(self.lines(event)) >= times, self.log.read_text()
        return self.lines(event)

    def pids(self) -> list[int]:
        return [line["pid"] for line in self.lines("worker.started")]


@contextmanager
def crew(tree: dict[str, Any], folder: Path, workers: int = WORKERS) -> Iterator[Crew]:
    config, log = folder / "gateway.toml", folder / "log"
    config.write_text(written(tree))
    words = command("serve", "--config", str(config), "--workers", str(workers))
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out, env=environment()) as process:  # noqa: S603  our own
        try:
            yield Crew(process, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_S)


def _cancel(url: str, ref: str) -> dict[str, Any]:
    asked = Request(  # noqa: S310  our own
        f"{url}/orders/hashkey/{ref}?by=order_id",
        method="DELETE",
        headers={"Authorization": f"Bearer {token_of('desk')}", "Connection": "close"},
    )
    with urlopen(asked) as said:  # noqa: S310  likewise
        answer: dict[str, Any] = json.loads(said.read())
    return answer


async def _orders(sandbox: Sandbox, count: int) -> list[str]:
    venue = sandbox.venues["hashkey"]
    asked = Request(  # noqa: S310  our own
        f"{venue.control_url}/_sandbox/orders",
        data=json.dumps({"count": count, "account": "desk-a"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(asked) as said:  # noqa: S310, ASYNC210  the sandbox has a loop of its own
        return [str(order["order_id"]) for order in json.loads(said.read())["orders"]]


def _requests(admin_url: str) -> float:
    with urlopen(f"{admin_url}/metrics") as said:  # noqa: S310  our own
        lines = said.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("cancel_gateway_requests_total{"))


async def test_workers_share_a_port_and_each_counts_its_own(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with crew(tree, tmp_path) as running:
        started = running.heard("gateway.started", WORKERS)
        refs = await _orders(sandbox, 40)
        said = [_cancel(started[0]["url"], ref) for ref in refs]
        counted = [_requests(line["admin_url"]) for line in started]

    assert {answer["outcome"] for answer in said} == {"cancelled"}
    assert {line["url"] for line in started} == {started[0]["url"]}
    assert sum(counted) == len(refs)
    assert all(counted), "the kernel gives each of them some of forty connections"


async def test_a_worker_that_died_is_replaced_and_the_others_go_on(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with crew(tree, tmp_path) as running:
        url = running.heard("gateway.started", WORKERS)[0]["url"]
        os.kill(running.pids()[0], signal.SIGKILL)
        died = running.heard("worker.died", 1)[0]
        between = _cancel(url, (await _orders(sandbox, 1))[0])
        running.heard("gateway.started", WORKERS + 1)
        after = [_cancel(url, ref) for ref in await _orders(sandbox, 10)]

    assert (died["worker"], died["exit_code"]) == (0, -signal.SIGKILL)
    assert {answer["outcome"] for answer in (between, *after)} == {"cancelled"}


def test_sigterm_drains_all_and_sighup_reaches_all(tree: dict[str, Any], tmp_path: Path) -> None:
    with crew(tree, tmp_path) as running:
        running.heard("gateway.started", WORKERS)
        running.process.send_signal(signal.SIGHUP)
        running.heard("config.reloaded", WORKERS)
        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(STOP_S)

    assert code == 0
    assert [line["drained"] for line in running.lines("gateway.stopped")] == [True] * WORKERS
    assert len(running.lines("workers.stopped")) == 1
    assert not running.lines("worker.died")


def test_workers_drain_when_their_supervisor_is_killed(tree: dict[str, Any], tmp_path: Path) -> None:
    with crew(tree, tmp_path) as running:
        running.heard("gateway.started", WORKERS)
        running.process.kill()
        running.process.wait(STOP_S)
        until(lambda: len(running.lines("gateway.stopped")) == WORKERS, "both have stopped", LONG_S)


def test_an_embedded_redis_is_one_for_all(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["redis"] = {"url": "embedded", "replicas_max": WORKERS, "timeout_ms": 1000}
    with crew(tree, tmp_path) as running:
        started = running.heard("gateway.started", WORKERS)
        until(lambda: all(_redis(line["admin_url"]) == "answers" for line in started), "each reaches it", LONG_S)


def _redis(admin_url: str) -> str:
    with urlopen(f"{admin_url}/readyz") as said:  # noqa: S310  our own
        return str(json.loads(said.read())["components"]["redis"]["detail"])


@pytest.mark.parametrize("which", ["listen", "admin_listen"])
def test_what_cannot_start_ends_the_supervisor(tree: dict[str, Any], tmp_path: Path, which: str) -> None:
    """Whether it is the supervisor that finds the address taken, or each worker."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tree["server"][which] = f"127.0.0.1:{taken.getsockname()[1]}"
        with crew(tree, tmp_path) as running:
            code = running.process.wait(LONG_S)

    assert code == 2
    assert "cannot start" in running.log.read_text()


@pytest.mark.parametrize(
    ("server", "workers", "fault"),
    [
        ({}, WORKERS + 1, "redis.replicas_max: is 2, but there are 3 workers; give at least 3"),
        (
            {"listen": "127.0.0.1:9091", "admin_listen": "127.0.0.1:9090"},
            WORKERS,
            "server.admin_listen: and the 1 port",
        ),
        ({"admin_listen": "127.0.0.1:65535"}, WORKERS, "server.admin_listen: has no 1 ports after it"),
    ],
)
def test_check_config_says_what_does_not_hold_for_so_many(
    tree: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    server: dict[str, str],
    workers: int,
    fault: str,
) -> None:
    tree["server"] |= server
    (tmp_path / "gateway.toml").write_text(written(tree))

    assert check(tmp_path / "gateway.toml", lambda: ALL, workers) == 2
    assert fault in capsys.readouterr().err
