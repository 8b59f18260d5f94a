"""Where the embedded server's socket lies: in its data folder, or elsewhere where that path would be too long."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gateway.backends.redis.startup import EmbeddedError

SOCKET = "valkey.sock"
# sun_path holds 104 bytes on macOS and 108 on Linux, a closing zero among them.
PATH_MOST_BYTES = 100


@contextlib.contextmanager
def socket_folder(data_dir: Path) -> Iterator[Path]:
    """The data folder if a socket's path fits, else a short folder of ours, always the same for this data folder."""
    folder = socket_at(data_dir).parent
    if folder == data_dir:
        yield data_dir
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_ours(folder)
    try:
        yield folder
    finally:
        (folder / SOCKET).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def socket_at(data_dir: Path) -> Path:
    """The socket of whichever server runs on this data folder."""
    if len(os.fsencode(data_dir / SOCKET)) <= PATH_MOST_BYTES:
        return data_dir / SOCKET
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"cancel-gateway-{os.getuid()}-{name}", SOCKET)


def _check_ours(folder: Path) -> None:
    """Anybody may make folders in the system's temporary one."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(f"{folder} belongs to somebody else: choose a shorter redis.data_dir")
