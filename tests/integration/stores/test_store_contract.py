"""What holds for every place that holds credentials: the sealed file, files, Vault (OpenBao) and AWS (moto)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from credential_fakes import HandClock, HandSender
from plain_venue import ID, PLAIN, PlainSigner
from real_bao import Bao
from real_moto import Moto
from store_rigs import PROVIDERS, StoreRig, rig_of

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.keeper import CredentialKeeper, Freshness, Served
from gateway.backends.credentials.store import MATERIAL_MOST_BYTES, Material, Missing, Store, Unusable
from gateway.core.model import Account
from gateway.core.outcome import Outcome
from gateway.ports import NoSigner, Unavailable, Unlocked
from gateway.venues.base import Site

DESK, OTHER = Account(ID, "desk-a"), Account(ID, "desk-b")
MARKER = "hunter2hunter2"
WITHIN_S = 8.0


@pytest.fixture(params=PROVIDERS)
def rig(request: pytest.FixtureRequest, tmp_path: Path, bao_session: Bao, moto_session: Moto) -> Iterator[StoreRig]:
    with rig_of(request.param, tmp_path, bao_session, moto_session) as made:
        made.put(Account(ID, "neighbour"), {"key": "n"})
        yield made


@pytest.fixture
async def store(rig: StoreRig) -> AsyncIterator[Store]:
    opened = rig.open()
    yield opened
    await opened.aclose()


# -- the store alone ---------------------------------------------------------------------------------------------------


async def test_what_is_stored_is_read(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1", "more": "ünïcode"})

    found = await store.read(DESK)

    assert isinstance(found, Material)
    assert found.fields == {"key": "k1", "more": "ünïcode"}


async def test_version_is_the_same_until_the_content_changes(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    first, again = await store.read(DESK), await store.read(DESK)
    rig.put(DESK, {"key": "k2"})

    second = await store.read(DESK)

    assert isinstance(first, Material)
    assert isinstance(second, Material)
    assert again == first
    assert second.version != first.version
    assert second.fields == {"key": "k2"}


async def test_what_was_never_stored_or_is_removed_is_missing(rig: StoreRig, store: Store) -> None:
    never = await store.read(DESK)
    rig.put(DESK, {"key": "k1"})
    rig.remove(DESK)

    assert (never, await store.read(DESK)) == (Missing(), Missing())


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "a/b", "a%2fb", "a b", "a\n", "ä", "x" * 65])
async def test_name_that_cannot_be_is_never_asked_for(store: Store, name: str) -> None:
    assert await store.read(Account(ID, name)) == Missing()


async def test_value_that_is_no_text_is_named_by_its_field(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1", "number": 7})

    assert await store.read(DESK) == Unusable("number", "is no string")


async def test_ten_megabytes_are_no_credential(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k" * 10_000_000})

    assert await store.read(DESK) == Unusable("", f"is larger than {MATERIAL_MOST_BYTES} bytes")


async def test_accounts_are_listed_by_venue(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    rig.put(Account(type(ID)("elsewhere"), "desk-z"), {"key": "z"})

    assert (list(await store.names(ID)), list(await store.names(type(ID)("nowhere")))) == (["desk-a", "neighbour"], [])


async def test_store_that_is_lost_says_so_in_time_and_is_found_again(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    await store.read(DESK)
    rig.lose()
    began = time.monotonic()

    with pytest.raises(Unavailable) as lost:
        await store.read(DESK)
    took_s = time.monotonic() - began
    rig.find()

    assert took_s < 3
    assert lost.value.reason
    assert isinstance(await store.read(DESK), Material)


# -- the store behind the keeper ---------------------------------------------------------------------------------------


@contextmanager
def keeping(store: Store, stale_s: float = 60.0) -> Iterator[CredentialKeeper]:
    served = {ID: Served(PLAIN, Site("https://venue.example"), 2000)}
    freshness = Freshness(0.2, stale_s, read_most_s=0.5)
    yield CredentialKeeper(served, store, HandSender(HandClock()), SystemClock(), freshness, lambda *_: None)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something in the background."""
    async with asyncio.timeout(WITHIN_S):
        while not true():  # noqa: ASYNC110  whatever it is, it rings no bell
            await asyncio.sleep(0.01)


async def until_word(keeper: CredentialKeeper, word: str, account: Account = DESK) -> None:
    """Wait until an account stands so; nobody has to ask for it."""
    await until(lambda: keeper.condition(account).word == word)


