"""Whatever is sent, the memory of the sandbox stays bounded."""

from collections import OrderedDict

from gateway.sandbox import etna, stats, verify, window
from gateway.sandbox.window import Limit, SlidingWindow, Tail


def test_cancels_are_counted_for_so_many_orders_only() -> None:
    figures = stats.Stats()
    for number in range(stats._MOST_ORDERS + 10):
        figures.asked_to_cancel(str(number))
    figures.asked_to_cancel("0")

    assert len(figures.cancels_by_order) == stats._MOST_ORDERS
    assert figures.cancels_by_order["0"] == 2


def test_recent_arrivals_forget_the_oldest() -> None:
    figures = stats.Stats()
    for at_ns in range(stats._MOST_RECENT + 5):
        figures.arrived("list", at_ns)

    assert len(figures.recent) == stats._MOST_RECENT
    assert figures.requests["list"] == stats._MOST_RECENT + 5


def test_keys_beyond_the_bound_are_not_limited() -> None:
    figures = stats.Stats()
    for number in range(stats._MOST_WINDOWS):
        figures.windows["list", str(number)] = SlidingWindow(Limit(1, 1000))

    assert figures.admit("list", "one more", Limit(0, 1000), 0, 1)
    assert len(figures.windows) == stats._MOST_WINDOWS


def test_window_drops_the_oldest_beyond_the_bound() -> None:
    tail = Tail()
    for _ in range(window._MOST_REMEMBERED + 1):
        tail.add(0, 2)

    assert tail.weight == 2 * window._MOST_REMEMBERED


def test_oldest_token_is_forgotten_beyond_the_bound() -> None:
    tokens: OrderedDict[str, int] = OrderedDict()
    first = etna._remember(tokens, 0)
    for number in range(etna._MOST_TOKENS):
        etna._remember(tokens, number)

    assert len(tokens) == etna._MOST_TOKENS
    assert first not in tokens


def test_signed_nonsense_is_no_set_of_claims() -> None:
    secret = b"s"
    good = verify.jwt_token({"sub": "a"}, secret)
    listed = verify.jwt_token([1], secret)  # type: ignore[arg-type]  # what a careless issuer might do

    assert verify.jwt_claims(good, secret) == {"sub": "a"}
    assert verify.jwt_claims(listed, secret) is None
    assert verify.jwt_claims("no token", secret) is None
