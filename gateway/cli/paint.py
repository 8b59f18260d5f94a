"""Colours and movement, on a terminal only: a pipe, a file, NO_COLOR or a dumb terminal gets plain text."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

GREEN, YELLOW, RED, BLUE, DIM = "32", "33", "31", "36", "2"
GOOD, TAKEN = frozenset({"cancelled", "already_cancelled"}), frozenset({"accepted", "in_progress"})
WARN = frozenset({"closed", "not_found", "too_late_filled", "over_deadline", "rejected"})
TICK_S = 0.1


def is_painted(stream: TextIO) -> bool:
    """Whether this stream gets colours (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, where there are colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if is_painted(stream) else text


def outcome_painted(outcome: str, stream: TextIO, width: int = 0) -> str:
    """An outcome in the colour of how good it is."""
    colour = GREEN if outcome in GOOD else BLUE if outcome in TAKEN else YELLOW if outcome in WARN else RED
    return painted(f"{outcome:<{width}}", colour, stream)


@contextmanager
def elapsed(doing: str) -> Iterator[None]:
    """Show for how long something goes on already."""
    if not sys.stderr.isatty():
        yield
        return
    over, began = threading.Event(), time.monotonic()

    def show() -> None:
        while not over.wait(TICK_S):
            print(f"\r{doing} … {time.monotonic() - began:.1f} s ", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print(f"\r{doing} took {time.monotonic() - began:.1f} s ", file=sys.stderr)
