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
    if len(os.fsencode(data_dir / SOCKET)) <= PATH_MOST_BYTES:
        yield data_dir
        return
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir(), f"cancel-gateway-{os.getuid()}-{name}")
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_ours(folder)
    try:
        yield folder
    finally:
        (folder / SOCKET).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _check_ours(folder: Path) -> None:
    """Anybody may make folders in the system's temporary one."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(f"{folder} belongs to somebody else: choose a shorter redis.data_dir")
