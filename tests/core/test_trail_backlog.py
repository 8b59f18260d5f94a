"""What waits to be stored is bounded, in order, and honest about what did not fit."""

from itertools import pairwise

from gateway.core.trail import Began, Ended, Entry, Gap, chained, read
from gateway.core.trail_backlog import MARK_EVERY, MARK_EVERY_MS, Backlog, Bounds, Cut
from gateway.core.trail_check import Anchor, Check, Kept


def backlog(**bounds: int) -> Backlog:
    return Backlog(Bounds(**{"keep_ms": 1000} | bounds), {})


def cut_of(waiting: Backlog) -> Cut | None:
    return waiting.cut


def kinds(entries: tuple[Entry, ...]) -> list[object]:
    return [(read(entry.data) or {})["is"] for entry in entries]


def test_entries_form_a_chain_with_times_that_never_go_back() -> None:
    waiting = backlog()
    for at_ms in (10, 30, 20):
        assert waiting.add(at_ms, Ended())

    entries = waiting.batch(10)

    assert [entry.id for entry in entries] == ["10-1", "30-2", "30-3"]
    assert all(two.hash == chained(one.hash, two.data) for one, two in pairwise(entries))


def test_batch_is_what_waits_longest_until_it_is_stored() -> None:
    waiting = backlog()
    for _ in range(5):
        waiting.add(1, Ended())

    assert [entry.seq for entry in waiting.batch(2)] == [1, 2]
    waiting.stored(2)
    assert [entry.seq for entry in waiting.batch(9)] == [3, 4, 5]
    assert len(waiting) == 3


def test_what_does_not_fit_is_announced_where_it_would_have_stood() -> None:
    waiting = backlog(waiting_most=2)
    assert [waiting.add(1, Ended()) for _ in range(5)] == [True, True, False, False, False]
    waiting.lose(4)
    waiting.stored(2)

    waiting.add(2, Began("1", {}))

    assert kinds(waiting.batch(9)) == ["gap", "begin"]
    assert (read(waiting.batch(1)[0].data) or {})["lost"] == 7


def test_what_cannot_be_written_is_a_gap() -> None:
    waiting = backlog()
    assert not waiting.add(1, Began("\ud800", {}))

    assert waiting.add(1, Ended())

    assert kinds(waiting.batch(9)) == ["gap", "end"]


def test_bytes_are_bounded_as_well() -> None:
    waiting = backlog(waiting_bytes_most=30)

    assert [waiting.add(1, Gap(1)) for _ in range(3)] == [True, False, False]


def test_gap_is_told_in_the_end_where_nothing_follows() -> None:
    waiting = backlog(waiting_most=1)
    waiting.add(1, Ended())
    waiting.add(1, Ended())
    waiting.confess(2)
    assert kinds(waiting.batch(9)) == ["end"]
    waiting.stored(1)

    waiting.confess(2)
    waiting.confess(2)

    assert kinds(waiting.batch(9)) == ["gap"]


def test_entries_that_the_store_lost_are_stored_again() -> None:
    waiting = backlog()
    for _ in range(6):
        waiting.add(1, Ended())
    waiting.stored(5)

    assert waiting.recall(3)
    assert [entry.seq for entry in waiting.batch(9)] == [4, 5, 6]


def test_entries_that_are_not_remembered_cannot_be_stored_again() -> None:
    waiting = backlog(stored_most=2)
    assert not waiting.recall(0)
    for _ in range(6):
        waiting.add(1, Ended())
    waiting.stored(6)

    assert not waiting.recall(3)
    assert len(waiting) == 0


def test_old_entries_are_announced_before_they_go() -> None:
    waiting = backlog()
    waiting.add(MARK_EVERY_MS + 1, Ended())
    for _ in range(MARK_EVERY):
        waiting.add(MARK_EVERY_MS + 1, Ended())
    waiting.trim(MARK_EVERY_MS + 1)
    assert cut_of(waiting) is None

    waiting.trim(MARK_EVERY_MS + 2000)

    cut = Cut(MARK_EVERY + 2, f"{MARK_EVERY_MS + 1}-{MARK_EVERY + 1}")
    assert cut_of(waiting) == cut
    waiting.stored(MARK_EVERY + 1)
    assert cut_of(waiting) == cut
    waiting.stored(MARK_EVERY + 2)
    assert cut_of(waiting) is None


def test_too_many_entries_go_in_steps_and_the_rest_is_a_whole_trail() -> None:
    waiting = backlog(entries_most=2 * MARK_EVERY, keep_ms=10**9)
    kept: list[Entry] = []
    for _ in range(4 * MARK_EVERY):
        waiting.add(1, Ended())
        waiting.trim(1)
        cut, batch = waiting.cut, waiting.batch(1000)
        kept += batch
        waiting.stored(batch[-1].seq)
        if cut is not None:
            kept = [entry for entry in kept if entry.seq >= int(cut.id.partition("-")[2])]

    assert 2 * MARK_EVERY <= len(kept) <= 3 * MARK_EVERY
    check = Check()
    for entry in kept:
        check.take(Kept(entry.id, entry.data, entry.hash))
    assert check.end(Anchor(kept[-1].seq, kept[-1].hash)).fault is None
