"""The real service as a process, the real sandbox beside it, and a caller who speaks to both over real sockets.

Nothing of the gateway is imported but what starts its sandbox and its Valkey: these tests see what a user sees.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from real_valkey import Server
from redis import Redis
from redis.exceptions import RedisError
from sandbox_client import Client
from yarl import URL

from gateway.backends.redis.embedded import find_server
from gateway.core.model import Account, VenueId
from gateway.sandbox.config import VENUE_IDS, SandboxConfig
from gateway.sandbox.server import Sandbox, running
from gateway.venues import ALL

Tree: TypeAlias = dict[str, Any]
START_S, STOP_S, PAUSE_S = 10.0, 10.0, 0.01
ACCOUNTS = ("desk-a", "desk-b")
DATABASES, DATABASES_MOST = count(1), 16
SYMBOL = "PERP_ETH_USDC"
READABLE = frozenset({"orderly", "hashkey", "loopring", "etna"})
# At these a plain cancel is only taken, not proven: the venue says no more.
ACKNOWLEDGING = frozenset({"orderly", "etna"})
LIMITS = {venue.id: tuple(venue.quotas) for venue in ALL}
CALLERS: dict[str, Tree] = {
    "desk": {"allow": ["*:*"], "permissions": ["cancel", "urgent", "read"]},
    "other": {"allow": ["*:*"], "permissions": ["cancel", "read"]},
    "narrow": {"allow": ["orderly:desk-a"], "permissions": ["cancel"]},
    "reader": {"allow": ["*:*"], "permissions": ["read"]},
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
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "drain_seconds": 5},
        "redis": {"url": redis_url, "timeout_ms": 1000},
        "secrets": {"provider": "files", "directory": str(secrets), "refresh_seconds": 1},
        "callers": {
            name: said | {"token_sha256": sha256(token_of(name).encode()).hexdigest()} for name, said in CALLERS.items()
        },
        "venues": {
            venue_id: {
                "base_url": sandbox.venues[venue_id].base_url,
                "default_account": "desk-a",
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


@contextmanager
def own_valkey(socket: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Valkey that a test may kill."""
    options = ("--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no")
    with subprocess.Popen((str(find_server()), *options), stdout=subprocess.DEVNULL) as process:  # noqa: S603  our own
        try:
            with Redis(unix_socket_path=str(socket)) as client:
                until(lambda: _answers(client), "the Valkey answers")
            yield process
        finally:
            process.kill()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def until(true: Any, what: str, within_s: float = START_S) -> None:
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
def serving(tree: Tree, folder: Path, *, warm: bool = True) -> Iterator[Gateway]:
    """The service as a process of its own; it must end well."""
    folder.mkdir(parents=True, exist_ok=True)
    config, log, errors = folder / "gateway.toml", folder / "gateway.log", folder / "gateway.err"
    config.write_text(written(tree))
    with (
        log.open("wb") as stdout,
        errors.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603  our own
            command("serve", "--config", str(config)), stdout=stdout, stderr=stderr, env=environment()
        ) as process,
    ):
        gateway = Gateway(process, log)
        try:
            until(lambda: gateway.lines("gateway.started") or process.poll() is not None, "the gateway listens")
            assert process.poll() is None, errors.read_text()
            started = gateway.lines("gateway.started")[0]
            gateway.url, gateway.admin_url = started["url"], started["admin_url"]
            if warm:
                asyncio.run(_warmed(gateway))
            yield gateway
            assert gateway.stop() == 0, errors.read_text()
            assert errors.read_text() == ""
        finally:
            if process.poll() is None:
                process.kill()


async def _warmed(gateway: Gateway) -> None:
    """Wait until every credential has been read, so that tests may count what comes after."""
    deadline = time.monotonic() + START_S
    async with caller_session() as http:
        while True:
            said = await Desk(http, gateway.url, token_of("chief")).call("GET", "/venues")
            words = [state["credential"] for state in said.json["venues"]]
            if words and set(words) == {"ok"}:
                return
            assert time.monotonic() < deadline, f"credentials are {words}"
            await asyncio.sleep(PAUSE_S)


# -- a caller --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.body)

    @property
    def outcome(self) -> str:
        """What became of it."""
        return str(self.json["outcome"])


def caller_session() -> aiohttp.ClientSession:
    """A client that never sends twice: aiohttp repeats a DELETE by itself when a kept connection is dead."""
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False)
    session._retry_connection = False
    return session


