"""EdDSA over Baby Jubjub with Poseidon. Arithmetic only, byte for byte as its reference; what is signed is not here.

Nothing here is constant-time; a caller of Python can't have that. Signatures are deterministic.
The table of multiples is derived with the first PrivateKey, some tens of milliseconds; Poseidon's with the first
signature, two.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from gateway.venues.poseidon import FIELD, poseidon

CURVE_ORDER = 21888242871839275222246405745257275088614511777268538073601725287587578984328
SUBGROUP_ORDER = CURVE_ORDER // 8
A, D = 168700, 168696  # A*x^2 + y^2 = 1 + D*x^2*y^2

Point = tuple[int, int]
BASE: Point = (
    16540640123574156134436876038791482806971768689494387082833631921987005038935,
    20819045374670962167435360035096875258406992893633759881276124905556507972311,
)

# A square root of -A. x -> _ROOT*x leads to the curve with A = -1, where an addition costs seven multiplications.
_ROOT = 6360561867910373094066688120553762416144456282423235903351243436111059670888
_UNROOT = pow(_ROOT, -1, FIELD)
_TWICE_D = -2 * D * pow(A, -1, FIELD) % FIELD
_WINDOWS, _WINDOW_SIZE = 32, 256  # one byte of the scalar each

_Extended = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, x*y = T/Z
_Ready = tuple[int, int, int]  # y - x, y + x, 2*d*x*y: what an addition needs of an affine point
_NEUTRAL: _Extended = (0, 1, 1, 0)


@dataclass(frozen=True, slots=True)
class Signature:
    """A point R and a scalar S, written as one hexadecimal number of 192 digits."""

    r_x: int
    r_y: int
    s: int

    def __str__(self) -> str:
        return f"0x{self.r_x:064x}{self.r_y:064x}{self.s:064x}"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key with its public point, so that the point is computed once."""

    secret: int = field(repr=False)
    public: Point = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The reference reduces some larger ones, so that a key with a typing error signs as another key.
        if not 0 < self.secret < SUBGROUP_ORDER:
            raise ValueError("a private key lies between 0 and the order of the subgroup")
        object.__setattr__(self, "public", base_times(self.secret))

    def sign(self, message: int) -> Signature:
        """Sign a field element."""
        nonce = nonce_of(self.secret, message)
        point = base_times(nonce)
        challenge = poseidon((*point, *self.public, message))
        # Modulo the curve's order, not the subgroup's: both verify, but only this gives the reference's bytes.
        return Signature(*point, (nonce + self.secret * challenge) % CURVE_ORDER)


def message_integer(text: str) -> int:
    """What is signed for a text: its SHA-256, big-endian, in the field."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()) % FIELD


def nonce_of(secret: int, message: int) -> int:
    """The scalar behind R: the same key and message always give the same one."""
    digest = hashlib.sha512(secret.to_bytes(32, "little") + message.to_bytes(32, "little")).digest()
    return int.from_bytes(digest, "little") % SUBGROUP_ORDER


def base_times(scalar: int) -> Point:
    """A multiple of the base point, for 0 <= scalar < 2**256."""
    total = _NEUTRAL
    for window, digit in zip(_windows(), scalar.to_bytes(_WINDOWS, "little"), strict=True):
        total = _add(total, window[digit])
    x, y, z, _ = total
    inverse = pow(z, -1, FIELD)
    return x * inverse % FIELD * _UNROOT % FIELD, y * inverse % FIELD


def _add(left: _Extended, right: _Ready) -> _Extended:
    # "add-2008-hwcd-3" of the Explicit-Formulas Database, with Z2 = 1; complete, because d is no square
    x, y, z, t = left
    minus, plus, scaled = right
    a, b, c, d = (y - x) * minus % FIELD, (y + x) * plus % FIELD, t * scaled % FIELD, z + z
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD


@cache
def _windows() -> tuple[tuple[_Ready, ...], ...]:
    rows: list[tuple[_Ready, ...]] = []
    step = _ready(BASE[0] * _ROOT % FIELD, BASE[1])
    for _ in range(_WINDOWS):
        multiples = list(accumulate([step] * _WINDOW_SIZE, _add, initial=_NEUTRAL))
        *row, step = _all_ready(multiples)
        rows.append(tuple(row))
    return tuple(rows)


def _ready(x: int, y: int) -> _Ready:
    return (y - x) % FIELD, (y + x) % FIELD, x * y % FIELD * _TWICE_D % FIELD


def _all_ready(points: Sequence[_Extended]) -> Iterator[_Ready]:
    """All points in affine form for the price of one inversion."""
    products = list(accumulate((z for _, _, z, _ in points), lambda p, z: p * z % FIELD, initial=1))
    inverse = pow(products.pop(), -1, FIELD)
    inverses = []
    for (_, _, z, _), before in zip(reversed(points), reversed(products), strict=True):
        inverses.append(inverse * before % FIELD)
        inverse = inverse * z % FIELD
    for (x, y, _, _), inverted in zip(points, reversed(inverses), strict=True):
        yield _ready(x * inverted % FIELD, y * inverted % FIELD)
