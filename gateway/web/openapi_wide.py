"""The contract of the two wide calls: the kill switch, and many cancels at once. See openapi.py."""

from gateway.core.model import Wait
from gateway.core.outcome import MEANINGS, Outcome
from gateway.web.codec import JSON, PROBLEM, TIMEOUT_DEFAULT_MS, TIMEOUT_MOST_MS
from gateway.web.kill_codec import KILL_TIMEOUT_MS
from gateway.web.many_codec import ITEMS_MOST, MEMBERS, NDJSON

Schema = dict[str, object]

TEXT: Schema = {"type": "string"}
KEY_TEXT: Schema = {"type": "string", "pattern": '^("[!-~]{1,255}"|[!#-~]([!-~]{0,253}[!#-~])?)$'}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
MAYBE_WHOLE: Schema = {"type": ["integer", "null"]}
NAMES: Schema = {"type": "array", "items": TEXT}
THING: Schema = {"type": "object"}

KILLED: dict[str, Schema] = {
    "outcome": {"type": "string", "enum": list(Outcome)},
    "final": FLAG,
    "venue": TEXT,
    "account": TEXT,
    "symbol": MAYBE_TEXT,
    "proven": FLAG | {"description": "Whether an empty list of open orders was seen after the last cancel."},
    "open_before": MAYBE_WHOLE,
    "open_after": MAYBE_WHOLE | {"description": "null where no list tells."},
    "left": NAMES | {"description": "Some of the orders that were still listed at the end."},
    "outcomes": THING | {"description": "How many orders, by outcome, of those that were named one by one."},
    "requests": WHOLE,
    "rounds": WHOLE,
    "note": MAYBE_TEXT | {"description": "What the venue's calls do not show."},
    "record": MAYBE_TEXT,
    "request_id": TEXT,
    "degraded": FLAG,
}
KILL_PLAN: dict[str, Schema] = {
    "plan": {"type": "boolean", "const": True},
    "would": {"type": "string", "enum": ["send", *Outcome]},
    "venue": TEXT,
    "account": TEXT,
    "symbol": MAYBE_TEXT,
    "lane": TEXT,
    "strategy": {"type": "string", "enum": ["cancel_all", "batches", "singles"]},
    "open": MAYBE_WHOLE,
    "orders": NAMES,
    "requests": WHOLE,
    "calls": {"type": "array", "items": THING},
    "slot": THING,
    "note": MAYBE_TEXT,
    "request_id": TEXT,
}
REFUSALS = (400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504)
MANY_REFUSALS = (400, 401, 408, 413, 500, 503)
UNAUTHENTICATED, CONFLICT = 401, 409
ACCEPTED = 202
TRACEPARENT = "W3C trace context; where tracing is on, it is continued."


def wide_schemas() -> Schema:
    """The answers by name."""
    return {
        "Killed": {"type": "object", "properties": KILLED, "required": [*KILLED]},
        "KillPlan": {"type": "object", "properties": KILL_PLAN, "required": [*KILL_PLAN]},
        "Cancels": {
            "type": "object",
            "additionalProperties": False,
            "required": ["cancels"],
            "properties": {"cancels": {"type": "array", "maxItems": ITEMS_MOST, "items": _item()}},
        },
    }


def _item() -> Schema:
    members: dict[str, Schema] = dict.fromkeys(MEMBERS, MAYBE_TEXT) | {"venue": TEXT, "ref": TEXT}
    return {"type": "object", "additionalProperties": False, "required": ["venue", "ref"], "properties": members}


