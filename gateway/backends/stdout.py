"""Lines onto a file descriptor without ever waiting for its reader. What is in the lines is decided in logs.py."""

import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from select import PIPE_BUF
from threading import Event, Lock, Thread

LINES_MOST = 10_000
CHUNK_MOST = 1_000
# Lines are gathered this long, so that a busy process wakes the writer twenty times a second and not for each line.
LINGER_S = 0.05
BYTES_MOST = 2**30


class Drops:
    """How many lines were dropped, counted by any thread and taken by one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines = 0

    def count(self, lines: int) -> None:
        """So many more."""
        with self._lock:
            self._lines += lines

    def take(self) -> int:
        """Those that nobody has taken yet."""
        with self._lock:
            lines, self._lines = self._lines, 0
        return lines


class LineWriter:
    """A bounded queue and a thread that empties it. Where the reader is too slow, lines are dropped and counted."""

    def __init__(
        self, descriptor: int, on_drop: Callable[[int], None], lines_most: int = LINES_MOST, *, shared: bool = False
    ) -> None:
        """`on_drop` is told how many lines were lost, from whichever thread noticed.

        Where other processes write to the same pipe (`shared`), no write is larger than what a pipe takes as a whole.
        """
        self._bytes_most = PIPE_BUF if shared else BYTES_MOST
        self._descriptor = descriptor
        self._on_drop = on_drop
        self._lines_most = lines_most
        self._lines: deque[bytes] = deque()
        self._in_hand = 0
        self._wake = Event()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line, newline included; never blocks."""
        if len(self._lines) >= self._lines_most or self._closing.is_set():
            self._on_drop(1)
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is left, for so long at most; the rest is counted as dropped."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        if left := self._in_hand + len(self._lines):
            self._on_drop(left)

    def _run(self) -> None:
        while self._lines or not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(LINGER_S)
            self._wake.clear()
            self._empty()

    def _empty(self) -> None:
        while count := self._next():
            self._in_hand = count
            if not self._put_through(b"".join([self._lines.popleft() for _ in range(count)])):
                self._on_drop(count)
            self._in_hand = 0

    def _next(self) -> int:
        """How many lines go into the next write; one at the least."""
        if self._bytes_most == BYTES_MOST:
            return min(len(self._lines), CHUNK_MOST)
        size = count = 0
        for line in islice(self._lines, CHUNK_MOST):
            size += len(line)
            if count and size > self._bytes_most:
                break
            count += 1
        return count

    def _put_through(self, data: bytes) -> bool:
        """Write all of it, however long that takes; False where nobody reads any more."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            return False
        return True
