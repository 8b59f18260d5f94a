"""Credentials as files, as Kubernetes mounts them and as people damage them."""

import os
import threading
from itertools import count
from pathlib import Path

import orjson
import pytest
from store_rigs import FileRig

from gateway.backends.credentials.files import FileStore
from gateway.backends.credentials.store import MATERIAL_MOST_BYTES, Denied, Material, Missing, Stored, Unusable
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable

PLAIN = VenueId("plain")
DESK = Account(PLAIN, "desk-a")
MARKER = "hunter2"


def put(directory: Path, content: bytes, name: str = "desk-a.json", mode: int = 0o644) -> Path:
    path = directory / PLAIN / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


async def read(directory: Path, account: Account = DESK) -> Stored:
    return await FileStore(directory).read(account)


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o644, 0o660])
async def test_file_of_any_usual_mode_is_read(tmp_path: Path, mode: int) -> None:
    put(tmp_path, b'{"key": "k1", "other": ""}', mode=mode)

    stored = await read(tmp_path)

    assert isinstance(stored, Material)
    assert stored.fields == {"key": "k1", "other": ""}
    assert "k1" not in repr(stored)


async def test_version_changes_with_the_content_alone(tmp_path: Path) -> None:
    versions = []
    for key in ("k1", "k1", "k2"):
        put(tmp_path, orjson.dumps({"key": key}))
        stored = await read(tmp_path)
        assert isinstance(stored, Material)
        versions.append(stored.version)

    assert versions[0] == versions[1] != versions[2]


async def test_kubernetes_swap_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / PLAIN
    for name, key in (("..1", "k1"), ("..2", "k2")):
        (folder / name).mkdir(parents=True)
        (folder / name / "desk-a.json").write_text(f'{{"key": "{key}"}}')
    (folder / "..data").symlink_to("..1")
    (folder / "desk-a.json").symlink_to("..data/desk-a.json")
    store = FileStore(tmp_path)
    before = await store.read(DESK)

    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")
    after = await store.read(DESK)

    assert isinstance(before, Material)
    assert isinstance(after, Material)
    assert (before.fields, after.fields) == ({"key": "k1"}, {"key": "k2"})
    assert await store.names(PLAIN) == ["desk-a"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", Unusable("", "is not valid JSON")),
        (MARKER.encode(), Unusable("", "is not valid JSON")),
        (b'{"key": "' + MARKER.encode(), Unusable("", "is not valid JSON")),
        (b"\xff\xfe", Unusable("", "is not valid JSON")),
        (b"[" * 100_00, Unusable("", "is not valid JSON")),
        (b'["hunter2"]', Unusable("", "is no JSON object")),
        (b'"hunter2"', Unusable("", "is no JSON object")),
        (b'{"key": 1234567}', Unusable("key", "is no string")),
        (b'{"key": null}', Unusable("key", "is no string")),
        (b'{"key": {"a": "hunter2"}}', Unusable("key", "is no string")),
        (b'{"a\\u001b[2J": 1}', Unusable("(a name with invisible characters)", "is no string")),
        (b" " * (MATERIAL_MOST_BYTES + 1), Unusable("", f"is larger than {MATERIAL_MOST_BYTES} bytes")),
    ],
)
async def test_damaged_file_names_the_field_and_never_the_value(
    tmp_path: Path, content: bytes, fault: Unusable
) -> None:
    put(tmp_path, content)

    stored = await read(tmp_path)

    assert stored == fault


async def test_largest_file_is_read(tmp_path: Path) -> None:
    put(tmp_path, b'{"key": "k1"}'.ljust(MATERIAL_MOST_BYTES))

    assert isinstance(await read(tmp_path), Material)


async def test_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    put(tmp_path, b'{"key": "k1"}', mode=0o666)

    assert await read(tmp_path) == Unusable("", "has mode 0666, too open; chmod 0664")


async def test_pipe_in_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / PLAIN).mkdir()
    os.mkfifo(tmp_path / PLAIN / "desk-a.json", 0o600)

    assert await read(tmp_path) == Unusable("", "is no regular file")


async def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / PLAIN / "desk-a.json").mkdir(parents=True)

    assert await read(tmp_path) == Unusable("", "is no regular file")


async def test_link_that_leads_in_a_circle_denies_this_one_only(tmp_path: Path) -> None:
    (tmp_path / PLAIN).mkdir()
    (tmp_path / PLAIN / "desk-a.json").symlink_to("desk-a.json")

    assert await read(tmp_path) == Denied("cannot be read: Too many levels of symbolic links")


async def test_missing_file_is_missing_and_missing_mount_is_a_fault_of_the_store(tmp_path: Path) -> None:
    assert await read(tmp_path) == Missing()
    assert await FileStore(tmp_path).names(PLAIN) == ()
    with pytest.raises(Unavailable, match="No such file"):
        await read(tmp_path / "nowhere")
    with pytest.raises(Unavailable, match="No such file"):
        await FileStore(tmp_path / "nowhere").names(PLAIN)


async def test_names_of_something_else_than_a_folder_is_a_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / PLAIN).write_text("")

    with pytest.raises(Unavailable, match="Not a directory"):
        await FileStore(tmp_path).names(PLAIN)
    assert await read(tmp_path) == Denied("cannot be read: Not a directory")


@pytest.mark.parametrize("name", ["../plain/desk-a", "/etc/passwd", "", "a/b", "a\0b", "desk a", "é", "x" * 65])
async def test_name_that_could_leave_the_folder_is_missing(tmp_path: Path, name: str) -> None:
    put(tmp_path, b'{"key": "k1"}')

    assert await read(tmp_path, Account(PLAIN, name)) == Missing()


async def test_names_are_those_of_usable_files(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "notes.txt", "with blank.json", ".json"):
        put(tmp_path, b"{}", name)

    assert await FileStore(tmp_path).names(PLAIN) == ["a", "b"]


async def test_read_across_swaps_is_one_version_or_the_other(tmp_path: Path) -> None:
    """Both fields of a version carry its number: a mixture, or a file that seems missing, would show."""
    rig, done = FileRig(tmp_path), threading.Event()
    rig.put(DESK, {"key": "0", "secret": "0"})

    def swap() -> None:
        for number in count(1):
            if done.is_set():
                return
            rig.put(DESK, {"key": str(number), "secret": str(number)})

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        found: list[Stored] = []
        while len({repr(each) for each in found}) < 20:
            found += [FileStore(tmp_path)._read(DESK) for _ in range(100)]
    finally:
        done.set()
        swapper.join()

    seen = {(each.fields["key"], each.fields["secret"]) for each in found if isinstance(each, Material)}
    assert all(isinstance(each, Material) for each in found), {repr(each) for each in found}
    assert all(key == secret for key, secret in seen)
