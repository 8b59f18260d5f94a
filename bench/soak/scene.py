"""Everything that a soak runs on: five strict venues, one store, three gateways, and the files they are told by."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from bench.admission import processes
from bench.admission.processes import Process
from bench.admission.setting import Tree, token_of, toml
from bench.admission.venue import Judge
from bench.admission.wire import Wire
from bench.admission.world import Gateway
from bench.soak.plan import REPLICAS
from bench.soak.store import Store, running_store
from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS

TTL_S, GIVE_UP_S, DRAIN_S = 60, 30, 5
ENTRIES_MOST = 5000
ACCOUNTS = ("desk-a", "desk-b")
NEXT_KEY = {"api_key": "sandbox-hashkey-key-next", "secret": "sandbox-hashkey-secret-next"}
CALLER = "desk"


@dataclass(slots=True)
class Venue:
    """One of the sandbox's, from both sides."""

    id: str
    base_url: str
    judge: Judge


@dataclass(slots=True)
class Scene:
    """All of it."""

    folder: Path
    store: Store
    venues: Mapping[str, Venue]
    sandbox: Process
    gateways: list[Gateway] = field(default_factory=list)
    retired: list[Path] = field(default_factory=list)
    weight: int = 1
    rotated: bool = False

    def write_config(self, number: int) -> Path:
        """One gateway's settings as they are now."""
        config = self.folder / f"gateway-{number}.toml"
        scratch = config.with_suffix(".new")
        scratch.write_text(toml(self._tree()))
        scratch.replace(config)
        return config

    def write_secret(self, venue: str, account: str, fields: Mapping[str, str]) -> None:
        """One credential, there as a whole or not at all."""
        target = self.folder / "secrets" / venue / f"{account}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(".new")
        scratch.write_text(json.dumps(fields))
        scratch.chmod(0o600)
        scratch.replace(target)

    def logs(self) -> list[Path]:
        """What every gateway process has printed."""
        return sorted({*self.retired, *(gateway.process.log for gateway in self.gateways)})

    async def replace(self, gateway: Gateway) -> None:
        """A new process in place of one that has ended; what it has not read yet, a cancel makes it read."""
        self.retired.append(gateway.process.log)
        log = gateway.config.with_suffix(f".{time.monotonic_ns()}.log")
        gateway.process = processes.gateway(gateway.config, log)
        await gateway.listening()

    def _tree(self) -> Tree:
        return {
            "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "drain_seconds": DRAIN_S},
            "redis": {"url": self.store.url, "replicas_max": REPLICAS + 1, "timeout_ms": 500},
            "records": {"ttl_seconds": TTL_S, "give_up_seconds": GIVE_UP_S},
            "audit": {"entries_most": ENTRIES_MOST},
            "secrets": {
                "provider": "files",
                "directory": str(self.folder / "secrets"),
                "refresh_seconds": 1,
            },
            "callers": {
                CALLER: {
                    "token_sha256": sha256(token_of(CALLER).encode()).hexdigest(),
                    "allow": ["*:*"],
                    "permissions": ["cancel", "urgent", "read"],
                    "weight": self.weight,
                }
            },
            "venues": {
                venue.id: {"base_url": venue.base_url, "default_account": "desk-a", "timeout_ms": 1500}
                for venue in self.venues.values()
            },
        }


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """All of it, up and ready, while the block runs."""
    async with AsyncExitStack() as ends:
        folder = Path(tempfile.mkdtemp(prefix="soak-"))
        ends.callback(processes.remove, folder)
        store = await ends.enter_async_context(running_store(folder))
        sandbox = _sandbox(folder)
        ends.callback(sandbox.stop)
        venues = await _venues(sandbox, ends)
        made = Scene(folder, store, venues, sandbox)
        for venue, accounts in DEFAULT_CREDENTIALS.items():
            for account, fields in accounts.items():
                made.write_secret(venue, account, fields)
        await _revoke(made)
        for number in range(REPLICAS):
            _start(made, number, ends)
        for gateway in made.gateways:
            await gateway.listening()
            await gateway.ready()
        yield made


def _sandbox(folder: Path) -> Process:
    keys: Tree = {**DEFAULT_CREDENTIALS["hashkey"], "desk-a-next": NEXT_KEY | {"of": "desk-a"}}
    config = folder / "sandbox.toml"
    config.write_text(toml({"sandbox": {"ports": dict.fromkeys(VENUE_IDS, 0), "credentials": {"hashkey": keys}}}))
    process = processes.sandbox(config, folder / "sandbox.log")
    processes.put_first(process.pid)
    return process


async def _venues(sandbox: Process, ends: AsyncExitStack) -> dict[str, Venue]:
    deadline = time.monotonic() + processes.START_S
    while len(lines := [line for line in sandbox.text().splitlines() if "(control: " in line]) < len(VENUE_IDS):
        assert sandbox.popen.poll() is None, sandbox.text()
        assert time.monotonic() < deadline, "the sandbox does not listen"
        await asyncio.sleep(0.02)
    found: dict[str, Venue] = {}
    for line in lines:
        name, _, rest = line.partition(": ")
        base_url, _, control = rest.partition(" (control: ")
        wire = Wire(control.rstrip(")").rstrip("/").removesuffix("/_sandbox"))
        found[name] = Venue(name, base_url, Judge(await ends.enter_async_context(wire)))
    return found


def _start(scene: Scene, number: int, ends: AsyncExitStack) -> None:
    config = scene.write_config(number)
    gateway = Gateway(config, processes.gateway(config, scene.folder / f"gateway-{number}.log"), caller=CALLER)
    ends.callback(lambda: gateway.process.stop())  # noqa: PLW0108  another process may be in its place by then
    scene.gateways.append(gateway)


async def _revoke(scene: Scene) -> None:
    """HashKey takes exactly one of the two keys of its first account."""
    refused = "desk-a" if scene.rotated else "desk-a-next"
    await scene.venues["hashkey"].judge.control("POST", "revoked", {"revoked": [refused]})


async def rotate(scene: Scene) -> None:
    """The other key takes the place of HashKey's; the old one is refused at once, before anybody can have read it."""
    scene.rotated = not scene.rotated
    fields = NEXT_KEY if scene.rotated else DEFAULT_CREDENTIALS["hashkey"]["desk-a"]
    scene.write_secret("hashkey", "desk-a", fields)
    await _revoke(scene)
