"""Our token at a Vault: got when it is first needed, renewed before it ends, got anew once where it is refused."""

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial

import structlog

from gateway.backends.credentials.single_flight import SingleFlight
from gateway.backends.credentials.vault_login import AppRole, GivenToken, ServiceAccount, Way, login_call
from gateway.backends.credentials.vault_nodes import BAD_REQUEST, NAME, OK, Answer, Json, Nodes
from gateway.ports import Clock, Unavailable

RENEW_AT, RENEW_JITTER, USED_UP_AT = 2 / 3, 0.1, 0.9
# A lease that comes back so much shorter has met its largest life: time for a new login.
WORN_OUT = 0.5
TRY_AGAIN_S, REFUSED_PAUSE_S = 1.0, 5.0
# What was found good is not doubted for so long: a policy that denies 1,000 accounts must not cause 1,000 logins.
VOUCHED_S = 5.0
FOREVER = float("inf")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lease:
    """A token, and how long it lasts from when it was got."""

    token: str = field(repr=False)
    life_s: float
    renewable: bool


class VaultToken:
    """Holds it. At most one login is in the air."""

    def __init__(self, nodes: Nodes, way: Way, clock: Clock) -> None:
        self._nodes = nodes
        self._way = way
        self._clock = clock
        self._lease: Lease | None = None
        self._ends_at = 0.0
        self._vouched_until = 0.0
        self._refused_until = 0.0
        self._refusal = ""
        self._could_look = False
        self._login: SingleFlight[Lease] = SingleFlight()
        self._looking: SingleFlight[bool] = SingleFlight()
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """A token that should work; raises Unavailable where none is to be had."""
        lease = self._valid() or await self._login.share(self._log_in)
        return lease.token

    async def after_refusal(self, refused: str) -> str | None:
        """Another token, where the refused one is no longer good; None where it is, so that it was not its fault."""
        if (lease := self._valid()) is not None and lease.token == refused:
            if await self._looking.share(partial(self._is_good, lease)):
                return None
            # While this one looked, another one may have logged in; one login does for all.
            lease = self._valid()
        if lease is not None and lease.token != refused:
            return lease.token
        fresh = await self._login.share(self._log_in)
        return fresh.token if fresh.token != refused else None

    async def aclose(self) -> None:
        """Stop renewing, and forget it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._login.aclose()
        await self._looking.aclose()
        self._lease = None

    def _valid(self) -> Lease | None:
        return self._lease if self._clock.monotonic() < self._ends_at else None

    async def _is_good(self, lease: Lease) -> bool:
        if self._clock.monotonic() < self._vouched_until:
            return True
        good = (await self._nodes.ask("GET", "auth/token/lookup-self", lease.token)).status == OK
        if good:
            self._vouched_until = self._clock.monotonic() + VOUCHED_S
        return good

    async def _log_in(self) -> Lease:
        if self._clock.monotonic() < self._refused_until:
            raise Unavailable(NAME, self._refusal)
        way = self._way
        return self._take(await self._looked_at(way) if isinstance(way, GivenToken) else await self._granted(way))

    async def _looked_at(self, way: GivenToken) -> Lease:
        """A token may do without the right to look at itself; one that had it and lost it is no longer good."""
        token = way.token.read()
        answer = await self._nodes.ask("GET", "auth/token/lookup-self", token)
        if answer.status == OK:
            self._could_look = True
            return _lease(token, answer.part("data"), "ttl")
        if self._could_look:
            raise self._refused("refuses our token")
        return Lease(token, FOREVER, renewable=False)

    async def _granted(self, way: AppRole | ServiceAccount) -> Lease:
        call = login_call(way)
        answer = await self._nodes.ask("POST", call.path, None, call.sent)
        if (lease := _grant(answer)) is None:
            raise self._refused(f"refuses the login at {call.path} ({answer.status})")
        return lease

    def _refused(self, reason: str) -> Unavailable:
        """Logins are counted, and too many bad ones lock an account out."""
        self._refused_until, self._refusal = self._clock.monotonic() + REFUSED_PAUSE_S, reason
        return Unavailable(NAME, reason)

    def _take(self, lease: Lease) -> Lease:
        now = self._clock.monotonic()
        self._lease, self._ends_at, self._vouched_until = lease, FOREVER, now + VOUCHED_S
        if lease.life_s < FOREVER:
            # The vault counts from before its answer came, and nobody should be sent off with a token about to end.
            self._ends_at = now + lease.life_s * USED_UP_AT
            self._vouched_until = now + min(VOUCHED_S, lease.life_s * (1 - USED_UP_AT))
            self._plan(lease, lease.life_s * RENEW_AT)
        return lease

    def _plan(self, lease: Lease, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s *= 1 - RENEW_JITTER * random.random()  # noqa: S311  only keeps replicas apart
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._start, lease)

    def _start(self, lease: Lease) -> None:
        self._renewal = asyncio.create_task(self._renew(lease), name="vault.token")

    async def _renew(self, lease: Lease) -> None:
        if self._lease is not lease:
            return
        try:
            await self._prolong(lease)
        except Unavailable:
            # Whoever reads next meets the same, and tells it.
            if (left_s := self._ends_at - self._clock.monotonic()) > 0:
                self._plan(lease, max(TRY_AGAIN_S, left_s / 3))

    async def _prolong(self, lease: Lease) -> None:
        if lease.renewable:
            renewed = _grant(await self._nodes.ask("POST", "auth/token/renew-self", lease.token, {}))
            if renewed is not None and renewed.life_s >= lease.life_s * WORN_OUT:
                self._take(renewed)
                return
        if not isinstance(self._way, GivenToken) or self._way.token.read() != lease.token:
            await self._login.share(self._log_in)
        else:
            left_s = round(self._ends_at - self._clock.monotonic())
            log.warning("credential.vault_token_ends", seconds=left_s, remedy="give the gateway a new one")


def _grant(answer: Answer) -> Lease | None:
    """The token that an answer grants."""
    auth = answer.part("auth")
    token = auth.get("client_token")
    if answer.status >= BAD_REQUEST or not isinstance(token, str) or not token:
        return None
    return _lease(token, auth, "lease_duration")


def _lease(token: str, told: Json, key: str) -> Lease:
    """A life of 0 has no end: that is how a root token is shown."""
    life_s = told.get(key)
    lasts_s = float(life_s) if isinstance(life_s, int) and life_s > 0 else FOREVER
    return Lease(token, lasts_s, renewable=told.get("renewable") is True)
