"""Random bytes from the system, many at a time: to ask for them costs more than they do."""

import os

STOCK = 4096


class Noise:
    """Hands out bytes, each once."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A child process must not hand out what its parent has."""
        self._stock, self._at = b"", 0

    def bytes(self, count: int) -> bytes:
        """So many that nobody has had."""
        if self._at + count > len(self._stock):
            self._stock, self._at = os.urandom(max(STOCK, count)), 0
        taken = self._stock[self._at : self._at + count]
        self._at += count
        return taken

    def request_id(self) -> str:
        """A name for a request that came without one."""
        return self.bytes(12).hex()
