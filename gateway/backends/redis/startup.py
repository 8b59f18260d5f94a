"""Is the embedded server there, did an earlier one stay behind, what did it say last. Talks to its socket directly."""

import asyncio
import contextlib
from pathlib import Path

READY_S, POLL_S = 20.0, 0.005
LOG_TAIL_BYTES = 2000


class EmbeddedError(Exception):
    """The embedded server can't run; the text says why and what would help."""


async def wait_until_ready(socket: Path, process: asyncio.subprocess.Process, patience_s: float = READY_S) -> None:
    """Wait until the server has read its data and answers; raises EmbeddedError."""
    try:
        async with asyncio.timeout(patience_s):
            while not await _answers(socket):
                if process.returncode is not None:
                    raise EmbeddedError(f"the embedded Redis ended at once with exit code {process.returncode}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise EmbeddedError(f"the embedded Redis was not ready after {patience_s:.0f} s") from None


async def dismiss_orphan(socket: Path, patience_s: float) -> None:
    """End a server that an earlier gateway left behind; it listens on our socket, and we hold the folder's lock."""
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_unix_connection(socket)
            with contextlib.closing(writer):
                writer.write(b"SHUTDOWN\r\n")
                await reader.read()
    except TimeoutError:
        raise EmbeddedError(f"a server of an earlier run does not leave {socket}: end it by hand") from None
    except OSError:
        return


def last_words(log: Path) -> str:
    """The last line of the server's log."""
    lines = log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


async def _answers(socket: Path) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
        with contextlib.closing(writer):
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
