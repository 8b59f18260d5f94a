"""The two scripts that every cancel calls, with their words written down at once. No I/O.

What is the same for an account, or for the same demands, is written once; the rest are identifiers of plain ASCII,
numbers, and the answer's bytes. In which order they stand is claim.lua's and settle.lua's matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gateway.backends.admittance import Form
from gateway.backends.record_text import steps_text
from gateway.backends.redis.scripts import SERVER_TIME
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
    order, record, lease_ms = claim.cancel.order, keys.record(claim.id), max(1, claim.lease_ms)
    seen = fingerprint(claim.cancel) if claim.key is not None and not asked.said else ""
    symbol = () if order.symbol is None else ("symbol", order.symbol)
    more = (*symbol, *asked.fields)
    named = str(claim.id)
    fields = CLAIM_FIELDS + len(more)
    said = (
        f"{known.keys_number}{_word(record)}{_word(asked.order)}{_word(asked.pointer)}{known.keys}"
        f"{_word(str(patience_us))}{_word(seen)}{_TRUST[asked.trusted]}{_word(str(claim.at_ms))}{_word(str(lease_ms))}"
        f"{known.lifetime}{_word(asked.said)}{_word(str(fields))}"
        f"$2\r\nid\r\n{_word(named)}$2\r\nby\r\n{_word(order.by.value)}$3\r\nref\r\n{_word(order.value)}"
        f"$6\r\ncaller\r\n{_word(claim.caller)}$10\r\nrequest_id\r\n{_word(claim.request_id)}"
        f"{''.join([_word(one) for one in more])}"
        f"{known.before}{''.join([_word(str(one)) for one in expected_us])}{known.after}"
    )
    return plain(known.number + fields, said)


def settle_words(record: RecordId, fence: int, settlement: Settlement) -> Words:
    """What came of a cancel, whole."""
    name, gone = keys.record(record), settlement.gone
    remembered = name if gone is None else keys.order(record.account, gone.by, gone.value)
    before = (
        f"$1\r\n4\r\n{_word(name)}{_work_keys(record.account)}{_word(remembered)}{_NO_TIME}{_word(str(fence))}"
        f"{_word(settlement.state.value)}{_word(settlement.outcome.value)}"
    )
    body, steps = settlement.body, steps_text(settlement.steps)
    after = f"{_word(str(settlement.at_ms))}{_word(str(settlement.attempts))}"
    data = b"%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b"
    parts = (before.encode("ascii"), len(body), body, after.encode("ascii"), len(steps), steps, _LOOKS)
    return Words(SETTLE_WORDS, data % parts)


@lru_cache(maxsize=4096)
def _work_keys(account: Account) -> str:
    return text(keys.leases(account), keys.unknown(account))


def _word(said: str) -> str:
    return f"${len(said)}\r\n{said}\r\n"


_TRUST = {True: text("1"), False: text("0")}
_NO_TIME = text(SERVER_TIME)
_LOOKS = words(FIRST_LOOK_MS, MEMORY_MS, keys.SETTLED).data
