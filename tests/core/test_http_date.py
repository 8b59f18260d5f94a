"""HTTP's dates, and whatever else stands in their place."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.http_date import http_date_ms

NOON_MS = 1_767_268_800_000


@given(st.integers(0, 4_000_000_000))
def test_what_is_written_as_a_date_is_read_as_the_same_second(second: int) -> None:
    assert http_date_ms(format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)) == second * 1000


@pytest.mark.parametrize("stated", ["Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 12:00:00", "1 Jan 2026 12:00"])
def test_a_date_without_a_zone_is_gmt(stated: str) -> None:
    assert http_date_ms(stated) == NOON_MS


@given(st.text(max_size=200))
def test_nothing_that_stands_there_raises(stated: str) -> None:
    assert isinstance(http_date_ms(stated), int | None)
