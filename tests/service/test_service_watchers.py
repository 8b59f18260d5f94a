"""Whoever watches the service cannot hold it up: a log that nobody reads, scrapers that take nothing in."""

import asyncio
import json
import os
import socket
import subprocess
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from urllib.parse import urlsplit

import pytest
from service_process import (
    STOP_S,
    Gateway,
    command,
    environment,
    put_secrets,
    tree_of,
    written,
)
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

# A pipe holds 64 KiB, some 150 lines of this log.
CANCELS, AT_ONCE, PIPE = 400, 20, 64 * 1024
SCRAPERS = 24
# One that is held up waits for as long as nobody reads; a busy machine is only slow.
LATE_S = 5.0


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Gateway]:
    secrets = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    config = module_folder / "gateway.toml"
    config.write_text(written(tree_of(sandbox, redis_url, secrets, tokens=100_000)))
    with unread(config) as started:
        yield started


@contextmanager
def unread(config: Path) -> Iterator[Gateway]:
    """The service, whose standard output is read until it is up, and then no more."""
    words = command("serve", "--config", str(config))
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as process:  # noqa: S603  our own
        assert process.stdout is not None
        try:
            started = next(said for line in process.stdout if (said := json.loads(line))["event"] == "gateway.started")
            yield Gateway(process, Path(os.devnull), started["url"], started["admin_url"])
            process.terminate()
            assert process.wait(STOP_S) == 0, "it ends in time, though its last lines cannot be written"
        finally:
            process.kill()


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        yield Rig(gateway, sandbox, http)


async def slowest(rig: Rig, count: int) -> float:
    """So many cancels, each for an order of its own; how long the slowest took."""
    orders = [order["order_id"] for order in await rig.orders("hashkey", count)]
    took: list[float] = []

    async def some(refs: list[str]) -> None:
        for ref in refs:
            said = await rig.desk().cancel("hashkey", ref, {"X-Request-Timeout-Ms": "20000"})
            assert said.outcome in {"cancelled", "accepted"}  # accepted: in a batch, HashKey proves no more
            took.append(said.took_s)

    await asyncio.gather(*(some(orders[n::AT_ONCE]) for n in range(AT_ONCE)))
    return max(took)


async def test_a_log_that_nobody_reads_holds_no_cancel_up(rig: Rig) -> None:
    await slowest(rig, CANCELS)
    unread_bytes = unread_in(rig.gateway)

    took_s = await slowest(rig, CANCELS)

    assert unread_bytes == unread_in(rig.gateway) > PIPE / 2, "the pipe was not full"
    assert took_s < LATE_S


def unread_in(gateway: Gateway) -> int:
    assert gateway.process.stdout is not None
    count = array("i", [0])
    ioctl(gateway.process.stdout.fileno(), FIONREAD, count)
    return count[0]


async def test_scrapers_that_take_nothing_in_hold_no_cancel_up(rig: Rig) -> None:
    where = urlsplit(rig.gateway.admin_url)
    stuck = [scraper(str(where.hostname), int(where.port or 0)) for _ in range(SCRAPERS)]
    try:
        took_s = await slowest(rig, CANCELS)
        began = time.monotonic()
        scrape = await rig.admin.call("GET", "/metrics")
    finally:
        for each in stuck:
            each.close()

    assert took_s < LATE_S
    assert scrape.status == 200, "another scraper is served meanwhile"
    assert time.monotonic() - began < LATE_S


def scraper(host: str, port: int) -> socket.socket:
    """Asks for the metrics fifty times in one breath, and reads none of them."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((host, port))
    link.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    return link
