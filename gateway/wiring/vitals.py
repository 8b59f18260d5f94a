"""How it stands: the components of /readyz, and what is looked up when /metrics is asked for."""

from collections.abc import Mapping

from gateway import __version__
from gateway.ports import Unavailable
from gateway.reload import Entrance
from gateway.web.front import Front
from gateway.web.health import Component, Vitals
from gateway.wiring.cancelling import Cancelling
from gateway.wiring.shared import Shared

MS_PER_S = 1000


def vitals_of(front: Front, shared: Shared, parts: Cancelling, entrance: Entrance) -> Vitals:
    """What /readyz and /metrics tell."""

    def look() -> None:
        shared.metrics.log_dropped(shared.log.lines_lost())
        for venue, age_s in parts.keeper.ages().items():
            shared.metrics.credential_age(venue, age_s)
        for venue, accounts in parts.keeper.fallen_back().items():
            shared.metrics.credential_fallback(venue, accounts)
        for venue, depths in parts.dispatcher.depths(front.desks).items():
            for lane, waiting in depths.items():
                shared.metrics.queue_depth(venue, lane, waiting)
        for venue, scope, is_open in parts.weather.breakers.open_scopes():
            shared.metrics.breaker(venue, scope, is_open=is_open)
        for venue, (_, proven_ms) in parts.weather.offsets.standing().items():
            shared.metrics.clock_offset(venue, proven_ms / MS_PER_S)

    async def components() -> Mapping[str, Component]:
        return {
            "redis": await _redis_state(shared),
            "secrets": await _secrets_state(parts),
            "clock": _clock_state(parts),
            "venues": Component(ok=bool(front.desks), detail=", ".join(front.desks), needed=True),
            **_issuer_component(entrance),
        }

    shared.metrics.on_scrape(look)
    return Vitals(components, lambda: front.draining, shared.metrics.scrape, __version__)


def _issuer_component(entrance: Entrance) -> Mapping[str, Component]:
    """Without the issuer's keys its tokens can't be taken; static ones and certificates can."""
    match entrance.issuer_state:
        case None:
            return {}
        case True:
            return {"issuer": Component(ok=True, detail="its keys are here")}
        case _:
            return {"issuer": Component(ok=False, detail="its keys cannot be had, so its tokens are refused")}


async def _redis_state(shared: Shared) -> Component:
    if shared.limiter.degraded:
        return Component(ok=False, detail=f"working on this replica's own share: {shared.limiter.reason}")
    try:
        await shared.limiter.check()
    except Unavailable as lost:
        return Component(ok=False, detail=lost.reason)
    return Component(ok=True, detail="answers")


def _clock_state(parts: Cancelling) -> Component:
    """A clock that is off shuts the venues that look at it, and no other."""
    told = parts.weather.offsets.standing().items()
    off = [f"{venue} {word}: {proven_ms / MS_PER_S:g} s ahead" for venue, (word, proven_ms) in told if word != "ok"]
    ok = all(word != "refused" for _, (word, _) in told)
    return Component(ok=ok, detail=", ".join(off) or "as the venues' clocks, as far as known")


async def _secrets_state(parts: Cancelling) -> Component:
    accounts = await parts.survey.every_account()
    found = [(f"{account.venue}:{account.name}", parts.keeper.condition(account)) for account in accounts]
    bad = [f"{name} {how.word} ({how.detail})" for name, how in found if how.word not in {"ok", "unread"}]
    return Component(ok=not bad, detail=", ".join(bad) or "usable")
