"""Sets a scene: sandbox, Valkey, gateways and callers for one scenario, and takes all of it down again."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.admission import processes
from bench.admission.processes import Process, Valkey
from bench.admission.proxy import Proxy, port_of, proxied
from bench.admission.setting import Setting, gateway_tree, put_secrets, sandbox_tree, token_of, toml
from bench.admission.venue import Judge
from bench.admission.wire import Lost, Wire

LOOK_S = 0.02


@dataclass(slots=True)
class Gateway:
    """One replica."""

    config: Path
    process: Process
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    admin_url: str = ""
    caller: str = "desk"

    def wire(self, caller: str = "") -> Wire:
        """A caller's connection to it."""
        return Wire(self.url, token_of(caller or self.caller))

    async def listening(self) -> None:
        """Wait until it has said where it listens."""
        deadline = time.monotonic() + processes.START_S
        while not (told := self.process.events("gateway.started")):
            assert self.process.popen.poll() is None, self.process.text()
            assert time.monotonic() < deadline, "the gateway does not listen"
            await asyncio.sleep(LOOK_S)
        self.url, self.admin_url = str(told[-1]["url"]), str(told[-1]["admin_url"])

    async def ready(self) -> None:
        """Wait until its credentials are read, so that no cancel pays for that."""
        deadline = time.monotonic() + processes.START_S
        async with self.wire() as wire:
            while True:
                states = (await wire.call("GET", "/venues")).json["venues"]
                if states and all(state["credential"] == "ok" for state in states):
                    return
                assert time.monotonic() < deadline, states
                await asyncio.sleep(LOOK_S)

    async def figures(self) -> dict[str, float]:
        """Its metrics."""
        async with Wire(self.admin_url) as wire:
            text = (await wire.call("GET", "/metrics")).body.decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def kill(self) -> None:
        self.process.kill()

    async def again(self) -> None:
        """A new process in its place."""
        log = self.config.with_suffix(f".{time.monotonic_ns()}.log")
        self.process = processes.gateway(self.config, log, **self.environment)
        await self.listening()
        await self.ready()


@dataclass(slots=True)
class World:
    """Everything of a scene."""

    setting: Setting
    folder: Path
    valkey: Valkey
    judge: Judge
    base_url: str
    gateways: list[Gateway]
    redis_urls: list[str]
    ends: AsyncExitStack
    marks: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, word: str) -> None:
        """Remember when something was done to it."""
        self.marks.append((time.monotonic(), word))

    def add_gateway(
        self, setting: Setting | None = None, redis_url: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Gateway:
        """Start one more replica; it listens a little later."""
        number = len(self.gateways)
        config = self.folder / f"gateway-{number}.toml"
        tree = gateway_tree(
            setting or self.setting, self.base_url, redis_url or self.valkey.url, self.folder / "secrets"
        )
        config.write_text(toml(tree))
        process = processes.gateway(config, config.with_suffix(".log"), **(environment or {}))
        gateway = Gateway(config, process, environment or {}, caller=next(iter(self.setting.weights)))
        self.ends.callback(lambda: gateway.process.stop())  # noqa: PLW0108  another process may be in its place by then
        self.gateways.append(gateway)
        return gateway

    def degraded(self) -> int:
        """How often a gateway found Redis missing."""
        return sum(len(gateway.process.events("redis.lost")) for gateway in self.gateways)

    def cleanly(self) -> list[str]:
        """What the gateways have printed that is no log line of an ordinary kind."""
        lines = [line for gateway in self.gateways for line in gateway.process.text().splitlines()]
        return [line for line in lines if not line.startswith("{") or '"internal"' in line or "Traceback" in line]

    async def slots(self) -> dict[str, float]:
        """What became of the slots, over all replicas that live."""
        found: dict[str, float] = {}
        for gateway in self.gateways:
            for name, value in (await gateway.figures()).items():
                if name.startswith("cancel_gateway_slots_total") and value:
                    result = name.partition('result="')[2].partition('"')[0]
                    found[result] = found.get(result, 0) + value
        return found


@asynccontextmanager
async def scene(
    setting: Setting,
    *,
    valkey: Valkey | None = None,
    redis_urls: list[str] | None = None,
    environments: Sequence[Mapping[str, str]] | None = None,
    settings: list[Setting] | None = None,
) -> AsyncIterator[World]:
    """All of it, up and ready, while the block runs."""
    async with AsyncExitStack() as ends:
        folder = Path(tempfile.mkdtemp(prefix="admission-"))
        ends.callback(processes.remove, folder)
        store = valkey or Valkey(folder / "valkey")
        if store.process is None:
            store.start()
            ends.callback(store.kill)
        control_url, base_url = await _sandbox(setting, folder, ends)
        if setting.delay_ms or setting.jitter_ms:
            proxy = await ends.enter_async_context(proxied(port_of(control_url), setting.delay_ms, setting.jitter_ms))
            base_url = base_url.replace(f":{port_of(control_url)}", f":{proxy.port}")
        put_secrets(folder / "secrets", setting.venue)
        judge = Judge(await ends.enter_async_context(Wire(control_url)))
        world = World(setting, folder, store, judge, base_url, [], redis_urls or [], ends)
        for number in range(setting.replicas):
            world.add_gateway(
                settings[number] if settings else setting,
                redis_urls[number] if redis_urls else None,
                environments[number] if environments else None,
            )
        for gateway in world.gateways:
            await gateway.listening()
        for gateway in world.gateways:
            await gateway.ready()
        yield world


async def _sandbox(setting: Setting, folder: Path, ends: AsyncExitStack) -> tuple[str, str]:
    config = folder / "sandbox.toml"
    config.write_text(toml(sandbox_tree(setting)))
    process = processes.sandbox(config, folder / "sandbox.log")
    processes.put_first(process.pid)
    ends.callback(process.stop)
    deadline = time.monotonic() + processes.START_S
    while True:
        for line in process.text().splitlines():
            if line.startswith(f"{setting.venue}: "):
                base_url, _, rest = line.removeprefix(f"{setting.venue}: ").partition(" (control: ")
                return rest.removesuffix(")").removesuffix("/_sandbox/"), base_url
        assert process.popen.poll() is None, process.text()
        assert time.monotonic() < deadline, "the sandbox does not listen"
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def redis_proxies(valkey: Valkey, count: int) -> AsyncIterator[list[Proxy]]:
    """A way to Redis for each replica that can be pointed elsewhere."""
    async with AsyncExitStack() as ends:
        yield [await ends.enter_async_context(proxied(valkey.port)) for _ in range(count)]


def smaller(setting: Setting, tokens: int) -> Setting:
    """The same with another limit."""
    return replace(setting, tokens=tokens)


__all__ = ["Gateway", "Lost", "World", "redis_proxies", "scene", "smaller"]
