"""Squares what callers were told with the venues' books, the records and the trails. Pure.

A flush, a kill or a failover of the store takes records away, and the last moments of a trail with them: what that may
honestly have lost is counted apart. It excuses nothing else: an answer that was given must be true all the same.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.soak.load import DEFINITE, GONE_404, NO_ANSWER, READS_BY_CANCELLING, Call, Look, Wish
from bench.soak.scene import TTL_S
from bench.soak.store import Loss
from gateway.core.idempotency import made_ms, parse_record_id

MEANS: Mapping[str, frozenset[str]] = {
    "cancelled": frozenset({"cancelled"}),
    "already_cancelled": frozenset({"cancelled"}),
    "too_late_filled": frozenset({"filled"}),
    "not_found": frozenset(),  # every order is on the book
    "closed": frozenset({"cancelled", "filled"}),
}
PROMISES_NOTHING = frozenset({"unknown", "in_progress", NO_ANSWER})
BUGS = frozenset({"internal", "invalid_request", "ambiguous_ref", "unauthenticated", "forbidden", "unknown_venue",
                  "unknown_account", "key_reused"})  # fmt: skip
LINGER_MS = 1500
"""A trail is written a tenth of a second later, and on a busy machine later than that."""
AFTER_TROUBLE_MS = 3000
EXPIRED_MS = TTL_S * 1000 - 2000


@dataclass(frozen=True, slots=True)
class Truth:
    """An order as its venue has it: how it stands and since when, and how often its cancel was asked for."""

    status: str
    changed_ms: int
    pending: bool
    asked: int


@dataclass(frozen=True, slots=True)
class Excuses:
    """When something could be lost: by the store, while it was away, and with a gateway that ended."""

    losses: Sequence[Loss]
    troubles: Sequence[tuple[int, int]]
    ends_ms: Sequence[int]

    def lost(self, since_ms: int, until_ms: int) -> bool:
        """Whether a loss may have taken what was written between these moments."""
        return any(loss.since_ms <= until_ms and loss.until_ms >= since_ms for loss in self.losses)

    def record_lost(self, call: Call) -> bool:
        """Whether a loss may have taken what this call wrote."""
        return self.lost(call.began_ms, call.ended_ms)

    def in_trouble(self, call: Call) -> bool:
        """Whether it was made while the store was away, or just after."""
        return any(
            began <= call.ended_ms and ended + AFTER_TROUBLE_MS >= call.began_ms for began, ended in self.troubles
        )

    def trail_lost(self, since_ms: int, until_ms: int) -> bool:
        """Whether something decided between these moments may never have been written."""
        lost_at = [loss.until_ms for loss in self.losses] + [self._waiting_since(at) for at in self.ends_ms]
        ends = [loss.until_ms for loss in self.losses] + list(self.ends_ms)
        return any(
            begin - LINGER_MS <= until_ms and end + LINGER_MS >= since_ms
            for begin, end in zip(lost_at, ends, strict=True)
        )

    def _waiting_since(self, end_ms: int) -> int:
        """What a gateway that ended then had not written: more than a moment's where the store was away."""
        away = [began for began, ended in self.troubles if began <= end_ms <= ended + AFTER_TROUBLE_MS]
        return min([end_ms, *away])


@dataclass(slots=True)
class Trail:
    """What the trails say: outcomes by record, and how often a cancel left for an order."""

    settled: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    remembered: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> "Trail":
        """Read them all."""
        trail = cls()
        for entry in entries:
            match entry:
                case {"is": "settle", "record": str(record), "outcome": str(outcome)}:
                    trail.settled[record].add(outcome)
                case {"is": "send", "op": str(op), "venue": str(venue), "orders": list(orders), **more}:
                    asks = op in {"cancel", "batch"} or venue in READS_BY_CANCELLING
                    if asks and more.get("left", True):
                        trail.left.update((venue, str(order[1])) for order in orders)
                case {"is": "claim", "claim": "gone", "venue": str(venue), "orders": [[_, str(ref), *_]]}:
                    trail.remembered.add((venue, ref))
                case _:
                    pass
        return trail


@dataclass(slots=True)
class Squared:
    """What does not fit, each with its story; and what was counted apart."""

    false_ends: list[str] = field(default_factory=list)
    false_failures: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    false_records: list[str] = field(default_factory=list)
    records_missing: list[str] = field(default_factory=list)
    sent_blindly: list[str] = field(default_factory=list)
    outcomes_untold: list[str] = field(default_factory=list)
    sends_untold: list[str] = field(default_factory=list)
    apart: Counter[str] = field(default_factory=Counter)


def squared(wishes: Iterable[Wish], books: Mapping[tuple[str, str], Truth], trail: Trail, excuses: Excuses) -> Squared:
    """Everything."""
    found = Squared()
    for wish in wishes:
        truth = books[wish.venue, wish.order_id]
        story = f"{wish.venue} {wish.order_id} is {truth}: {wish.calls} {list(wish.looks.values())}"
        _hear(found, wish, truth, story)
        _look(found, wish, truth, excuses, story)
        _count_sends(found, wish, truth, excuses, story)
        _read_trail(found, wish, truth, trail, excuses, story)
    return found


