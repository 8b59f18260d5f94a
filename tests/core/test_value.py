"""A quick value is in everything what the frozen dataclass was, but for its price."""

from dataclasses import dataclass, field, fields, replace

import pytest

from gateway.core.value import quick


@quick
@dataclass(frozen=True, slots=True)
class Point:
    """One with every kind of field."""

    x: int
    y: int = 2
    names: tuple[str, ...] = ()
    marks: list[int] = field(default_factory=list, compare=False)
    secret: bytes = field(default=b"", repr=False)


def test_fields_are_given_by_place_by_name_and_by_default() -> None:
    assert Point(1) == Point(x=1, y=2, names=(), marks=[], secret=b"")
    assert Point(1, 3, ("a",)).names == ("a",)
    assert Point(1).marks is not Point(1).marks


def test_what_is_missing_or_unknown_is_refused() -> None:
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, z=1)  # type: ignore[call-arg]


def test_it_is_still_a_value() -> None:
    assert hash(Point(1)) == hash(Point(1))
    assert replace(Point(1), y=4) == Point(1, 4)
    assert [each.name for each in fields(Point)] == ["x", "y", "names", "marks", "secret"]
    assert "marker" not in repr(Point(1, secret=b"marker"))
    assert not hasattr(Point(1), "__dict__")
