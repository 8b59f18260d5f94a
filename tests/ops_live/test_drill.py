"""The drill of docs/drill.md, done: a demo, a load, one venue broken in one of five ways, and who says so how soon.

The console is a real Chromium's, the alerts are a real Prometheus' with the rules as they are. `make drill-check` sets
up what it needs; CANCEL_GATEWAY_DRILL=FOLDER keeps the pictures and the table.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_rig import Demo, demo_running
from prometheus_rig import OPS, Prometheus, needs_prometheus, prometheus_running
from service_process import until

from ops.drill import WAYS, Place, Way, loaded

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; run make drill-check")
from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    needs_prometheus,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; set CHROMIUM to one"),
    pytest.mark.timeout(400),
]
KEPT = os.environ.get("CANCEL_GATEWAY_DRILL")
CALM_S, FIVE_MINUTES_S, LOOK_S = 5.0, 300.0, 0.25
RULES = [OPS / "prometheus" / "recording.yaml", OPS / "prometheus" / "alerts.yaml"]
# What has to say it: the console's strip, a row of `status` (None: it knows nothing of that), and an alert.
SIGNS: dict[str, tuple[str, str | None, str]] = {
    "silent": (r"etna: .*does not answer", r"etna:desk-a .*BREAKER:host", "BreakerOpen"),
    "banned": (r"loopring: .*banned by the venue", r"loopring:desk-a .*BANNED:egress", "VenueBanned"),
    "refused": (r"hashkey:desk-a: .*credential refused", r"hashkey:desk-a +refused", "CredentialRefused"),
    "garbled": (r"b2trader: \d+ of \d+ cancels in the last minute ended unknown", None, "CancelsUnclear"),
    "deaf": (r"orderly: takes cancels, and \d+ of \d+ orders stayed open", None, "CancelsIgnored"),
}


@contextmanager
def console(demo: Demo) -> Iterator[Page]:
    """The console, signed in."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
        page.goto(f"{demo.admin_url}/console#token={demo.token}")
        page.get_by_role("article").first.wait_for()
        yield page
        browser.close()


def strip(page: Page) -> str:
    return "\n".join(page.locator("#strip span").all_inner_texts())


def first_seen(signs: dict[str, Callable[[], bool]], began: float) -> dict[str, float]:
    """After how many seconds each was there."""
    seen: dict[str, float] = {}
    while len(seen) < len(signs) and time.monotonic() < began + FIVE_MINUTES_S:
        for name in signs.keys() - seen.keys():
            if signs[name]():
                seen[name] = round(time.monotonic() - began, 1)
        time.sleep(LOOK_S)
    return seen


@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: way.what)
def test_what_is_stuck_and_why_is_told_within_five_minutes(way: Way, tmp_path: Path) -> None:
    on_strip, in_status, alert = SIGNS[way.what]
    targets: Callable[[Demo], list[str]] = lambda demo: [demo.admin_url.removeprefix("http://")]  # noqa: E731
    with (
        demo_running(tmp_path / "demo") as demo,
        prometheus_running(tmp_path / "prometheus", targets(demo), RULES) as prometheus,
        console(demo) as page,
    ):
        place = Place.of(tmp_path / "demo", demo.url, demo.token)
        with loaded(place):
            time.sleep(CALM_S)
            until(lambda: strip(page).startswith("All well"), "the console says that all is well", 60)
            place.break_it(way)
            began = time.monotonic()
            signs = {
                "console": lambda: re.search(on_strip, strip(page)) is not None,
                "alert": lambda: alert in prometheus.firing(),
            }
            if in_status is not None:
                signs["status"] = lambda: re.search(in_status, demo.run("status").out) is not None
            seen = first_seen(signs, began)
            others = others_named(strip(page), way)
            keep(way, page, seen, prometheus)

    assert seen.keys() == signs.keys()
    assert others == [], "a venue that is well is called stuck"


def others_named(said: str, way: Way) -> list[str]:
    return [other.venue for other in WAYS.values() if other is not way and other.venue in said]


def keep(way: Way, page: Page, seen: dict[str, float], prometheus: Prometheus) -> None:
    """For people to look at."""
    row = f"| {way.venue} {way.answer} | {strip(page)!r} | {seen} | {sorted(prometheus.firing())} |"
    if KEPT is not None:
        Path(KEPT).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{KEPT}/drill-{way.what}.png")
        with (Path(KEPT) / "table.md").open("a") as table:
            table.write(row + "\n")