@dataclass(frozen=True, slots=True)
class Desk:
    """A caller with a token."""

    http: aiohttp.ClientSession
    url: str
    token: str | None = None

    async def call(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Said:
        """One request, its target byte for byte."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        began = time.monotonic()
        async with self.http.request(
            method, URL(self.url + target, encoded=True), headers=sent, data=body, allow_redirects=False
        ) as reply:
            content = await reply.read()
        return Said(reply.status, reply.headers, content, time.monotonic() - began)

    async def cancel(self, venue: str, ref: str, headers: Mapping[str, str] | None = None, **query: str | None) -> Said:
        """`DELETE /orders/{venue}/{ref}`; Orderly gets its symbol."""
        if venue == "orderly":
            query.setdefault("symbol", SYMBOL)
        query.setdefault("by", "order_id")
        said = urlencode({name: value for name, value in query.items() if value is not None})
        return await self.call("DELETE", f"/orders/{venue}/{ref}" + (f"?{said}" if said else ""), headers)


@dataclass(eq=False)
class Rig:
    """Everything that a test touches."""

    gateway: Gateway
    sandbox: Sandbox
    http: aiohttp.ClientSession
    clients: dict[str, Client] = field(default_factory=dict)

    def desk(self, caller: str = "desk") -> Desk:
        """A caller."""
        return Desk(self.http, self.gateway.url, token_of(caller))

    def stranger(self, token: str | None = None) -> Desk:
        """Somebody without a token, or with one that nobody knows."""
        return Desk(self.http, self.gateway.url, token)

    @property
    def admin(self) -> Desk:
        """The admin listener, without a token."""
        return Desk(self.http, self.gateway.admin_url)

    def venue(self, venue: str) -> Client:
        """The controls of a sandbox venue."""
        return self.clients.setdefault(venue, Client(self.sandbox.venues[venue], self.http))

    async def order(self, venue: str, **fields: object) -> dict[str, Any]:
        """An open order."""
        more = {"symbol": SYMBOL} if venue == "orderly" else {}
        return (await self.venue(venue).orders(**more | fields))[0]

    async def orders(self, venue: str, count: int, **fields: object) -> list[dict[str, Any]]:
        """Open orders."""
        more = {"symbol": SYMBOL} if venue == "orderly" else {}
        return await self.venue(venue).orders(count=count, **more | fields)

    async def asked(self, venue: str) -> int:
        """How many requests a venue has read, of whatever kind."""
        return int((await self.venue(venue).stats())["requests_total"])

    async def asked_all(self) -> dict[str, int]:
        """Likewise of each venue."""
        return {venue: await self.asked(venue) for venue in VENUE_IDS}

    async def cancels_of(self, venue: str, order_id: str) -> int:
        """How often a venue was asked to cancel this order."""
        return int((await self.venue(venue).stats())["cancels_by_order"].get(order_id, 0))

    async def metrics(self) -> dict[str, float]:
        """Every series by its name and labels."""
        text = (await self.admin.call("GET", "/metrics")).body.decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def count(self, start: str) -> float:
        """The sum of the series whose name and labels begin so, after `cancel_gateway_`."""
        figures = await self.metrics()
        return sum(value for name, value in figures.items() if name.startswith(f"cancel_gateway_{start}"))

    async def touched(self) -> tuple[float, float, dict[str, int]]:
        """Redis commands, credential reads and venue requests so far; equal twice means that nothing was touched.

        Credentials are read again by the clock, so that figure is the one of reads that brought something.
        """
        figures = await self.metrics()
        redis, fetched = "cancel_gateway_redis_seconds_count", "cancel_gateway_credential_refresh_total"
        return (
            sum(value for name, value in figures.items() if name.startswith(redis)),
            sum(value for name, value in figures.items() if name.startswith(fetched) and 'result="fetched"' in name),
            await self.asked_all(),
        )

    async def calm(self) -> None:
        """Take every fault back."""
        for venue in VENUE_IDS:
            await self.venue(venue).control("DELETE", "faults")


# -- bytes -----------------------------------------------------------------------------------------------------------


async def spoken_raw(url: str, sent: bytes, within_s: float = 5.0) -> bytes:
    """Everything that the other side says to these bytes until it closes, or is silent for long."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    said = b""
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(within_s):
            while chunk := await reader.read(65536):
                said += chunk
    except (TimeoutError, ConnectionError):
        return said
    finally:
        writer.transport.abort()
    return said


def raw_cancel(target: bytes, *headers: bytes, token: str | None = None, version: bytes = b"HTTP/1.1") -> bytes:
    """A DELETE as bytes; the connection is closed after the answer."""
    lines = [b"DELETE " + target + b" " + version, b"Host: gateway", b"Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}".encode())
    return b"\r\n".join((*lines, *headers, b"", b""))


def statuses(said: bytes) -> list[int]:
    """The status of every answer in the bytes."""
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]
