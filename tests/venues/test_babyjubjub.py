"""The curve and the hash against the reference's own results, and against the plainest code that can be written."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Final, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.venues.babyjubjub import (
    BASE,
    CURVE_ORDER,
    SUBGROUP_ORDER,
    A,
    D,
    Point,
    PrivateKey,
    base_times,
    message_integer,
    nonce_of,
)
from gateway.venues.poseidon import FIELD, mixing_matrix, poseidon, round_constants


class Vector(TypedDict):
    id: str
    private_key: str
    public_key_x: str
    public_key_y: str
    signature_base: str
    message_int: str
    nonce_r: str
    poseidon_inputs_dec: list[str]
    poseidon_t: str
    r_x: str
    r_y: str
    s: str
    signature: str


class Rejection(TypedDict):
    private_key: str
    label: str


class Constants(TypedDict):
    field_prime_q: str
    curve_order_e: str
    subgroup_order_l: str
    curve_a: str
    curve_d: str
    base_x: str
    base_y: str


class VectorFile(TypedDict):
    constants: Constants
    key_rejections: list[Rejection]
    vectors: list[Vector]


FILE: Final[VectorFile] = json.loads((Path(__file__).parent / "vectors" / "loopring.json").read_text("utf-8"))

field_elements = st.integers(0, FIELD - 1)


def plain_add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    cross = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + y1 * x2) * pow(1 + cross, -1, FIELD) % FIELD,
        (y1 * y2 - A * x1 * x2) * pow(1 - cross, -1, FIELD) % FIELD,
    )


def plain_times(scalar: int, point: Point) -> Point:
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = plain_add(total, point)
        point, scalar = plain_add(point, point), scalar >> 1
    return total


def plain_poseidon(inputs: tuple[int, ...]) -> int:
    """The permutation as it is defined: add, box (every word in the outer rounds, else the first), mix."""
    state = [*inputs, 0]
    for turn, constant in enumerate(round_constants()):
        state = [word + constant for word in state]
        boxed = 1 if 3 <= turn < 55 else 6
        state = [pow(word, 5, FIELD) if index < boxed else word for index, word in enumerate(state)]
        state = [sum(m * word for m, word in zip(row, state, strict=True)) % FIELD for row in mixing_matrix()]
    return state[0]


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda vector: vector["id"])
def test_a_vector_gives_every_figure_of_the_reference(vector: Vector) -> None:
    key = PrivateKey(int(vector["private_key"], 16))
    message = message_integer(vector["signature_base"])

    signature = key.sign(message)

    assert message == int(vector["message_int"])
    assert key.public == (int(vector["public_key_x"], 16), int(vector["public_key_y"], 16))
    assert nonce_of(key.secret, message) == int(vector["nonce_r"])
    assert poseidon([int(text) for text in vector["poseidon_inputs_dec"]]) == int(vector["poseidon_t"])
    assert (signature.r_x, signature.r_y) == (int(vector["r_x"]), int(vector["r_y"]))
    assert signature.s == int(vector["s"])
    assert str(signature) == vector["signature"]


def test_the_constants_are_the_published_ones() -> None:
    said = FILE["constants"]

    assert int(said["field_prime_q"]) == FIELD
    assert int(said["curve_order_e"]) == CURVE_ORDER
    assert int(said["subgroup_order_l"]) == SUBGROUP_ORDER
    assert (int(said["curve_a"]), int(said["curve_d"])) == (A, D)
    assert (int(said["base_x"]), int(said["base_y"])) == BASE


def test_most_vectors_need_the_order_of_the_curve_and_not_of_the_subgroup() -> None:
    """Reduced modulo L a signature would verify as well; the bytes would differ."""
    beyond = [vector for vector in FILE["vectors"] if int(vector["s"]) >= SUBGROUP_ORDER]

    assert len(beyond) > len(FILE["vectors"]) // 2


@pytest.mark.parametrize("rejection", FILE["key_rejections"], ids=lambda rejection: rejection["label"])
def test_a_key_outside_the_subgroup_is_refused_even_where_the_reference_signs(rejection: Rejection) -> None:
    with pytest.raises(ValueError, match="between 0 and the order"):
        PrivateKey(int(rejection["private_key"], 16))


def test_a_negative_key_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and the order"):
        PrivateKey(-1)


def test_a_key_hides_its_secret() -> None:
    secret = 1242957328515765470505817310060337585626176314364086438653683782645761561015

    shown = repr(PrivateKey(secret))

    assert shown == "PrivateKey()"


def test_the_curve_is_complete_so_no_addition_needs_a_case_of_its_own() -> None:
    """A square and D not: the denominators of the addition law never vanish."""
    assert pow(A, (FIELD - 1) // 2, FIELD) == 1
    assert pow(D, (FIELD - 1) // 2, FIELD) == FIELD - 1


@pytest.mark.parametrize(
    "scalar", [0, 1, 2, 255, 256, 257, 1 << 248, SUBGROUP_ORDER - 1, SUBGROUP_ORDER, (1 << 256) - 1]
)
def test_a_multiple_at_the_edge_of_a_window_equals_double_and_add(scalar: int) -> None:
    assert base_times(scalar) == plain_times(scalar, BASE)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, (1 << 256) - 1))
def test_any_multiple_equals_double_and_add(scalar: int) -> None:
    assert base_times(scalar) == plain_times(scalar, BASE)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[field_elements] * 5))
def test_the_rearranged_permutation_equals_the_plain_one(inputs: tuple[int, ...]) -> None:
    assert poseidon(inputs) == plain_poseidon(inputs)


@pytest.mark.parametrize("inputs", [(0,) * 5, (FIELD - 1,) * 5, (1, 0, 0, 0, 0), (0, 0, 0, 0, 1)])
def test_the_rearranged_permutation_equals_the_plain_one_at_the_edges(inputs: tuple[int, ...]) -> None:
    assert poseidon(inputs) == plain_poseidon(inputs)


@pytest.mark.parametrize("count", [4, 6])
def test_poseidon_of_another_number_of_inputs_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="five"):
        poseidon([1] * count)


def test_the_round_constants_and_the_matrix_come_from_their_seeds_without_repeats() -> None:
    constants, matrix = round_constants(), mixing_matrix()

    assert len(set(constants)) == 58
    assert [len(row) for row in matrix] == [6] * 6
    # 1/m is x - y, so the difference of two rows of inverses is the same in every column
    inverted = [[pow(word, -1, FIELD) for word in row] for row in matrix]
    assert all(
        len({(a - b) % FIELD for a, b in zip(upper, lower, strict=True)}) == 1 for upper, lower in pairwise(inverted)
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(1, SUBGROUP_ORDER - 1), field_elements)
def test_any_signature_verifies(secret: int, message: int) -> None:
    """S*B = R + t*A, with the plain arithmetic of this file alone."""
    key = PrivateKey(secret)

    signature = key.sign(message)

    r = (signature.r_x, signature.r_y)
    t = plain_poseidon((*r, *key.public, message))
    assert plain_times(signature.s, BASE) == plain_add(r, plain_times(t, key.public))
