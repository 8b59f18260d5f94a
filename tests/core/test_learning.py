import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Demand
from gateway.core.learning import stated
from gateway.core.model import Account, VenueId

ONE = Demand("cancel", Account(VenueId("venue"), "a"), 8, 1_020_000, 1, 10, guard_us=20_000)


@pytest.mark.parametrize(
    ("name", "value", "tokens"),
    [
        ("x-ratelimit-limit", "5", 5),
        ("x-ratelimit-limit", " 5 ", 5),
        ("x-ratelimit-limit", "10", None),
        ("x-ratelimit-limit", "1200", None),
        ("x-ratelimit-limit", "0", None),
        ("x-ratelimit-limit", "5.5", None),
        ("x-ratelimit-limit", "-5", None),
        ("x-ratelimit-limit", "five", None),
        ("x-ratelimit-limit", "", None),
        ("x-ratelimit-limit", "\u0665", None),
        ("x-ratelimit-limit", "9" * 400, None),
        ("x-ratelimit-limit", "5, 5;w=60", None),
        ("ratelimit-limit", "4, 4;w=1, 100;w=60", 4),
        ("ratelimit-policy", '"burst";q=6;w=1,"hour";q=2;w=3600', 6),
        ("ratelimit-policy", "7;w=1", 7),
        ("ratelimit-policy", '"burst";q=6', None),
        ("ratelimit-policy", '"burst";w=1;q', None),
        ("ratelimit", "limit=3, remaining=1, reset=1", 3),
        ("ratelimit", '"burst";r=3;t=1', None),
        ("ratelimit", "limit=3.5", None),
        ("x-mbx-order-limit-1s", "3", 3),
        ("x-mbx-order-limit-1m", "3", None),
        ("x-mbx-order-limit-1s", "3;4", None),
        ("x-mbx-used-weight-1s", "3", None),
        ("x-ratelimit-remaining", "3", None),
        ("retry-after", "3", None),
    ],
)
def test_header_states_a_smaller_limit_for_the_same_window_or_nothing(
    name: str, value: str, tokens: int | None
) -> None:
    assert stated({name: value}, ONE) == tokens


def test_smallest_of_several_headers_counts() -> None:
    assert stated({"x-ratelimit-limit": "6", "ratelimit-policy": '"a";q=4;w=1'}, ONE) == 4


@given(
    st.dictionaries(st.sampled_from(("ratelimit-policy", "x-ratelimit-limit", "ratelimit", "x-a-limit-1s")), st.text())
)
def test_any_header_states_less_than_configured_or_nothing(headers: dict[str, str]) -> None:
    tokens = stated(headers, ONE)

    assert tokens is None or 0 < tokens < ONE.keep
