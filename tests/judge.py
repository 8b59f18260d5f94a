"""What callers were told and what the records say, against the venue's own book."""

from itertools import pairwise

from mortal import Mortal, Shared, Wish, request_id
from true_venue import Attempt, Truth

from gateway.core.idempotency import Record, State
from gateway.core.model import By
from gateway.core.outcome import OrderState, Outcome
from gateway.core.resolution import DID_NOTHING

MEANS = {
    Outcome.CANCELLED: {Truth.CANCELLED},
    Outcome.ALREADY_CANCELLED: {Truth.CANCELLED},
    Outcome.TOO_LATE_FILLED: {Truth.FILLED},
    Outcome.NOT_FOUND: {Truth.NEVER_WAS},
    Outcome.CLOSED: {Truth.CANCELLED, Truth.FILLED, Truth.NEVER_WAS},
}
PROMISES_NOTHING = {Outcome.UNKNOWN, Outcome.IN_PROGRESS}


def judge_answer(shared: Shared, wish: Wish) -> None:
    """No false success, no false failure."""
    if wish.answer is None:
        return
    outcome, own = wish.answer.outcome, _own(shared, wish)
    told = f"{outcome} told to {wish.number} of {wish.ref}: {wish.truth_then}, {own}"
    assert outcome is not Outcome.INTERNAL, told
    if outcome in MEANS:
        assert wish.truth_then in MEANS[outcome], f"false: {told}"
    elif outcome is Outcome.ACCEPTED:
        acknowledged = any(attempt.acknowledged for attempt in shared.book.of(wish.ref))
        assert acknowledged or wish.truth_then is not Truth.OPEN, f"false: {told}"
    elif outcome not in PROMISES_NOTHING:
        assert not any(attempt.took_effect for attempt in own), f"false failure: {told}"


def _own(shared: Shared, wish: Wish) -> list[Attempt]:
    """The attempts that left for this wish and certainly for no other."""
    return [attempt for attempt in shared.book.of(wish.ref) if attempt.callers == {wish.number}]


def judge_process(process: Mortal) -> None:
    """It met no bug of its own."""
    assert process.log.bugs == []


def judge_sends(shared: Shared) -> None:
    """Nothing left twice under one slot, nobody sent again before the order was seen open; no end was taken back."""
    assert shared.taken_back == []
    assert len({id(slot) for slot in shared.departed}) == len(shared.departed), "one slot, two sends"
    for wish in shared.wishes:
        for earlier, later in pairwise(_own(shared, wish)):
            seen_open = any(
                ref == wish.ref and state is OrderState.OPEN and earlier.at <= at <= later.at
                for at, ref, state in shared.book.reads
            )
            assert earlier.definite or seen_open, f"sent again blindly: {earlier}, {later}"


def judge_record(shared: Shared, record: Record) -> None:
    """Every record has come to an end that is true, or says truly that there is none."""
    truth = shared.book.orders[record.ref].truth
    stands = f"{record} where the order is {truth}"
    match record.state:
        case State.TERMINAL:
            assert record.outcome is not None, stands
            if record.outcome in MEANS:
                assert truth in MEANS[record.outcome], f"false: {stands}"
            else:
                _judge_failure(shared, record, stands)
        case State.UNKNOWN:
            assert record.by is By.CLIENT_ID or _truly_open(shared, record), f"lost: {stands}"
        case State.ACKNOWLEDGED:
            assert any(attempt.acknowledged for attempt in shared.book.of(record.ref)) or truth is not Truth.OPEN, (
                stands
            )
        case State.REFUSED:
            assert record.outcome not in MEANS, stands
            _judge_failure(shared, record, stands)
        case _:
            raise AssertionError(f"left behind: {stands}")


def _judge_failure(shared: Shared, record: Record, stands: str) -> None:
    """What is told as not done was not done, by any attempt for this record."""
    own = [wish for wish in shared.wishes if request_id(wish.number) == record.request_id]
    assert not any(attempt.took_effect for wish in own for attempt in _own(shared, wish)), f"false failure: {stands}"


def _truly_open(shared: Shared, record: Record) -> bool:
    """The last look found the order open, and so it is."""
    found = record.steps[-1].result if record.steps else ""
    return found in {OrderState.OPEN, DID_NOTHING} and shared.book.orders[record.ref].truth is Truth.OPEN
