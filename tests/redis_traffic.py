"""Calls through a link without a pause, each of which knows its own answer; and scripts that show what happened."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import Script
from gateway.ports import Unavailable


def script(name: str, text: str) -> Script:
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


COUNT = script("count", "redis.call('INCR', KEYS[1]) return {ARGV[1], KEYS[1]}")
"""Writes, and says whose call it was."""


@dataclass
class Traffic:
    """What calls saw."""

    answered: int = 0
    mixed_up: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    last_loss: float = 0.0

    async def call(self, link: Link, key: str, token: str) -> bool:
        began = perf_counter()
        try:
            answer = await link.run(COUNT, (key,), (token,))
        except Unavailable as unavailable:
            self.lost[unavailable.reason] += 1
            self.last_loss = perf_counter()
            return False
        else:
            self.answered += 1
            self.mixed_up += answer != [token.encode(), key.encode()]
            return True
        finally:
            self.longest_s = max(self.longest_s, perf_counter() - began)


@asynccontextmanager
async def traffic(link: Link, keys: Sequence[str], callers: int = 8) -> AsyncIterator[Traffic]:
    """As many callers as said go round the keys while the block runs."""
    seen, ending = Traffic(), asyncio.Event()

    async def caller(number: int) -> None:
        turn = 0
        while not ending.is_set():
            turn += 1
            if not await seen.call(link, keys[(turn + number) % len(keys)], f"{number}-{turn}"):
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
    try:
        yield seen
    finally:
        ending.set()
        await asyncio.gather(*tasks)


async def recovered(link: Link, key: str, patience_s: float) -> float:
    """Seconds until three calls in a row are answered."""
    began, seen, row = perf_counter(), Traffic(), 0
    while row < 3:
        assert perf_counter() - began < patience_s, f"not answered within {patience_s} s: {seen.lost}"
        row = row + 1 if await seen.call(link, key, "probe") else 0
        await asyncio.sleep(0.01)
    return perf_counter() - began
