"""Whatever is done to a trail, its check finds it, and says where."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.trail import GENESIS, Began, Decision, Ended, Entry, Gap, Trimmed, chained, link
from gateway.core.trail_check import Anchor, Check, Kept, Kind, Report

LENGTH = 12
PLACES = st.integers(0, LENGTH - 1)


def chain(*decisions: Decision) -> list[Entry]:
    entries: list[Entry] = []
    before = GENESIS
    for place, what in enumerate(decisions, 1):
        entries.append(link(place, 1000 + place // 3, before, what, 0))
        before = entries[-1].hash
    return entries


WHOLE = chain(Began("1", {}), *(Gap(place) for place in range(LENGTH - 2)), Ended())
HEAD = Anchor(LENGTH, WHOLE[-1].hash)


def stored(entries: list[Entry]) -> list[Kept]:
    return [Kept(entry.id, entry.data, entry.hash) for entry in entries]


def check(kept: list[Kept], head: Anchor | None = HEAD, anchors: tuple[Anchor, ...] = ()) -> Report:
    going = Check(anchors)
    for each in kept:
        going.take(each)
    return going.end(head)


def kind_of(report: Report) -> Kind | None:
    return None if report.fault is None else report.fault.kind


def test_whole_trail_is_whole() -> None:
    report = check(stored(WHOLE), anchors=(Anchor(5, WHOLE[4].hash), HEAD))

    assert report == Report(LENGTH, 1, LENGTH, WHOLE[-1].hash, sum(range(LENGTH - 2)), ended=True, fault=None)


def test_entries_that_came_after_the_head_was_read_are_no_fault() -> None:
    assert check(stored(WHOLE), Anchor(5, WHOLE[4].hash)).fault is None


@given(PLACES)
def test_one_removed_entry_is_found(place: int) -> None:
    kept = stored(WHOLE)
    del kept[place]

    report = check(kept)

    assert kind_of(report) is (Kind.REMOVED if place else Kind.TRUNCATED)
    assert report.fault is not None
    assert report.fault.at == str(place + 1 if place else 2)


@given(PLACES, st.binary(max_size=20))
def test_one_changed_entry_is_found(place: int, data: bytes) -> None:
    kept = stored(WHOLE)
    kept[place] = replace(kept[place], data=data)

    assert check(kept).fault is not None


@given(PLACES, st.dictionaries(st.sampled_from(["is", "lost", "at", "version", "n"]), st.integers(1, 20), min_size=1))
def test_one_rewritten_entry_is_found_even_with_a_hash_of_its_own(place: int, members: dict[str, int]) -> None:
    entry, before = WHOLE[place], WHOLE[place - 1].hash if place else GENESIS
    data = orjson.dumps(orjson.loads(entry.data) | members, option=orjson.OPT_SORT_KEYS)
    assume(data != entry.data)
    kept = stored(WHOLE)
    kept[place] = Kept(entry.id, data, chained(before, data))

    assert check(kept).fault is not None


@given(PLACES, PLACES)
def test_two_swapped_entries_are_found(one: int, two: int) -> None:
    assume(one != two)
    kept = stored(WHOLE)
    kept[one], kept[two] = (
        replace(kept[two], id=kept[one].id),
        replace(kept[one], id=kept[two].id),
    )

    report = check(kept)

    assert kind_of(report) in ({Kind.REORDERED} if min(one, two) else {Kind.TRUNCATED, Kind.REORDERED})


@given(st.integers(1, LENGTH))
def test_tail_that_was_cut_off_is_found(entries: int) -> None:
    report = check(stored(WHOLE)[:-entries])

    assert kind_of(report) is Kind.REMOVED
    assert report.fault is not None
    assert report.fault.at == str(LENGTH - entries + 1)


def test_entry_that_stands_there_twice_is_found() -> None:
    kept = stored(WHOLE)

    assert kind_of(check([*kept[:4], kept[2], *kept[4:]])) is Kind.REORDERED


def test_only_the_first_fault_is_told() -> None:
    kept = stored(WHOLE)
    kept[3] = replace(kept[3], hash=bytes(32))

    report = check([*kept[:6], *kept[8:]])

    assert report.fault is not None
    assert (report.fault.kind, report.fault.at) == (Kind.CHANGED, kept[3].id)


def test_first_entry_is_held_as_well() -> None:
    kept = stored(WHOLE)
    kept[0] = replace(kept[0], data=kept[0].data.replace(b'"version":"1"', b'"version":"2"'))

    report = check(kept)

    assert report.fault is not None
    assert (report.fault.kind, report.fault.at) == (Kind.CHANGED, kept[0].id)


def test_entry_under_another_id_is_found() -> None:
    kept = stored(WHOLE)
    kept[3] = replace(kept[3], id="999-4")

    assert kind_of(check(kept)) is Kind.CHANGED


def test_entry_in_other_words_is_found() -> None:
    kept = stored(WHOLE)
    kept[3] = replace(kept[3], data=kept[3].data.replace(b":", b": "))

    assert kind_of(check(kept)) is Kind.CHANGED


def test_head_that_is_gone_or_another_is_found() -> None:
    assert kind_of(check(stored(WHOLE), None)) is Kind.REMOVED
    assert kind_of(check(stored(WHOLE), Anchor(LENGTH, bytes(32)))) is Kind.CHANGED


def test_trail_that_is_gone_is_found() -> None:
    assert kind_of(check([])) is Kind.REMOVED
    assert kind_of(check([], None)) is Kind.REMOVED


def test_new_chain_in_place_of_the_old_one_is_found_by_an_anchor_only() -> None:
    forged = chain(Began("1", {}), *(Gap(1) for _ in range(LENGTH - 1)))
    head = Anchor(LENGTH, forged[-1].hash)

    assert check(stored(forged), head).fault is None
    assert kind_of(check(stored(forged), head, (Anchor(5, WHOLE[4].hash),))) is Kind.CHANGED


def test_cut_with_its_head_is_found_by_an_anchor_only() -> None:
    head = Anchor(5, WHOLE[4].hash)

    assert check(stored(WHOLE[:5]), head).fault is None
    assert kind_of(check(stored(WHOLE[:5]), head, (HEAD,))) is Kind.REMOVED


# -- what retention has cut off ----------------------------------------------------------------------------------------


def trimmed(upto: int, digest: bytes | None = None) -> list[Entry]:
    """A trail that announces as its seventh entry that all up to one of the first six may go."""
    before: list[Decision] = [Began("1", {}), *(Gap(place) for place in range(5))]
    told = digest or (chain(*before)[upto - 1].hash if upto <= len(before) else bytes(32))
    return chain(*before, Trimmed(upto, told, 1000, {}), Gap(1), Ended())


@pytest.mark.parametrize("gone", range(5))
def test_announced_beginning_may_be_gone_as_a_whole_or_in_part(gone: int) -> None:
    entries = trimmed(4)

    report = check(stored(entries[gone:]), Anchor(9, entries[-1].hash))

    assert kind_of(report) is None
    assert report.first == gone + 1


def test_more_than_was_announced_may_not_be_gone() -> None:
    entries = trimmed(4)

    assert kind_of(check(stored(entries[5:]), Anchor(9, entries[-1].hash))) is Kind.TRUNCATED


def test_first_entry_after_the_cut_is_held_by_the_announcement() -> None:
    entries = trimmed(4)
    kept = stored(entries[4:])
    kept[0] = replace(kept[0], data=kept[0].data.replace(b'"lost":3', b'"lost":9'))

    assert kind_of(check(kept, Anchor(9, entries[-1].hash))) is Kind.CHANGED


@pytest.mark.parametrize("digest", [bytes(32), b"?"])
def test_announcement_that_does_not_fit_is_found(digest: bytes) -> None:
    entries = trimmed(4, digest)

    assert kind_of(check(stored(entries), Anchor(9, entries[-1].hash))) is Kind.CHANGED


def test_announcement_that_is_no_hash_is_found() -> None:
    entries = trimmed(4)
    data = entries[6].data.replace(entries[3].hash.hex().encode(), b"zz")
    kept = stored(entries)
    kept[6] = Kept(kept[6].id, data, chained(entries[5].hash, data))

    assert kind_of(check(kept[4:], Anchor(9, entries[-1].hash))) is Kind.CHANGED


def test_older_announcement_counts_no_more() -> None:
    before = chain(Began("1", {}), Gap(1), Gap(2), Gap(3))
    entries = chain(
        *(Began("1", {}), Gap(1), Gap(2), Gap(3)),
        Trimmed(3, before[2].hash, 1000, {}),
        Trimmed(2, before[1].hash, 1000, {}),
        Ended(),
    )

    assert check(stored(entries[3:]), Anchor(7, entries[-1].hash), (Anchor(2, before[1].hash),)).fault is None
