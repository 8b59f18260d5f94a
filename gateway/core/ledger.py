"""Tokens that rest: a spent token comes back one whole window after it was spent.

A bucket holds N tokens at once, and no sliding window ever holds more than N sends, which a refilling bucket can't
say of itself (it lets almost 2N through). The Lua twin in `backends/lua/` decides for real; what stands here is its
reference, and the tests hold both to the same answers.

How one limit is remembered stands in ring.py, and for large ones in level.py; what of it is in force, in terms.py.
Some grants may lie ahead, as reserved slots. Lanes that may use less than N look at a newer entry of the same ring.

Time is the holder's own: the server's clock plus an offset, which makes it go on where the server's clock does not.
Where that stepped back, it goes on from the largest instant seen. Where it is further ahead than whoever asks can
explain (`synchronise`), it goes on from what he expected. Either way nothing is gained by a jump, and nothing freezes.
Whoever asks expects by his own monotonic clock. If he was stopped, that clock ran on or stood still, or his word was
long under way: then he expects too little, the holder's time falls behind by that much, once, and some slots come
late, none early. If he expects too much, or nothing, the check is void, and only a jump of the server's clock between
two of his own questions could gain one burst. A jump of less than JUMP_US looks like a slow answer and gains just that
much. Nothing about a holder expires, so no jump can make it be forgotten.

Whose epoch is missing has lost its data: from the moment this is noticed (`armed_us`) its windows count as full, and
`ahead` tokens per limit count as reserved by others and still to be sent.

The ring knows when a slot was given, the venue counts arrivals. A request that may have come later than the guard
covers is moved to where it may have come (`postpone`), and a slot that was reserved ahead of time is looked at once
more before it is used, since what it was built on may have moved (`confirm`). One that is not known then is not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.core import level, ring
from gateway.core.admission import Demand
from gateway.core.level import Level
from gateway.core.model import Account
from gateway.core.ring import Ring
from gateway.core.terms import LARGE_KEEP, Ceiling, Learned, Terms, learn, refresh, relaxed

HORIZON_US = 600_000_000
JUMP_US = 250_000
NOTHING_EXPECTED: Mapping[Account, int] = {}

Key = tuple[Account, str]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A holder's time: data from before `armed_us` is lost, `seen_us` is its largest instant."""

    armed_us: int
    seen_us: int
    offset_us: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that is remembered: an epoch per holder; a ring or a level, and what lowers it, per limit."""

    epochs: Mapping[Account, Epoch] = field(default_factory=dict)
    rings: Mapping[Key, Ring] = field(default_factory=dict)
    levels: Mapping[Key, Level] = field(default_factory=dict)
    ceilings: Mapping[Key, Ceiling] = field(default_factory=dict)
    learned: Mapping[Key, Learned] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot `wait_us` from now; `at_us` is its instant in the time of the first demand's holder."""

    at_us: int
    wait_us: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Denied:
    """No slot within the patience. Nothing was spent; a loss, a jump or a lower ceiling was noted."""

    wait_us: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A slot that went with lost data; so nobody knows either what became of those that it was built on.

    One that only newer ones have pushed out is none: where more replicas hold slots ahead than are remembered, nobody
    would ever get to use one.
    """


@dataclass(frozen=True, slots=True)
class Prospect:
    """How many tokens of one demand are free, and when a request of weight 1 could go."""

    free: int
    wait_us: int


def distinct(demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """The demands as they are; raises where one limit is charged twice, which would be counted once."""
    if len({_key(demand) for demand in demands}) < len(demands):
        raise ValueError("a limit is demanded twice in one request")
    return demands


def decide(
    ledger: Ledger, demands: tuple[Demand, ...], server_us: int, patience_us: int, ahead: int = 0
) -> Granted | Denied:
    """Take the next slot that all demands allow, if it lies within the patience; or take nothing."""
    ready = _refresh(arm(ledger, distinct(demands), server_us), demands, server_us)
    wait_us = _wait_of(ready, demands, server_us, ahead)
    if wait_us > min(patience_us, HORIZON_US):
        return Denied(wait_us, ready)
    at_us = _now(ready, demands[0].holder, server_us) + wait_us
    return Granted(at_us, wait_us, _spend(ready, demands, server_us, wait_us, ahead))


def synchronise(
    ledger: Ledger, demands: tuple[Demand, ...], server_us: int, expected: Mapping[Account, int] = NOTHING_EXPECTED
) -> Ledger:
    """Let each holder's time go on steadily where the server's clock jumped: by what was seen, and is expected."""
    epochs = dict(ledger.epochs)
    for holder in {demand.holder for demand in demands} & epochs.keys():
        now_us, limit_us = _now(ledger, holder, server_us), expected.get(holder, 0)
        if 0 < limit_us < now_us - JUMP_US:
            now_us = max(limit_us, epochs[holder].seen_us)
        if now_us != server_us + epochs[holder].offset_us:
            epochs[holder] = replace(epochs[holder], seen_us=now_us, offset_us=now_us - server_us)
    return replace(ledger, epochs=epochs)


def arm(ledger: Ledger, demands: tuple[Demand, ...], server_us: int) -> Ledger:
    """Begin a new epoch for each holder that lost its own, or whose limits hold what can't be a grant."""
    ledger = synchronise(ledger, demands, server_us)
    lost = {demand.holder for demand in demands if not _sound(ledger, demand, server_us)}
    if not lost:
        return ledger
    epochs = dict(ledger.epochs)
    for holder in lost:
        now_us = _now(ledger, holder, server_us)
        epochs[holder] = Epoch(now_us, now_us, now_us - server_us)
    asked = {_key(demand) for demand in demands}
    return Ledger(
        epochs,
        {key: kept for key, kept in ledger.rings.items() if key[0] not in lost},
        {key: kept for key, kept in ledger.levels.items() if key[0] not in lost},
        {key: kept for key, kept in ledger.ceilings.items() if key[0] not in lost or key in asked},
        {key: kept for key, kept in ledger.learned.items() if key[0] not in lost or key in asked},
    )


