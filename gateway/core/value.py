"""Values that are made for every cancel: frozen for whoever reads and checks the code, plain for the interpreter.

A frozen dataclass writes each of its fields through a call, which costs four times as much as to write it. The type
checker refuses any other write to these all the same.
"""

from dataclasses import MISSING, dataclass, field, fields
from typing import TypeVar

Value = TypeVar("Value")


def quick(value: type[Value]) -> type[Value]:
    """Make a frozen dataclass, without a `__post_init__`, as cheap as one that is not."""
    body: dict[str, object] = {"__annotations__": {}}
    for each in fields(value):  # type: ignore[arg-type]  # a dataclass it is
        body["__annotations__"] |= {each.name: object}  # type: ignore[operator]  # the dict above
        if each.default_factory is not MISSING:
            body[each.name] = field(default_factory=each.default_factory)
        elif each.default is not MISSING:
            body[each.name] = field(default=each.default)
    value.__init__ = vars(dataclass(type(value.__name__, (), body)))["__init__"]  # type: ignore[method-assign]
    del value.__setattr__, value.__delattr__
    return value