def kill_operation(venues: list[str]) -> Schema:
    """`DELETE /orders/{venue}`."""
    return {
        "operationId": "killOrders",
        "summary": "Get everything cancelled that is open; needs the permission `kill`",
        "parameters": [
            _parameter("venue", "path", {"type": "string", "enum": venues}, "The venue."),
            _parameter("account", "query", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}, "Whose orders."),
            _parameter("symbol", "query", TEXT, "Only the orders of this symbol."),
            _parameter("plan", "query", FLAG, "List, and say what would be sent."),
            _parameter(
                "wait", "query", {"type": "string", "enum": [*Wait], "default": Wait.TERMINAL}, "`ack`: one round."
            ),
            _parameter("Idempotency-Key", "header", KEY_TEXT, "The same key again is the same kill."),
            _parameter("X-Request-Timeout-Ms", "header", _timeout(KILL_TIMEOUT_MS), "How long it may go on."),
            *everywhere(),
        ],
        "responses": {
            "200": {
                "description": "The list is empty; or the plan",
                "headers": headers_of(200, replayed=True),
                "content": _content(JSON, "Killed", "KillPlan"),
            },
            "202": {
                "description": f"{Outcome.ACCEPTED}: taken, not proven",
                "headers": headers_of(ACCEPTED, replayed=True),
                "content": _content(JSON, "Killed"),
            },
        }
        | _refusals(REFUSALS),
    }


def many_operation() -> Schema:
    """`POST /cancels`."""
    line = "One JSON object per line, in any order: `index`, and the members of a single answer or problem."
    return {
        "operationId": "cancelMany",
        "summary": f"Get up to {ITEMS_MOST} orders cancelled, each answered as it finishes",
        "parameters": [
            _parameter("wait", "query", {"type": "string", "enum": [*Wait]}, "For items that do not say it."),
            _parameter(
                "X-Request-Timeout-Ms", "header", _timeout(TIMEOUT_DEFAULT_MS), "For all of them, from the request on."
            ),
            _parameter("Priority", "header", TEXT, "RFC 9218, for all of them; u=0 to u=2 is the urgent lane."),
            *everywhere(),
        ],
        "requestBody": {"required": True, "content": _content(JSON, "Cancels")},
        "responses": {"200": {"description": line, "headers": headers_of(200), "content": {NDJSON: {"schema": TEXT}}}}
        | _refusals(MANY_REFUSALS),
    }


def _timeout(default_ms: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MOST_MS, "default": default_ms}


def _refusals(statuses: tuple[int, ...]) -> Schema:
    said = {
        status: ", ".join(outcome for outcome, meaning in MEANINGS.items() if meaning.status == status) or "refused"
        for status in statuses
    }
    return {
        str(status): {
            "description": said[status],
            "headers": headers_of(status, replayed=True),
            "content": _content(PROBLEM, "Problem"),
        }
        for status in statuses
    }


def everywhere() -> list[Schema]:
    """The headers that every call may have."""
    return [
        _parameter("X-Request-ID", "header", TEXT, "Comes back, and stands in our log."),
        _parameter("traceparent", "header", TEXT, TRACEPARENT),
    ]


def headers_of(status: int, *, replayed: bool = False, limited: bool = False) -> Schema:
    """Which headers an answer of this status can have."""
    said = {"X-Request-ID": "Yours where it was valid, else ours.", "traceparent": "The trace, where one is kept."}
    if replayed:
        said["Idempotency-Replayed"] = "`true` for a replay."
    if status == ACCEPTED:
        said["Location"] = "The record, which learns the end."
    if status == UNAUTHENTICATED:
        said["WWW-Authenticate"] = "How to show who you are."
    if status >= CONFLICT:
        said["Retry-After"] = "Seconds, where waiting helps."
    if limited:
        said["RateLimit-Policy"] = "The limit that this cancel met: its name, tokens and window in seconds."
        said["RateLimit"] = "What is left of it, and in how many seconds the next token comes."
    return {name: {"description": about, "schema": TEXT} for name, about in said.items()}


def _parameter(name: str, place: str, schema: Schema, about: str) -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": about}


def _content(kind: str, *schemas: str) -> Schema:
    choices = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas]
    return {kind: {"schema": choices[0] if len(choices) == 1 else {"oneOf": choices}}}
