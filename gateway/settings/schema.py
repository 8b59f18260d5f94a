"""Reads a tree of settings and collects every fault on the way. What the keys mean stands in `settings.py`.

A fault shows where and what would be right, never the value: a password pasted into the wrong line would
otherwise end up in a deployment log.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

Value = TypeVar("Value")

PREFIX = "CANCEL_GATEWAY__"
_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_FRACTION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,18})?")
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_SHOWN_LENGTH = 64
CLOSE_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, where, and what would be right. One line as text."""

    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything that is wrong with a file and its environment, in the order of reading."""

    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a parser of one value says instead of the value."""

    problem: str
    remedy: str


@dataclass(slots=True)
class Override:
    """One environment variable that stands for a setting; `rest` is what of its name is still to be matched."""

    name: str
    rest: tuple[str, ...]
    value: str
    used: bool = False


def overrides(environment: Mapping[str, str]) -> list[Override]:
    """The variables that are meant for settings, by their prefix; case does not matter."""
    return [
        Override(name, tuple(_fold(name[len(PREFIX) :]).split("__")), value)
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX)
    ]


def _fold(key: str) -> str:
    """A key as an environment variable can spell it."""
    return key.lower().replace("-", "_").replace(".", "_")


def _shown(key: str) -> str:
    """A key as one visible word, whatever a quoted TOML key holds."""
    return key if _BARE.fullmatch(key) else json.dumps(key[:_SHOWN_LENGTH])


@dataclass(frozen=True, slots=True)
class _Found:
    """A value and where it came from; text from the environment is converted by the key's type."""

    value: object
    at: str
    from_environment: bool

    def whole(self) -> int | None:
        if self.from_environment:
            return int(str(self.value)) if _WHOLE.fullmatch(str(self.value).strip()) else None
        return self.value if isinstance(self.value, int) and not isinstance(self.value, bool) else None

    def fraction(self) -> float | None:
        if self.from_environment:
            return float(str(self.value)) if _FRACTION.fullmatch(str(self.value).strip()) else None
        return float(self.value) if isinstance(self.value, int | float) and not isinstance(self.value, bool) else None

    def flag(self) -> bool | None:
        if self.from_environment:
            return _FLAGS.get(str(self.value).strip().lower())
        return self.value if isinstance(self.value, bool) else None

    def texts(self) -> tuple[str, ...] | None:
        if isinstance(self.value, str):
            parts = self.value.split(",") if self.from_environment else [self.value]
            return tuple(part.strip() for part in parts if part.strip())
        if isinstance(self.value, list) and all(isinstance(item, str) for item in self.value):
            return tuple(self.value)
        return None

    def kind(self) -> str:
        """What stands there, for people; the value itself is never told."""
        if self.from_environment:
            return "text of another kind"
        names = {bool: "true/false", int: "a whole number", float: "a fraction", str: "text", list: "a list"}
        return names.get(type(self.value), "a section" if isinstance(self.value, dict) else "a date or time")


