"""The sealed file as the service reads it, and where its passphrase comes from."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.backends.credentials.sealed import NAME, PASSPHRASE_VARIABLE, Content, SealedFile
from gateway.backends.credentials.store import Missing, Stored, material_from
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

PASSPHRASE_MOST_BYTES = 4096


def no_other() -> str | None:
    """The passphrase never changes."""
    return None


@dataclass(slots=True)
class SealedStore:
    """Opens the file again when it has changed, in a thread. `reread` brings the passphrase as it stands now."""

    file: SealedFile
    reread: Callable[[], str | None] = field(default=no_other, repr=False)  # it may hold the environment
    _seen: tuple[int, int, int] | None = None
    _content: Content | None = field(default=None, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def read(self, account: Account) -> Stored:
        """One credential as it stands in the file now."""
        entry = (await self._opened()).entries.get(account)
        return Missing() if entry is None else material_from(entry.fields, entry.number)

    async def names(self, venue: VenueId) -> Sequence[str]:
        """The accounts that have an entry."""
        return sorted(account.name for account in (await self._opened()).entries if account.venue == venue)

    async def aclose(self) -> None:
        """Drop what was opened."""
        self._content = None

    async def _opened(self) -> Content:
        # One at a time: many accounts that are first used together would otherwise each make the same key.
        async with self._turn:
            return await asyncio.to_thread(self._as_it_stands)

    def _as_it_stands(self) -> Content:
        """The command line writes a new file each time, so that the same inode, time and size are the same content."""
        before = self._stamp()
        if self._content is None or before is None or before != self._seen:
            self._content = None
            self._content, self._seen = self._open(), before
        return self._content

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            state = self.file.path.stat()
        except OSError:
            return None
        return state.st_ino, state.st_ctime_ns, state.st_size

    def _open(self) -> Content:
        """After `secrets rekey` the passphrase may be another one by now."""
        try:
            return self.file.open()
        except Unavailable:
            passphrase = self.reread()
            if not passphrase or passphrase == self.file.passphrase:
                raise
        self.file.use(passphrase)
        return self.file.open()


def read_passphrase(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The passphrase from the environment, else from the file without its last line break; None where neither is."""
    given = environment.get(PASSPHRASE_VARIABLE)
    return given or passphrase_in(file)


def passphrase_in(file: Path | None) -> str | None:
    """The first line of a file; None where there is no file or nothing in it."""
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            text = opened.read(PASSPHRASE_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        raise Unavailable(NAME, f"{file} cannot be read as text") from None
    return text.removesuffix("\n").removesuffix("\r") or None
