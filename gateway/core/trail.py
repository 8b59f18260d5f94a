"""The audit trail as values: what was decided, how it is written, and the chain that holds the entries together.

An entry is one line of JSON with sorted keys and neither floats nor spaces, so that reading and writing it again gives
the same bytes. Its hash covers the hash of the entry before it: whoever takes one out, changes one or swaps two breaks
the chain at that place. No secret may stand in an entry: of a request only method, path and a digest without its
signature, of a reply its body only where it repeats nothing that the request hides.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple, TypeAlias, assert_never

import orjson

from gateway.core.admission import Gated, Slot
from gateway.core.answer import Asked
from gateway.core.idempotency import Claimed, Fresh, Gone, Known, Late, Mismatch, RecordId
from gateway.core.model import Account, Cancel, Op, OrderRef
from gateway.core.outcome import (
    AuthRefused,
    Outcome,
    ReadBack,
    Seen,
    Settled,
    Sighting,
    Throttled,
    Unclear,
    Untimely,
    Verdict,
)
from gateway.core.wire import (
    PLAIN_HEADERS,
    REDACTED,
    SIGNATURE_IN_URL,
    NotSent,
    Reply,
    SendResult,
    Unconfirmed,
    WireRequest,
)

FORMAT = 1
GENESIS = bytes(32)
READ_HEADER = "retry-after"
"""All that the venues read of a reply besides its status and body."""
SIGNED = "signature="
HIDDEN_LEAST = 8
"""Hidden values shorter than this are none; looking for them in replies would find them by chance."""

LIMIT, NAMES = attrgetter("limit"), attrgetter("by", "value", "symbol")

Tree: TypeAlias = dict[str, object]
Options: TypeAlias = Mapping[str, Mapping[str, str | int | bool]]
"""Each venue's own settings: how a reply is read may depend on them."""


# Decisions are written down on the path of a cancel, where a plain tuple costs a third of a frozen dataclass.


class Began(NamedTuple):
    """A process took up its work."""

    version: str
    options: Options


class Ended(NamedTuple):
    """It ended in good order: nothing follows."""


class Claiming(NamedTuple):
    """A cancel was asked for, and what the store said; `record` is None where it was not asked."""

    asked: Asked
    record: RecordId | None
    claimed: Claimed | Gated


class Slotted(NamedTuple):
    """A cancel that had to wait got a slot."""

    cancel: Cancel
    record: RecordId | None
    slot: Slot


class Exchanged(NamedTuple):
    """A request was to be sent, what came back, and how that was read for each order."""

    op: Op
    account: Account
    orders: tuple[OrderRef, ...]
    request: WireRequest
    slot: Slot
    result: SendResult
    read_as: "tuple[Verdict | Sighting | NotSent, ...]"


class Settling(NamedTuple):
    """What came of a cancel."""

    cancel: Cancel
    record: RecordId | None
    outcome: Outcome
    attempts: int


class Gap(NamedTuple):
    """So many decisions are missing here: they came faster than they could be stored."""

    lost: int


class Trimmed(NamedTuple):
    """Everything up to this entry may be gone from now on; its hash is where the chain then begins."""

    seq: int
    hash: bytes
    at_ms: int
    options: Options


Decision: TypeAlias = Began | Ended | Claiming | Slotted | Exchanged | Settling | Gap | Trimmed


class Entry(NamedTuple):
    """One link of the chain, as it is stored."""

    seq: int
    at_ms: int
    data: bytes
    hash: bytes

    @property
    def id(self) -> str:
        """Its id in the stream: ordered as the chain is, and by time, so that old ones can be cut off."""
        return f"{self.at_ms}-{self.seq}"


