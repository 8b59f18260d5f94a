"""Asking the sentinels where the master is. Which server is right is theirs to say, and the newest of them counts."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from hiredis import ReplyError

from gateway.backends.redis.node import Greeting
from gateway.backends.redis.wire import Reply, refused
from gateway.backends.redis.words import pack
from gateway.core.redis_address import Place, Spot
from gateway.ports import Unavailable

GRACE_S = 0.05


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """What one sentinel says: since which configuration, and where."""

    epoch: int
    host: str
    port: int


class Sentinels:
    """The sentinels that watch one master (node.Locate)."""

    def __init__(self, spots: tuple[Spot, ...], master: str, greeting: Greeting) -> None:
        self._spots = spots
        self._master = master
        self._greeting = greeting

    async def __call__(self) -> Spot:
        """Where the newest word of a majority puts the master; of those who answer in time, where most are silent."""
        asked = [asyncio.create_task(self._ask(spot)) for spot in self._spots]
        try:
            words, reasons = await _first_words(asked)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not words:
            raise Unavailable("redis", f"no sentinel knows the master: {reasons[0]}")
        newest = max(words)
        return Place(newest.host, newest.port)

    async def _ask(self, spot: Spot) -> Word:
        wire, _ = await self._greeting.open(spot)
        try:
            deadline = asyncio.get_running_loop().time() + self._greeting.connect_s
            answer = await wire.ask(pack("SENTINEL", "MASTER", self._master), deadline)
        finally:
            wire.abort()
        return _word(answer) if isinstance(answer, list) else _no_word(answer)


async def _first_words(asked: list[asyncio.Task[Word]]) -> tuple[list[Word], list[str]]:
    """What a majority says, and why others say nothing; a hung sentinel gets little time once another has spoken."""
    words: list[Word] = []
    reasons: list[str] = []
    silent = set(asked)
    while silent and len(words) <= len(asked) // 2:
        grace_s = GRACE_S if words else None
        done, silent = await asyncio.wait(silent, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for task in done:
            try:
                words.append(task.result())
            except Unavailable as failure:
                reasons.append(failure.reason)
    return words, reasons


def _word(flat: list[Reply]) -> Word:
    fields = _pairs(word.decode("utf-8", "replace") for word in flat if isinstance(word, bytes))
    try:
        return Word(int(fields["config-epoch"]), fields["ip"], int(fields["port"]))
    except (KeyError, ValueError):
        raise Unavailable("redis", "a sentinel's answer of another shape") from None


def _pairs(words: Iterable[str]) -> dict[str, str]:
    words = list(words)
    return dict(zip(words[::2], words[1::2], strict=False))


def _no_word(answer: object) -> Word:
    raise refused(answer) if isinstance(answer, ReplyError) else Unavailable("redis", "no sentinel")
