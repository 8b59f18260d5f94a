"""`POST /cancels`: the body as single wishes, and each answer as a line. Pure, as codec.py."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from gateway.core.access import is_name
from gateway.core.model import By, Wait
from gateway.core.outcome import Outcome
from gateway.web.codec import REF_MOST, SUCCESS_BELOW, About, Refused, Spoken, Wish, key_of, query, shown, wish

ITEMS_MOST = 1000
TOO_LARGE = 413
NDJSON = "application/x-ndjson"
MEMBERS = ("venue", "ref", "by", "account", "symbol", "idempotency_key", "wait")
MANY_QUERY = {"wait": tuple(Wait)}


@dataclass(frozen=True, slots=True)
class Item:
    """One wish out of many, valid but not yet held against its venue."""

    venue: str
    ref: str
    wished: Wish


@dataclass(frozen=True, slots=True)
class Flaw:
    """One that cannot be worked on; the others can."""

    detail: str
    about: About


def wish_of_all(raw_query: str, headers: Mapping[str, str]) -> Wish:
    """What holds for all of them; a key can only belong to one."""
    if "Idempotency-Key" in headers:
        raise Refused(Outcome.INVALID_REQUEST, "Idempotency-Key belongs into the items, as idempotency_key")
    said = query(raw_query, MANY_QUERY)
    return replace(wish("", headers), wait=Wait(said.get("wait", Wait.ACK)))


def items_of(body: bytes, common: Wish) -> tuple[Item | Flaw, ...]:
    """The items in their order; raises Refused where the body as a whole is none."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refused(Outcome.INVALID_REQUEST, f"the body is not JSON: {place}") from None
    if not isinstance(said, dict) or said.keys() != {"cancels"} or not isinstance(said["cancels"], list):
        raise Refused(Outcome.INVALID_REQUEST, 'the body must be {"cancels": [...]} and nothing else')
    if len(said["cancels"]) > ITEMS_MOST:
        raise Refused(Outcome.INVALID_REQUEST, f"more than {ITEMS_MOST} cancels in one body", status=TOO_LARGE)
    return tuple(_item(each, common) for each in said["cancels"])


def _item(said: object, common: Wish) -> Item | Flaw:
    if not isinstance(said, dict):
        return Flaw("an item must be an object", About())
    stated = {name: value for name, value in said.items() if value is not None}
    texts = {name: value for name, value in stated.items() if isinstance(value, str)}
    about = _about(texts)
    if strangers := stated.keys() - set(MEMBERS):
        return Flaw(f"unknown member {shown(min(strangers))}; known: {', '.join(MEMBERS)}", about)
    if wrong := stated.keys() - texts.keys():
        return Flaw(f"{min(wrong)} must be a string", about)
    if missing := {"venue", "ref"} - texts.keys():
        return Flaw(f"{max(missing)} is missing", about)
    try:
        return Item(texts["venue"], _ref(texts["ref"]), _wish(texts, common))
    except Refused as refused:
        return Flaw(refused.detail, about)


def _wish(texts: Mapping[str, str], common: Wish) -> Wish:
    account = texts.get("account")
    if account is not None and not is_name(account):
        raise Refused(Outcome.INVALID_REQUEST, f"account {shown(account)} is not a name")
    by, wait = _choice(texts, "by", tuple(By)), _choice(texts, "wait", tuple(Wait))
    return replace(
        common,
        by=None if by is None else By(by),
        account=account,
        symbol=texts.get("symbol"),
        wait=common.wait if wait is None else Wait(wait),
        key=key_of(texts.get("idempotency_key")),
    )


def _choice(texts: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    said = texts.get(name)
    if said is not None and said not in choices:
        raise Refused(Outcome.INVALID_REQUEST, f"{name} must be one of {', '.join(choices)}, not {shown(said)}")
    return said


def _ref(ref: str) -> str:
    if len(ref) > REF_MOST:
        raise Refused(Outcome.INVALID_REQUEST, f"ref is longer than {REF_MOST} characters")
    return ref


def _about(texts: Mapping[str, str]) -> About:
    """What a flawed item was about, as far as it can be shown."""
    by = texts.get("by")
    account = texts.get("account")
    return About(
        texts.get("venue", "")[:64] or None,
        account if account is not None and is_name(account) else None,
        texts.get("ref", "")[:REF_MOST] or None,
        By(by) if by in tuple(By) else None,
    )


def line_of(index: int, spoken: Spoken) -> bytes:
    """One answer as one line: its place in the body, its status, and the members of the single answer."""
    head = {"index": index} | ({"status": spoken.status} if spoken.status < SUCCESS_BELOW else {})
    if "Idempotency-Replayed" in spoken.headers:
        head["replayed"] = True
    return orjson.dumps(head)[:-1] + b"," + spoken.body[1:] + b"\n"
