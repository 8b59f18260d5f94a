"""What a token must say of itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.claims import LEEWAY_S, Expected, Subject, read_claims

NOW = 1_800_000_000.0
EXPECTED = Expected("https://issuer.example", "cancel-gateway", "sub")
GOOD: dict[str, object] = {
    "iss": "https://issuer.example",
    "aud": "cancel-gateway",
    "exp": NOW + 60,
    "nbf": NOW - 1,
    "iat": NOW - 1,
    "sub": "desk-a",
}
ABSENT = object()


def changed(**claims: object) -> dict[str, object]:
    return {name: value for name, value in (GOOD | claims).items() if value is not ABSENT}


@pytest.mark.parametrize(
    "claims",
    [
        changed(),
        changed(aud=["other", "cancel-gateway"]),
        changed(nbf=ABSENT, iat=ABSENT),
        changed(nbf=NOW + LEEWAY_S),
        changed(iat=NOW + LEEWAY_S),
        changed(exp=int(NOW) + 1),
        changed(exp=NOW - LEEWAY_S + 0.001),
        changed(more={"deep": [1]}),
    ],
)
def test_good_claims_mean_their_subject_until_they_expire(claims: dict[str, object]) -> None:
    exp = claims["exp"]
    assert isinstance(exp, int | float)

    assert read_claims(claims, EXPECTED, NOW) == Subject("desk-a", exp + LEEWAY_S)


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        (changed(iss="https://issuer.example/"), "another issuer"),
        (changed(iss=ABSENT), "another issuer"),
        (changed(iss=["https://issuer.example"]), "another issuer"),
        (changed(aud="other"), "another audience"),
        (changed(aud=ABSENT), "another audience"),
        (changed(aud=[]), "another audience"),
        (changed(aud=["cancel"]), "another audience"),
        (changed(aud={"cancel-gateway": 1}), "another audience"),
        (changed(aud=[["cancel-gateway"]]), "another audience"),
        (changed(exp=ABSENT), "when it expires"),
        (changed(exp=None), "when it expires"),
        (changed(exp=str(NOW + 60)), "when it expires"),
        (changed(exp=True), "when it expires"),
        (changed(exp=math.inf), "when it expires"),
        (changed(exp=math.nan), "when it expires"),
        (changed(exp=10**400), "when it expires"),
        (changed(exp=NOW - LEEWAY_S), "expired"),
        (changed(exp=0), "expired"),
        (changed(exp=-1), "expired"),
        (changed(nbf=NOW + LEEWAY_S + 1), "not valid yet"),
        (changed(nbf="now"), "not valid yet"),
        (changed(nbf=None), "not valid yet"),
        (changed(nbf=math.inf), "not valid yet"),
        (changed(iat=NOW + LEEWAY_S + 1), "not valid yet"),
        (changed(sub=ABSENT), "no usable sub"),
        (changed(sub=""), "no usable sub"),
        (changed(sub=["desk-a"]), "no usable sub"),
        (changed(sub=7), "no usable sub"),
        (changed(sub="x" * 513), "no usable sub"),
        ([], "no object"),
        (None, "no object"),
        ("desk-a", "no object"),
    ],
)
def test_claims_that_are_not_all_right_mean_nobody(claims: object, word: str) -> None:
    said = read_claims(claims, EXPECTED, NOW)

    assert isinstance(said, str)
    assert word in said


def test_another_claim_can_name_the_caller() -> None:
    said = read_claims(changed(azp="desk-b"), Expected(EXPECTED.issuer, EXPECTED.audience, "azp"), NOW)

    assert isinstance(said, Subject)
    assert said.name == "desk-b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*GOOD, "x"]), JSON))
def test_no_claims_can_crash_the_reading_or_replace_a_good_one(odd: dict[str, object]) -> None:
    assert isinstance(read_claims(odd, EXPECTED, NOW), str)
    assert isinstance(read_claims(GOOD | odd, EXPECTED, NOW), Subject | str)
