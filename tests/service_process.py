"""The real service as a process, with settings, secrets, a Valkey and the sandbox beside it.

Nothing of the gateway is imported but what starts its sandbox and its Valkey: these tests see what a user sees.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson
from real_valkey import Server
from redis import Redis
from redis.exceptions import RedisError

from gateway.backends.redis.embedded import find_server
from gateway.core.model import Account, VenueId
from gateway.sandbox.book import Book
from gateway.sandbox.clock import SystemClock
from gateway.sandbox.config import VENUE_IDS, SandboxConfig
from gateway.sandbox.server import RunningVenue, Sandbox, running
from gateway.sandbox.venue import Desk as VenueDesk
from gateway.venues import ALL

Tree: TypeAlias = dict[str, Any]
START_S, STOP_S, PAUSE_S = 10.0, 10.0, 0.01
ACCOUNTS = ("desk-a", "desk-b")
DATABASES, DATABASES_MOST = count(1), 16
LIMITS = {venue.id: tuple(venue.quotas) for venue in ALL}
CALLERS: dict[str, Tree] = {
    "desk": {"allow": ["*:*"], "permissions": ["cancel", "urgent", "read"]},
    "other": {"allow": ["*:*"], "permissions": ["cancel", "read"]},
    "narrow": {"allow": ["orderly:desk-a"], "permissions": ["cancel"]},
    "reader": {"allow": ["*:*"], "permissions": ["read"]},
    "peek": {"allow": ["hashkey:desk-a"], "permissions": ["read"]},
    "killer": {"allow": ["*:*"], "permissions": ["cancel", "read", "kill"]},
    "chief": {"allow": ["*:*"], "permissions": ["read", "admin"]},
}


def token_of(caller: str) -> str:
    """The token of a caller of these tests."""
    return f"token-of-{caller}-0123456789"


# -- the sandbox -----------------------------------------------------------------------------------------------------


@contextmanager
def sandbox_beside(config: SandboxConfig) -> Iterator[Sandbox]:
    """The sandbox in a thread with a loop of its own, so that it outlives the loop of any test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    context = running(config)
    try:
        sandbox = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(START_S)
        try:
            yield sandbox
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(STOP_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_S)
        loop.close()


@contextmanager
def sandbox_process(folder: Path) -> Iterator[Sandbox]:
    """`cancel-gateway sandbox` with the venues' own limits: nothing that a test does delays what it counts."""
    config, log = folder / "sandbox.toml", folder / "sandbox.log"
    config.write_text(written({"sandbox": {"ports": dict.fromkeys(VENUE_IDS, 0)}}))
    with (
        log.open("wb") as stdout,
        subprocess.Popen(command("sandbox", "--config", str(config)), stdout=stdout, env=environment()) as process,  # noqa: S603  our own
    ):
        try:
            until(lambda: log.read_text().count("\n") == len(VENUE_IDS), "the sandbox listens")
            settings, clock = SandboxConfig(), SystemClock()
            desk = VenueDesk(settings, clock, {}, Book(clock))  # the real ones are in the process
            found = re.findall(r"^(\w+): (\S+) \(control: (\S+)/_sandbox/?\)$", log.read_text(), re.MULTILINE)
            yield Sandbox(settings, {venue: RunningVenue(venue, base, origin, desk) for venue, base, origin in found})
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0
        finally:
            if process.poll() is None:
                process.kill()


# -- what the service is told ----------------------------------------------------------------------------------------


def written(tree: Tree, path: tuple[str, ...] = ()) -> str:
    """A tree as TOML: JSON's strings, numbers and lists are TOML's as well."""
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    head = [f"[{'.'.join(json.dumps(key) for key in path)}]"] if path else []
    tables = [written(value, (*path, key)) for key, value in tree.items() if isinstance(value, dict)]
    return "\n".join([*head, *lines, *tables])


def put_secrets(folder: Path, credentials: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Path:
    """Credentials as the provider `files` reads them."""
    for venue, accounts in credentials.items():
        for account, fields in accounts.items():
            put_secret(folder, venue, account, json.dumps(fields))
    return folder


def put_secret(folder: Path, venue: str, account: str, content: str) -> None:
    """One file, there as a whole or not at all."""
    target = folder / venue / f"{account}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".new")
    scratch.write_text(content)
    scratch.replace(target)


def tree_of(sandbox: Sandbox, redis_url: str, secrets: Path, tokens: int = 2000, **venue: object) -> Tree:
    """Settings for all five venues with limits that no test meets by accident; `venue` goes to each of them."""
    return {
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "drain_seconds": 5, "drain_lag_ms": 0},
        "redis": {"url": redis_url, "timeout_ms": 1000},
        "secrets": {"provider": "files", "directory": str(secrets), "refresh_seconds": 1},
        "callers": {
            name: said | {"token_sha256": sha256(token_of(name).encode()).hexdigest()} for name, said in CALLERS.items()
        },
        "venues": {
            venue_id: {
                "base_url": sandbox.venues[venue_id].base_url,
                "default_account": "desk-a",
                "breaker": False,  # what one test does to a venue is not to meet the next one
                "limits": {name: {"tokens": tokens} for name in LIMITS[VenueId(venue_id)]},
            }
            | venue
            for venue_id in VENUE_IDS
        },
    }


