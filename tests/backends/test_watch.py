"""Files that are replaced, in each way in which people and Kubernetes do it."""

from pathlib import Path

import pytest

from gateway.backends.watch import FileWatch


def settled(watch: FileWatch) -> bool:
    """Whether two looks see a change, told once."""
    return [watch.changed(), watch.changed(), watch.changed()] == [False, True, False]


def test_nothing_is_told_while_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    watch = FileWatch([tmp_path / "a", tmp_path / "absent"])

    assert not any(watch.changed() for _ in range(5))


def test_a_file_written_in_place_renamed_or_removed_is_told_once(tmp_path: Path) -> None:
    file, scratch = tmp_path / "a", tmp_path / "scratch"
    file.write_text("1")
    watch = FileWatch([file])

    file.write_text("22")
    assert settled(watch)
    scratch.write_text("33")
    scratch.rename(file)
    assert settled(watch)
    file.unlink()
    assert settled(watch)
    file.write_text("4")
    assert settled(watch)


def test_a_file_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("")
    watch = FileWatch([file])

    for n in range(1, 6):
        file.write_text("x" * n)
        assert not watch.changed()
    assert watch.changed()


@pytest.mark.parametrize("names", [("gateway.toml",), ("tls.crt", "tls.key")])
def test_the_swap_of_a_kubernetes_volume_is_seen(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A ConfigMap's files are links to `..data/FILE`, and `..data` is a link that is replaced."""
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        for name in names:
            (tmp_path / version / name).write_text("same size")
    (tmp_path / "..data").symlink_to("..1")
    for name in names:
        (tmp_path / name).symlink_to(f"..data/{name}")
    watch = FileWatch(tmp_path / name for name in names)

    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    assert settled(watch)


def test_what_was_taken_by_hand_is_not_told_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    watch = FileWatch([file])
    file.write_text("22")

    watch.take()

    assert not any(watch.changed() for _ in range(3))


def test_something_that_came_back_as_it_was_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    watch = FileWatch([file])
    away = file.rename(tmp_path / "away")

    assert not watch.changed()
    away.rename(file)

    assert not any(watch.changed() for _ in range(3))
