"""Gates: what a refusal of the venue closes, for whom, for how long, and that one probe opens it again."""

import asyncio
import time
from dataclasses import dataclass

from bench.admission.crowd import Ask, Tally, orders, saturating
from bench.admission.result import Result
from bench.admission.setting import Setting
from bench.admission.venue import Verdict
from bench.admission.world import World, scene

VENUE_TAKES_S = 0.15
ROUND_TRIP_S = 0.05
CLOSED_WORDS = frozenset({"venue_limited", "venue_banned"})
WATCHED_S = 3.0
PAST = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the venue says once, and how long (in seconds) that should close what."""

    name: str
    fault: dict[str, object]
    least_s: float
    most_s: float
    closes_all: bool = False


def limited(retry_after: str) -> dict[str, object]:
    """A 429."""
    return {"kind": "rate_limited", "retry_after": retry_after}


ORDERLY = (
    Refusal("429, 2 seconds", limited("2"), 1.9, 2.5),
    Refusal("429, a date", limited("date"), 0.9, 3.5),
    Refusal("429, nothing", limited("absent"), 0.9, 10),
    Refusal("429, absurd", limited("999999999"), 60, 3600),
    Refusal("429, in the past", limited(PAST), 0.9, 10),
    Refusal("429, negative", limited("-5"), 0.9, 10),
    Refusal("429, nonsense", limited("soon"), 0.9, 10),
    Refusal("418", {"kind": "banned"}, 60, 3600, closes_all=True),
    Refusal("403, a firewall's page", {"kind": "html", "status": 403, "applied": False}, 60, 3600, closes_all=True),
)
HASHKEY = (Refusal("400 with 0003", {"kind": "rate_limited"}, 50, 130),)


async def retry_after(_: float) -> Result:
    """429 with every form of Retry-After, 418 and a firewall's 403."""
    return await _played("gates", Setting(), ORDERLY)


async def hashkey(_: float) -> Result:
    """HashKey says 0003 with a status of 400."""
    return await _played("gates-hashkey", Setting(venue="hashkey", ban_status=400), HASHKEY)


async def _played(name: str, setting: Setting, refusals: tuple[Refusal, ...]) -> Result:
    result = Result(name, violations=0)
    async with scene(setting) as world:
        for refusal in refusals:
            await _one(world, refusal, result)
        verdict = await world.judge.verdict()
    result.violations = verdict.violations
    return result


@dataclass(frozen=True, slots=True)
class Watched:
    """What happened around one refusal. Times are monotonic seconds."""

    refused_at: float
    told: Tally
    others: Tally
    verdict: Verdict


async def _one(world: World, refusal: Refusal, result: Result) -> None:
    world.valkey.do("FLUSHALL")
    seen = await watched(world, refusal)
    closed = [one for one in seen.told.told if one.outcome in CLOSED_WORDS]
    if not closed:
        result.promise(
            f"{refusal.name}: callers are told that the venue has shut us out", seen.told.outcomes, kept=False
        )
        return
    wait_s = (closed[0].retry_after_ms or 0) / 1000
    opens_at = closed[0].at + wait_s
    right = refusal.least_s <= wait_s <= refusal.most_s
    result.promise(f"{refusal.name}: closed for {refusal.least_s:g} to {refusal.most_s:g} s", wait_s, kept=right)
    ours = "cancel_by_id" if world.setting.venue == "orderly" else "cancel_one"
    times = seen.verdict.times(ours)
    since = seen.refused_at + VENUE_TAKES_S + ROUND_TRIP_S
    early = sum(since < at < opens_at - ROUND_TRIP_S for at in times)
    result.promise(f"{refusal.name}: sends while it is closed", early, kept=early == 0)
    shown = [f"{at - seen.refused_at:+.2f}" for at in times if at > seen.refused_at]
    result.notes[f"{refusal.name}: sends after the refusal (s)"] = ", ".join(shown[:20])
    probes = sorted(at for at in times if at >= opens_at - ROUND_TRIP_S)
    if wait_s <= WATCHED_S:
        beside = sum(at < probes[0] + VENUE_TAKES_S for at in probes) if probes else 0
        result.promise(f"{refusal.name}: requests until the probe is answered", beside, kept=beside == 1)
    _judge_others(world, refusal, seen, result)
    degraded = world.degraded()
    if degraded:
        result.notes["Redis found missing"] = degraded


def _judge_others(world: World, refusal: Refusal, seen: Watched, result: Result) -> None:
    if world.setting.venue != "orderly":
        taken = [one for one in seen.others.taken() if one.at > seen.refused_at + VENUE_TAKES_S]
        result.promise(f"{refusal.name}: another account goes on", len(taken), kept=len(taken) >= 5)
        return
    since = seen.refused_at + VENUE_TAKES_S + ROUND_TRIP_S
    count = sum(since < at < since + 2 for at in seen.verdict.times("cancel_by_client_id"))
    if refusal.closes_all:
        result.promise(f"{refusal.name}: another account stays out as well", count, kept=count == 0)
    else:
        result.promise(f"{refusal.name}: another account goes on", count, kept=count >= 5)


async def watched(world: World, refusal: Refusal) -> Watched:
    venue = world.setting.venue
    first = Ask(venue)
    other = Ask(venue, account="desk-b", by="client_id" if venue == "orderly" else "order_id")
    mine, theirs = await orders(world, 600, first), await orders(world, 600, other)
    group = "cancel_by_id" if venue == "orderly" else "cancel_one"
    slow = {"kind": "latency", "endpoint": group, "account": "desk-a", "ms": int(VENUE_TAKES_S * 1000)}
    await world.judge.fault(slow)
    beside = 3 if venue == "orderly" else 0  # elsewhere the two accounts can't be told apart by what they ask for
    async with saturating(world, first, mine, each=8) as told, saturating(world, other, theirs, each=beside) as others:
        await asyncio.sleep(3.2)
        await world.judge.fault(slow, {"endpoint": group, "account": "desk-a", "times": 1} | refusal.fault)
        set_at = time.monotonic()
        await asyncio.sleep(VENUE_TAKES_S + 1.1 + WATCHED_S)
    verdict = await world.judge.verdict()
    if not beside:
        async with saturating(world, other, theirs, each=3) as others:
            await asyncio.sleep(2.5)
    await world.judge.fault()
    refused_at = min((at for at in verdict.times(group) if at >= set_at), default=set_at)
    return Watched(refused_at, told, others, verdict)
