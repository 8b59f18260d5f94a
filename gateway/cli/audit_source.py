"""Where `audit` gets a trail from: Redis, or a file that it exported before."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from gateway.backends.redis.link import Link
from gateway.backends.trail_reader import entries, head_of, listed
from gateway.core.trail_check import Anchor, Kept

READ_TIMEOUT_MS = 5000
MS_PER_S = 1000
NEVER_MS = 2**63

Anchors = Mapping[str, Sequence[Anchor]]


class BadExport(Exception):  # noqa: N818  the file is at fault, not the program
    """A file that no export has written."""


@dataclass(frozen=True, slots=True)
class Trail:
    """One trail; `over` where it may be gone by now, because nobody has written to it for as long as it is kept."""

    stream: str
    over: bool = False


class Source(Protocol):
    """Trails, wherever they lie."""

    async def trails(self, anchors: Anchors) -> Sequence[Trail]:
        """Those that are known there, and those that the anchors speak of."""
        ...

    async def head(self, stream: str) -> Anchor | None:
        """The head beside a trail; asked for before its entries."""
        ...

    def entries(self, stream: str) -> AsyncIterator[Kept]:
        """Its entries, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """In Redis."""

    link: Link

    async def trails(self, anchors: Anchors) -> Sequence[Trail]:
        """Those that are registered, and those that the anchors speak of."""
        until_ms = {each.stream: each.until_ms for each in await listed(self.link)}
        return _trails(until_ms, anchors)

    async def head(self, stream: str) -> Anchor | None:
        """The head beside a trail."""
        return await head_of(self.link, stream)

    def entries(self, stream: str) -> AsyncIterator[Kept]:
        """Its entries."""
        return entries(self.link, stream)


@dataclass(frozen=True, slots=True)
class Exported:
    """In a file of JSON lines."""

    path: Path

    async def trails(self, anchors: Anchors) -> Sequence[Trail]:
        """Those in the file, and those that the anchors speak of."""
        names = dict.fromkeys(str(line.get("stream")) for line in self._lines())
        return _trails(dict.fromkeys(names, NEVER_MS), anchors)

    async def head(self, stream: str) -> Anchor | None:
        """The head as it was exported."""
        for line in self._lines():
            match line:
                case {"stream": str(name), "head": {"seq": int(seq), "hash": str(digest)}} if name == stream:
                    return Anchor(seq, bytes.fromhex(digest))
                case _:
                    pass
        return None

    async def entries(self, stream: str) -> AsyncIterator[Kept]:
        """Its entries; each is written again as it stood in the store."""
        for line in self._lines():
            match line:
                case {"stream": str(name), "id": str(place), "hash": str(digest), "entry": entry} if name == stream:
                    data = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
                    yield Kept(place, data, bytes.fromhex(digest))
                case _:
                    pass

    def _lines(self) -> Iterator[dict[str, object]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    said = orjson.loads(line)
                except orjson.JSONDecodeError:
                    said = None
                if not isinstance(said, dict):
                    raise BadExport(f"{self.path}: line {number} is no line of an export")
                yield said


def _trails(until_ms: Mapping[str, int], anchors: Anchors) -> Sequence[Trail]:
    """Each trail once. It may be gone only where both the store and every anchor say that its time is over."""
    now_ms = int(time.time() * MS_PER_S)
    names = dict.fromkeys((*until_ms, *anchors))
    last_ms = {
        name: max(until_ms.get(name, 0), *(anchor.until_ms for anchor in anchors.get(name, ())), 0) for name in names
    }
    return [Trail(name, over=last_ms[name] < now_ms) for name in names]


def head_line(trail: Trail, head: Anchor | None) -> bytes:
    """A trail's head as a line of an export."""
    told = None if head is None else {"seq": head.seq, "hash": head.hash.hex()}
    return orjson.dumps({"stream": trail.stream, "head": told}, option=orjson.OPT_APPEND_NEWLINE)


def as_line(stream: str, kept: Kept) -> bytes:
    """An entry as a line of an export; what is no JSON stands there as text, for the check to find again."""
    try:
        entry = orjson.loads(kept.data)
    except orjson.JSONDecodeError:
        entry = kept.data.decode("utf-8", "replace")
    said = {"stream": stream, "id": kept.id, "hash": kept.hash.hex(), "entry": entry}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def chosen(trails: Sequence[Trail], stream: str | None) -> Sequence[Trail]:
    """All of them, or the one that was asked for."""
    return [trail for trail in trails if stream in {None, trail.stream}]


def anchors_in(log: Path) -> dict[str, list[Anchor]]:
    """The heads that gateways told in their logs; other lines and events are passed over."""
    found: dict[str, list[Anchor]] = {}
    with log.open("rb") as file:
        for line in file:
            try:
                said = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            match said:
                case {"event": "trail.head", "stream": str(stream), "seq": int(seq), "hash": str(digest), **more}:
                    until_ms = more.get("until_ms")
                    anchor = Anchor(seq, bytes.fromhex(digest), until_ms if isinstance(until_ms, int) else 0)
                    found.setdefault(stream, []).append(anchor)
                case _:
                    pass
    return found
