"""The breakers of this process: one per venue's host, one per account's credential. Their rules: core/breaker.py.

A host fails by not answering: DNS, connect, TLS, silence, a broken connection. Any whole answer, also a 5xx, shows that
it is there. A credential fails by being refused; other refusals of the venue's concern one order and count as nothing
bad. What a venue shuts us out with on purpose is a gate (core/gate.py), and is shared by all replicas; these are not:
a replica with a broken network must not close the others', and each finds out by itself within five requests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.core import breaker as rules
from gateway.core.breaker import CLOSED, Backoff, Breaker, BreakerScope
from gateway.core.model import Account, Lane, VenueId
from gateway.core.outcome import AuthRefused, Outcome, Throttled, Unclear, Verdict
from gateway.core.shut import Shut
from gateway.core.wire import NotSent, Reply, SendResult
from gateway.ports import Clock

HOST = Backoff(first_s=1.0, most_s=15.0)
CREDENTIAL = Backoff(first_s=1.0, most_s=60.0)
ON_ITS_WAY_S = 1.0
ANSWER_MARGIN_S = 1.0
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker has opened or closed."""

    scope: BreakerScope
    venue: VenueId
    account: Account | None
    shut: Shut | None

    def concerns(self, account: Account) -> bool:
        """Whether what this account sends meets the breaker."""
        return account.venue == self.venue and self.account in {None, account}


class Breakers:
    """Holds them. `told` hears of every change; `roll` gives numbers from 0 to 1; venues in `off` have none."""

    def __init__(
        self,
        answers_s: dict[VenueId, float],
        clock: Clock,
        roll: Callable[[], float],
        told: Callable[[Change], None],
        off: frozenset[VenueId] = frozenset(),
    ) -> None:
        """`answers_s` is how long an answer of each venue may take."""
        self._leases_s = {venue: answer_s + ANSWER_MARGIN_S for venue, answer_s in answers_s.items()}
        self._clock = clock
        self._roll = roll
        self._told = told
        self._off = off
        self._hosts = dict.fromkeys(answers_s, CLOSED)
        self._credentials: dict[Account, tuple[str, Breaker]] = {}

    def knock(self, account: Account, version: str, lane: Lane) -> Shut | None:
        """Before a slot is taken: what stands against it. Where a probe is due, this one is it."""
        host = self._hosts[account.venue]
        if host.until is None and not self._credentials:
            return None
        now, early = self._clock.monotonic(), lane is Lane.KILL
        known = rules.knock(host, now, ON_ITS_WAY_S, early=early)
        if known is None:
            return _host_shut(rules.shut_s(host, now))
        if (refused := self._knock_credential(account, version, now, early=early)) is not None:
            return refused
        self._hosts[account.venue] = known
        return None

    def _knock_credential(self, account: Account, version: str, now: float, *, early: bool) -> Shut | None:
        """A newer version of the credential owes nothing to what the older one met."""
        held, breaker = self._credentials.get(account, (version, CLOSED))
        if held != version:
            self._hold(account, version, CLOSED)
            return None
        lease_s = self._leases_s[account.venue]
        known = rules.knock(breaker, now, lease_s, early=early)
        if known is None:
            return _credential_shut(rules.shut_s(breaker, now))
        self._hold(account, version, rules.depart(known, now, lease_s) or known)
        return None

    def depart(self, venue: VenueId) -> bool:
        """At the wire: whether a request may leave now."""
        host = self._hosts[venue]
        if host.until is None:
            return True
        left = rules.depart(host, self._clock.monotonic(), self._leases_s[venue])
        if left is None:
            return False
        self._hosts[venue] = left
        return True

    def felt(self, venue: VenueId, result: SendResult) -> None:
        """What came of a request, as far as the host is concerned."""
        host, good = self._hosts[venue], isinstance(result, Reply)
        if (good and host is CLOSED) or (isinstance(result, NotSent) and result.here) or venue in self._off:
            return
        now = self._clock.monotonic()
        after = rules.succeed(host) if good else rules.fail(host, HOST, now, self._roll())
        if after is host:
            return
        self._hosts[venue] = after
        if (shut := _host_shut(rules.shut_s(after, now)) if after.until else None) or host.until is not None:
            self._told(Change(BreakerScope.HOST, venue, None, shut))

    def judged(self, account: Account, version: str, verdict: Verdict) -> None:
        """What came of a request, as far as the credential is concerned; limits and nonsense prove nothing of it."""
        refused = isinstance(verdict, AuthRefused)
        if (not refused and not self._credentials) or account.venue in self._off:
            return
        if isinstance(verdict, Throttled | Unclear):
            return
        held, breaker = self._credentials.get(account, (version, CLOSED))
        if refused:
            known = breaker if held == version else CLOSED
            self._hold(account, version, rules.fail(known, CREDENTIAL, self._clock.monotonic(), self._roll()))
        elif held != version:
            self._hold(account, version, CLOSED)
        elif (after := rules.succeed(breaker)) is not breaker:
            self._hold(account, version, after)

    def _hold(self, account: Account, version: str, breaker: Breaker) -> None:
        before = self._credentials.get(account, (version, CLOSED))[1]
        if breaker == CLOSED:
            self._credentials.pop(account, None)
        else:
            self._credentials[account] = (version, breaker)
        opened = breaker.until is not None and breaker.openings != before.openings
        if opened or (before.until is None) is not (breaker.until is None):
            wait_s = rules.shut_s(breaker, self._clock.monotonic())
            shut = _credential_shut(wait_s) if breaker.until is not None else None
            self._told(Change(BreakerScope.CREDENTIAL, account.venue, account, shut))

    def shut_ms(self, account: Account) -> dict[BreakerScope, int]:
        """What is open for this account, and for how long; 0 where a probe is due."""
        now = self._clock.monotonic()
        found = {BreakerScope.HOST: self._hosts[account.venue]}
        if account in self._credentials:
            found[BreakerScope.CREDENTIAL] = self._credentials[account][1]
        return {
            scope: int(rules.shut_s(breaker, now) * 1000)
            for scope, breaker in found.items()
            if breaker.until is not None
        }

    def open_scopes(self) -> Iterable[tuple[VenueId, BreakerScope, bool]]:
        """Every venue and scope, and whether any breaker of it is open."""
        for venue, host in self._hosts.items():
            yield venue, BreakerScope.HOST, host.until is not None
            refused = any(of.venue == venue and known.until for of, (_, known) in self._credentials.items())
            yield venue, BreakerScope.CREDENTIAL, refused


def _host_shut(wait_s: float) -> Shut:
    detail = "the venue did not answer lately; it is asked again in a moment"
    return Shut(Outcome.VENUE_UNAVAILABLE, detail, _us(wait_s))


def _credential_shut(wait_s: float) -> Shut:
    detail = "the venue refused this credential lately; it is tried again in a moment, or once there is a newer one"
    return Shut(Outcome.VENUE_AUTH, detail, _us(wait_s))


def _us(wait_s: float) -> int:
    return max(1, int(wait_s * US_PER_S))
