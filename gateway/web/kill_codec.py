"""A kill's query, headers and answers. Pure, as codec.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import orjson

from gateway.core.access import is_name
from gateway.core.model import Wait
from gateway.core.outcome import MEANINGS, Outcome
from gateway.core.tally import SHOWN_MOST, Called, Kill, Tally
from gateway.web.codec import (
    JSON,
    PROBLEM,
    SUCCESS_BELOW,
    Refused,
    Spoken,
    key_of,
    problem,
    query,
    rfc3339,
    shown,
    timeout_ms_of,
    waiting_helps,
)

KILL_QUERY = {"account": (), "symbol": (), "plan": ("true", "false"), "wait": tuple(Wait)}
# A kill that queues takes longer than one cancel, and nobody is served by giving it up early.
KILL_TIMEOUT_MS = 30_000
NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class KillWish:
    """What a kill's query and headers say, valid but not yet held against a venue."""

    account: str | None
    symbol: str | None
    plan: bool
    wait: Wait
    key: str | None
    timeout_ms: int


def kill_wish(raw_query: str, headers: Mapping[str, str]) -> KillWish:
    """Everything beside the path; raises Refused at the first thing that cannot be."""
    said = query(raw_query, KILL_QUERY)
    account = said.get("account")
    if account is not None and not is_name(account):
        raise Refused(Outcome.INVALID_REQUEST, f"account {shown(account)} is not a name")
    return KillWish(
        account,
        said.get("symbol"),
        said.get("plan") == "true",
        Wait(said.get("wait", Wait.TERMINAL)),
        key_of(headers.get("Idempotency-Key")),
        timeout_ms_of(headers.get("X-Request-Timeout-Ms"), KILL_TIMEOUT_MS),
    )


def kill_status(outcome: Outcome) -> int:
    """As for any outcome; but a venue that offers nothing against what is open is not the caller's mistake."""
    return NOT_IMPLEMENTED if outcome is Outcome.INVALID_REQUEST else MEANINGS[outcome].status


def kill_body(kill: Kill, tally: Tally, now_ms: int) -> bytes:
    """What came of a kill as JSON; a problem where it is no success."""
    members: dict[str, object] = {
        "outcome": tally.outcome,
        "final": tally.proven,
        "venue": kill.account.venue,
        "account": kill.account.name,
        "symbol": kill.symbol,
        "proven": tally.proven,
        "open_before": tally.open_before,
        "open_after": tally.open_after,
        "left": tally.left,
        "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
        "requests": tally.requests,
        "rounds": tally.rounds,
        "note": tally.note,
        "record": f"/cancels/{tally.record}" if tally.record else None,
        "request_id": kill.request_id,
        "degraded": tally.degraded,
    }
    if (status := kill_status(tally.outcome)) >= SUCCESS_BELOW:
        members = problem(tally.outcome, tally.detail, kill.request_id) | {"status": status} | members
    elif tally.detail is not None:
        members["detail"] = tally.detail
    return orjson.dumps(members | waiting_helps(tally.retry_after_ms, now_ms))


def respond_to_kill(kill: Kill, tally: Tally, now_ms: int) -> Spoken:
    """The whole HTTP answer."""
    status = kill_status(tally.outcome)
    headers: dict[str, str] = {}
    if tally.outcome is Outcome.ACCEPTED and tally.record:
        headers["Location"] = f"/cancels/{tally.record}"
    if tally.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-tally.retry_after_ms // 1000)))
    if tally.body is not None:
        headers["Idempotency-Replayed"] = "true"
    body = tally.body if tally.body is not None else kill_body(kill, tally, now_ms)
    return Spoken(status, body, JSON if status < SUCCESS_BELOW else PROBLEM, headers)


def kill_plan_body(kill: Kill, planned: Called, now_ms: int) -> bytes:
    """What a kill would do; only the list has been read."""
    orders = planned.open_orders
    return orjson.dumps(
        {
            "plan": True,
            "would": planned.would or "send",
            "venue": kill.account.venue,
            "account": kill.account.name,
            "symbol": kill.symbol,
            "lane": "kill",
            "strategy": planned.strategy,
            "open": None if orders is None else len(orders),
            "orders": [order.value for order in orders or ()][:SHOWN_MOST],
            "requests": planned.requests,
            "calls": [
                {"method": call.method, "url": call.url, "headers": dict(call.headers)} for call in planned.shown
            ],
            "slot": {
                "wait_ms": round(planned.wait_ms, 3),
                "takes_ms": round(planned.takes_ms, 3),
                "earliest_at": rfc3339(now_ms + ceil(planned.wait_ms)),
                "free": planned.free,
            },
            "note": planned.note,
            "request_id": kill.request_id,
        }
    )
