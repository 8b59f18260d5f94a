"""HTTP's text to values and back. Pure; nothing here touches a socket, a clock or a log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from urllib.parse import unquote_to_bytes

import orjson

from gateway.core.access import is_name
from gateway.core.answer import Answer, Asked, Planned, Standing
from gateway.core.idempotency import Record
from gateway.core.model import By, Wait
from gateway.core.outcome import MEANINGS, Outcome
from gateway.core.value import quick

TIMEOUT_DEFAULT_MS, TIMEOUT_MOST_MS = 5000, 60_000
REF_MOST, QUERY_MOST = 512, 2048
KEY = re.compile(r'"([\x21-\x7e]{1,255})"|((?!")[\x21-\x7e]{0,254}[\x21\x23-\x7e])')
REQUEST_ID = re.compile(r"[A-Za-z0-9._:~+/=-]{1,128}")
DIGITS = re.compile(r"[0-9]{1,6}")
URGENCY = re.compile(r"(?:^|,)[ \t]*u=([0-7])[ \t]*(?:;[^,]*)?(?=,|$)")
LEAST_URGENT_OF_THE_URGENT = 2
QUERY = {"by": tuple(By), "account": (), "symbol": (), "wait": tuple(Wait), "plan": ("true", "false")}

JSON, PROBLEM = "application/json", "application/problem+json"
SUCCESS_BELOW = 300


class Refused(Exception):  # noqa: N818  a caller's request is refused; nothing went wrong here
    """The request is not one that can be worked on; nothing was touched."""

    def __init__(
        self, outcome: Outcome, detail: str, retry_after_ms: int | None = None, status: int | None = None
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.status = status


@quick
@dataclass(frozen=True, slots=True)
class Wish:
    """What a cancel's query and headers say, valid but not yet held against a venue."""

    by: By | None = None
    account: str | None = None
    symbol: str | None = None
    wait: Wait = Wait.ACK
    plan: bool = False
    key: str | None = None
    timeout_ms: int = TIMEOUT_DEFAULT_MS
    urgent: bool = False


def segment(raw: str, name: str) -> str:
    """One path segment, unescaped exactly once; what that brings to light is the venue's alphabet to refuse."""
    if len(raw) > REF_MOST:
        raise Refused(Outcome.INVALID_REQUEST, f"{name} is longer than {REF_MOST} characters")
    if "%" not in raw and raw.isascii():
        return raw
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise Refused(Outcome.INVALID_REQUEST, f"{name} is not UTF-8") from None


