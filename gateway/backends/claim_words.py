"""The two scripts that every cancel calls, with their words written down at once. No I/O.

What is the same for an account, or for the same demands, is written once; the rest are identifiers of plain ASCII,
numbers, and the answer's bytes. In which order they stand is claim.lua's and settle.lua's matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.backends.admittance import Form
from gateway.backends.record_text import steps_text
from gateway.backends.redis.words import Words, plain, text, words
from gateway.core import keys
from gateway.core.idempotency import Claim, RecordId, Settlement, fingerprint
from gateway.core.model import Account
from gateway.core.value import quick

# How long an order that is known to be gone is not asked for again: longer than any retry storm.
MEMORY_MS = 300_000
# The first look at an unknown: a venue that was slow may have an answer to read by then.
FIRST_LOOK_MS = 500
CLAIM_KEYS, CLAIM_ARGUMENTS, CLAIM_FIELDS, SETTLE_WORDS = 4, 8, 10, 16


@quick
@dataclass(frozen=True, slots=True)
class Asking:
    """What a claim brings beside the wish: the other keys, and what is known of it before."""

    order: str
    pointer: str
    fields: tuple[str, ...] = ()
    said: str = ""
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """What stays the same of all claims of one form: the words, by where they stand, and how many they are."""

    keys_number: str
    keys: str
    lifetime: str
    before: str
    after: str
    number: int


def frame(account: Account, form: Form, ttl_ms: int) -> Frame:
    """Write down what stays the same."""
    number = CLAIM_KEYS + len(form.keys)
    fixed = len(form.before) + len(form.clocks) + len(form.after)
    return Frame(
        text(number),
        text(keys.leases(account), *form.keys),
        text(ttl_ms),
        text(*form.before),
        text(*form.after),
        1 + number + CLAIM_ARGUMENTS + fixed,
    )


def claim_words(known: Frame, claim: Claim, asked: Asking, patience_us: int, expected_us: Iterable[int]) -> Words:
    """A claim, whole."""
    account, order, ulid = claim.id.account, claim.cancel.order, claim.id.ulid
    record, named = f"{keys.records(account)}{ulid}", f"{ulid}.{account.venue}.{account.name}"
    by, ref, caller, request_id = order.by, order.value, claim.caller, claim.request_id
    patience, at_ms, lease_ms = f"{patience_us}", f"{claim.at_ms}", f"{max(1, claim.lease_ms)}"
    seen = fingerprint(claim.cancel) if claim.key is not None and not asked.said else ""
    more = asked.fields if order.symbol is None else ("symbol", order.symbol, *asked.fields)
    fields = CLAIM_FIELDS + len(more)
    said = (
        f"{known.keys_number}${len(record)}\r\n{record}\r\n${len(asked.order)}\r\n{asked.order}\r\n"
        f"${len(asked.pointer)}\r\n{asked.pointer}\r\n{known.keys}"
        f"${len(patience)}\r\n{patience}\r\n${len(seen)}\r\n{seen}\r\n{_TRUST[asked.trusted]}"
        f"${len(at_ms)}\r\n{at_ms}\r\n${len(lease_ms)}\r\n{lease_ms}\r\n"
        f"{known.lifetime}${len(asked.said)}\r\n{asked.said}\r\n$2\r\n{fields}\r\n"
        f"$2\r\nid\r\n${len(named)}\r\n{named}\r\n$2\r\nby\r\n${len(by)}\r\n{by}\r\n"
        f"$3\r\nref\r\n${len(ref)}\r\n{ref}\r\n$6\r\ncaller\r\n${len(caller)}\r\n{caller}\r\n"
        f"$10\r\nrequest_id\r\n${len(request_id)}\r\n{request_id}\r\n"
        f"{_spelled(more) if more else ''}{known.before}{_spelled(map(str, expected_us))}{known.after}"
    )
    return plain(known.number + fields, said)


def settle_words(record: RecordId, fence: int, settlement: Settlement) -> Words:
    """What came of a cancel, whole."""
    name, gone, account = keys.record(record), settlement.gone, record.account
    remembered = name if gone is None else keys.order(account, gone.by, gone.value)
    state, outcome, held = settlement.state, settlement.outcome, f"{fence}"
    before = (
        f"$1\r\n4\r\n${len(name)}\r\n{name}\r\n{_work_keys(account)}${len(remembered)}\r\n{remembered}\r\n"
        f"$0\r\n\r\n${len(held)}\r\n{held}\r\n${len(state)}\r\n{state}\r\n${len(outcome)}\r\n{outcome}\r\n"
    )
    at_ms, attempts, steps = f"{settlement.at_ms}", f"{settlement.attempts}", steps_text(settlement.steps)
    after = f"${len(at_ms)}\r\n{at_ms}\r\n${len(attempts)}\r\n{attempts}\r\n${len(steps)}\r\n"
    body = settlement.body
    parts = (before.encode("ascii"), len(body), body, after.encode("ascii"), steps, _LOOKS)
    return Words(SETTLE_WORDS, b"%b$%d\r\n%b\r\n%b%b\r\n%b" % parts)


@lru_cache(maxsize=4096)
def _work_keys(account: Account) -> str:
    return text(keys.leases(account), keys.unknown(account))


def _spelled(said: Iterable[str]) -> str:
    return "".join([f"${len(word)}\r\n{word}\r\n" for word in said])


_TRUST = {True: text("1"), False: text("0")}
_LOOKS = words(FIRST_LOOK_MS, MEMORY_MS, keys.SETTLED).data