def outlook(ledger: Ledger, demands: tuple[Demand, ...], server_us: int, ahead: int = 0) -> tuple[Prospect, ...]:
    """Look at each demand by itself, without taking."""
    armed = arm(ledger, demands, server_us)
    return tuple(_prospect(armed, replace(demand, weight=1), server_us, ahead) for demand in demands)


def give_back(ledger: Ledger, demands: tuple[Demand, ...], at_us: int, server_us: int) -> Ledger | None:
    """Undo a grant that was not used; None where a limit does not remember it any more."""
    if any(not _sound(ledger, demand, server_us) for demand in demands):
        return None
    first_us = _now(ledger, demands[0].holder, server_us)
    rings, levels = dict(ledger.rings), dict(ledger.levels)
    for demand in demands:
        instant_us = at_us - first_us + _now(ledger, demand.holder, server_us)
        terms, key = _terms(ledger, demand, server_us), _key(demand)
        if terms.large:
            lower = level.undo(levels.get(key), instant_us)
            if lower is None:
                return None
            levels[key] = lower
        else:
            left = ring.undo(rings.get(key, ()), terms, instant_us)
            if left is None:
                return None
            rings[key] = left
    return replace(ledger, rings=rings, levels=levels)


def postpone(ledger: Ledger, demands: tuple[Demand, ...], at_us: int, late_us: int, server_us: int) -> Ledger:
    """Let a grant count from a later instant on, since the venue may have counted it only then.

    `late_us` is in the time of the first demand's holder, like `at_us`, and never lies ahead. A grant that went with
    lost data came all the same: it is written down anew. Where all is lost the ledger itself comes back: whoever
    begins anew does so later than that.
    """
    first_us = _now(ledger, demands[0].holder, server_us)
    by_us = min(late_us, first_us) - at_us
    if by_us <= 0:
        return ledger
    rings, levels = dict[Key, Ring](), dict[Key, Level]()
    for demand in demands:
        if not _sound(ledger, demand, server_us):
            continue
        instant_us = at_us - first_us + _now(ledger, demand.holder, server_us)
        terms, key = _terms(ledger, demand, server_us), _key(demand)
        if terms.large:
            known = ledger.levels.get(key)
            levels[key] = (
                level.spend(None, terms, instant_us + by_us)
                if known is None
                else level.postpone(known, terms, instant_us, instant_us + by_us)
            )
        else:
            entries = ledger.rings.get(key, ())
            moved = ring.postpone(entries, demand.weight, instant_us, instant_us + by_us)
            rings[key] = moved or ring.spend(entries, demand.weight, instant_us + by_us, demand.keep)
    if not rings and not levels:
        return ledger
    return replace(ledger, rings={**ledger.rings, **rings}, levels={**ledger.levels, **levels})


