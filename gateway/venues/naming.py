"""Which of its two names a reference is, where a venue takes both. The shapes themselves are the venues' own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.model import By
from gateway.core.outcome import Outcome
from gateway.venues.base import RefFault


@dataclass(frozen=True, slots=True)
class Shape:
    """What one kind of name looks like from end to end, as a pattern and in words for a caller."""

    pattern: re.Pattern[str]
    words: str


def settle_kind(ref: str, by: By | None, shapes: Mapping[By, Shape]) -> By | RefFault:
    """The kind of name that `ref` is, or why it can't be sent; a guess is never made between two orders."""
    if by is None and ref.isascii() and ref.isdigit():
        return RefFault(Outcome.AMBIGUOUS_REF, "digits alone may be either name: say by=order_id or by=client_id")
    kind = by or By.CLIENT_ID
    if shapes[kind].pattern.fullmatch(ref) is None:
        return RefFault(Outcome.INVALID_REQUEST, f"{kind} must be {shapes[kind].words}")
    return kind


def symbol_fault(symbol: str, shape: Shape) -> RefFault | None:
    """Why a symbol is refused before anything is touched; None where it is not."""
    if shape.pattern.fullmatch(symbol) is not None:
        return None
    return RefFault(Outcome.INVALID_REQUEST, f"symbol must be {shape.words}")
