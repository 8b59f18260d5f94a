"""Gates: what a venue's refusals close, for an account, for our address, or for the whole venue. Pure.

A closed gate lets nobody through until its time has come. Then it is half open: one request goes as a probe, whatever
its lane, and the others wait until the venue's answer opens the gate, closes it again for longer, or stays out for
longer than the probe's lease. The twin is lua/gate.lua.

Times are the server's. A gate that would be shut for longer than it was ever closed for shows a clock that went back:
it counts as half open, since one request too early is better than a service that stands still.
"""

from dataclasses import dataclass, replace

from gateway.core.model import Account, Scope

SCOPES = (Scope.ACCOUNT, Scope.EGRESS, Scope.VENUE)
LIMITED_US, LIMITED_MOST_US = 1_000_000, 120_000_000
BANNED_US, BANNED_MOST_US = 120_000_000, 3_600_000_000
DOUBLINGS_MOST = 20


@dataclass(frozen=True, slots=True)
class Gate:
    """Closed for `pause_us`, until `until_us`; for the (closures + 1)-th time in a row."""

    until_us: int
    pause_us: int
    banned: bool
    closures: int = 0
    probe_until_us: int = 0


@dataclass(frozen=True, slots=True)
class Closure:
    """How long a refusal closes a gate: what was stated or `usual_us`, at least `floor_us`, at most `most_us`."""

    banned: bool
    stated_us: int | None
    floor_us: int

    @property
    def least_us(self) -> int:
        """However little is stated."""
        return max(LIMITED_US, self.floor_us)

    @property
    def usual_us(self) -> int:
        """How long without a stated time."""
        return BANNED_US if self.banned else self.least_us

    @property
    def most_us(self) -> int:
        """However much is stated."""
        return BANNED_MOST_US if self.banned else LIMITED_MOST_US


def holders(account: Account) -> tuple[Account, Account, Account]:
    """Whose gates an account stands behind, in the order of SCOPES."""
    return account, Account(account.venue, f"@{Scope.EGRESS}"), Account(account.venue, f"@{Scope.VENUE}")


def shut_us(gate: Gate | None, now_us: int, lease_us: int) -> int:
    """How long the gate lets nobody through; 0 where it is open or half open."""
    if gate is None:
        return 0
    if _closed(gate, now_us):
        return gate.until_us - now_us
    probed_us = gate.probe_until_us - now_us
    return probed_us if 0 < probed_us <= lease_us else 0


def probe(gate: Gate, until_us: int) -> Gate:
    """The gate once a probe has gone through; others wait until then, unless the probe's answer comes first."""
    return replace(gate, probe_until_us=until_us)


def close(gate: Gate | None, closure: Closure, now_us: int) -> Gate:
    """The gate after a refusal: never open earlier than before.

    Refusals that come while it is closed were under way together; only one that came later, which a probe has met,
    doubles the time.
    """
    still = gate is not None and _closed(gate, now_us)
    closures = 0 if gate is None else min(DOUBLINGS_MOST, gate.closures + (0 if still else 1))
    least_us = closure.usual_us if closure.stated_us is None else closure.least_us
    pause_us = min(closure.most_us, max(closure.stated_us or 0, least_us * 2**closures))
    if gate is None or not still:
        return Gate(now_us + pause_us, pause_us, closure.banned, closures)
    until_us = max(gate.until_us, now_us + pause_us)
    return Gate(until_us, until_us - now_us, closure.banned or gate.banned, closures, gate.probe_until_us)


def reopen(gate: Gate | None, now_us: int) -> Gate | None:
    """No gate any more after a probe was let in; one that was closed again meanwhile stays closed."""
    return gate if gate is not None and _closed(gate, now_us) else None


def _closed(gate: Gate, now_us: int) -> bool:
    return 0 < gate.until_us - now_us <= gate.pause_us
