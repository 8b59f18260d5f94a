"""Reads JSON objects and TOML tables strictly: a wrong type or an unknown key is a fault with a clear message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation


class FieldFault(Exception):  # noqa: N818  named for what it is: the input, not the program, is at fault
    """What is wrong with a field, in words for the person who wrote it."""


_ABSENT: object = object()


@dataclass(slots=True)
class Fields:
    """One object being read; `finish` complains about what nobody asked for."""

    source: Mapping[str, object]
    name: str
    _asked: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, value: object, name: str) -> "Fields":
        """Take an object up for reading."""
        if not isinstance(value, Mapping):
            raise FieldFault(f"{name}: an object is wanted")
        return cls({str(key): item for key, item in value.items()}, name)

    def raw(self, key: str, default: object = _ABSENT) -> object:
        """Whatever stands there."""
        self._asked.add(key)
        value = self.source.get(key, default)
        if value is _ABSENT:
            raise FieldFault(f"{self.name}: {key!r} is missing")
        return value

    def text(self, key: str, default: object = _ABSENT) -> str:
        """A text that is not empty."""
        value = self.raw(key, default)
        if not isinstance(value, str) or not value:
            raise FieldFault(f"{self.name}: {key!r} wants a text, not {value!r}")
        return value

    def optional_text(self, key: str) -> str | None:
        """A text, or null or nothing at all."""
        return None if self.raw(key, None) is None else self.text(key)

    def number(self, key: str, default: object = _ABSENT) -> int:
        """A whole number from 0 up."""
        value = self.raw(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise FieldFault(f"{self.name}: {key!r} wants a whole number from 0 up, not {value!r}")
        return value

    def optional_number(self, key: str) -> int | None:
        """A whole number from 0 up, or null or nothing at all."""
        return None if self.raw(key, None) is None else self.number(key)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise FieldFault(f"{self.name}: {key!r} wants true or false, not {value!r}")
        return value

    def optional_code(self, key: str) -> int | str | None:
        """A venue's code: a number, a text, or nothing."""
        value = self.raw(key, None)
        if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise FieldFault(f"{self.name}: {key!r} wants a number or a text, not {value!r}")

    def decimal(self, key: str, default: object, words: Mapping[str, Decimal] | None = None) -> Decimal:
        """An amount from 0 up, as text or number, or one of the words that stand for one."""
        value = self.raw(key, default)
        if isinstance(value, str) and words is not None and value in words:
            return words[value]
        try:
            amount = Decimal(str(value)) if isinstance(value, str | int | float) else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise FieldFault(f"{self.name}: {key!r} wants an amount from 0 up, not {value!r}")
        return amount

    def finish(self) -> None:
        """Complain about keys that mean nothing here."""
        unknown = sorted(self.source.keys() - self._asked)
        if unknown:
            raise FieldFault(f"{self.name}: unknown key {unknown[0]!r}")
