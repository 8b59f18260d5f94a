"""Reads trails back out of Redis, page by page, for whoever checks them. Writes nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.backends.admittance import odd
from gateway.backends.redis.link import Link, Reply
from gateway.backends.redis.scripts import TRAIL_LIST, TRAIL_READ
from gateway.core import keys
from gateway.core.trail_check import Anchor, Kept

PAGE = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """A trail, and until when it is kept."""

    stream: str
    until_ms: int


async def listed(link: Link) -> tuple[Listed, ...]:
    """Every trail that is registered, the oldest first."""
    match await link.run(TRAIL_LIST, (keys.trails(),), ()):
        case list(flat):
            words = [word.decode("utf-8", "replace") for word in flat if isinstance(word, bytes)]
        case _:
            raise odd()
    found = [Listed(name, int(until)) for name, until in zip(words[::2], words[1::2], strict=True) if until.isdecimal()]
    return tuple(sorted(found, key=lambda each: (each.until_ms, each.stream)))


async def head_of(link: Link, stream: str) -> Anchor | None:
    """The head beside a stream; to be read before its entries, since more may come meanwhile."""
    head, _ = await _page(link, stream, "-", 1)
    match head:
        case [bytes(seq), bytes(digest)] if seq.isdigit():
            return Anchor(int(seq), digest)
        case _:
            return None


async def entries(link: Link, stream: str) -> AsyncIterator[Kept]:
    """Every entry that is there, in the order of the store."""
    start = "-"
    while True:
        _, page = await _page(link, stream, start, PAGE)
        for entry in page:
            kept = _kept(entry)
            yield kept
            start = f"({kept.id}"
        if len(page) < PAGE:
            return


async def _page(link: Link, stream: str, start: str, count: int) -> tuple[Reply, list[Reply]]:
    match await link.run(TRAIL_READ, keys.trail(stream), (start, count)):
        case [head, list(page)]:
            return head, page
        case _:
            raise odd()


def _kept(entry: Reply) -> Kept:
    """Whatever lies there: what is none of ours is for the check to find."""
    match entry:
        case [bytes(place), [b"e", bytes(data), b"h", bytes(digest)]]:
            return Kept(place.decode(), data, digest)
        case [bytes(place), *_]:
            return Kept(place.decode(), b"", b"")
        case _:
            raise odd()