def confirm(
    ledger: Ledger, demands: tuple[Demand, ...], at_us: int, server_us: int, ahead: int = 0
) -> Granted | Forgotten | None:
    """Look once more at a slot that lies ahead: None where it may stay, else what it is exchanged for."""
    return _exchange(ledger, demands, at_us, server_us, ahead, if_it_holds=False)


def exchange(
    ledger: Ledger, demands: tuple[Demand, ...], at_us: int, server_us: int, ahead: int = 0
) -> Granted | Forgotten | None:
    """A slot that was missed for the next one."""
    return _exchange(ledger, demands, at_us, server_us, ahead, if_it_holds=True)


def _exchange(
    ledger: Ledger, demands: tuple[Demand, ...], at_us: int, server_us: int, ahead: int, *, if_it_holds: bool
) -> Granted | Forgotten | None:
    steady = synchronise(ledger, demands, server_us)
    if any(not _sound(steady, demand, server_us) for demand in demands):
        return Forgotten()
    first_us = _now(steady, demands[0].holder, server_us)
    rings, levels = dict(steady.rings), dict(steady.levels)
    stays = not if_it_holds
    for demand in demands:
        instant_us = at_us - first_us + _now(steady, demand.holder, server_us)
        terms, key = _terms(steady, demand, server_us), _key(demand)
        if terms.large:
            levels |= {key: lower} if (lower := level.undo(levels.get(key), instant_us)) else {}
            continue
        entries = rings.get(key, ())
        stays = stays and ring.holds(entries, terms, instant_us)
        if (left := ring.undo(entries, terms, instant_us)) is None:
            return None if ring.pushed_out(entries, terms, instant_us) else Forgotten()
        rings[key] = left
    if stays:
        return None
    ready = _refresh(replace(steady, rings=rings, levels=levels), demands, server_us)
    wait_us = 0 if if_it_holds else max(0, at_us - first_us)
    while (longer_us := max(_soonest(ready, demand, server_us, wait_us, ahead) for demand in demands)) > wait_us:
        wait_us = longer_us
    return Granted(first_us + wait_us, wait_us, _spend(ready, demands, server_us, wait_us, ahead))


def tighten(ledger: Ledger, demand: Demand, stated: int | None, server_us: int) -> tuple[Ledger, int]:
    """Learn from a venue's answer (terms.py), where the data is whole; and how many tokens are in force now."""
    if not _sound(ledger, demand, server_us):
        return ledger, demand.keep
    now_us, key = _now(ledger, demand.holder, server_us), _key(demand)
    keep, window_us = _lowest(ledger, demand, now_us)
    lesson = learn(ledger.learned.get(key), keep, window_us, stated, now_us)
    return replace(ledger, learned={**ledger.learned, key: lesson}), relaxed(lesson, keep, now_us)


def _key(demand: Demand) -> Key:
    return demand.holder, demand.limit


def _now(ledger: Ledger, holder: Account, server_us: int) -> int:
    epoch = ledger.epochs.get(holder)
    return server_us if epoch is None else max(server_us + epoch.offset_us, epoch.seen_us)


def _lowest(ledger: Ledger, demand: Demand, now_us: int) -> tuple[int, int]:
    """The fewest tokens and the longest window that any replica is configured with."""
    ceiling, tokens, window_us = ledger.ceilings.get(_key(demand)), demand.keep, demand.window_us
    if ceiling is not None and now_us < ceiling.tokens_until_us:
        tokens = min(tokens, ceiling.tokens)
    if ceiling is not None and now_us < ceiling.window_until_us:
        window_us = max(window_us, ceiling.window_us)
    return tokens, window_us


def _terms(ledger: Ledger, demand: Demand, server_us: int, ahead: int = 0) -> Terms:
    """A weight above the tokens in force still has to go some day; it never takes more than the configuration says."""
    now_us = _now(ledger, demand.holder, server_us)
    lowest, window_us = _lowest(ledger, demand, now_us)
    left = relaxed(ledger.learned.get(_key(demand)), lowest, now_us)
    keep = min(demand.keep, max(left, demand.weight))
    epoch = ledger.epochs.get(demand.holder)
    return Terms(
        tokens=max(demand.weight, keep - (demand.keep - demand.tokens)),
        keep=keep,
        window_us=window_us,
        weight=demand.weight,
        armed_us=now_us if epoch is None else epoch.armed_us,
        ahead=ahead,
        large=lowest > LARGE_KEEP,
    )


