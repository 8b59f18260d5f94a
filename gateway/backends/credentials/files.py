"""Credentials as files, `DIRECTORY/<venue>/<account>.json`: what Kubernetes mounts, and what operators' tools write.

Every read opens the path again, so the `..data` link that Kubernetes swaps on a rotation is followed by itself.
"""

import asyncio
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.credentials.disk import Refused, read_guarded
from gateway.backends.credentials.store import (
    MATERIAL_MOST_BYTES,
    Denied,
    Material,
    Missing,
    Stored,
    Unusable,
    fields_of,
    version_of,
)
from gateway.core.access import is_name
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

NAME = "secret files"
SWAPS_MOST = 5
SUFFIX = ".json"
# Kubernetes mounts secrets 0644 or 0440 in a volume that only the pod sees, so readable by others is normal here.
# Writable by others never is: whoever can write there decides whose orders are cancelled.
WRITABLE_BY_ALL = stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class FileStore:
    """A folder of credentials. Reads happen in a thread: a mount may be a network away."""

    directory: Path

    async def read(self, account: Account) -> Stored:
        """One file as it stands now."""
        if not is_name(account.name) or not is_name(account.venue):
            return Missing()
        return await asyncio.to_thread(self._read, account)

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that have a file."""
        return await asyncio.to_thread(self._names, venue)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _read(self, account: Account) -> Stored:
        path = self.directory / account.venue / f"{account.name}{SUFFIX}"
        try:
            content = _read_across_swaps(path)
        except FileNotFoundError:
            self._require_directory()
            return Missing()
        except OSError as error:
            self._require_directory()
            return Denied(f"cannot be read: {error.strerror}")
        if isinstance(content, Refused):
            return Unusable("", content.problem)
        fields = fields_of(content)
        return fields if isinstance(fields, Unusable) else Material(fields, version_of(content))

    def _names(self, venue: VenueId) -> Sequence[str]:
        try:
            entries = [path.name for path in (self.directory / venue).iterdir()]
        except FileNotFoundError:
            self._require_directory()
            return ()
        except OSError as error:
            raise Unavailable(NAME, f"{venue}: {error.strerror}") from None
        names = (entry.removesuffix(SUFFIX) for entry in entries if entry.endswith(SUFFIX))
        return sorted(name for name in names if is_name(name))

    def _require_directory(self) -> None:
        """A file that is missing is an answer; a mount that is missing is a fault of the store."""
        try:
            self.directory.stat()
        except OSError as error:
            raise Unavailable(NAME, f"{self.directory}: {error.strerror}") from None


def _read_across_swaps(path: Path) -> bytes | Refused:
    """Whoever follows `..data` just as it is swapped can find the old folder gone; that is no missing file.

    One open follows one link, and what stands in a folder behind it never changes: old and new are never mixed.
    """
    for _ in range(SWAPS_MOST):
        try:
            return read_guarded(path, MATERIAL_MOST_BYTES, WRITABLE_BY_ALL)
        except FileNotFoundError:
            if not path.is_symlink():
                break
    return read_guarded(path, MATERIAL_MOST_BYTES, WRITABLE_BY_ALL)