def _hear(found: Squared, wish: Wish, truth: Truth, story: str) -> None:
    """What its caller was told must have been so."""
    for call in wish.calls:
        if call.outcome in BUGS:
            found.bugs.append(f"{call.outcome} to {story}")
        if call.outcome in MEANS and not _was_so(call, truth):
            found.false_ends.append(f"{call.outcome} at {call.ended_ms} to {story}")
    if not wish.leaves and not wish.answered:
        found.unanswered.append(story)
    if wish.answered and wish.calls[-1].outcome == "accepted" and truth.asked == 0:
        found.false_ends.append(f"accepted, and the venue never heard of it: {story}")
    if (told := _refused_falsely(wish, truth)) is not None:
        by_another = any(look.outcome in MEANS or look.state == "acknowledged" for look in wish.looks.values())
        kind = found.overtaken if by_another else found.false_failures
        kind.append(f"{told.outcome} at {told.ended_ms} to {story}")


def _was_so(call: Call, truth: Truth) -> bool:
    """Whether the order stood so when it was told. Nothing here changes an order again that is gone."""
    return truth.status in MEANS[call.outcome] and truth.changed_ms <= call.ended_ms + 1


def _refused_falsely(wish: Wish, truth: Truth) -> Call | None:
    """A refusal after which, or during which, the order was cancelled all the same, and for this caller alone."""
    refusals = []
    for call in wish.calls:
        if call.outcome in PROMISES_NOTHING or (call.outcome in DEFINITE and call.outcome != "rejected"):
            break
        refusals.append(call)
    if not refusals or not _touched(truth):
        return None
    during = [call for call in refusals if truth.changed_ms <= call.ended_ms]
    return next(iter(during), refusals[-1] if len(refusals) == len(wish.calls) else None)


def _touched(truth: Truth) -> bool:
    return truth.status == "cancelled" or truth.pending


def _look(found: Squared, wish: Wish, truth: Truth, excuses: Excuses, story: str) -> None:
    """What its records say in the end."""
    for record, look in wish.looks.items():
        calls = [call for call in wish.calls if call.record == record]
        if look.status == GONE_404:
            _missing(found, (record, look, calls), excuses, f"{wish.number}: {record} of {story}")
        elif look.outcome in MEANS and truth.status not in MEANS[look.outcome]:
            found.false_records.append(f"{record} of {story}")
        elif look.state in {"terminal", "acknowledged", "refused"}:
            found.apart["records known"] += 1
        elif look.state == "unknown" and (not _touched(truth) or look.at_ms < truth.changed_ms):
            found.apart["records unknown, and the order is open: the cancel got lost"] += 1
        else:
            found.unresolved.append(f"{record} of {story}")


def _missing(found: Squared, what: tuple[str, Look, list[Call]], excuses: Excuses, story: str) -> None:
    record, look, calls = what
    born_ms = made_ms(_ulid(record))
    if excuses.lost(born_ms, look.at_ms):
        found.apart["records that a loss took"] += 1
    elif look.at_ms - born_ms > EXPIRED_MS:
        found.apart["records that had expired"] += 1
    elif any(call.degraded or excuses.in_trouble(call) for call in calls):
        found.apart["records of cancels made without the store"] += 1
    elif all(call.outcome not in DEFINITE | PROMISES_NOTHING for call in calls):
        found.apart["refusals, which are not kept"] += 1
    else:
        found.records_missing.append(story)


def _count_sends(found: Squared, wish: Wish, truth: Truth, excuses: Excuses, story: str) -> None:
    """An order is asked for again only where an answer says so, its caller did so, or what was known was lost."""
    attempts = max([1, *(call.attempts for call in wish.calls), *(look.attempts for look in wish.looks.values())])
    in_doubt = sum(call.outcome in PROMISES_NOTHING or call.outcome not in DEFINITE for call in wish.calls)
    if truth.asked <= attempts + in_doubt:
        return
    if wish.venue in READS_BY_CANCELLING:
        found.apart["orders that were looked at by asking again"] += 1
        return
    if any(excuses.record_lost(call) or excuses.in_trouble(call) for call in wish.calls):
        found.apart["orders asked for again after a loss"] += 1
    else:
        found.sent_blindly.append(story)


def _read_trail(found: Squared, wish: Wish, truth: Truth, trail: Trail, excuses: Excuses, story: str) -> None:
    """Every outcome that was told, and every cancel that a venue saw, stands in a trail."""
    began, ended = wish.calls[0].began_ms, max(_last_moment(wish), truth.changed_ms)
    excused = excuses.trail_lost(began, ended)
    refs = {(wish.venue, wish.order_id), (wish.venue, wish.client_id or "")}
    for call in wish.calls:
        if call.record and call.outcome in DEFINITE and call.outcome not in trail.settled[_ulid(call.record)]:
            if call.outcome == "already_cancelled" and call.attempts == 0 and refs & trail.remembered:
                found.apart["answers out of memory, in the trail as claims"] += 1
            elif call.replayed or excused:
                found.apart["outcomes whose place in the trail was lost"] += 1
            else:
                found.outcomes_untold.append(f"{call.record} {call.outcome}: {story}")
    left = sum(trail.left[ref] for ref in refs)
    if truth.asked > left:
        if excused:
            found.apart["sends whose place in the trail was lost"] += 1
        else:
            found.sends_untold.append(f"{truth.asked} asked, {left} in the trail: {story}")


def _last_moment(wish: Wish) -> int:
    looks: list[Look] = list(wish.looks.values())
    return max([wish.calls[-1].ended_ms, *(look.at_ms for look in looks)])


def _ulid(record: str) -> str:
    """The ULID in `/cancels/ULID.venue.account`."""
    parsed = parse_record_id(record.rpartition("/")[2])
    return "" if parsed is None else parsed.ulid
