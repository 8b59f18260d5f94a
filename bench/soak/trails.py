"""Collects the audit trails entry by entry while they are written, so that neither a flush nor a cut takes any away."""

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from redis.exceptions import RedisError

from bench.admission.processes import ROOT
from bench.soak.store import Store
from gateway.core import keys

EVERY_S, PAGE = 0.5, 2000


@dataclass(slots=True)
class Trails:
    """All entries of all processes so far: by stream and by id."""

    store: Store
    entries: dict[str, dict[str, tuple[dict[str, Any], str]]] = field(default_factory=lambda: defaultdict(dict))
    longest: int = 0
    missed_looks: int = 0
    _last: dict[str, str] = field(default_factory=dict)
    _losses: int = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Take what is new; a store that is away is asked again later."""
        if self._losses != len(self.store.losses):
            # After a loss a stream may hold again what was read before, or lie behind what was read: read it anew.
            self._losses = len(self.store.losses)
            self._last.clear()
        try:
            await asyncio.to_thread(self._read)
        except (RedisError, OSError):
            self.missed_looks += 1

    def _read(self) -> None:
        with self.store.serving.client() as client:
            listed: Any = client.hgetall(keys.trails())
            for name in [name.decode() for name in listed]:
                log, _ = keys.trail(name)
                length: Any = client.xlen(log)
                self.longest = max(self.longest, length)
                self._read_one(client, name, log)

    def _read_one(self, client: Any, name: str, log: str) -> None:  # noqa: ANN401  redis-py's, which says little of it
        while True:
            start = f"({self._last[name]}" if name in self._last else "-"
            page = client.xrange(log, start, "+", PAGE)
            for place, fields in page:
                self.entries[name][place.decode()] = (orjson.loads(fields[b"e"]), fields[b"h"].hex())
                self._last[name] = place.decode()
            if len(page) < PAGE:
                return

    def all(self) -> Iterable[dict[str, Any]]:
        """Every entry of every trail."""
        return (entry for stream in self.entries.values() for entry, _ in stream.values())

    def write(self, target: Path) -> None:
        """As `audit export` would have, had it been run all the time."""
        with target.open("wb") as file:
            for name, stream in self.entries.items():
                ordered = sorted(stream.items(), key=lambda item: [int(part) for part in item[0].split("-")])
                head = {"seq": ordered[-1][1][0]["n"], "hash": ordered[-1][1][1]} if ordered else None
                file.write(orjson.dumps({"stream": name, "head": head}, option=orjson.OPT_APPEND_NEWLINE))
                for place, (entry, digest) in ordered:
                    line = {"stream": name, "id": place, "hash": digest, "entry": entry}
                    file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def audit(*words: str) -> tuple[int, str]:
    """`cancel-gateway audit …`: its exit code and what it says."""
    command = [sys.executable, "-m", "gateway", "audit", *words]
    ended = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)  # noqa: S603  ours
    return ended.returncode, ended.stdout.decode() + ended.stderr.decode()
