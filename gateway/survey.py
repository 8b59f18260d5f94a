"""`GET /venues`: how each venue and account stands, for those who may use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.core.access import Caller
from gateway.core.admission import Demand, Gated
from gateway.core.model import Account, By, Op, VenueId
from gateway.desk import Desk
from gateway.dispatch import Dispatcher
from gateway.ports import Continuity, Credentials, Gates, Limiter, Outlook, Unavailable
from gateway.weather import Weather

SINGLE_REQUESTS = (Op.CANCEL, Op.READ, Op.LIST, Op.CANCEL_ALL)


@dataclass(frozen=True, slots=True)
class Survey:
    """Looks at everything and touches nothing."""

    desks: Mapping[VenueId, Desk]
    credentials: Credentials
    limiter: Limiter
    dispatcher: Dispatcher
    gates: Gates
    continuity: Continuity
    weather: Weather

    async def venues(self, caller: Caller) -> bytes:
        """The caller's venues and accounts as JSON."""
        desks = [desk for venue, desk in self.desks.items() if caller.reaches_some(venue)]
        accounts = [account for desk in desks for account in await self.accounts(desk)]
        return orjson.dumps({"venues": [await self.state(each) for each in accounts if caller.reaches(each)]})

    async def every_account(self) -> list[Account]:
        """Those of all venues."""
        return [account for desk in self.desks.values() for account in await self.accounts(desk)]

    async def accounts(self, desk: Desk) -> list[Account]:
        """The default account first, then whatever the store knows."""
        try:
            names = set(await self.credentials.accounts(desk.venue.id))
        except Unavailable:
            names = set()
        first = [desk.default_account] if desk.default_account else []
        return [Account(desk.venue.id, name) for name in [*first, *sorted(names - set(first))]]

    async def _gates(self, account: Account) -> Sequence[Gated]:
        if self.continuity.degraded:
            return ()
        try:
            return await self.gates.standing(account)
        except Unavailable:
            return ()

    def _clock(self, account: Account) -> dict[str, object]:
        word, proven_ms = self.weather.offsets.standing()[account.venue]
        return {"state": word, "venue_ahead_ms": proven_ms}

    async def state(self, account: Account) -> dict[str, object]:
        """How an account stands."""
        desk = self.desks[account.venue]
        demands = limits_of(desk, account)
        outlooks = {outlook.limit: outlook for outlook in await self.limiter.outlook(tuple(demands.values()))}
        credential = self.credentials.condition(account)
        return {
            "venue": account.venue,
            "account": account.name,
            "default": account.name == desk.default_account,
            "limits": {name: _limit(desk, name, outlooks.get(name)) for name in demands},
            "reserve": desk.reserve,
            "queue": {lane.value: depth for lane, depth in self.dispatcher.depth(account).items()},
            "gates": [_gate(gate) for gate in await self._gates(account)],
            "breaker": {
                scope.value: {"probe_in_ms": wait_ms}
                for scope, wait_ms in self.weather.breakers.shut_ms(account).items()
            },
            "clock": self._clock(account),
            "credential": credential.word,
            "credential_detail": credential.detail,
            "credential_version": credential.version,
            "degraded": self.continuity.degraded,
        }


def _gate(gate: Gated) -> dict[str, object]:
    return {"scope": gate.scope, "banned": gate.banned, "retry_after_ms": -(-gate.wait_us // 1000)}


def limits_of(desk: Desk, account: Account) -> dict[str, Demand]:
    """Every limit that a request of this account can meet, as the urgent lane sees it."""
    fares = [desk.fare(account, op, by) for op in SINGLE_REQUESTS for by in By]
    spendings = [fare.single for fare in fares] + [fare.batch for fare in fares if fare.batch is not None]
    return {demand.limit: demand for spending in spendings for demand in spending.urgent}


def _limit(desk: Desk, name: str, outlook: Outlook | None) -> dict[str, object]:
    quota = desk.quotas[name]
    return {
        "tokens": quota.tokens,
        "per_ms": quota.per_ms,
        "guard_ms": quota.guard_ms,
        "scope": quota.scope,
        "free": outlook.free if outlook else None,
        "wait_ms": outlook.wait_us / 1000 if outlook else None,
    }
