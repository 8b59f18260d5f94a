"""No two things share a key in Redis, and all keys of an account lie in one cluster slot."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import keys
from gateway.core.idempotency import RecordId
from gateway.core.model import Account, By, VenueId

# Few letters, among them those that keys are joined with: collisions would be found here first.
tricky = st.text("a:.{}-", min_size=1, max_size=6)
venues = st.text("ab_-", min_size=1, max_size=3).map(VenueId)
accounts = st.builds(Account, venues, st.text("a.-_", min_size=1, max_size=4))
ulids = st.sampled_from(["0" * 26, "0" * 25 + "1", "1" + "0" * 25])
kinds = st.sampled_from(By)
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=6)


@dataclass(frozen=True)
class Place:
    """What a key stands for, and how the key is made."""

    make: Callable[..., str]
    of: tuple[object, ...]

    @property
    def key(self) -> str:
        return self.make(*self.of)


def places(make: Callable[..., str], *parts: st.SearchStrategy[object]) -> st.SearchStrategy[Place]:
    return st.tuples(*parts).map(lambda of: Place(make, of))


of_an_account = (
    places(keys.holder, accounts)
    | places(keys.gate, accounts)
    | places(keys.rehearsal, accounts)
    | places(keys.leases, accounts)
    | places(keys.unknown, accounts)
    | places(keys.record, st.builds(RecordId, ulids, accounts))
    | places(keys.order, accounts, kinds, tricky)
)
anything = (
    of_an_account
    | places(keys.idempotency, st.text("a.-_", min_size=1, max_size=4), visible)
    | places(keys.idempotency_rehearsal)
)


def slot_tag(key: str) -> str:
    """What a Redis Cluster hashes: between the first brace and the first one that closes."""
    found = re.search(r"\{(.+?)\}", key)
    assert found is not None
    return found[1]


def account_of(place: Place) -> Account:
    first = place.of[0]
    if isinstance(first, RecordId):
        return first.account
    assert isinstance(first, Account)
    return first


@given(anything, anything)
def test_keys_are_equal_where_the_things_are(one: Place, other: Place) -> None:
    assert (one.key == other.key) == (one == other)


@given(st.sets(st.tuples(st.text("a", min_size=1, max_size=4), st.text("a", min_size=1, max_size=4)), min_size=2))
def test_a_caller_and_a_key_do_not_flow_together(claims: set[tuple[str, str]]) -> None:
    assert len({keys.idempotency(caller, key) for caller, key in claims}) == len(claims)


@pytest.mark.parametrize("place", range(26))
def test_every_letter_of_a_record_id_counts(place: int) -> None:
    account = Account(VenueId("a"), "b")
    zeros = RecordId("0" * 26, account)
    other = RecordId("0" * place + "1" + "0" * (25 - place), account)

    assert keys.record(zeros) != keys.record(other)


@given(of_an_account, of_an_account)
def test_an_account_is_one_slot_of_its_own(one: Place, other: Place) -> None:
    assert (slot_tag(one.key) == slot_tag(other.key)) == (account_of(one) == account_of(other))


@given(anything)
def test_every_key_tells_the_version_of_the_layout(place: Place) -> None:
    assert place.key.startswith("cg1:{")


@given(accounts, kinds, st.text(max_size=40), st.text(max_size=40))
def test_hostile_text_is_never_part_of_a_key(account: Account, by: By, ref: str, more: str) -> None:
    of_order = keys.order(account, by, ref)
    of_claim = keys.idempotency(ref, more)

    assert re.fullmatch(r"[ -~]+:ord:(order_id|client_id):[0-9a-f]{40}", of_order)
    assert re.fullmatch(r"cg1:\{idem:[0-9a-f]{40}\}", of_claim)


def test_the_keys_of_running_replicas_stay_where_they_are() -> None:
    account = Account(VenueId("orderly"), "desk-a")

    assert keys.holder(account) == "cg1:{orderly:desk-a}:limits"
    assert keys.gate(account) == "cg1:{orderly:desk-a}:gate"
    assert keys.record(RecordId("01A", account)) == "cg1:{orderly:desk-a}:rec:01A"
    assert keys.trail("0f") == ("cg1:{trail:0f}:log", "cg1:{trail:0f}:head")
    assert keys.trails() == "cg1:{trails}"
