"""The end of a chain that is not stored yet: bounded, in order, and honest about what did not fit."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

import orjson

from gateway.core.trail import GENESIS, Decision, Entry, Gap, Options, Trimmed, link

MARK_EVERY, MARK_EVERY_MS = 500, 3_600_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how many entries are kept in the store, how much of a reply, and how much may wait here."""

    keep_ms: int
    entries_most: int = 200_000
    body_most: int = 4096
    waiting_most: int = 20_000
    waiting_bytes_most: int = 16_000_000
    stored_most: int = 2_000
    """So many entries are remembered after they were stored: a store that fails over may have lost its newest ones."""


@dataclass(frozen=True, slots=True)
class Cut:
    """From the announcement `said` on, all entries below `id` may go."""

    said: int
    id: str


class Backlog:
    """Makes entries of decisions and keeps them until they are stored, and a little longer."""

    def __init__(self, bounds: Bounds, options: Options) -> None:
        self._bounds = bounds
        self._options = options
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._stored: deque[Entry] = deque(maxlen=bounds.stored_most)
        self._marks: deque[Entry] = deque()
        self._marked_ms = 0
        self._lost = 0
        self.last = Entry(0, 0, b"", GENESIS)
        self.cut: Cut | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, at_ms: int, what: Decision) -> bool:
        """Put a decision at the end of the chain; False where nothing more may wait, and it is counted as lost."""
        if len(self._waiting) >= self._bounds.waiting_most or self._waiting_bytes >= self._bounds.waiting_bytes_most:
            self._lost += 1
            return False
        if self._lost:
            self._link(at_ms, Gap(self._lost))
            self._lost = 0
        try:
            self._link(at_ms, what)
        except orjson.JSONEncodeError:  # text that is none: as much a gap as what did not fit
            self._lost += 1
            return False
        return True

    def lose(self, decisions: int) -> None:
        """So many decisions never came here."""
        self._lost += decisions

    def confess(self, at_ms: int) -> None:
        """Announce what was lost, where nothing comes that it could stand before."""
        if self._lost and len(self._waiting) < self._bounds.waiting_most:
            self._link(at_ms, Gap(self._lost))
            self._lost = 0

    def batch(self, most: int) -> tuple[Entry, ...]:
        """The next entries to be stored."""
        return tuple(islice(self._waiting, most))

    def stored(self, upto: int) -> None:
        """Everything up to this number is in the store."""
        if upto >= self.last.seq:
            self._stored.extend(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        while self._waiting and self._waiting[0].seq <= upto:
            entry = self._waiting.popleft()
            self._waiting_bytes -= len(entry.data)
            self._stored.append(entry)
        if self.cut is not None and self.cut.said <= upto:
            self.cut = None

    def recall(self, known: int) -> bool:
        """The store knows only what lies up to `known`: store again what followed; False where we do not have it."""
        if not self._stored or self._stored[0].seq > known + 1:
            return False
        while self._stored and self._stored[-1].seq > known:
            entry = self._stored.pop()
            self._waiting.appendleft(entry)
            self._waiting_bytes += len(entry.data)
        return True

    def trim(self, now_ms: int) -> None:
        """Announce which entries are too old, or too many; they go in steps, so that not every entry needs a word."""
        old_ms, least = now_ms - self._bounds.keep_ms, self.last.seq - self._bounds.entries_most
        going: Entry | None = None
        while self._marks and self.cut is None and (self._marks[0].at_ms < old_ms or self._marks[0].seq <= least):
            going = self._marks.popleft()
        if going is not None:
            self._link(now_ms, Trimmed(going.seq, going.hash, going.at_ms, self._options))
            self.cut = Cut(self.last.seq, f"{going.at_ms}-{going.seq + 1}")

    def _link(self, at_ms: int, what: Decision) -> None:
        before = self.last
        seq = before.seq + 1
        entry = self.last = link(seq, max(before.at_ms, at_ms), before.hash, what, self._bounds.body_most)
        self._waiting.append(entry)
        self._waiting_bytes += len(entry.data)
        if not seq % MARK_EVERY or entry.at_ms - self._marked_ms > MARK_EVERY_MS:
            self._marks.append(entry)
            self._marked_ms = entry.at_ms
