"""A drill for people on call: one venue of a running demo is broken in one of five ways, under load.

    make run                                   in one terminal; export what it says
    python -m ops.drill                        in another: which venue is stuck, and why? Five minutes.

Without a number it picks one and keeps it to itself until the end; docs/drill.md tells what shows each. Only the
standard library, so that it runs wherever the demo does.
"""

import argparse
import json
import os
import random
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PER_S = 2.0
CHUNK = 50
WAIT_S = 10.0
SYMBOL = "PERP_ETH_USDC"
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a venue can be stuck, and the words by which it should be told."""

    venue: str
    what: str
    fault: Json
    answer: str


WAYS = {
    1: Way("etna", "silent", {"kind": "hang"}, "takes requests and never answers: its host's breaker is open"),
    2: Way("loopring", "banned", {"kind": "banned", "retry_after": "300"}, "has banned our address for five minutes"),
    3: Way("hashkey", "refused", {"kind": "auth_failure"}, "refuses our key"),
    4: Way("b2trader", "garbled", {"kind": "html"}, "answers with a web page: nobody knows what became of the orders"),
    5: Way("orderly", "deaf", {"kind": "delayed_state", "ms": 3_600_000}, "takes every cancel, and cancels nothing"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A running demo: where to ask, and where its venues take their orders from us."""

    url: str
    token: str = field(repr=False)
    controls: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, url: str, token: str) -> "Place":
        """From the demo's own settings."""
        venues = tomllib.loads((folder / "config.toml").read_text())["venues"]
        controls = {name: "/".join(said["base_url"].split("/")[:3]) + "/_sandbox/" for name, said in venues.items()}
        return cls(url, token, controls)

    def tell(self, venue: str, what: str, sent: Json) -> Json:
        """Tell a sandbox venue something."""
        return _call("POST", self.controls[venue] + what, {"Content-Type": "application/json"}, sent)

    def cancel(self, venue: str, ref: str, wait: str) -> str:
        """One cancel, and what came of it."""
        query = f"?by=order_id&wait={wait}" + (f"&symbol={SYMBOL}" if venue == "orderly" else "")
        headers = {"Authorization": f"Bearer {self.token}", "X-Request-Timeout-Ms": "4000"}
        return str(_call("DELETE", f"{self.url}/orders/{venue}/{ref}{query}", headers).get("outcome"))

    def break_it(self, way: Way) -> None:
        """From now on the venue is stuck."""
        self.tell(way.venue, "faults", {"faults": [way.fault]})

    def mend(self) -> None:
        """No venue has a fault any more."""
        for venue in self.controls:
            self.tell(venue, "faults", {"faults": []})


def _call(method: str, url: str, headers: Mapping[str, str], sent: Json | None = None) -> Json:
    body = None if sent is None else json.dumps(sent).encode()
    try:
        with urlopen(Request(url, body, dict(headers), method=method), timeout=WAIT_S) as reply:  # noqa: S310  our own
            said = json.loads(reply.read())
    except HTTPError as refused:
        said = json.loads(refused.read())
    assert isinstance(said, dict)
    return said


@contextmanager
def loaded(place: Place, per_s: float = PER_S) -> Iterator[Counter[tuple[str, str]]]:
    """Cancels at every venue while the block runs; what came of them is counted."""
    outcomes: Counter[tuple[str, str]] = Counter()
    over = threading.Event()
    threads = [threading.Thread(target=_trade, args=(place, venue, per_s, outcomes, over)) for venue in place.controls]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(WAIT_S)


def _trade(place: Place, venue: str, per_s: float, outcomes: Counter[tuple[str, str]], over: threading.Event) -> None:
    """As a desk would: each order is cancelled once, and nobody waits for the one before."""
    refs: list[str] = []
    for number in range(10**9):
        if over.wait(1 / per_s):
            return
        refs = refs or _new_orders(place, venue)
        wait = "terminal" if number % 4 == 0 else "ack"
        threading.Thread(target=_one, args=(place, venue, refs.pop(), wait, outcomes), daemon=True).start()


def _new_orders(place: Place, venue: str) -> list[str]:
    made = place.tell(venue, "orders", {"count": CHUNK} | ({"symbol": SYMBOL} if venue == "orderly" else {}))["orders"]
    assert isinstance(made, list)
    return [str(order["order_id"]) for order in made]


def _one(place: Place, venue: str, ref: str, wait: str, outcomes: Counter[tuple[str, str]]) -> None:
    with suppress(URLError, TimeoutError, ConnectionError):
        outcomes[venue, place.cancel(venue, ref, wait)] += 1


def main() -> None:
    """Break, load, wait, mend, tell."""
    parser = argparse.ArgumentParser(prog="python -m ops.drill", description="Break one venue of a running demo.")
    parser.add_argument("way", nargs="?", type=int, choices=sorted(WAYS), help="which way; default: a secret one")
    parser.add_argument("--demo", type=Path, default=Path(".run/demo"), help="the demo's folder; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long; default: %(default)s")
    options = parser.parse_args()
    token = os.environ.get("CANCEL_GATEWAY_TOKEN", "")
    place = Place.of(options.demo, os.environ.get("CANCEL_GATEWAY_URL", "http://127.0.0.1:8080"), token)
    way = WAYS[options.way or random.choice(sorted(WAYS))]  # noqa: S311  nobody gains from guessing it
    print("Desks are cancelling at all five venues, and one venue is stuck. Which, and why? Ctrl-C when you know.")
    place.mend()
    with loaded(place) as outcomes, suppress(KeyboardInterrupt):
        place.break_it(way)
        time.sleep(options.seconds)
    place.mend()
    print(f"\nIt was {way.venue}: it {way.answer} (way {way.what}). The desks were told:")
    for (venue, outcome), count in sorted(outcomes.items()):
        print(f"  {venue:<9} {outcome:<18} {count}")


if __name__ == "__main__":
    main()
