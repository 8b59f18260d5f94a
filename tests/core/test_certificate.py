"""The names in a client certificate, in the form in which Python's ssl gives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.certificate import NO_CERTIFICATE, Shown, names_in

CN = ((("countryName", "CH"),), (("commonName", "Desk-A.internal"),))


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ({"subjectAltName": (("DNS", "Desk-A.Internal"), ("URI", "spiffe://Mesh/A"))},
         ("desk-a.internal", "spiffe://Mesh/A")),
        ({"subject": CN, "subjectAltName": (("DNS", "san.internal"),)}, ("san.internal",)),
        ({"subject": CN, "subjectAltName": (("IP Address", "10.0.0.1"), ("email", "a@b"))}, ("desk-a.internal",)),
        ({"subject": CN}, ("desk-a.internal",)),
        ({"subject": ((("commonName", "spiffe://mesh/a"),),)}, ()),
        ({"subjectAltName": (("DNS", "spiffe://mesh/a"), ("URI", "desk-a.internal"))}, ()),
        ({"subject": CN, "subjectAltName": (("DNS", "spiffe://mesh/a"),)}, ()),
        ({"subject": ((("organizationName", "desk-a"),),)}, ()),
        ({"subjectAltName": ("DNS", ("DNS",), ("DNS", 1), 7)}, ()),
        ({"subject": "desk-a", "subjectAltName": "desk-a"}, ()),
        ({}, ()),
    ],
)  # fmt: skip
def test_names_are_those_that_a_caller_can_be_known_by(certificate: dict[str, object], names: tuple[str, ...]) -> None:
    assert names_in(certificate) == names


def test_a_certificate_that_has_ended_shows_nothing_any_more() -> None:
    shown = Shown(("desk-a",), 100.0)

    assert (shown.at(99.9), shown.at(100.0)) == (("desk-a",), ())
    assert NO_CERTIFICATE.at(0.0) == ()


@given(st.dictionaries(st.sampled_from(["subject", "subjectAltName"]), st.recursive(
    st.text(max_size=8) | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3).map(tuple)
)))  # fmt: skip
def test_no_certificate_can_crash_the_reading(odd: dict[str, object]) -> None:
    assert all(isinstance(name, str) for name in names_in(odd))
