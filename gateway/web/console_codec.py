"""What the console is told, as server-sent events: values in, bytes out. Each caller sees what it may reach."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.core.access import Caller, Permission
from gateway.core.idempotency import RecordId, made_ms
from gateway.core.model import Account, VenueId
from gateway.core.tally import Kill, Tally
from gateway.lookout import Sight
from gateway.recent import Past


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and what of it all is shown."""

    caller: Caller

    def may_look(self) -> bool:
        """Whether anything is shown at all."""
        return self.caller.may(Permission.READ) or self.is_admin

    @property
    def is_admin(self) -> bool:
        """Who sees everything."""
        return self.caller.may(Permission.ADMIN)

    def sees(self, account: Account) -> bool:
        """Whether this account is shown."""
        return self.is_admin or self.caller.reaches(account)

    def sees_past(self, line: Mapping[str, object]) -> bool:
        """Whether this cancel is shown: its account is reached, or it is the viewer's own."""
        if self.is_admin or line.get("caller") == self.caller.name:
            return True
        venue, name = line.get("venue"), line.get("account")
        return isinstance(venue, str) and isinstance(name, str) and self.sees(Account(VenueId(venue), name))

    def may_kill(self, account: Account) -> bool:
        """Whether the kill switch is offered."""
        return self.caller.may(Permission.KILL) and self.caller.reaches(account)


def event(name: str, data: object) -> bytes:
    """One event; JSON has no line ends."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def hello(viewer: Viewer, version: str, now_ms: int) -> bytes:
    """Who is looking, at what, and with which rights."""
    said = {
        "caller": viewer.caller.name,
        "permissions": sorted(viewer.caller.permissions),
        "version": version,
        "now_ms": now_ms,
    }
    return event("hello", said)


def standing(viewer: Viewer, seen: Iterable[Sight], at_ms: int, now_ms: int, *, draining: bool) -> bytes:
    """Every account as it stood at the last look, which was at `at_ms`."""
    shown = [sight for sight in seen if viewer.sees(sight.account)]
    venues = [
        {**sight.state, "may_kill": viewer.may_kill(sight.account), "unknown": _unknown(sight)} for sight in shown
    ]
    return event("state", {"at_ms": at_ms, "now_ms": now_ms, "draining": draining, "venues": venues})


def _unknown(sight: Sight) -> dict[str, object] | None:
    if sight.ends is None:
        return None
    return {
        "count": sight.ends.count,
        "oldest": [_open_end(record, ref) for record, ref in sight.ends.oldest],
    }


def _open_end(record: RecordId, ref: str) -> dict[str, object]:
    return {"record": str(record), "ref": ref, "since_ms": made_ms(record.ulid)}


def recent(viewer: Viewer, past: Sequence[Past], missed: int) -> bytes:
    """Cancels that were answered since the last time; `missed` were forgotten before this viewer read them."""
    shown = [
        {
            "number": each.number,
            "at_ms": each.at_ms,
            "event": each.event,
            "own": viewer.is_admin or each.line.get("caller") == viewer.caller.name,
            **each.line,
        }
        for each in past
        if viewer.sees_past(each.line)
    ]
    return event("recent", {"cancels": shown, "missed": missed}) if shown or missed else b""


def kills(viewer: Viewer, under_way: Iterable[tuple[Kill, Tally]]) -> bytes:
    """How far the kills came that are at work now."""
    shown = [_kill(kill, tally) for kill, tally in under_way if viewer.sees(kill.account)]
    return event("kills", {"kills": shown})


def _kill(kill: Kill, tally: Tally) -> dict[str, object]:
    return {
        "request_id": kill.request_id,
        "venue": kill.account.venue,
        "account": kill.account.name,
        "symbol": kill.symbol,
        "caller": kill.caller,
        "open_before": tally.open_before,
        "open_after": tally.open_after,
        "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
        "requests": tally.requests,
        "rounds": tally.rounds,
    }
