"""Which keys differ between two settings, by their names only: values may be passwords."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from gateway.settings import Settings

WHILE_RUNNING = ("callers", "jwt")
ABSENT = object()
# Where the values are grouped otherwise than the file.
SPELLED = ((".tls.", ".tls_"), (".site.options", ""), (".site", ""), (".tls", ".tls_cert"))


def only_at_start(old: Settings, new: Settings) -> tuple[str, ...]:
    """The keys that differ and can't be taken while the service runs."""
    differing = (
        key
        for field in fields(Settings)
        if field.name not in WHILE_RUNNING
        for key in _differing(field.name, getattr(old, field.name), getattr(new, field.name))
    )
    return tuple(dict.fromkeys(_spelled(key) for key in differing))


def _differing(at: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    parts, others = _parts(old), _parts(new)
    if parts is None or others is None:
        yield at
        return
    for name in dict.fromkeys((*parts, *others)):
        yield from _differing(f"{at}.{name}", parts.get(name, ABSENT), others.get(name, ABSENT))


def _parts(value: object) -> Mapping[str, object] | None:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value if isinstance(value, Mapping) else None


def _spelled(key: str) -> str:
    for ours, theirs in SPELLED:
        key = key.replace(ours, theirs)
    return key
