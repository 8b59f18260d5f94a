"""Reads the file of the sandbox command. Every fault is reported at once, each with its key path."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.sandbox.config import (
    CREDENTIAL_FIELDS,
    OPTIONAL_CREDENTIAL_FIELDS,
    VENUE_IDS,
    SandboxConfig,
)
from gateway.sandbox.eddsa import public_key
from gateway.sandbox.fields import FieldFault, Fields
from gateway.sandbox.verify import ed25519_key
from gateway.sandbox.window import Limit

_MOST_PORT: Final = 65_535
_PLAIN_KEYS: Final = (
    "cancel_delay_ms", "etna_token_ms", "b2trader_token_ms", "hashkey_limit_status", "hashkey_ban_ms",
)  # fmt: skip


class BadSandboxConfig(Exception):  # noqa: N818  named for what it is: the file, not the program, is at fault
    """What is wrong with the file, all of it."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def config_from_toml(path: Path) -> SandboxConfig:
    """Read a file; what it does not name stays as shipped. Raises BadSandboxConfig."""
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSandboxConfig((f"{path}: {error}",)) from error
    reading = _Reading()
    config = reading.config(whole)
    if reading.faults:
        raise BadSandboxConfig(tuple(reading.faults))
    return config


class _Reading:
    """One file being read."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._shipped = SandboxConfig()

    def config(self, whole: Mapping[str, object]) -> SandboxConfig:
        self.faults += [f"{key}: unknown section" for key in whole if key != "sandbox"]
        table = self._table("sandbox", whole.get("sandbox", {}))
        known = {"host", "ports", "limits", "credentials", *_PLAIN_KEYS}
        self.faults += [f"sandbox.{key}: unknown key" for key in table if key not in known]
        plain = {key: self._number(f"sandbox.{key}", table[key]) for key in _PLAIN_KEYS if key in table}
        return SandboxConfig(
            host=self._text("sandbox.host", table.get("host", self._shipped.host)),
            ports=self._ports(table.get("ports", {})),
            limits=self._limits(table.get("limits", {})),
            credentials=self._credentials(table.get("credentials", {})),
            **plain,
        )

    def _ports(self, value: object) -> dict[str, int]:
        ports = dict(self._shipped.ports)
        for venue, path, port in self._venues("sandbox.ports", value):
            ports[venue] = self._number(path, port)
            if ports[venue] > _MOST_PORT:
                self.faults.append(f"{path}: a port is at most {_MOST_PORT}")
        return ports

    def _limits(self, value: object) -> dict[str, dict[str, Limit]]:
        limits = {venue: dict(named) for venue, named in self._shipped.limits.items()}
        for venue, path, named in self._venues("sandbox.limits", value):
            for name, item in self._table(path, named).items():
                if name not in limits[venue]:
                    self.faults.append(f"{path}.{name}: unknown limit; there are {', '.join(limits[venue])}")
                    continue
                try:
                    limits[venue][name] = _limit(Fields.of(item, f"{path}.{name}"))
                except FieldFault as fault:
                    self.faults.append(str(fault))
        return limits

    def _credentials(self, value: object) -> dict[str, dict[str, dict[str, str]]]:
        known = {venue: {n: dict(f) for n, f in named.items()} for venue, named in self._shipped.credentials.items()}
        for venue, path, accounts in self._venues("sandbox.credentials", value):
            # A venue that is named has the accounts that are named: no published key stays valid beside them.
            known[venue] = {
                name: self._account(venue, f"{path}.{name}", fields)
                for name, fields in self._table(path, accounts).items()
            }
        return known

    def _account(self, venue: str, path: str, value: object) -> dict[str, str]:
        fields = {key: self._text(f"{path}.{key}", item) for key, item in self._table(path, value).items()}
        needed = CREDENTIAL_FIELDS[venue]
        allowed = needed | OPTIONAL_CREDENTIAL_FIELDS.get(venue, frozenset())
        wrong = [f"{path}.{key}: missing" for key in sorted(needed - fields.keys())]
        wrong += [f"{path}.{key}: unknown key" for key in sorted(fields.keys() - allowed)]
        if not wrong and not _usable(venue, fields):
            wrong.append(f"{path}.private_key: is no key of this venue")
        self.faults += wrong
        return fields

    def _venues(self, path: str, value: object) -> Iterator[tuple[str, str, object]]:
        for venue, item in self._table(path, value).items():
            if venue in VENUE_IDS:
                yield venue, f"{path}.{venue}", item
            else:
                self.faults.append(f"{path}.{venue}: unknown venue; there are {', '.join(VENUE_IDS)}")

    def _table(self, path: str, value: object) -> dict[str, object]:
        if isinstance(value, dict):
            return value
        self.faults.append(f"{path}: a table is wanted")
        return {}

    def _number(self, path: str, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.faults.append(f"{path}: a whole number from 0 up is wanted, not {value!r}")
        return 0

    def _text(self, path: str, value: object) -> str:
        if isinstance(value, str) and value:
            return value
        self.faults.append(f"{path}: a text is wanted")
        return ""


def _limit(fields: Fields) -> Limit:
    limit = Limit(fields.number("tokens"), fields.number("per_ms", 1000))
    fields.finish()
    if limit.per_ms == 0:
        raise FieldFault(f"{fields.name}: 'per_ms' must be more than 0")
    return limit


def _usable(venue: str, fields: Mapping[str, str]) -> bool:
    try:
        if venue == "orderly":
            ed25519_key(fields["private_key"])
        if venue == "loopring":
            public_key(int(fields["private_key"], 0))
    except ValueError:
        return False
    return True
