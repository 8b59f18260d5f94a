"""Files and folders that settings name: relative to the file's own folder, and there for this user."""

from pathlib import Path

from gateway.settings.schema import Section


def optional(section: Section, key: str, folder: Path) -> Path | None:
    """A path that may be left out or empty."""
    text = section.text(key, "")
    return folder / text if text else None


def is_folder(path: Path) -> bool:
    """Whether a folder is there, as far as this user can see."""
    try:
        return path.is_dir()
    except OSError:
        return False


def readable(section: Section, key: str, path: Path) -> bool:
    """Whether this user may read the file; a fault where not."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such path"
        section.fault(key, f"cannot be read: {reason}", "give a file that this user may read")
        return False
    return True
