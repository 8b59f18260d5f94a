"""The contract as OpenAPI 3.1, made from the tables that the code runs by, and a page of it that works offline."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import orjson
from aiohttp import web

from gateway import __version__
from gateway.core.idempotency import State
from gateway.core.model import By, Lane, Wait
from gateway.core.outcome import MEANINGS, Outcome
from gateway.web.codec import JSON, PROBLEM, SUCCESS_BELOW, TIMEOUT_DEFAULT_MS, TIMEOUT_MOST_MS
from gateway.web.front import FRONT
from gateway.web.openapi_wide import everywhere, headers_of, kill_operation, many_operation, wide_schemas

OK = 200
# These are told before any limit is looked at.
UNMET = frozenset({400, 401, 403})
READ_REFUSALS = ("400", "401", "403", "404", "500", "503")
TEXT: dict[str, object] = {"type": "string"}
KEY_TEXT: dict[str, object] = {"type": "string", "pattern": '^("[!-~]{1,255}"|[!#-~]([!-~]{0,253}[!#-~])?)$'}
MAYBE_TEXT: dict[str, object] = {"type": ["string", "null"]}
NUMBER: dict[str, object] = {"type": "number"}
MAYBE_NUMBER: dict[str, object] = {"type": ["number", "null"]}
FLAG: dict[str, object] = {"type": "boolean"}
WHOLE: dict[str, object] = {"type": "integer"}
THING: dict[str, object] = {"type": "object"}
MOMENT: dict[str, object] = {"type": "string", "format": "date-time"}
MAYBE_MOMENT: dict[str, object] = {"type": ["string", "null"], "format": "date-time"}
MEMBERS: dict[str, dict[str, object]] = {
    "outcome": {"type": "string", "enum": list(Outcome)},
    "final": FLAG,
    "venue": TEXT,
    "account": TEXT,
    "ref": TEXT,
    "by": {"type": "string", "enum": list(By)},
    "order_id": MAYBE_TEXT,
    "client_id": MAYBE_TEXT,
    "venue_status": MAYBE_TEXT,
    "filled": MAYBE_TEXT,
    "remaining": MAYBE_TEXT,
    "record": MAYBE_TEXT,
    "request_id": TEXT,
    "attempts": WHOLE,
    "batch": WHOLE,
    "waited_ms": NUMBER,
    "venue_ms": MAYBE_NUMBER,
    "degraded": FLAG,
    "retry_after_ms": WHOLE,
    "earliest_at": MOMENT,
}
# A refusal may come before it is understood what it is about.
MAYBE_ABOUT: dict[str, dict[str, object]] = {
    "venue": MAYBE_TEXT,
    "account": MAYBE_TEXT,
    "ref": MAYBE_TEXT,
    "by": {"type": ["string", "null"], "enum": [*By, None]},
}
PROBLEM_MEMBERS: dict[str, dict[str, object]] = {
    "type": {"type": "string", "examples": [f"urn:cancel-gateway:{Outcome.OVER_DEADLINE}"]},
    "title": TEXT,
    "status": WHOLE,
    "detail": TEXT,
    "instance": TEXT,
    "venue_code": MAYBE_TEXT,
    "venue_message": MAYBE_TEXT,
}
PLAN_MEMBERS: dict[str, dict[str, object]] = {
    "plan": {"type": "boolean", "const": True},
    "would": {"type": "string", "enum": ["send", *Outcome]},
    "venue": TEXT,
    "account": TEXT,
    "ref": TEXT,
    "by": {"type": "string", "enum": list(By)},
    "lane": {"type": "string", "enum": list(Lane)},
    "request": THING,
    "slot": THING,
    "request_id": TEXT,
}
RECORD_MEMBERS: dict[str, dict[str, object]] = {
    "id": TEXT,
    "state": {"type": "string", "enum": list(State)},
    "outcome": {"type": ["string", "null"], "enum": [*Outcome, None]},
    "final": FLAG,
    "venue": TEXT,
    "account": TEXT,
    "ref": TEXT,
    "by": {"type": "string", "enum": list(By)},
    "symbol": MAYBE_TEXT,
    "caller": TEXT,
    "request_id": TEXT,
    "created_at": MOMENT,
    "sent_at": MAYBE_MOMENT,
    "settled_at": MAYBE_MOMENT,
    "attempts": WHOLE,
    "steps": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["at", "what", "result"],
            "properties": {"at": MOMENT, "what": TEXT, "result": TEXT},
        },
    },
    "answer": {"type": ["object", "null"]},
}


def _parameter(name: str, place: str, schema: dict[str, object], about: str) -> dict[str, object]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": about}


def _content(kind: str, *schemas: str) -> dict[str, object]:
    choices = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas]
    return {kind: {"schema": choices[0] if len(choices) == 1 else {"oneOf": choices}}}


def _answers() -> dict[str, object]:
    """One entry per status, naming the outcomes that come with it."""
    by_status: dict[int, list[Outcome]] = {}
    for outcome, meaning in MEANINGS.items():
        by_status.setdefault(meaning.status, []).append(outcome)
    return {
        str(status): {
            "description": "; ".join(f"{outcome}: {MEANINGS[outcome].title}" for outcome in outcomes),
            "headers": headers_of(status, replayed=True, limited=status not in UNMET),
            "content": _answer_content(status),
        }
        for status, outcomes in sorted(by_status.items())
    }


def _answer_content(status: int) -> dict[str, object]:
    if status >= SUCCESS_BELOW:
        return _content(PROBLEM, "Problem")
    return _content(JSON, "Answer", "Plan") if status == OK else _content(JSON, "Answer")


def _cancel(venues: list[str]) -> dict[str, object]:
    choice: dict[str, object] = {"type": "string", "enum": [*Wait]}
    timeout: dict[str, object] = {
        "type": "integer",
        "minimum": 1,
        "maximum": TIMEOUT_MOST_MS,
        "default": TIMEOUT_DEFAULT_MS,
    }
    return {
        "operationId": "cancelOrder",
        "summary": "Get one order cancelled",
        "parameters": [
            _parameter("venue", "path", {"type": "string", "enum": venues}, "The venue that the order rests on."),
            _parameter("ref", "path", {"type": "string", "maxLength": 255}, "The order's id, or its client's id."),
            _parameter("by", "query", {"type": "string", "enum": list(By)}, "Which of both `ref` is."),
            _parameter("account", "query", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}, "Whose order."),
            _parameter("symbol", "query", TEXT, "Needed by some venues; the refusal says so."),
            _parameter("wait", "query", choice, "`terminal`: answer when the order is provably gone."),
            _parameter("plan", "query", FLAG, "Only say what would be sent, and when."),
            _parameter(
                "Idempotency-Key", "header", KEY_TEXT, "1 to 255 visible ASCII characters; a replay costs nothing."
            ),
            _parameter("X-Request-Timeout-Ms", "header", timeout, "How long the answer is of use."),
            _parameter("Priority", "header", TEXT, "RFC 9218; u=0 to u=2 is the urgent lane."),
            *everywhere(),
        ],
        "responses": _answers(),
    }


def _read(summary: str, schema: str, parameters: list[dict[str, object]]) -> dict[str, object]:
    content = _content(PROBLEM, "Problem")
    return {
        "summary": summary,
        "parameters": [*parameters, *everywhere()],
        "responses": {"200": {"description": "Found", "headers": headers_of(OK), "content": _content(JSON, schema)}}
        | {
            status: {"description": "Refused", "headers": headers_of(int(status)), "content": content}
            for status in READ_REFUSALS
        },
    }


def _probe(summary: str, statuses: dict[str, str]) -> dict[str, object]:
    """What asks for no token."""
    answers = {status: {"description": said, "content": {JSON: {"schema": THING}}} for status, said in statuses.items()}
    return {"summary": summary, "security": [], "parameters": [], "responses": answers}


def _page(summary: str, kind: str) -> dict[str, object]:
    found = {"description": "This", "headers": headers_of(OK), "content": {kind: {"schema": {}}}}
    refused = {"description": "No valid token", "headers": headers_of(401), "content": _content(PROBLEM, "Problem")}
    return {"summary": summary, "parameters": everywhere(), "responses": {"200": found, "401": refused}}


def _schemas() -> dict[str, object]:
    return {
        "Answer": _all_of(MEMBERS, [*MEMBERS][:-2]),
        "Problem": _all_of(
            PROBLEM_MEMBERS | MEMBERS | MAYBE_ABOUT, ["type", "title", "status", "outcome", "request_id"]
        ),
        "Plan": _all_of(PLAN_MEMBERS, [*PLAN_MEMBERS]),
        "Record": _all_of(RECORD_MEMBERS, [*RECORD_MEMBERS]),
        **wide_schemas(),
        "Venues": _all_of({"venues": {"type": "array", "items": THING}}, ["venues"]),
    }


def _all_of(members: dict[str, dict[str, object]], required: list[str]) -> dict[str, object]:
    return {"type": "object", "properties": members, "required": required}


def document(venues: list[str]) -> dict[str, object]:
    """The whole contract for these venues."""
    record = _parameter("id", "path", TEXT, "As `record` in an answer names it.")
    states = ", ".join(State)
    return {
        "openapi": "3.1.0",
        "info": {"title": "cancel-gateway", "version": __version__, "summary": "Gets an order cancelled, safely."},
        "security": [{"token": []}, {"certificate": []}],
        "paths": {
            SINGLE: {"delete": _cancel(venues)},
            "/orders/{venue}": {"delete": kill_operation(venues)},
            "/cancels": {"post": many_operation()},
            "/cancels/{id}": {"get": _read(f"One cancel's record: {states}", "Record", [record])},
            "/venues": {"get": _read("Every venue and account that you may use", "Venues", [])},
            "/openapi.json": {"get": _page("The whole contract", JSON)},
            "/docs": {"get": _page("A page of it that works offline", "text/html")},
            "/healthz": {"get": _probe("Whether the process lives", {"200": "It does"})},
            "/readyz": {"get": _probe("Whether it can work, by component", {"200": "Yes", "503": "No, or it drains"})},
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS", "description": "Where `server.tls_client_ca` is set."},
            },
            "schemas": _schemas(),
        },
    }


async def show_openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`."""
    body = orjson.dumps(document([*request.app[FRONT].desks]))
    return web.Response(body=body, content_type=JSON)


