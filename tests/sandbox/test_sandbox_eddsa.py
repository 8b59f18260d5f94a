import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_client import eddsa_signature

from gateway.sandbox import eddsa

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "venues" / "vectors" / "loopring.json").read_text(encoding="utf-8")
)["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_vector_holds(vector: dict[str, Any]) -> None:
    key = eddsa.public_key(int(vector["private_key"], 16))
    message = eddsa.message_integer(vector["signature_base"])

    assert key == (int(vector["public_key_x"], 16), int(vector["public_key_y"], 16))
    assert message == int(vector["message_int"])
    assert str(eddsa.poseidon([int(word) for word in vector["poseidon_inputs_dec"]])) == vector["poseidon_t"]
    assert eddsa.holds(vector["signature"], message, key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.upper().replace("0X", "0x"),
        lambda text: text[2:],
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text[:2] + text[66:130] + text[2:66] + text[130:],
        lambda text: text[:130] + f"{int(text[130:], 16) + eddsa.CURVE_ORDER:064x}",
        lambda text: text[:2] + f"{int(text[2:66], 16) + eddsa.FIELD:064x}" + text[66:],
    ],
    ids=["upper-case", "no-0x", "short", "long", "last-digit", "swapped-point", "s-not-reduced", "x-not-reduced"],
)
def test_spoilt_signature_does_not_hold(spoil: Any) -> None:
    vector = VECTORS[0]
    key = eddsa.public_key(int(vector["private_key"], 16))

    assert not eddsa.holds(spoil(vector["signature"]), int(vector["message_int"]), key)


@pytest.mark.parametrize("change", ["message", "key"])
def test_signature_of_something_else_does_not_hold(change: str) -> None:
    vector = VECTORS[0]
    private_key = int(vector["private_key"], 16) + (change == "key")
    message = int(vector["message_int"]) + (change == "message")

    assert not eddsa.holds(vector["signature"], message, eddsa.public_key(private_key))


@pytest.mark.parametrize("private_key", [0, -1, eddsa.SUBGROUP_ORDER])
def test_private_key_outside_the_subgroup_is_refused(private_key: int) -> None:
    with pytest.raises(ValueError, match="private key"):
        eddsa.public_key(private_key)


@settings(max_examples=5, deadline=None)
@given(
    private_key=st.integers(min_value=1, max_value=eddsa.SUBGROUP_ORDER - 1),
    message=st.integers(min_value=0, max_value=eddsa.FIELD - 1),
)
def test_any_signature_by_the_recipe_holds_for_its_message_only(private_key: int, message: int) -> None:
    signature = eddsa_signature(private_key, message)
    key = eddsa.public_key(private_key)

    assert eddsa.holds(signature, message, key)
    assert not eddsa.holds(signature, (message + 1) % eddsa.FIELD, key)
