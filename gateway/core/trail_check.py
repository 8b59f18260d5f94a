"""Whether a trail is whole: the first thing that is wrong with it, and of what kind.

What a chain without a secret can prove has a bound: whoever may write to the store can compute a whole new chain. That
is found only where hashes were told elsewhere (`Anchor`, as the log keeps them), and only up to the last one told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

from gateway.core.trail import GENESIS, Tree, chained, read, written


@unique
class Kind(StrEnum):
    """What can be wrong."""

    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it lies in the store: its id there, its bytes, and the hash that was stored beside it."""

    id: str
    data: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry's hash that was told outside the stream, which is to be there until then."""

    seq: int
    hash: bytes
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: the entry's id, or the number of the one that should be there."""

    kind: Kind
    at: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. `lost` decisions are missing by an announcement in the chain: unstored, not tampered with."""

    entries: int
    first: int
    last: int
    hash: bytes
    lost: int
    ended: bool
    fault: Fault | None


class Check:
    """Goes over one stream from its first entry to its last, whose number is then compared with what is known."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self._anchors = {anchor.seq: anchor.hash for anchor in anchors}
        self._entries = self._first = self._last = self._lost = 0
        self._hash = GENESIS
        self._ended = False
        self._fault: Fault | None = None
        self._hole: range | None = None
        self._floor = 0
        self._first_kept: Kept | None = None
        self._hashes: dict[int, bytes] = {}

    def take(self, kept: Kept) -> None:
        """The next entry, in the order of the store."""
        tree = read(kept.data)
        seq = number(tree)
        self._entries += 1
        if tree is None or seq is None or written(tree) != kept.data:
            self._found(Kind.CHANGED, kept.id, "this is no entry of a trail")
            return
        if self._first_kept is None:
            self._begin(kept, seq)
        elif seq != self._last + 1:
            self._astray(kept, seq)
        elif chained(self._hash, kept.data) != kept.hash or kept.id != f"{tree.get('at')}-{seq}":
            self._found(Kind.CHANGED, kept.id, "this entry or the one before it is not what was written")
        self._follow(kept, tree, seq)

    def _begin(self, kept: Kept, seq: int) -> None:
        """The first one that is there; what lies before number 1 is known, what lies before another one is not yet."""
        self._first_kept, self._first = kept, seq
        if seq == 1 and chained(GENESIS, kept.data) != kept.hash:
            self._found(Kind.CHANGED, kept.id, "the first entry is not what was written")

    def _astray(self, kept: Kept, seq: int) -> None:
        """Not the one that should follow: some are missing here, or stand elsewhere."""
        if self._hole is not None and seq in self._hole:
            self._hole, detail = None, f"number {seq} stands behind number {self._last}"
            self._fault = Fault(Kind.REORDERED, kept.id, detail)
        elif seq <= self._last:
            self._found(Kind.REORDERED, kept.id, f"number {seq} follows number {self._last}")
        elif self._fault is None:
            self._hole = range(self._last + 1, seq)
            self._found(Kind.REMOVED, str(self._last + 1), f"{seq - self._last - 1} entries before {kept.id} are gone")

    def _follow(self, kept: Kept, tree: Tree, seq: int) -> None:
        self._last, self._hash = max(seq, self._last), kept.hash
        self._hashes[seq] = kept.hash
        told = self._anchors.get(seq)
        if told is not None and told != kept.hash:
            self._found(Kind.CHANGED, kept.id, "another entry was told elsewhere under this number: the chain is new")
        match tree:
            case {"is": "gap", "lost": int(lost)}:
                self._lost += lost
            case {"is": "trim", "upto": int(upto), "hash": str(told_hash)}:
                self._trim(kept, upto, told_hash)
            case _:
                pass
        self._ended = tree.get("is") == "end"

    def _trim(self, kept: Kept, upto: int, told_hash: str) -> None:
        """An announcement that all up to an entry may go; it also says what that entry's hash was."""
        first = self._first_kept
        if upto <= self._floor or first is None:
            return
        self._floor = upto
        if upto == self._first - 1:
            known = chained(_bytes(told_hash), first.data) == first.hash
        else:
            known = upto < self._first or self._hashes.get(upto) in {None, _bytes(told_hash)}
        if not known:
            self._found(Kind.CHANGED, kept.id, f"what it says of number {upto} does not fit")

    def _found(self, kind: Kind, at: str, detail: str) -> None:
        if self._fault is None:
            self._fault = Fault(kind, at, detail)

    def end(self, head: Anchor | None) -> Report:
        """All entries were taken; `head` is the last one that was written, as it stands beside the stream."""
        if self._first > self._floor + 1:
            self._fault = Fault(
                Kind.TRUNCATED, str(self._first), f"what stood before number {self._first} was removed before its time"
            )
        self._compare(head, "the head beside the stream")
        for seq in sorted(self._anchors):
            self._compare(Anchor(seq, self._anchors[seq]), "an anchor elsewhere")
        if head is None:
            self._found(Kind.REMOVED, "head", "the head beside the stream is gone")
        return Report(
            self._entries, self._first, self._last, self._hash, self._lost, ended=self._ended, fault=self._fault
        )

    def _compare(self, anchor: Anchor | None, who: str) -> None:
        if anchor is None or anchor.seq < self._first:
            return
        if anchor.seq > self._last:
            self._found(Kind.REMOVED, str(self._last + 1), f"{who} knows number {anchor.seq}; the end was cut off")
        elif self._hashes.get(anchor.seq, anchor.hash) != anchor.hash:
            self._found(Kind.CHANGED, str(anchor.seq), f"{who} has another hash for it: the chain is new")


def number(tree: Tree | None) -> int | None:
    """An entry's place in the chain."""
    seq = None if tree is None else tree.get("n")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else None


def _bytes(told: str) -> bytes:
    try:
        return bytes.fromhex(told)
    except ValueError:
        return b""