def query(raw: str, allowed: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The query as unique, known parameters with values that may stand there."""
    if len(raw) > QUERY_MOST:
        raise Refused(Outcome.INVALID_REQUEST, f"the query is longer than {QUERY_MOST} characters")
    found: dict[str, str] = {}
    for pair in filter(None, raw.split("&")):
        name, _, value = (segment(part.replace("+", " "), "a query parameter") for part in _split(pair))
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise Refused(Outcome.INVALID_REQUEST, f"unknown query parameter {shown(name)}; known: {known}")
        if name in found:
            raise Refused(Outcome.INVALID_REQUEST, f"query parameter {name} stands there twice")
        if allowed[name] and value not in allowed[name]:
            choices = ", ".join(allowed[name])
            raise Refused(Outcome.INVALID_REQUEST, f"{name} must be one of {choices}, not {shown(value)}")
        found[name] = value
    return found


def _split(pair: str) -> tuple[str, str, str]:
    name, equals, value = pair.partition("=")
    return name, equals, value


def shown(text: str) -> str:
    """A caller's text as it may stand in a message: quoted, plain ASCII, short."""
    return ascii(text[:64])


def wish(raw_query: str, headers: Mapping[str, str]) -> Wish:
    """Everything beside the path; raises Refused at the first thing that cannot be."""
    said = _asked_by(raw_query)
    key, timeout, priority = (
        headers.get("Idempotency-Key"),
        headers.get("X-Request-Timeout-Ms"),
        headers.get("Priority"),
    )
    if key is None and timeout is None and priority is None:
        return said
    return replace(said, key=key_of(key), timeout_ms=timeout_ms_of(timeout), urgent=_urgent(priority))


@lru_cache(maxsize=1024)
def _asked_by(raw_query: str) -> Wish:
    """What a query alone says; most callers say one of a few."""
    said = query(raw_query, QUERY)
    account = said.get("account")
    if account is not None and not is_name(account):
        raise Refused(Outcome.INVALID_REQUEST, f"account {shown(account)} is not a name")
    return Wish(
        by=By(said["by"]) if "by" in said else None,
        account=account,
        symbol=said.get("symbol"),
        wait=Wait(said.get("wait", Wait.ACK)),
        plan=said.get("plan") == "true",
    )


def key_of(stated: str | None) -> str | None:
    """An Idempotency-Key, with or without the quotes of a structured string."""
    if stated is None:
        return None
    match = KEY.fullmatch(stated)
    if match is None:
        raise Refused(Outcome.INVALID_REQUEST, "Idempotency-Key must be 1 to 255 visible ASCII characters")
    return match[1] or match[2]


def timeout_ms_of(stated: str | None, default_ms: int = TIMEOUT_DEFAULT_MS) -> int:
    """How long the answer is of use."""
    if stated is None:
        return default_ms
    if not DIGITS.fullmatch(stated) or not 1 <= int(stated) <= TIMEOUT_MOST_MS:
        raise Refused(Outcome.INVALID_REQUEST, f"X-Request-Timeout-Ms must be 1 to {TIMEOUT_MOST_MS}")
    return int(stated)


def _urgent(stated: str | None) -> bool:
    """RFC 9218 tells servers to ignore what they cannot read of it; said twice, the last one counts (RFC 9651)."""
    said = URGENCY.findall(stated or "")
    return bool(said) and int(said[-1]) <= LEAST_URGENT_OF_THE_URGENT


def valid_request_id(stated: str | None) -> str | None:
    """The caller's own id, where it can stand in a header and a log line."""
    return stated if stated and REQUEST_ID.fullmatch(stated) else None


def rfc3339(at_ms: int) -> str:
    """A wall-clock time as people and JSON read it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@quick
@dataclass(frozen=True, slots=True)
class Spoken:
    """An HTTP answer, ready to be sent."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def thousandths(value: float) -> float:
    """A duration as it is told; `round` goes by way of text."""
    return int(value * 1000 + 0.5) / 1000


def answer_body(asked: Asked, answer: Answer, now_ms: int) -> bytes:
    """The answer as JSON; a problem (RFC 9457) where it is no success."""
    members: dict[str, object] = {
        "outcome": answer.outcome,
        "final": MEANINGS[answer.outcome].final,
        "venue": asked.cancel.account.venue,
        "account": asked.cancel.account.name,
        "ref": asked.cancel.order.value,
        "by": asked.cancel.order.by,
        **_facts(asked, answer),
        "record": f"/cancels/{answer.record}" if answer.record else None,
        "request_id": asked.request_id,
        "attempts": answer.attempts,
        "batch": answer.batch,
        "waited_ms": thousandths(answer.waited_ms),
        "venue_ms": None if answer.venue_ms is None else thousandths(answer.venue_ms),
        "degraded": answer.degraded,
    }
    if MEANINGS[answer.outcome].status >= SUCCESS_BELOW:
        members = problem(answer.outcome, answer.detail, asked.request_id) | members
        if answer.facts.venue_code or answer.facts.venue_message:
            members |= {"venue_code": answer.facts.venue_code, "venue_message": answer.facts.venue_message}
    return orjson.dumps(members | waiting_helps(answer.retry_after_ms, now_ms))


def _facts(asked: Asked, answer: Answer) -> dict[str, object]:
    order, facts = asked.cancel.order, answer.facts
    return {
        "order_id": facts.order_id or (order.value if order.by is By.ORDER_ID else None),
        "client_id": facts.client_id or (order.value if order.by is By.CLIENT_ID else None),
        "venue_status": facts.venue_status,
        "filled": facts.filled,
        "remaining": facts.remaining,
    }


def problem(outcome: Outcome, detail: str | None, request_id: str) -> dict[str, object]:
    """The members that make a problem of it (RFC 9457)."""
    meaning = MEANINGS[outcome]
    return {
        "type": f"urn:cancel-gateway:{outcome}",
        "title": meaning.title,
        "status": meaning.status,
        "detail": detail or meaning.title,
        "instance": f"urn:cancel-gateway:request:{request_id}",
    }


def waiting_helps(retry_after_ms: int | None, now_ms: int) -> dict[str, object]:
    """When to try again, where that is known."""
    if retry_after_ms is None:
        return {}
    return {"retry_after_ms": retry_after_ms, "earliest_at": rfc3339(now_ms + retry_after_ms)}


def rate_limit(standing: Standing) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of it; whole seconds, rounded up."""
    name, window_s = f'"{standing.limit}"', -(-standing.per_ms // 1000)
    return {
        "RateLimit-Policy": f"{name};q={standing.tokens};w={window_s}",
        "RateLimit": f"{name};r={standing.free};t={-(-standing.reset_ms // 1000)}",
    }


def respond(asked: Asked, answer: Answer, now_ms: int) -> Spoken:
    """The whole HTTP answer to a cancel."""
    status = MEANINGS[answer.outcome].status
    headers: dict[str, str] = {}
    if answer.outcome is Outcome.ACCEPTED and answer.record:
        headers["Location"] = f"/cancels/{answer.record}"
    if answer.retry_after_ms is not None:
        headers["Retry-After"] = _whole_seconds(answer.retry_after_ms)
    if answer.standing is not None:
        headers |= rate_limit(answer.standing)
    if answer.body is not None and asked.key is not None:
        headers["Idempotency-Replayed"] = "true"
    body = answer.body if answer.body is not None else answer_body(asked, answer, now_ms)
    return Spoken(status, body, JSON if status < SUCCESS_BELOW else PROBLEM, headers)


def _whole_seconds(ms: int) -> str:
    return str(max(1, -(-ms // 1000)))


def put_off(refused: Spoken, retry_after_ms: int, now_ms: int) -> Spoken:
    """A refusal that says when to come again."""
    body = orjson.dumps(orjson.loads(refused.body) | waiting_helps(retry_after_ms, now_ms))
    headers = {**refused.headers, "Retry-After": _whole_seconds(retry_after_ms)}
    return replace(refused, body=body, headers=headers)


@dataclass(frozen=True, slots=True)
class About:
    """What a refused request was about, as far as it was understood."""

    venue: str | None = None
    account: str | None = None
    ref: str | None = None
    by: By | None = None


def refusal(
    outcome: Outcome, detail: str | None, request_id: str, about: About | None = None, status: int | None = None
) -> Spoken:
    """A problem for a request that never became a cancel; it has the same members as any other answer."""
    said = about or About()
    members = problem(outcome, detail, request_id) | {
        "outcome": outcome,
        "final": False,
        "venue": said.venue,
        "account": said.account,
        "ref": said.ref,
        "by": said.by,
        "order_id": None,
        "client_id": None,
        "venue_status": None,
        "filled": None,
        "remaining": None,
        "record": None,
        "request_id": request_id,
        "attempts": 0,
        "batch": 0,
        "waited_ms": 0.0,
        "venue_ms": None,
        "degraded": False,
    }
    if status is not None:
        members["status"] = status
    headers = {"WWW-Authenticate": "Bearer"} if outcome is Outcome.UNAUTHENTICATED else {}
    return Spoken(status or MEANINGS[outcome].status, orjson.dumps(members), PROBLEM, headers)


def plan_body(asked: Asked, planned: Planned, now_ms: int) -> bytes:
    """What would happen, with nothing done."""
    order, lane = asked.cancel.order, asked.lane
    return orjson.dumps(
        {
            "plan": True,
            "would": planned.would or "send",
            "venue": asked.cancel.account.venue,
            "account": asked.cancel.account.name,
            "ref": order.value,
            "by": order.by,
            "lane": lane,
            "request": {
                "method": planned.request.method,
                "url": planned.request.url,
                "headers": dict(planned.request.headers),
            },
            "slot": {
                "wait_ms": round(planned.wait_ms, 3),
                "earliest_at": rfc3339(now_ms + ceil(planned.wait_ms)),
                "free": planned.free,
            },
            "request_id": asked.request_id,
        }
    )


def record_body(record: Record) -> bytes:
    """A record as `GET /cancels/{id}` shows it, with the answer that was given."""
    return orjson.dumps(
        {
            "id": str(record.id),
            "state": record.state,
            "outcome": record.outcome,
            "final": record.outcome is not None and MEANINGS[record.outcome].final,
            "venue": record.id.account.venue,
            "account": record.id.account.name,
            "ref": record.ref,
            "by": record.by,
            "symbol": record.symbol,
            "caller": record.caller,
            "request_id": record.request_id,
            "created_at": rfc3339(record.created_ms),
            "sent_at": None if record.sent_ms is None else rfc3339(record.sent_ms),
            "settled_at": None if record.settled_ms is None else rfc3339(record.settled_ms),
            "attempts": record.attempts,
            "steps": [{"at": rfc3339(step.at_ms), "what": step.what, "result": step.result} for step in record.steps],
            "answer": orjson.loads(record.body) if record.body else None,
        }
    )
