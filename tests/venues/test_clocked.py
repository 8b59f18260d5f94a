"""Which venues look at the time of a request, and the time that their answers tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.wire import Reply
from gateway.venues import ALL
from gateway.venues.base import Clocked
from gateway.venues.hashkey import HASHKEY
from gateway.venues.orderly import ORDERLY

CLOCKED = [venue for venue in ALL if isinstance(venue, Clocked)]


def test_two_venues_look_at_the_time_of_a_request() -> None:
    assert {venue.id: venue.clock_bound_ms for venue in CLOCKED} == {"orderly": 300_000, "hashkey": 5000}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"success":true,"timestamp":1700000000123,"data":{}}', 1_700_000_000_123),
        (b'{"success":true,"timestamp":"1700000000123"}', None),
        (b'{"success":true,"timestamp":true}', None),
        (b'{"success":true,"timestamp":-1}', None),
        (b'{"success":true}', None),
        (b"<html>", None),
    ],
)
def test_orderly_stamps_what_it_grants(body: bytes, told: int | None) -> None:
    assert ORDERLY.told_ms(Reply(200, {}, body)) == told


def test_hashkey_tells_the_time_in_its_date_only() -> None:
    assert HASHKEY.told_ms(Reply(200, {}, b'{"transactTime":"1700000000123"}')) is None


@pytest.mark.parametrize("venue", CLOCKED, ids=lambda venue: venue.id)
@given(body=st.binary(max_size=100))
def test_no_body_makes_it_raise(venue: Clocked, body: bytes) -> None:
    assert isinstance(venue.told_ms(Reply(200, {}, body)), int | None)
