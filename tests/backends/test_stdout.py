"""A reader of stdout that stops reading must never stop a cancel."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gateway.backends.stdout import Drops, LineWriter
from gateway.cli.serve import open_log


@dataclass
class Pipe:
    """A real pipe, and what was reported as dropped."""

    reader: int
    writer: int
    drops: list[int] = field(default_factory=list)

    def read_all(self) -> bytes:
        """Everything until the writer's end is closed."""
        parts = []
        while part := os.read(self.reader, 65536):
            parts.append(part)
        return b"".join(parts)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    for end in (pipe.reader, pipe.writer):
        try:
            os.close(end)
        except OSError:
            continue


def test_lines_come_out_in_order_and_whole(pipe: Pipe) -> None:
    lines = LineWriter(pipe.writer, pipe.drops.append)
    for n in range(3000):
        lines.write(b"%d\n" % n)

    lines.close()
    os.close(pipe.writer)

    assert pipe.read_all().split() == [b"%d" % n for n in range(3000)]
    assert pipe.drops == []


def test_blocked_pipe_never_blocks_the_caller_and_drops_are_counted(pipe: Pipe) -> None:
    lines = LineWriter(pipe.writer, pipe.drops.append, lines_most=100)
    row = b"x" * 1023 + b"\n"
    slowest_s = 0.0

    for n in range(2000):
        began = time.perf_counter()
        lines.write(row)
        slowest_s = max(slowest_s, time.perf_counter() - began)
        if n % 100 == 0:
            time.sleep(0.002)
    dropped_while_writing = sum(pipe.drops)
    lines.close(timeout_s=0.05)
    reading = threading.Thread(target=lambda: written.append(pipe.read_all()))
    written: list[bytes] = []
    reading.start()
    lines._thread.join(5)
    os.close(pipe.writer)
    reading.join(5)

    assert slowest_s < 0.5
    assert dropped_while_writing > 1500
    assert sum(pipe.drops) > dropped_while_writing
    assert sum(pipe.drops) <= 2000 <= sum(pipe.drops) + written[0].count(b"\n")


def test_lines_are_written_when_the_reader_comes_back(pipe: Pipe) -> None:
    lines = LineWriter(pipe.writer, pipe.drops.append)
    for _ in range(200):
        lines.write(b"x" * 1023 + b"\n")
    time.sleep(0.05)

    first = os.read(pipe.reader, 65536)

    def end() -> None:
        lines.close(5)
        os.close(pipe.writer)

    closing = threading.Thread(target=end)
    closing.start()
    rest = pipe.read_all()
    closing.join(5)

    assert (first + rest).count(b"\n") == 200
    assert pipe.drops == []


def test_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reader)
    lines = LineWriter(pipe.writer, pipe.drops.append)
    for _ in range(5):
        lines.write(b"x\n")

    lines.close()

    assert sum(pipe.drops) == 5


def test_line_after_the_end_is_counted_as_dropped(pipe: Pipe) -> None:
    lines = LineWriter(pipe.writer, pipe.drops.append)
    lines.close()

    lines.write(b"late\n")
    lines.close()

    assert pipe.drops == [1]


def test_drops_are_taken_once() -> None:
    drops = Drops()
    drops.count(2)
    drops.count(3)

    assert (drops.take(), drops.take()) == (5, 0)


def test_the_journal_of_the_service_tells_what_its_reader_was_too_slow_for(pipe: Pipe) -> None:
    journal = open_log("info", pipe.writer)
    os.close(pipe.reader)

    journal.event("nobody.reads")
    deadline = time.monotonic() + 5.0
    while not (lost := journal.lines_lost()):
        assert time.monotonic() < deadline
        time.sleep(0.005)

    assert lost == 1


def test_lines_of_several_writers_on_one_pipe_stay_whole(pipe: Pipe) -> None:
    """A pipe takes 4096 bytes as a whole; of a larger write others may be in the middle."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_all()))
    writers = [LineWriter(pipe.writer, pipe.drops.append, shared=True) for _ in range(4)]
    rows = [bytes([65 + number]) * 700 + b"\n" for number in range(4)]

    for _ in range(500):
        for lines, row in zip(writers, rows, strict=True):
            lines.write(row)
    time.sleep(0.1)  # the pipe is full, and all of them wait in the middle of something
    reader.start()
    for lines in writers:
        lines.close(10)
    os.close(pipe.writer)
    reader.join()

    assert sorted(set(read[0].splitlines(keepends=True))) == rows
    assert len(read[0].splitlines()) == 2000
