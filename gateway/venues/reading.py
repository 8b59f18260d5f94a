"""Reading replies without trusting them: what every venue's file shares. Nothing here raises, whatever the bytes."""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from decimal import Context, Decimal

import orjson

from gateway.core.http_date import http_date_ms
from gateway.core.model import OrderRef, Scope
from gateway.core.outcome import NOTHING_SAID, AuthRefused, Facts, Settled, Throttled, Unclear, Verdict
from gateway.core.wire import Reply

MESSAGE_MOST = 200
RETRY_AFTER_MOST_S = 9_999_999  # some four months; more is a mistake, and a long one is safer than none
RETRY_AFTER_LONGEST = 64
UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u024f]+")
PLAIN_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
MILLISECONDS = re.compile(r"[0-9]{1,15}")
EXACT = Context(prec=100)

TOO_MANY, BANNED, UNAUTHORIZED, FORBIDDEN, SERVER_ERROR = 429, 418, 401, 403, 500


def json_object(body: bytes) -> dict[str, object] | None:
    """The JSON object in a body; None where it holds anything else."""
    try:
        value = orjson.loads(body)
    except ValueError:  # orjson.JSONDecodeError; it also refuses NaN, bad UTF-8 and nesting past its limit
        return None
    return value if isinstance(value, dict) else None


def inner(of: Mapping[str, object], key: str) -> dict[str, object]:
    """The object below a key; empty where there is none."""
    value = of.get(key)
    return value if isinstance(value, dict) else {}


def items(of: Mapping[str, object], key: str) -> list[object]:
    """The list below a key; empty where there is none."""
    value = of.get(key)
    return value if isinstance(value, list) else []


def count(of: Mapping[str, object], key: str) -> int | None:
    """A whole number that counts something; None for anything else."""
    value = of.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def json_list(body: bytes) -> list[object] | None:
    """The JSON list in a body; None where it holds anything else."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, list) else None


def listed(
    rows: list[object], reader: Callable[[Mapping[str, object]], OrderRef | None], done: Container[str | None] = ()
) -> tuple[OrderRef, ...] | None:
    """The orders in the rows but those whose status is among `done`; None where a row can't be read.

    A list that hides one order can prove nothing about the others.
    """
    known = [row for row in rows if isinstance(row, dict)]
    orders = [order for row in known if (order := reader(row)) is not None]
    if len(orders) != len(rows):
        return None
    return tuple(order for order, row in zip(orders, known, strict=True) if text(row, "status") not in done)


def text(of: Mapping[str, object], key: str) -> str | None:
    """A scalar as short clean text, so that ids and decimals keep their digits; None for anything else."""
    value = of.get(key)
    if value.__class__ is str:
        return clean(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return clean(str(value)) or None


def clean(message: str) -> str:
    """Venue text that can stand in a log line: printable, one line, cut."""
    if len(message) <= MESSAGE_MOST and message.isascii() and message.isprintable():
        return message.strip()
    return UNPRINTABLE.sub(" ", message[: 4 * MESSAGE_MOST]).strip()[:MESSAGE_MOST].rstrip()


def amount(of: Mapping[str, object], key: str) -> str | None:
    """A quantity in plain digits; a small JSON number comes out of the parser as 1e-05. None for anything else."""
    value = of.get(key)
    said = f"{Decimal(str(value)):f}" if isinstance(value, float) else text(of, key) or ""
    return said if PLAIN_DECIMAL.fullmatch(said) else None


def moment_ms(of: Mapping[str, object], key: str) -> int | None:
    """A time in milliseconds; None for anything else."""
    said = text(of, key) or ""
    return int(said) if MILLISECONDS.fullmatch(said) else None


def difference(whole: str | None, part: str | None) -> str | None:
    """What is left of `whole`, exactly; None unless both are plain decimals and `part` is the smaller one."""
    if whole is None or part is None or not (PLAIN_DECIMAL.fullmatch(whole) and PLAIN_DECIMAL.fullmatch(part)):
        return None
    if part == "0" and whole.isdigit():
        return whole.lstrip("0") or "0"
    left = EXACT.subtract(Decimal(whole), Decimal(part))
    return None if left < 0 else f"{left.normalize(EXACT):f}"


def told(verdict: Verdict, facts: Facts) -> Verdict:
    """A verdict out of a venue's table, with what was said of this order."""
    return Settled(verdict.outcome, facts) if isinstance(verdict, Settled) else replace(verdict, facts=facts)


def retry_after_ms(reply: Reply) -> int | None:
    """Retry-After in either form; None where it cannot be read, 0 where it lies in the past, cut where it is absurd."""
    stated = reply.headers.get("retry-after", "").strip()[:RETRY_AFTER_LONGEST]
    if stated.isascii() and stated.isdigit():
        wait_ms = int(stated) * 1000
    elif (until_ms := http_date_ms(stated)) is not None:
        wait_ms = max(0, until_ms - reply.at_ms)
    else:
        return None
    return min(wait_ms, RETRY_AFTER_MOST_S * 1000)


def refused_by_status(reply: Reply, facts: Facts = NOTHING_SAID) -> Throttled | Unclear | None:
    """What the HTTP status alone proves: a limit, a ban, or that nothing is proven; None where it proves nothing."""
    if reply.status == TOO_MANY:
        return Throttled(Scope.ACCOUNT, retry_after_ms=retry_after_ms(reply), facts=facts)
    if reply.status == BANNED:
        return Throttled(Scope.EGRESS, banned=True, retry_after_ms=retry_after_ms(reply), facts=facts)
    if reply.status >= SERVER_ERROR:
        return Unclear(f"http {reply.status}", facts)
    return None


def in_own_voice(body: bytes) -> bool:
    """Whether a refusal comes from the venue's program (any JSON, or nothing), not from a proxy's or router's page."""
    try:
        orjson.loads(body.strip() or b"null")
    except ValueError:
        return False
    return True


def refused_by_credential(reply: Reply, facts: Facts = NOTHING_SAID) -> AuthRefused | Throttled | None:
    """What a 401 or 403 proves where the venue speaks for itself; a page with a 403 is a firewall's ban of our IP."""
    if reply.status == FORBIDDEN and not in_own_voice(reply.body):
        return Throttled(Scope.EGRESS, banned=True, retry_after_ms=retry_after_ms(reply), facts=facts)
    if reply.status in {UNAUTHORIZED, FORBIDDEN}:
        return AuthRefused(facts)
    return None


def without_object(reply: Reply) -> Throttled | Unclear:
    """What a body that is no JSON object means, once its status proved nothing else.

    A 403 in another tongue than the venue's comes from the guard before it: that one blocks our address, and passed
    nothing on.
    """
    if reply.status == FORBIDDEN:
        return Throttled(Scope.EGRESS, banned=True, retry_after_ms=retry_after_ms(reply))
    return Unclear(f"http {reply.status} without a json object")
