"""The sealed file: what goes in comes out for who knows the passphrase, and nobody else learns anything."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from gateway.backends.credentials.sealed import SealedFile
from gateway.backends.credentials.sealed_store import SealedStore, read_passphrase
from gateway.backends.credentials.store import Material, Missing
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

PLAIN = VenueId("plain")
DESK = Account(PLAIN, "desk-a")
OTHER = Account(PLAIN, "desk-b")
MARKER = "hunter2"
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def sealed(tmp_path: Path) -> SealedFile:
    """A file with one credential in it."""
    file = SealedFile(tmp_path / "var" / "desk.sealed", PASSPHRASE)
    file.put(DESK, {"key": MARKER})
    return file


async def test_what_was_put_is_read(sealed: SealedFile) -> None:
    store = SealedStore(SealedFile(sealed.path, PASSPHRASE))

    stored = await store.read(DESK)

    assert isinstance(stored, Material)
    assert stored.fields == {"key": MARKER}
    assert await store.read(OTHER) == Missing()
    assert await store.names(PLAIN) == ["desk-a"]
    assert await store.names(VenueId("other")) == []


def test_file_shows_nothing_and_is_for_its_owner_alone(sealed: SealedFile) -> None:
    content = sealed.path.read_bytes()

    assert sealed.path.stat().st_mode & 0o777 == 0o600
    assert MARKER.encode() not in content
    assert b"desk-a" not in content
    assert MARKER not in repr(sealed) + repr(sealed.open())
    assert PASSPHRASE not in repr(sealed)
    assert list(sealed.path.parent.iterdir()) == [sealed.path]


async def test_running_store_sees_what_is_put_later(sealed: SealedFile) -> None:
    store = SealedStore(SealedFile(sealed.path, PASSPHRASE))
    before = await store.read(DESK)

    sealed.put(DESK, {"key": "k2"})
    after = await store.read(DESK)

    assert isinstance(before, Material)
    assert isinstance(after, Material)
    assert after.fields == {"key": "k2"}
    assert before.version != after.version


def test_numbers_are_never_used_again(sealed: SealedFile) -> None:
    second = sealed.put(OTHER, {"key": "o1"})
    removed = sealed.remove(OTHER)
    third = sealed.put(OTHER, {"key": "o1"})

    assert (second, removed, third) == (2, True, 3)
    assert sealed.remove(Account(PLAIN, "nobody")) is False
    assert sealed.open().entries[DESK].fields == {"key": MARKER}


def test_same_content_sealed_twice_looks_different_under_the_same_key(sealed: SealedFile) -> None:
    """A new salt at each change would make every running process work for its key again."""
    before = orjson.loads(sealed.path.read_bytes())

    sealed.put(DESK, {"key": MARKER})
    after = orjson.loads(sealed.path.read_bytes())

    assert before["box"] != after["box"]
    assert before["salt"] == after["salt"]


def test_wrong_passphrase_is_told_as_that(sealed: SealedFile) -> None:
    with pytest.raises(Unavailable, match="does not open: wrong passphrase, or a damaged file"):
        SealedFile(sealed.path, "wrong").open()


def test_no_passphrase_tells_where_to_put_it(sealed: SealedFile) -> None:
    with pytest.raises(Unavailable, match=r"CANCEL_GATEWAY_PASSPHRASE or secrets\.passphrase_file"):
        SealedFile(sealed.path, None).open()


def test_wrong_passphrase_cannot_overwrite(sealed: SealedFile) -> None:
    before = sealed.path.read_bytes()

    with pytest.raises(Unavailable, match="wrong passphrase"):
        SealedFile(sealed.path, "wrong").put(OTHER, {"key": "o1"})

    assert sealed.path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_file_that_others_may_use_is_refused(sealed: SealedFile, mode: int) -> None:
    sealed.path.chmod(mode)

    with pytest.raises(Unavailable, match=f"has mode {mode:04o}, too open; chmod 0600"):
        sealed.open()


def test_file_that_is_not_there_tells_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not exist; `cancel-gateway secrets put` makes it"):
        SealedFile(tmp_path / "nowhere", PASSPHRASE).open()


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match=r"Not a directory|File exists"):
        SealedFile(tmp_path / "file" / "desk.sealed", PASSPHRASE).put(DESK, {"key": "k1"})


def damaged(header: dict[str, object], key: str) -> bytes:
    odd: dict[str, object] = {"salt": "AAAA", "ops": 10**9, "memory_bytes": 10**15, "version": 2, "box": "AAAA"}
    return orjson.dumps({**header, key: odd[key]})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("salt", "does not open"),
        ("ops", "asks for more work"),
        ("memory_bytes", "asks for more work"),
        ("version", "has format 2, this version reads 1"),
        ("box", "does not open"),
    ],
)
def test_damaged_header_is_one_line(sealed: SealedFile, key: str, words: str) -> None:
    sealed.path.write_bytes(damaged(orjson.loads(sealed.path.read_bytes()), key))

    with pytest.raises(Unavailable, match=words):
        SealedFile(sealed.path, PASSPHRASE).open()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"version": 1, "salt": 3}', b"null"])
def test_file_that_is_something_else_is_one_line(sealed: SealedFile, content: bytes) -> None:
    sealed.path.write_bytes(content)

    with pytest.raises(Unavailable, match="is no sealed file, or damaged"):
        sealed.open()


def test_flipped_bit_in_the_box_is_noticed(sealed: SealedFile) -> None:
    header = orjson.loads(sealed.path.read_bytes())
    header["box"] = ("A" if header["box"][50] != "A" else "B").join((header["box"][:50], header["box"][51:]))
    sealed.path.write_bytes(orjson.dumps(header))

    with pytest.raises(Unavailable, match="does not open"):
        sealed.open()


def test_people_who_put_at_once_lose_nothing(sealed: SealedFile) -> None:
    accounts = [Account(PLAIN, f"desk-{number}") for number in range(8)]

    with ThreadPoolExecutor(4) as pool:
        numbers = list(
            pool.map(lambda account: SealedFile(sealed.path, PASSPHRASE).put(account, {"key": "k"}), accounts)
        )

    assert len(set(numbers)) == 8
    assert set(accounts) <= set(sealed.open().entries)


async def test_key_is_made_once_for_many_reads(sealed: SealedFile) -> None:
    store = SealedStore(SealedFile(sealed.path, PASSPHRASE))
    started = time.perf_counter()
    await store.read(DESK)
    first = time.perf_counter() - started

    started = time.perf_counter()
    await asyncio.gather(*(store.read(DESK) for _ in range(20)))
    rest = time.perf_counter() - started

    assert rest < 10 * first


def test_passphrase_comes_from_the_environment_then_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from file \n")

    assert read_passphrase(file, {"CANCEL_GATEWAY_PASSPHRASE": "from env"}) == "from env"
    assert read_passphrase(file, {"CANCEL_GATEWAY_PASSPHRASE": ""}) == "from file "
    assert read_passphrase(None, {}) is None
    with pytest.raises(Unavailable, match="cannot be read as text"):
        read_passphrase(tmp_path / "nowhere", {})


def test_rekeyed_file_opens_with_the_new_passphrase_only(tmp_path: Path) -> None:
    old = SealedFile(tmp_path / "s", "old")
    old.put(DESK, {"key": "k1"})
    before = old.open()

    count = SealedFile(tmp_path / "s", "old").rekey("new")

    assert count == 1
    assert SealedFile(tmp_path / "s", "new").open() == before
    with pytest.raises(Unavailable, match="does not open"):
        SealedFile(tmp_path / "s", "old").open()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_rekeying_with_the_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    SealedFile(tmp_path / "s", "old").put(DESK, {"key": "k1"})
    before = (tmp_path / "s").read_bytes()

    with pytest.raises(Unavailable, match="does not open"):
        SealedFile(tmp_path / "s", "guess").rekey("new")

    assert (tmp_path / "s").read_bytes() == before


async def test_service_follows_a_rekeying_through_its_passphrase_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("old")
    SealedFile(tmp_path / "s", "old").put(DESK, {"key": "k1"})
    store = SealedStore(SealedFile(tmp_path / "s", "old"), lambda: read_passphrase(file, {}))
    first = await store.read(DESK)

    SealedFile(tmp_path / "s", "old").rekey("new")
    with pytest.raises(Unavailable, match="does not open"):
        await store.read(DESK)
    file.write_text("new")

    assert await store.read(DESK) == first