class Section:
    """One table as it is read: every key that is asked for is known, every other one is a fault."""

    def __init__(
        self, path: str, table: Mapping[str, object], variables: Iterable[Override], faults: list[Fault]
    ) -> None:
        self.path = path
        self._table = table
        self._variables = list(variables)
        self._faults = faults
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._report_strangers()

    def at(self, key: str) -> str:
        """The path of a key, as it would be written in the file."""
        return f"{self.path}.{_shown(key)}" if self.path else _shown(key)

    def fault(self, key: str, problem: str, remedy: str) -> None:
        """Note a fault of one key (empty: of this section)."""
        self._faults.append(Fault(self.at(key) if key else self.path, problem, remedy))

    def names(self) -> tuple[str, ...]:
        """The keys as they stand in the file."""
        return tuple(self._table)

    def has(self, key: str) -> bool:
        """Whether the file or the environment says anything under this key."""
        return key in self._table or self.has_variable(key)

    def has_variable(self, key: str) -> bool:
        """Whether the environment says anything under this key."""
        return any(one.rest[0] == _fold(key) for one in self._variables)

    def section(self, key: str) -> "Section":
        """The table under a key; empty where there is none."""
        self._known.add(key)
        found = self._table.get(key, {})
        inner = [one for one in self._variables if len(one.rest) > 1 and one.rest[0] == _fold(key)]
        for one in inner:
            one.rest = one.rest[1:]
        self._variables = [one for one in self._variables if one not in inner]
        if not isinstance(found, dict):
            self.fault(key, f"is {_Found(found, '', from_environment=False).kind()}", "make it a section")
            found = {}
        return Section(self.at(key), found, inner, self._faults)

    def sections(self, accepts: Callable[[str], bool], remedy: str) -> "Iterator[tuple[str, Section]]":
        """Every table in here, under names of the user's own choice."""
        for name in self._table:
            twins = [other for other in self._table if other != name and _fold(other) == _fold(name)]
            if twins and self.has_variable(name):
                self.fault(name, f"a variable means this or {twins[0]}", "set it in the file instead")
            inner = self.section(name)
            if accepts(name):
                yield name, inner
            else:
                self.fault(name, "is no valid name", remedy)

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        found = self._find(key)
        if found is None:
            return default
        number = found.whole()
        remedy = f"give a whole number from {least} to {most}"
        if number is None:
            return self._refuse(found, f"is {found.kind()}", remedy, default)
        if not least <= number <= most:
            return self._refuse(found, "is out of range", remedy, default)
        return number

    def fraction(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        found = self._find(key)
        if found is None:
            return default
        number = found.fraction()
        if number is None:
            return self._refuse(found, f"is {found.kind()}", "give a number from 0 to 1", default)
        if not 0 <= number <= 1:
            return self._refuse(found, "is out of range", "give a number from 0 to 1", default)
        return number

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001  a default is what it is
        """True or false."""
        found = self._find(key)
        if found is None:
            return default
        value = found.flag()
        return self._refuse(found, f"is {found.kind()}", "give true or false", default) if value is None else value

    def text(self, key: str, default: str | None = None, *, example: str = "text") -> str:
        """Text; a fault where there is none and no default."""
        found = self._find(key)
        if found is None:
            if default is None:
                self.fault(key, "is missing", f"give {example}")
            return default or ""
        if not isinstance(found.value, str):
            return self._refuse(found, f"is {found.kind()}", f"give {example} in quotes", default or "")
        if default is None and not found.value:
            return self._refuse(found, "is empty", f"give {example}", "")
        return found.value

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        """One of a closed set of words."""
        words = tuple(choices)
        remedy = "give one of " + ", ".join(words)
        found = self._find(key)
        if found is None:
            return default
        if not isinstance(found.value, str):
            return self._refuse(found, f"is {found.kind()}", remedy, default)
        word = found.value.strip().lower() if found.from_environment else found.value
        return word if word in words else self._refuse(found, "is not one of the choices", remedy, default)

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """A list of texts (in the environment with commas); empty where there is none."""
        found = self._find(key)
        if found is None:
            return ()
        values = found.texts()
        remedy = f"give a list such as {example}"
        return self._refuse(found, "is no list of texts", remedy, ()) if values is None else values

    def parsed(
        self, key: str, parse: Callable[[str], "Value | Wrong"], default: str | None, placeholder: Value
    ) -> Value:
        """Text with a syntax of its own; `placeholder` stands in after a fault."""
        remembered = len(self._faults)
        text = self.text(key, default)
        if len(self._faults) > remembered:
            return placeholder
        value = parse(text)
        if not isinstance(value, Wrong):
            return value
        found = self._find(key)
        self._faults.append(Fault(found.at if found else self.at(key), value.problem, value.remedy))
        return placeholder

    def _find(self, key: str) -> _Found | None:
        self._known.add(key)
        here = [one for one in self._variables if one.rest == (_fold(key),)]
        for one in here:
            one.used = True
        if len(here) > 1:
            names = " and ".join(one.name for one in here)
            self.fault(key, "is set by more than one variable", f"keep one of {names}")
        if here:
            return _Found(here[0].value, f"{self.at(key)} (from {here[0].name})", from_environment=True)
        return _Found(self._table[key], self.at(key), from_environment=False) if key in self._table else None

    def _refuse(self, found: _Found, problem: str, remedy: str, instead: Value) -> Value:
        self._faults.append(Fault(found.at, problem, remedy))
        return instead

    def _report_strangers(self) -> None:
        for key in self._table:
            if key not in self._known:
                self.fault(key, "is no known key", nearest(key, self._known))
        for one in self._variables:
            if not one.used:
                remedy = nearest(one.rest[0], [_fold(key) for key in self._known])
                self._faults.append(Fault(one.name, "matches no setting", remedy))


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy for a word that nobody knows: the one that was probably meant, or all that there are."""
    words = sorted(known)
    close = difflib.get_close_matches(word[:_SHOWN_LENGTH], words, n=1, cutoff=CLOSE_ENOUGH)
    if close:
        return f"did you mean {close[0]}?"
    return "known here: " + (", ".join(words) or "nothing")
