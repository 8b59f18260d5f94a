"""Reading replies without trusting them: what every venue's file shares. Nothing here raises, whatever the bytes."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import orjson

from gateway.core.model import Scope
from gateway.core.outcome import NOTHING_SAID, Facts, Throttled, Unclear
from gateway.core.wire import Reply

MESSAGE_MOST = 200
DAY_MS = 86_400_000
UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u024f]+")

TOO_MANY, BANNED, FORBIDDEN, SERVER_ERROR = 429, 418, 403, 500


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


def text(of: Mapping[str, object], key: str) -> str | None:
    """A scalar as short clean text, so that ids and decimals keep their digits; None for anything else."""
    value = of.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return clean(str(value)) or None


def clean(message: str) -> str:
    """Venue text that can stand in a log line or a header: printable, one line, cut."""
    return UNPRINTABLE.sub(" ", message[: 4 * MESSAGE_MOST]).strip()[:MESSAGE_MOST]


def retry_after_ms(reply: Reply) -> int | None:
    """Retry-After in either form; None where it is absent or absurd, 0 where it lies in the past."""
    stated = reply.headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit() and len(stated) < len(str(DAY_MS)):
        return int(stated) * 1000
    try:
        moment = parsedate_to_datetime(stated).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0, int(moment * 1000) - reply.at_ms)


def refused_by_status(reply: Reply, facts: Facts = NOTHING_SAID) -> Throttled | Unclear | None:
    """What the HTTP status alone proves: a limit, a ban, or that nothing is proven; None where it proves nothing."""
    if reply.status == TOO_MANY:
        return Throttled(Scope.ACCOUNT, retry_after_ms=retry_after_ms(reply), facts=facts)
    if reply.status == BANNED:
        return Throttled(Scope.EGRESS, banned=True, retry_after_ms=retry_after_ms(reply), facts=facts)
    if reply.status >= SERVER_ERROR:
        return Unclear(f"http {reply.status}", facts)
    return None
