"""Does what the plan says, lane by lane, and writes down what was done when."""

import asyncio
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.soak.plan import ELDER, Deed
from bench.soak.scene import DRAIN_S, Scene, rotate
from bench.soak.store import now_ms

PROMPT_S = DRAIN_S + 5.0


@dataclass(frozen=True, slots=True)
class Done:
    """A deed as it was done."""

    deed: Deed
    began_ms: int
    ended_ms: int


@dataclass(slots=True)
class Doer:
    """One run of a plan."""

    scene: Scene
    done: list[Done] = field(default_factory=list)
    ends_ms: list[int] = field(default_factory=list)
    """When a gateway was killed, or had ended."""
    late_to_end: int = 0

    async def run(self, plan: Iterable[Deed]) -> None:
        """All of it; lanes go on beside each other."""
        lanes: dict[str, list[Deed]] = {}
        for deed in plan:
            lanes.setdefault(deed.lane, []).append(deed)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            for deeds in lanes.values():
                tasks.create_task(self._lane(deeds, began))

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind was done."""
        return dict(sorted(Counter(f"{each.deed.lane} {each.deed.kind}" for each in self.done).items()))

    async def _lane(self, deeds: list[Deed], began: float) -> None:
        for deed in deeds:
            await asyncio.sleep(began + deed.at_s - asyncio.get_running_loop().time())
            since_ms = now_ms()
            match deed.lane:
                case "venue":
                    await self._venue(deed)
                case "store":
                    await self.scene.store.do(deed.kind, deed.lasts_s)
                case _:
                    await self._gateway(deed)
            self.done.append(Done(deed, since_ms, now_ms()))

    async def _venue(self, deed: Deed) -> None:
        judge = self.scene.venues[deed.target].judge
        await judge.fault(dict(deed.fault))
        await asyncio.sleep(deed.lasts_s)
        await judge.control("DELETE", "faults")

    async def _gateway(self, deed: Deed) -> None:
        match deed.kind:
            case "kill" | "term":
                await self._end(int(deed.target), deed.kind, deed.lasts_s)
            case "stop":
                await self._stop(int(deed.target), deed.lasts_s)
            case "roll":
                for number in range(len(self.scene.gateways)):
                    if number != ELDER:
                        await self._end(number, "term", 0.0)
            case "reload":
                self._reload()
            case _:
                await rotate(self.scene)

    async def _end(self, number: int, how: str, lasts_s: float) -> None:
        """End one and put another in its place."""
        gateway = self.scene.gateways[number]
        gateway.process.signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        try:
            await asyncio.to_thread(gateway.process.popen.wait, PROMPT_S)
        except subprocess.TimeoutExpired:
            self.late_to_end += 1
            gateway.process.kill()
        self.ends_ms.append(now_ms())
        await asyncio.sleep(lasts_s)
        await self.scene.replace(gateway)

    async def _stop(self, number: int, lasts_s: float) -> None:
        process = self.scene.gateways[number].process
        process.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            process.signal(signal.SIGCONT)

    def _reload(self) -> None:
        """Every gateway is told of a caller's new weight."""
        self.scene.weight = 3 - self.scene.weight
        for number, gateway in enumerate(self.scene.gateways):
            self.scene.write_config(number)
            gateway.process.signal(signal.SIGHUP)