def chained(before: bytes, data: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(before + data).digest()


def link(seq: int, at_ms: int, before: bytes, what: Decision, body_most: int) -> Entry:
    """Write a decision down as the next entry; of a reply's body at most so many bytes are kept, or nothing."""
    tree = _tree(what, body_most)
    tree["n"], tree["at"] = seq, at_ms
    data = written(tree)
    return Entry(seq, at_ms, data, chained(before, data))


def written(tree: Tree) -> bytes:
    """The one encoding, copied: what orjson returns holds on to the 4 kB it was written in, however short it is."""
    return bytes(memoryview(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)))


def read(data: bytes) -> Tree | None:
    """An entry's content; None where it can be none of ours."""
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return tree if isinstance(tree, dict) else None


def path_of(request: WireRequest) -> str:
    """Where a request goes, without host and query."""
    return _path_in(request.url.partition("?")[0])


@lru_cache(maxsize=256)
def _path_in(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2]


def digest_of(request: WireRequest, shown: str) -> str:
    """Which request it was: of its method, its URL as it may be shown, and its body."""
    return hashlib.sha256(f"{request.method} {shown}\n".encode() + request.body).hexdigest()


def _repeats(request: WireRequest, signatures: Sequence[str], body: bytes) -> bool:
    """Whether a reply repeats what people may not see of the request, as an error page may."""
    plain = body.replace(b"\\", b"") if b"\\" in body else body
    for name, value in request.headers:
        if not _is_plain(name) and _stands_in(value.removeprefix("Bearer "), plain):
            return True
    return any(map(partial(_stands_in, plain=plain), signatures)) if signatures else False


def _stands_in(hidden: str, plain: bytes) -> bool:
    return len(hidden) >= HIDDEN_LEAST and hidden.encode() in plain


def _parted(url: str) -> tuple[str, Sequence[str]]:
    """A URL as it may be shown, and the signatures in it; most have one at the end, or none."""
    before, found, value = url.partition(SIGNED)
    if not found:
        return url, ()
    if before[-1:] in {"?", "&"} and SIGNED not in value and "&" not in value:
        return f"{before}{SIGNED}{REDACTED}", (value,)
    return SIGNATURE_IN_URL.sub(REDACTED, url), SIGNATURE_IN_URL.findall(url)


@lru_cache(maxsize=256)
def _is_plain(name: str) -> bool:
    return name.lower() in PLAIN_HEADERS


def word(read_as: "Verdict | Sighting | NotSent") -> str:  # noqa: PLR0911  one case for each kind
    """A verdict in few words; two that lead to different outcomes never share one."""
    match read_as:
        case Settled(outcome=outcome):
            return outcome
        case ReadBack(if_cancelled=gone, if_open=still, if_missing=missing):
            return f"read_back {gone} {still} {missing}"
        case Throttled(scope=scope, banned=banned):
            return f"{'banned' if banned else 'limited'} {scope}"
        case AuthRefused():
            return "auth_refused"
        case Untimely():
            return "untimely"
        case Unclear():
            return "unclear"
        case Seen(state=state):
            return f"seen {state}"
        case NotSent():
            return "not_sent"
        case _:
            assert_never(read_as)


# -- one tree for each decision; enums stand in it as they are, since orjson writes their values --------------------


def _tree(what: Decision, body_most: int) -> Tree:  # noqa: PLR0911  one case for each decision
    match what:
        case Claiming():
            return _claim(what)
        case Exchanged():
            return _exchange(what, body_most)
        case Settling():
            tree = _about("settle", what.cancel, what.record)
            tree["outcome"], tree["attempts"] = what.outcome, what.attempts
            return tree
        case Slotted():
            return _on(what.slot, _about("slot", what.cancel, what.record))
        case Gap(lost=lost):
            return {"is": "gap", "lost": lost}
        case Trimmed(seq=seq, hash=at_hash, at_ms=at_ms, options=options):
            return {"is": "trim", "upto": seq, "hash": at_hash.hex(), "upto_at": at_ms, "venues": options}
        case Began(version=version, options=options):
            return {"is": "begin", "format": FORMAT, "version": version, "venues": options}
        case Ended():
            return {"is": "end"}
        case _:
            assert_never(what)