async def key_of(keeper: CredentialKeeper, account: Account = DESK) -> str:
    unlocked = await keeper.unlock(account)
    assert isinstance(unlocked, Unlocked), unlocked
    assert isinstance(unlocked.signer, PlainSigner)
    return unlocked.signer.key


SPOILT: dict[str, tuple[Mapping[str, object], str]] = {
    "missing-field": ({"keys": MARKER}, "key is missing"),
    "wrong-type": ({"key": [MARKER]}, "key is no string"),
    "cannot-sign": ({"key": "short", "note": MARKER}, "key is too short"),
    "too-large": ({"key": MARKER * 5_000}, "is larger than 65536 bytes"),
}
ACCOUNTS = {fault: Account(ID, fault) for fault in SPOILT}


async def test_spoilt_material_leaves_the_good_one_and_is_told_once(rig: StoreRig, store: Store) -> None:
    for account in ACCOUNTS.values():
        rig.put(account, {"key": "k1"})
    with keeping(store) as keeper, structlog.testing.capture_logs() as logs:
        for account in ACCOUNTS.values():
            await keeper.unlock(account)
        for fault, account in ACCOUNTS.items():
            rig.put(account, SPOILT[fault][0])

        for account in ACCOUNTS.values():
            await until_word(keeper, "stale", account)
        await asyncio.sleep(0.5)  # two more refreshes, which tell nothing new
        kept = {await key_of(keeper, account) for account in ACCOUNTS.values()}
        conditions = {fault: keeper.condition(account) for fault, account in ACCOUNTS.items()}
        await keeper.aclose()

    assert kept == {"k1"}
    assert {fault: how.detail for fault, how in conditions.items()} == {
        fault: why for fault, (_, why) in SPOILT.items()
    }
    assert sorted((line["event"], line["account"]) for line in logs) == [
        ("credential.unusable", fault) for fault in sorted(SPOILT)
    ]
    assert MARKER not in repr(logs) + repr(conditions)


async def test_spoilt_material_at_the_start_is_unavailable_until_it_is_mended(rig: StoreRig, store: Store) -> None:
    for fault, account in ACCOUNTS.items():
        rig.put(account, SPOILT[fault][0])
    with keeping(store) as keeper, structlog.testing.capture_logs() as logs:
        answers = {fault: await keeper.unlock(account) for fault, account in ACCOUNTS.items()}
        for account in ACCOUNTS.values():
            rig.put(account, {"key": "k2"})
        for account in ACCOUNTS.values():
            await until_word(keeper, "ok", account)
        mended = {await key_of(keeper, account) for account in ACCOUNTS.values()}
        await keeper.aclose()

    assert mended == {"k2"}
    assert answers == {
        fault: NoSigner(Outcome.SECRET_UNAVAILABLE, f"the stored credential cannot be used: {why}")
        for fault, (_, why) in SPOILT.items()
    }
    events = sorted((line["event"], line["account"]) for line in logs)
    assert events == sorted((f"credential.{word}", fault) for fault in SPOILT for word in ("unusable", "usable"))
    assert MARKER not in repr(logs)


async def test_rotated_credential_is_taken_up_by_itself(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    with keeping(store) as keeper:
        await key_of(keeper)
        before = keeper.condition(DESK).version
        rig.put(DESK, {"key": "k2"})

        await until(lambda: keeper.condition(DESK).version != before)

        assert await key_of(keeper) == "k2"
        await keeper.aclose()


async def test_removed_credential_is_dropped_by_itself(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    with keeping(store) as keeper:
        await key_of(keeper)
        rig.remove(DESK)

        await until_word(keeper, "unread")
        answer = await keeper.unlock(DESK)
        await keeper.aclose()

    assert isinstance(answer, NoSigner)
    assert answer.outcome is Outcome.UNKNOWN_ACCOUNT


async def test_lost_store_lets_credentials_serve_until_they_are_stale(rig: StoreRig, store: Store) -> None:
    rig.put(DESK, {"key": "k1"})
    with keeping(store, stale_s=1.5) as keeper, structlog.testing.capture_logs() as logs:
        await key_of(keeper)
        rig.lose()
        await until_word(keeper, "stale")
        kept = await key_of(keeper)
        await until_word(keeper, "unavailable")
        answer = await keeper.unlock(DESK)
        rig.find()
        await until_word(keeper, "ok")
        await keeper.aclose()

    assert kept == "k1"
    assert isinstance(answer, NoSigner)
    assert answer.outcome is Outcome.SECRET_UNAVAILABLE
    assert [line["event"] for line in logs] == ["credential.store_down", "credential.store_up"]
