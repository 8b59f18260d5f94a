"""The clock and the chance that the client lives by."""

import asyncio
import random
import secrets
import time

from gateway.client.call import NOISE_BYTES, new_key


class Times:
    """The machine's own."""

    def now(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def chance(self) -> float:
        """From 0 to 1."""
        return random.random()  # noqa: S311  it spreads retries; nobody gains from guessing it

    def key(self) -> str:
        """A key that nobody else makes."""
        return new_key(time.time_ns() // 1_000_000, secrets.token_bytes(NOISE_BYTES))

    async def rest(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