def _about(kind: str, cancel: Cancel, record: RecordId | None) -> Tree:
    account, order = cancel.account, cancel.order
    return {
        "is": kind,
        "record": record.ulid if record else None,
        "orders": (NAMES(order),),
        "venue": account.venue,
        "account": account.name,
    }


def _on(slot: Slot, tree: Tree) -> Tree:
    tree["slot_us"], tree["limits"] = slot.granted_us, list(map(LIMIT, slot.demands))
    return tree


def _claim(what: Claiming) -> Tree:
    asked, claimed = what.asked, what.claimed
    tree = _about("claim", asked.cancel, what.record)
    tree["caller"], tree["request"], tree["lane"] = asked.caller, asked.request_id, asked.lane
    tree["key"] = None if asked.key is None else hashlib.sha256(asked.key.encode()).hexdigest()[:16]
    match claimed:
        case Fresh(slot=slot):
            tree["claim"] = "fresh"
            return tree if slot is None else _on(slot, tree)
        case Known(record=record):
            tree["claim"], tree["known"] = "known", record.id.ulid
        case Gone(record=record):
            tree["claim"], tree["known"] = "gone", record.id.ulid
        case Late():
            tree["claim"] = "late"
        case Mismatch():
            tree["claim"] = "mismatch"
        case Gated(scope=scope):
            tree["claim"], tree["scope"] = "gated", scope
        case _:
            assert_never(claimed)
    return tree


def _exchange(what: Exchanged, body_most: int) -> Tree:
    request, account = what.request, what.account
    shown, signatures = _parted(request.url)
    tree: Tree = {
        "is": "send",
        "op": what.op,
        "venue": account.venue,
        "account": account.name,
        "orders": list(map(NAMES, what.orders)),
        "sent": {"method": request.method, "path": path_of(request), "digest": digest_of(request, shown)},
        "read_as": list(map(word, what.read_as)),
    }
    match what.result:
        case Reply() as reply:
            tree["reply"] = _reply(request, signatures, reply, body_most)
        case NotSent(reason=reason) | Unconfirmed(reason=reason):
            tree["no_reply"], tree["left"] = reason, not isinstance(what.result, NotSent)
        case _:
            assert_never(what.result)
    return _on(what.slot, tree)


def _reply(request: WireRequest, signatures: Sequence[str], reply: Reply, body_most: int) -> Tree:
    body, headers = reply.body, reply.headers
    tree: Tree = {"status": reply.status, "at": reply.at_ms, "digest": hashlib.sha256(body).hexdigest()}
    if (said := headers.get(READ_HEADER)) is not None:
        # It may hold bytes that are no text; no venue reads anything out of such a one.
        tree["headers"] = {READ_HEADER: _plain(said)}
    if len(body) > body_most:
        tree["withheld"] = "long"
    elif _repeats(request, signatures, body):
        tree["withheld"] = "secret"
    else:
        try:
            tree["body"] = body.decode()
        except UnicodeDecodeError:
            tree["body64"] = base64.b64encode(body).decode()
    return tree


def _plain(value: str) -> str:
    return value.encode("ascii", "replace").decode()


def reply_in(tree: Mapping[str, object]) -> Reply | None:
    """The reply that an entry kept; None where it kept none, or what it kept is not what its digest says."""
    match tree:
        case {"status": int(status), "at": int(at_ms), "digest": str(digest)}:
            body = _body(tree)
        case _:
            return None
    if body is None or hashlib.sha256(body).hexdigest() != digest:
        return None
    said = tree.get("headers")
    headers = {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else {}
    return Reply(status, headers, body, at_ms)


def _body(tree: Mapping[str, object]) -> bytes | None:
    match tree:
        case {"body": str(text)}:
            return text.encode()
        case {"body64": str(text)}:
            try:
                return base64.b64decode(text)
            except ValueError:
                return None
        case _:
            return None
