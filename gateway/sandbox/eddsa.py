"""Verifies EdDSA over Baby Jubjub with Poseidon, as Loopring checks a request. No requests and no secrets beyond that.

Curve: a*x^2 + y^2 = 1 + d*x^2*y^2 over the scalar field of BN254. A signature (R, S) of m by A holds where
S*B == R + t*A with t = Poseidon(R.x, R.y, A.x, A.y, m).
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
CURVE_ORDER = 21888242871839275222246405745257275088614511777268538073601725287587578984328
SUBGROUP_ORDER = CURVE_ORDER // 8
A, D = 168700, 168696

Affine = tuple[int, int]
Projective = tuple[int, int, int]

BASE: Affine = (
    16540640123574156134436876038791482806971768689494387082833631921987005038935,
    20819045374670962167435360035096875258406992893633759881276124905556507972311,
)
_NEUTRAL: Projective = (0, 1, 1)
_WINDOW_BITS = 4
_WINDOWS = 64  # times 4 bits: covers every scalar below 2**256

_WIDTH, _FULL_ROUNDS, _PARTIAL_ROUNDS = 6, 6, 52
_SIGNATURE = re.compile(r"0x([0-9a-f]{64})([0-9a-f]{64})([0-9a-f]{64})")


def public_key(private_key: int) -> Affine:
    """The point that belongs to a private key, 0 < key < SUBGROUP_ORDER."""
    if not 0 < private_key < SUBGROUP_ORDER:
        raise ValueError("a private key lies between 0 and the order of the subgroup")
    x, y, z = _times(BASE, private_key)
    inverse = pow(z, -1, FIELD)
    return x * inverse % FIELD, y * inverse % FIELD


def message_integer(text: str) -> int:
    """What is signed for a text: its SHA-256, big-endian, in the field."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()) % FIELD


def holds(signature: str, message: int, key: Affine) -> bool:
    """Whether `signature`, in the form of the X-API-SIG header, is one of `message` by `key`."""
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        return False
    rx, ry, s = (int(part, 16) for part in match.groups())
    if s >= CURVE_ORDER or not _on_curve((rx, ry)):
        return False
    t = poseidon((rx, ry, key[0], key[1], message))
    return _same(_times(BASE, s), _add((rx, ry, 1), _times(key, t)))


def poseidon(inputs: Sequence[int]) -> int:
    """Poseidon of up to six field elements: width 6, 6 full and 52 partial rounds, exponent 5, first word."""
    constants, matrix = _parameters()
    state = list(inputs) + [0] * (_WIDTH - len(inputs))
    for turn, constant in enumerate(constants):
        state = [word + constant for word in state]
        boxed = _WIDTH if _is_full(turn) else 1
        for index in range(boxed):
            state[index] = pow(state[index], 5, FIELD)
        state = [sum(m * word for m, word in zip(row, state, strict=True)) % FIELD for row in matrix]
    return state[0]


def _is_full(turn: int) -> bool:
    return not _FULL_ROUNDS // 2 <= turn < _FULL_ROUNDS // 2 + _PARTIAL_ROUNDS


@cache
def _parameters() -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    constants = tuple(_chain("poseidon_constants", _FULL_ROUNDS + _PARTIAL_ROUNDS))
    seeds = tuple(_chain("poseidon_matrix_0000", 2 * _WIDTH))
    rows, columns = seeds[:_WIDTH], seeds[_WIDTH:]
    return constants, tuple(tuple(pow(row - column, -1, FIELD) for column in columns) for row in rows)


def _chain(seed: str, count: int) -> Iterator[int]:
    value = _blake(seed.encode())
    for _ in range(count):
        yield value % FIELD
        value = _blake(value.to_bytes(32, "little"))


def _blake(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=32).digest(), "little")


def _on_curve(point: Affine) -> bool:
    x, y = point
    if x >= FIELD or y >= FIELD:
        return False
    xx, yy = x * x % FIELD, y * y % FIELD
    return (A * xx + yy - 1 - D * xx * yy) % FIELD == 0


def _same(left: Projective, right: Projective) -> bool:
    (x1, y1, z1), (x2, y2, z2) = left, right
    return (x1 * z2 - x2 * z1) % FIELD == 0 and (y1 * z2 - y2 * z1) % FIELD == 0


def _add(left: Projective, right: Projective) -> Projective:
    """The complete addition law of a twisted Edwards curve; it doubles too, and never divides."""
    (x1, y1, z1), (x2, y2, z2) = left, right
    z = z1 * z2 % FIELD
    zz = z * z % FIELD
    x, y = x1 * x2 % FIELD, y1 * y2 % FIELD
    cross = D * x * y % FIELD
    minus, plus = zz - cross, zz + cross
    mixed = ((x1 + y1) * (x2 + y2) - x - y) % FIELD
    return z * minus * mixed % FIELD, z * plus * (y - A * x) % FIELD, minus * plus % FIELD


def _times(point: Affine, scalar: int) -> Projective:
    total = _NEUTRAL
    for window in _windows(point):
        total = _add(total, window[scalar & 15])
        scalar >>= _WINDOW_BITS
    return total


@lru_cache(maxsize=256)
def _windows(point: Affine) -> tuple[tuple[Projective, ...], ...]:
    """For each four bits of a scalar the sixteen multiples it can add: one addition per window from then on."""
    step: Projective = (point[0], point[1], 1)
    rows: list[tuple[Projective, ...]] = []
    for _ in range(_WINDOWS):
        row = [_NEUTRAL]
        for _ in range(15):
            row.append(_add(row[-1], step))
        rows.append(tuple(row))
        step = _add(row[-1], step)
    return tuple(rows)