WORD = re.compile(r"`([^`]+)`")
SINGLE = "/orders/{venue}/{ref}"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cancel-gateway: the calls</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #8884}}code{{font-size:.95em;overflow-wrap:anywhere}}pre{{overflow-x:auto;padding:.8rem;
border:1px solid #8884;border-radius:.4rem}}h2{{margin-top:2.5rem}}div{{overflow-x:auto}}</style>
<h1>cancel-gateway {version}</h1><p>Venues served here: {venues}. The whole contract, for generators and machines:
<a href="openapi.json"><code>/openapi.json</code></a>.</p><h2><code>DELETE /orders/{{venue}}/{{ref}}</code></h2>
<pre>curl -X DELETE -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" \\
  "$URL/orders/{example}/12345?by=order_id&amp;wait=terminal"</pre>
<div><table><tr><th>where<th>name<th>meaning{parameters}</table></div><h2>Outcomes</h2>
<div><table><tr><th>outcome<th>status<th>means{outcomes}</table></div>
<h2>The other calls</h2><div><table><tr><th>call<th>does<th>takes{others}</table></div></html>"""


def _prose(text: str) -> str:
    return WORD.sub(r"<code>\1</code>", escape(text))


def page(venues: list[str]) -> str:
    """The same tables for people."""
    parameters = _cancel(venues)["parameters"]
    assert isinstance(parameters, list)  # noqa: S101  it was made a few lines above
    cells = "".join(
        f"<tr><td>{escape(each['in'])}<td><code>{escape(each['name'])}</code><td>{_prose(each['description'])}"
        for each in parameters
    )
    rows = "".join(
        f"<tr><td><code>{outcome}</code><td>{meaning.status}<td>{escape(meaning.title)}"
        for outcome, meaning in MEANINGS.items()
    )
    others = "".join(_others(document(venues)["paths"]))
    example = (*venues, "VENUE")[0]
    return PAGE.format(
        version=__version__,
        venues=", ".join(venues),
        example=example,
        parameters=cells,
        outcomes=rows,
        others=others,
    )


def _others(paths: Any) -> Iterator[str]:  # noqa: ANN401  the document is plain JSON
    for path, operations in paths.items():
        for method, said in operations.items() if path != SINGLE else ():
            takes = ", ".join(f"<code>{escape(each['name'])}</code>" for each in said.get("parameters", ()))
            yield f"<tr><td><code>{method.upper()} {escape(path)}</code><td>{_prose(said['summary'])}<td>{takes}"


async def show_docs(request: web.Request) -> web.Response:
    """`GET /docs`: no asset, no script."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return web.Response(text=page([*request.app[FRONT].desks]), content_type="text/html", headers=headers)
