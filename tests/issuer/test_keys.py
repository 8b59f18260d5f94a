"""An issuer's keys as it publishes them."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from hypothesis import given
from hypothesis import strategies as st
from issuer_rig import Jwk, SigningKey, key, key_set

from gateway.backends.issuer.keys import KEYS_MOST, KeySet, read_keys

GOOD = key("ES256", "good")


def read(*listed: SigningKey | Jwk) -> set[tuple[str, str]]:
    found = read_keys(key_set(GOOD, *listed))
    assert isinstance(found, KeySet), found
    return set(found.keys) - {("good", "ES256")}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_of_each_kind_is_for_its_own_algorithm(algorithm: str) -> None:
    assert read(key(algorithm, "k")) == {("k", algorithm)}


def test_a_key_may_stand_without_a_name_or_a_use() -> None:
    bare = {name: value for name, value in key("EdDSA", "k").jwk.items() if name not in {"kid", "use", "alg"}}

    assert read(bare) == {("", "EdDSA")}


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "RS256"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"kid": 7},
        {"kid": None},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"kty": "oct"},
        {"kty": "RSA"},
        {"x": ""},
        {"x": 5},
        {"x": None},
        {"x": "AAAA"},
        {"x": "!" * 43},
        {"d": "c2VjcmV0"},
    ],
)
def test_a_key_that_is_not_for_verifying_here_is_passed_over(change: Jwk) -> None:
    assert read(key("EdDSA", "k").jwk | change) == set()


def test_shared_secrets_weak_keys_and_other_curves_are_passed_over() -> None:
    weak = SigningKey("weak", "RS256", generate_rsa(65537, 1024))  # noqa: S505  that it is weak is the point
    other = SigningKey("p384", "ES384", generate_ec(SECP384R1()))

    assert read({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}, weak, other.jwk, other.jwk | {"alg": "ES256"}) == set()


def test_a_name_that_stands_there_twice_is_the_first_key() -> None:
    found = read_keys(key_set(GOOD, key("ES256", "other").jwk | {"kid": "good"}))

    assert isinstance(found, KeySet)
    first = found.get("good", "ES256")
    assert first is not None
    assert first.key == GOOD.private.public_key()


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"null", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [null, 1, "x", []]}', b"<html>", b"\xff"],
)
def test_a_document_without_a_usable_key_says_so_and_quotes_nothing(document: bytes) -> None:
    said = read_keys(document)

    assert isinstance(said, str)
    assert said.startswith("the key set ")


def test_a_set_of_endless_keys_is_read_so_far_only() -> None:
    many = [key("EdDSA", "k").jwk | {"kid": str(n)} for n in range(2 * KEYS_MOST)]

    assert len(read(*many)) == KEYS_MOST - 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
FIELDS = st.sampled_from(["kty", "crv", "kid", "use", "alg", "key_ops", "x", "y", "n", "e", "d", "k"])


@given(st.sampled_from(["RS256", "ES256", "EdDSA"]), st.dictionaries(FIELDS, JSON, max_size=4))
def test_no_odd_value_in_a_key_can_crash_the_reading(algorithm: str, odd: Jwk) -> None:
    document = json.dumps({"keys": [key(algorithm, "k").jwk | odd]}).encode()

    assert isinstance(read_keys(document), KeySet | str)


@given(st.binary(max_size=200) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_no_document_can_crash_the_reading(document: bytes) -> None:
    assert isinstance(read_keys(document), KeySet | str)
