"""The system's two clocks (ports.Clock). Nothing else tells the time on the path of a cancel."""

import time

NS_PER_MS = 1_000_000


class SystemClock:
    """Wall time and monotonic time of this machine."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970."""
        return time.time_ns() // NS_PER_MS

    # Seconds that never jump; asked some twenty times for a cancel, so without a call of ours around it.
    monotonic = staticmethod(time.monotonic)
