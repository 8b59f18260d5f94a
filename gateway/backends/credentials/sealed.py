"""Credentials in one sealed file on this machine: XSalsa20-Poly1305 under a key that argon2id makes of a passphrase.

The file is one JSON object: format version, the parameters of the key, and the box. A flipped bit anywhere makes it
fail to open; there is no half-good state. The command line writes it, the service only reads.
"""

import base64
import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random as random_bytes

from gateway.backends.credentials.disk import Refused, read_guarded
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

NAME = "sealed secrets"
PASSPHRASE_VARIABLE = "CANCEL_GATEWAY_PASSPHRASE"  # noqa: S105  the name of a variable
FORMAT = 1
FILE_MOST_BYTES = 16 * 1024 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# 64 MiB fits into a small pod; three passes make a guess cost what OWASP asks of argon2id and more.
OPS, MEMORY_BYTES = 3, 64 * 1024 * 1024
# A hostile header must not be able to take all memory or hours before the box fails to open.
OPS_MOST, MEMORY_MOST_BYTES = 20, 1024 * 1024 * 1024

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Kdf:
    """How the key was made of the passphrase."""

    salt: bytes
    ops: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One account's credential and the number that it got when it was put; numbers are never used again."""

    fields: Mapping[str, str] = field(repr=False)
    number: int


@dataclass(frozen=True, slots=True)
class Content:
    """Everything in the file, opened."""

    entries: Mapping[Account, Entry]
    last_number: int = 0


@dataclass(slots=True)
class SealedFile:
    """The file and the passphrase that opens it. Blocking; raises Unavailable with one line for people."""

    path: Path
    passphrase: str | None = field(repr=False)
    _keys: dict[Kdf, bytes] = field(default_factory=dict, repr=False)

    def open(self) -> Content:
        """Everything in it."""
        return self._opened()[0]

    def put(self, account: Account, fields: Mapping[str, str]) -> int:
        """Store one credential; returns its number."""

        def change(before: Content) -> tuple[Content, int]:
            number = before.last_number + 1
            return Content({**before.entries, account: Entry(dict(fields), number)}, number), number

        return self._change(change)

    def remove(self, account: Account) -> bool:
        """Forget one credential; False where there was none."""

        def change(before: Content) -> tuple[Content, bool]:
            kept = {other: entry for other, entry in before.entries.items() if other != account}
            return Content(kept, before.last_number), account in before.entries

        return self._change(change)

    def use(self, passphrase: str) -> None:
        """From now on, this is the passphrase."""
        self.passphrase = passphrase
        self._keys.clear()

    def rekey(self, passphrase: str) -> int:
        """Close everything under another passphrase and a new salt; returns how many credentials there are.

        Either the old file or the new one is there, whatever happens; numbers and contents stay as they were.
        """
        with _changing(self.path):
            content, _ = self._opened()
            changed = SealedFile(self.path, passphrase)
            _write_whole(self.path, changed._seal(content, _fresh_kdf()))
        self.use(passphrase)
        return len(content.entries)

    def _change(self, change: Callable[[Content], tuple[Content, Result]]) -> Result:
        with _changing(self.path):
            before, kdf = self._opened() if self.path.exists() else (Content({}), _fresh_kdf())
            after, result = change(before)
            _write_whole(self.path, self._seal(after, kdf))
        return result

    def _opened(self) -> tuple[Content, Kdf]:
        raw = _read_private(self.path)
        try:
            header = orjson.loads(raw)
            found = header["version"]
            kdf = Kdf(base64.b64decode(header["salt"]), int(header["ops"]), int(header["memory_bytes"]))
            box = base64.b64decode(header["box"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise Unavailable(NAME, f"{self.path} is no sealed file, or damaged") from None
        if found != FORMAT:
            raise Unavailable(NAME, f"{self.path} has format {found!r:.20}, this version reads {FORMAT}")
        try:
            plain = SecretBox(self._key(kdf)).decrypt(box)
        except (CryptoError, ValueError):
            raise Unavailable(NAME, f"{self.path} does not open: wrong passphrase, or a damaged file") from None
        return _parse(plain), kdf

    def _seal(self, content: Content, kdf: Kdf) -> bytes:
        header = {
            "version": FORMAT,
            "kdf": "argon2id",
            "salt": base64.b64encode(kdf.salt).decode(),
            "ops": kdf.ops,
            "memory_bytes": kdf.memory_bytes,
            "box": base64.b64encode(SecretBox(self._key(kdf)).encrypt(_plain(content))).decode(),
        }
        return orjson.dumps(header, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def _key(self, kdf: Kdf) -> bytes:
        """The key, made once: argon2id takes a good part of a second on purpose."""
        if not self.passphrase:
            raise Unavailable(NAME, f"no passphrase; set {PASSPHRASE_VARIABLE} or secrets.passphrase_file")
        if not 1 <= kdf.ops <= OPS_MOST or not argon2id.MEMLIMIT_MIN <= kdf.memory_bytes <= MEMORY_MOST_BYTES:
            raise Unavailable(NAME, f"{self.path} asks for more work than this version does")
        if kdf not in self._keys:
            secret = self.passphrase.encode()
            self._keys.clear()
            self._keys[kdf] = argon2id.kdf(SecretBox.KEY_SIZE, secret, kdf.salt, kdf.ops, kdf.memory_bytes)
        return self._keys[kdf]


def _fresh_kdf() -> Kdf:
    return Kdf(random_bytes(argon2id.SALTBYTES), OPS, MEMORY_BYTES)


def _plain(content: Content) -> bytes:
    entries = [
        {"venue": account.venue, "account": account.name, "number": entry.number, "fields": dict(entry.fields)}
        for account, entry in content.entries.items()
    ]
    return orjson.dumps({"last_number": content.last_number, "entries": entries})


def _parse(plain: bytes) -> Content:
    """What we wrote ourselves: the box vouches for it, so anything odd here is a bug."""
    content = orjson.loads(plain)
    entries = {
        Account(VenueId(entry["venue"]), entry["account"]): Entry(entry["fields"], entry["number"])
        for entry in content["entries"]
    }
    return Content(entries, content["last_number"])


def _read_private(path: Path) -> bytes:
    try:
        content = read_guarded(path, FILE_MOST_BYTES, OTHERS)
    except FileNotFoundError:
        raise Unavailable(NAME, f"{path} does not exist; `cancel-gateway secrets put` makes it") from None
    except OSError as error:
        raise Unavailable(NAME, f"{path}: {error.strerror}") from None
    if isinstance(content, Refused):
        raise Unavailable(NAME, f"{path} {content.problem}")
    return content


def _write_whole(path: Path, content: bytes) -> None:
    """Either the old file or the new one is there, whenever the power goes."""
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    with _opened_folder(path.parent) as folder:
        os.fsync(folder)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Two people who put at once must not lose one of the credentials."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened_folder(path.parent) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise Unavailable(NAME, f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
