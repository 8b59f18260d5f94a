"""A kill's query and headers: whatever is written there is a wish or refused."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.codec import Refused, refusal
from gateway.web.kill_codec import KillWish, kill_wish

QUERIES = st.text(max_size=60) | st.lists(
    st.sampled_from(["account=", "symbol=", "plan=true", "wait=ack", "&", "%", "%00", "%ff", "desk-a", "=", ";", "+"]),
    max_size=12,
).map("".join)


@given(raw=QUERIES, key=st.text(max_size=300), timeout=st.text(max_size=20))
def test_whatever_is_written_is_a_wish_or_refused(raw: str, key: str, timeout: str) -> None:
    for headers in ({}, {"Idempotency-Key": key, "X-Request-Timeout-Ms": timeout}):
        try:
            assert isinstance(kill_wish(raw, headers), KillWish)
        except Refused as no:
            refusal(no.outcome, no.detail, "request-1")
