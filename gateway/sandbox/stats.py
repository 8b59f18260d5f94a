"""What a venue has seen: counts, limits, reasons, faults, recent arrivals. Every table has a fixed bound."""

from collections import Counter, deque
from dataclasses import dataclass, field

from gateway.sandbox.window import Limit, SlidingWindow

_MOST_ORDERS = 200_000
_MOST_RECENT = 20_000
_MOST_WINDOWS = 10_000


@dataclass(slots=True)
class Stats:
    """The figures behind GET /_sandbox/stats."""

    requests: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    orders_cancelled: int = 0
    banned: int = 0
    cancels_by_order: Counter[str] = field(default_factory=Counter)
    recent: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_MOST_RECENT))
    windows: dict[tuple[str, str], SlidingWindow] = field(default_factory=dict)

    def arrived(self, endpoint: str, at_ns: int) -> None:
        """Count a request that was read."""
        self.requests[endpoint] += 1
        self.recent.append((at_ns / 1e6, endpoint))

    def asked_to_cancel(self, order: str) -> None:
        """Count a request to cancel this order; beyond the bound only orders seen before are counted."""
        if order in self.cancels_by_order or len(self.cancels_by_order) < _MOST_ORDERS:
            self.cancels_by_order[order] += 1

    def admit(self, name: str, key: str, limit: Limit, at_ns: int, weight: int) -> bool:
        """Hold a request to a limit."""
        window = self.windows.get((name, key))
        if window is None:
            if len(self.windows) >= _MOST_WINDOWS:
                return True
            window = self.windows[name, key] = SlidingWindow(limit)
        return window.admit(at_ns, weight)

    def as_json(self) -> dict[str, object]:
        """The figures as they are shown."""
        windows = self.windows.values()
        return {
            "requests": dict(self.requests),
            "requests_total": self.requests.total(),
            "cancels": self.orders_cancelled,
            "admitted": sum(window.admitted for window in windows),
            "violations": sum(window.violations for window in windows),
            "most_in_any_window": max((window.most_in_any_window for window in windows), default=0),
            "limits": [_shown(*names, window) for names, window in self.windows.items()],
            "banned_requests": self.banned,
            "rejected_requests": self.rejected.total(),
            "rejected_reasons": dict(self.rejected),
            "cancels_by_order": dict(self.cancels_by_order),
            "faults_hit": dict(self.faults),
            "recent": [[at_ms, endpoint] for at_ms, endpoint in self.recent],
        }


def _shown(name: str, key: str, window: SlidingWindow) -> dict[str, object]:
    return {
        "limit": name,
        "key": key,
        "tokens": window.limit.tokens,
        "per_ms": window.limit.per_ms,
        "arrivals": window.arrivals,
        "admitted": window.admitted,
        "violations": window.violations,
        "most_in_any_window": window.most_in_any_window,
        "excesses": [[at_ns / 1e6, [each / 1e6 for each in before]] for at_ns, before in window.excesses],
    }
