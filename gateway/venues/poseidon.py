"""Poseidon for one circuit: width 6, 6 full and 52 partial rounds, exponent 5. No curve, no keys.

The constants are derived from their published seeds on first use, and rearranged so that a partial round costs
eleven multiplications in place of thirty-six; a test holds the result to the plain definition.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617  # scalar field of BN254

_WIDTH, _FULL_ROUNDS, _PARTIAL_ROUNDS = 6, 6, 52
_INPUTS = 5

_Row = tuple[int, ...]
_Matrix = tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _Permutation:
    """Poseidon's constants, rearranged.

    A partial round feeds one word through x^5 and mixes the other five, the hidden ones, linearly, with the same
    matrix 52 times over. Seen from outside that is a linear filter of order five, and any filter can be run in
    observer form, with eleven multiplications a step in place of thirty-six. `before` leads into that form within
    a mixing that happens anyway; `unfold` leads out of it. The round constants of the hidden
    words meet in `offsets` and `last`.
    """

    before: tuple[tuple[int, _Matrix], ...]
    offsets: tuple[int, ...]
    forward: _Row
    backward: _Row
    unfold: _Matrix
    last: _Row
    after: tuple[tuple[int, _Matrix], ...]


def poseidon(inputs: Sequence[int]) -> int:
    """Poseidon of five field elements: width 6, 6 full and 52 partial rounds, exponent 5, first word."""
    if len(inputs) != _INPUTS:
        raise ValueError("Poseidon hashes five field elements here")
    permutation = _permutation()
    state = [*inputs, 0]
    for constant, rows in permutation.before:
        state = _full_round(state, constant, rows)
    state = _partial_rounds(state, permutation)
    for constant, rows in permutation.after:
        state = _full_round(state, constant, rows)
    return state[0]


def _full_round(state: Sequence[int], constant: int, rows: _Matrix) -> list[int]:
    a, b, c, d, e, f = [_fifth_power(word + constant) for word in state]
    return [(r * a + s * b + t * c + u * d + v * e + w * f) % FIELD for r, s, t, u, v, w in rows]


def _fifth_power(word: int) -> int:
    square = word * word % FIELD
    return square * square % FIELD * word % FIELD


def _partial_rounds(state: Sequence[int], permutation: _Permutation) -> list[int]:
    word, u1, u2, u3, u4, u5 = state
    b0, b1, b2, b3, b4, b5 = permutation.forward
    a1, a2, a3, a4, a5 = permutation.backward
    *offsets, last_offset = permutation.offsets
    for offset in offsets:
        word += offset
        square = word * word % FIELD
        boxed = square * square % FIELD * word % FIELD
        word = (b0 * boxed + u1) % FIELD
        # The sums wait unreduced: at most ten products each, and a division costs more than their length.
        u1 = u2 + b1 * boxed + a1 * word
        u2 = u3 + b2 * boxed + a2 * word
        u3 = u4 + b3 * boxed + a3 * word
        u4 = u5 + b4 * boxed + a4 * word
        u5 = b5 * boxed + a5 * word
    hidden = [u % FIELD for u in (u1, u2, u3, u4, u5)]
    return [
        word + last_offset,
        *(_dot(row, hidden) + offset for row, offset in zip(permutation.unfold, permutation.last, strict=True)),
    ]


@cache
def _permutation() -> _Permutation:
    constants, mixing = round_constants(), mixing_matrix()
    early, late = _FULL_ROUNDS // 2, _FULL_ROUNDS // 2 + _PARTIAL_ROUNDS
    (through, *outward), *lower = mixing
    inward = tuple(row[0] for row in lower)
    inner = tuple(row[1:] for row in lower)
    observer, backward = _observer(tuple(outward), inner)
    forward = [_dot(row, inward) - a * through for row, a in zip(observer, backward, strict=True)]
    offsets, last = _offsets(constants[early:late], tuple(outward), inner)
    folded = (mixing[0], *(_apply(row, tuple(lower)) for row in observer))
    return _Permutation(
        before=tuple(zip(constants[:early], (mixing, mixing, folded), strict=True)),
        offsets=offsets,
        forward=(through, *(b % FIELD for b in forward)),
        backward=backward,
        unfold=_inverse(observer),
        last=last,
        after=tuple(zip(constants[late:], (mixing, mixing, mixing[:1]), strict=True)),
    )


def round_constants() -> _Row:
    """One constant a round, added to every word."""
    return tuple(_chain("poseidon_constants", _FULL_ROUNDS + _PARTIAL_ROUNDS))


def mixing_matrix() -> _Matrix:
    """A Cauchy matrix: 1 / (x - y) over two lists of seeds."""
    seeds = tuple(_chain("poseidon_matrix_0000", 2 * _WIDTH))
    return tuple(tuple(pow(x - y, -1, FIELD) for y in seeds[_WIDTH:]) for x in seeds[:_WIDTH])


def _chain(seed: str, count: int) -> Iterator[int]:
    data = seed.encode()
    for _ in range(count):
        data = hashlib.blake2b(data, digest_size=32).digest()
        yield int.from_bytes(data, "little") % FIELD


def _observer(outward: _Row, inner: _Matrix) -> tuple[_Matrix, _Row]:
    """The change of basis into observer form, and what feeds back in it: minus the characteristic polynomial."""
    powers = [outward]
    for _ in outward:
        powers.append(_apply(powers[-1], inner))
    *seen, beyond = powers
    # Cayley-Hamilton: the next power is a combination of those before, which gives the polynomial.
    backward = _apply(beyond, _inverse(tuple(seen)))[::-1]
    rows = [outward]
    for feedback in backward[:-1]:
        moved = _apply(rows[-1], inner)
        rows.append(tuple((word - feedback * seen) % FIELD for word, seen in zip(moved, outward, strict=True)))
    return tuple(rows), backward


def _offsets(constants: _Row, outward: _Row, inner: _Matrix) -> tuple[_Row, _Row]:
    """What the hidden words' constants add to the visible word in each round, and to themselves in the end."""
    columns = tuple(zip(*inner, strict=True))
    hidden: _Row = (0,) * len(outward)
    seen, offsets = 0, []
    for constant in constants:
        offsets.append((seen + constant) % FIELD)
        raised = tuple(word + constant for word in hidden)
        seen, hidden = _dot(outward, raised) % FIELD, _apply(raised, columns)
    return (*offsets, seen), hidden


def _dot(left: _Row, right: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _apply(row: _Row, matrix: _Matrix) -> _Row:
    return tuple(_dot(column, row) % FIELD for column in zip(*matrix, strict=True))


def _inverse(matrix: _Matrix) -> _Matrix:
    """Gauss and Jordan; a leading zero, which our one matrix never meets, raises ValueError."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        scale = pow(rows[i][i], -1, FIELD)
        rows[i] = [word * scale % FIELD for word in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [(a - factor * b) % FIELD for a, b in zip(rows[j], rows[i], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)