def _sound(ledger: Ledger, demand: Demand, server_us: int) -> bool:
    """Whether what is remembered can be true, and is of the kind that the terms ask for."""
    now_us = _now(ledger, demand.holder, server_us)
    latest_us, large = now_us + HORIZON_US, _lowest(ledger, demand, now_us)[0] > LARGE_KEEP
    if demand.holder not in ledger.epochs or (ledger.rings if large else ledger.levels).get(_key(demand)):
        return False
    known = ledger.levels.get(_key(demand))
    if known is not None:
        return known.last_us <= latest_us
    return all(entry <= latest_us for entry in ledger.rings.get(_key(demand), ())[:1])


def _refresh(ledger: Ledger, demands: tuple[Demand, ...], server_us: int) -> Ledger:
    ceilings = dict(ledger.ceilings)
    for demand in demands:
        now_us = _now(ledger, demand.holder, server_us)
        ceilings[_key(demand)] = refresh(ceilings.get(_key(demand)), demand.keep, demand.window_us, now_us)
    return replace(ledger, ceilings=ceilings)


def _wait_of(ledger: Ledger, demands: tuple[Demand, ...], server_us: int, ahead: int) -> int:
    """Nothing where every demand has a token now, also in front of slots that are reserved; else until all have one."""
    if all(_rests_now(ledger, demand, server_us, ahead) for demand in demands):
        return 0
    return max(_wait(ledger, demand, server_us, ahead) for demand in demands)


def _rests_now(ledger: Ledger, demand: Demand, server_us: int, ahead: int) -> bool:
    if _wait(ledger, demand, server_us, ahead) == 0:
        return True
    terms = _terms(ledger, demand, server_us, ahead)
    entries = ledger.rings.get(_key(demand), ())
    return not terms.large and ring.fits(entries, terms, _now(ledger, demand.holder, server_us))


def _wait(ledger: Ledger, demand: Demand, server_us: int, ahead: int) -> int:
    terms = _terms(ledger, demand, server_us, ahead)
    if terms.large:
        rested_us = level.earliest(ledger.levels.get(_key(demand)), terms)
    else:
        rested_us = ring.earliest(ledger.rings.get(_key(demand), ()), terms)
    return max(0, rested_us - _now(ledger, demand.holder, server_us))


def _soonest(ledger: Ledger, demand: Demand, server_us: int, wait_us: int, ahead: int) -> int:
    """How long a slot that has to move waits under one demand, if it waits so long already."""
    terms, now_us = _terms(ledger, demand, server_us, ahead), _now(ledger, demand.holder, server_us)
    if terms.large:
        return max(wait_us, level.earliest(ledger.levels.get(_key(demand)), terms) - now_us)
    return ring.soonest(ledger.rings.get(_key(demand), ()), terms, now_us + wait_us) - now_us


def _spend(ledger: Ledger, demands: tuple[Demand, ...], server_us: int, wait_us: int, ahead: int) -> Ledger:
    epochs, rings, levels = dict(ledger.epochs), dict(ledger.rings), dict(ledger.levels)
    for demand in demands:
        now_us, key = _now(ledger, demand.holder, server_us), _key(demand)
        epochs[demand.holder] = replace(ledger.epochs[demand.holder], seen_us=now_us, offset_us=now_us - server_us)
        terms = _terms(ledger, demand, server_us, ahead)
        if terms.large:
            levels[key] = level.spend(levels.get(key), terms, now_us + wait_us)
        else:
            rings[key] = ring.spend(rings.get(key, ()), demand.weight, now_us + wait_us, demand.keep)
    return replace(ledger, epochs=epochs, rings=rings, levels=levels)


def _prospect(ledger: Ledger, unit: Demand, server_us: int, ahead: int) -> Prospect:
    now_us, terms = _now(ledger, unit.holder, server_us), _terms(ledger, unit, server_us, ahead)
    if terms.large:
        free = level.free(ledger.levels.get(_key(unit)), terms, now_us)
    else:
        free = ring.free(ledger.rings.get(_key(unit), ()), terms, now_us)
    return Prospect(free, _wait_of(ledger, (unit,), server_us, ahead))
