"""Reading a file that somebody else may have put there: regular, of a bounded size, not open to the wrong people."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Refused:
    """The file is there and will not be read, for this reason."""

    problem: str


def read_guarded(path: Path, most_bytes: int, forbidden_mode: int) -> bytes | Refused:
    """The whole file, where its mode has none of the forbidden bits. Raises OSError as `open` does."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                return Refused("is no regular file")
            if state.st_mode & forbidden_mode:
                wanted = stat.S_IMODE(state.st_mode) & ~forbidden_mode
                return Refused(f"has mode {stat.S_IMODE(state.st_mode):04o}, too open; chmod {wanted:04o}")
            content = file.read(most_bytes + 1)
    except IsADirectoryError:
        return Refused("is no regular file")
    return content if len(content) <= most_bytes else Refused(f"is larger than {most_bytes} bytes")


def _without_waiting(path: str, flags: int) -> int:
    """A named pipe in place of the file would hang its reader for ever."""
    return os.open(path, flags | os.O_NONBLOCK)