def rested(server: Server) -> str:
    """An empty database that looks as if the gateway had long run on it, so that nothing is held at the start."""
    number = next(DATABASES) % DATABASES_MOST
    with Redis(unix_socket_path=urlsplit(server.url).path, db=number) as client:
        client.flushdb()
        own = Server(f"{server.url}?db={number}", client, server.pid)
        for venue in VENUE_IDS:
            for account in ACCOUNTS:
                own.rest(Account(VenueId(venue), account))
    return own.url


def open_gates(url: str) -> None:
    """What one test had a venue refuse is not to shut out the next one."""
    with Redis.from_url(url) as client:
        if shut := client.keys("*:gate"):
            client.delete(*shut)


@contextmanager
def own_valkey(socket: Path, password: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """A Valkey that a test may kill."""
    options = (
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--appendonly",
        "no",
        "--requirepass",
        password,
    )
    with subprocess.Popen((str(find_server()), *options), stdout=subprocess.DEVNULL) as process:  # noqa: S603  our own
        try:
            with Redis(unix_socket_path=str(socket), password=password or None) as client:
                until(lambda: _answers(client), "the Valkey answers")
            yield process
        finally:
            process.kill()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def until(true: Callable[[], object], what: str, within_s: float = START_S) -> None:
    """Wait for something outside this process."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain until {what}"
        time.sleep(PAUSE_S)


# -- the service -----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Gateway:
    """One `cancel-gateway serve`."""

    process: "subprocess.Popen[bytes]"
    log: Path
    url: str = ""
    admin_url: str = ""

    @property
    def raw_log(self) -> bytes:
        """Its standard output so far."""
        return self.log.read_bytes()

    def lines(self, event: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Its whole log lines, those of an event and with these fields only."""
        whole = self.raw_log.rpartition(b"\n")[0].splitlines()
        found = [orjson.loads(line) for line in whole]
        return [
            line
            for line in found
            if event in {None, line["event"]} and all(line.get(name) == value for name, value in fields.items())
        ]

    def heard(self, event: str, within_s: float = START_S, **fields: object) -> dict[str, Any]:
        """The first such line, as soon as it is there."""
        until(lambda: self.lines(event, **fields) or self.process.poll() is not None, f"{event} is logged", within_s)
        found = self.lines(event, **fields)
        assert found, f"ended with {self.process.returncode} before {event}: {self.raw_log!r}"
        return found[0]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


def command(*words: str) -> list[str]:
    """`cancel-gateway` of the tree under test."""
    return [sys.executable, "-m", "gateway", *words]


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would change the settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CANCEL_GATEWAY")} | more


@contextmanager
def serving(tree: Tree, folder: Path, *, warm: bool = True, ends_well: bool = True, **env: str) -> Iterator[Gateway]:
    """The service as a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    config, log, errors = folder / "gateway.toml", folder / "gateway.log", folder / "gateway.err"
    config.write_text(written(tree))
    with (
        log.open("wb") as stdout,
        errors.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603  our own
            command("serve", "--config", str(config)), stdout=stdout, stderr=stderr, env=environment(**env)
        ) as process,
    ):
        gateway = Gateway(process, log)
        try:
            until(lambda: gateway.lines("gateway.started") or process.poll() is not None, "the gateway listens")
            assert process.poll() is None, errors.read_text()
            started = gateway.lines("gateway.started")[0]
            gateway.url, gateway.admin_url = started["url"], started["admin_url"]
            if warm:
                until(lambda: _warmed(gateway), "every credential is read")
            yield gateway
            code = gateway.stop()
            assert not ends_well or (code, errors.read_text()) == (0, "")
        finally:
            if process.poll() is None:
                process.kill()


def _warmed(gateway: Gateway) -> bool:
    """Whether every credential has been read, so that tests may count what comes after."""
    asked = Request(f"{gateway.url}/venues", headers={"Authorization": f"Bearer {token_of('chief')}"})  # noqa: S310  our own
    with urlopen(asked) as said:  # noqa: S310  likewise
        words = [each["credential"] for each in orjson.loads(said.read())["venues"] if each["account"] in ACCOUNTS]
    return bool(words) and set(words) == {"ok"}
