"""Sees that files were replaced: by an editor, a rename, or the `..data` link that Kubernetes swaps."""

from collections.abc import Iterable
from pathlib import Path

Mark = tuple[int, int, int, int] | None


class FileWatch:
    """Some files that are looked at now and then."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._taken = self._seen = self._marks()

    def changed(self) -> bool:
        """Whether they are others than at the last time that this was said.

        Only when two looks in a row have seen the same: a file that is still being written is none yet.
        """
        marks = self._marks()
        at_rest, self._seen = marks == self._seen, marks
        if not at_rest or marks == self._taken:
            return False
        self._taken = marks
        return True

    def take(self) -> None:
        """They are about to be read as they are, at rest or not."""
        self._taken = self._seen = self._marks()

    def _marks(self) -> tuple[Mark, ...]:
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
