"""What is open at a venue, as it lists it, and how far a venue's own calls go where everything has to go. Values."""

from dataclasses import dataclass
from enum import StrEnum, unique

from gateway.core.model import OrderRef


@unique
class Breadth(StrEnum):
    """How much one cancel-all takes."""

    NONE = "none"
    SYMBOL = "symbol"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Reach:
    """What a venue offers against everything that is open.

    `page_most` orders stand on one page of its list (0: it has no list); `blind` says what its calls do not show.
    """

    cancel_all: Breadth = Breadth.NONE
    page_most: int = 0
    paged: bool = True
    blind: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list of open orders, counted from 0, of one symbol or of all."""

    number: int = 0
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page as the venue shows it: the orders on it that are not done, and how many it says there are in all.

    `total` is None where the venue does not say; `more` tells that this page is not the last.
    """

    orders: tuple[OrderRef, ...]
    more: bool = False
    total: int | None = None
