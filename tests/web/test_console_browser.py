"""The console in a real browser, before a real gateway: what somebody on call sees, types and presses.

`make browser` sets up what it needs. Where playwright or a Chromium is missing it is skipped, and says so.
"""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.request import Request, urlopen

import pytest
from real_valkey import Server
from sandbox_client import lenient
from service_process import (
    Gateway,
    own_valkey,
    put_secrets,
    rested,
    sandbox_beside,
    serving,
    token_of,
    tree_of,
)

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; run make browser")
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; set CHROMIUM to one")
PHONE = {"width": 360, "height": 740}
SOON_MS, GONE_MS = 5_000, 15_000


@dataclass(frozen=True)
class Scene:
    """A gateway, its venues, and a way to look at it."""

    gateway: Gateway
    sandbox: Sandbox

    def link(self, caller: str = "killer") -> str:
        return f"{self.gateway.admin_url}/console#token={token_of(caller)}"

    def control(self, venue: str, what: str, asked: dict[str, object]) -> dict[str, object]:
        """Tell a sandbox venue something."""
        url = f"{self.sandbox.venues[venue].control_url}/_sandbox/{what}"
        return _call("POST", url, {"Content-Type": "application/json"}, asked)

    def order(self, venue: str) -> str:
        """One more open order."""
        (made,) = self.orders(venue, 1)
        return made

    def orders(self, venue: str, count: int) -> list[str]:
        made = self.control(venue, "orders", {"count": count, "account": "desk-a"})["orders"]
        assert isinstance(made, list)
        return [str(order["order_id"]) for order in made]

    def cancel(self, venue: str, ref: str) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {token_of('killer')}"}
        return _call("DELETE", f"{self.gateway.url}/orders/{venue}/{ref}?by=order_id", headers, None)


def _call(method: str, url: str, headers: dict[str, str], body: object) -> dict[str, object]:
    sent = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, sent, headers, method=method), timeout=10) as reply:  # noqa: S310  our own
        answer = json.loads(reply.read())
    assert isinstance(answer, dict)
    return answer


@pytest.fixture(scope="module")
def scene(valkey_session: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("console")
    with sandbox_beside(lenient()) as sandbox:
        tree = tree_of(sandbox, rested(valkey_session), put_secrets(folder / "secrets", DEFAULT_CREDENTIALS))
        with serving(tree, folder) as gateway:
            yield Scene(gateway, sandbox)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(SOON_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page in which nothing may go wrong by itself."""
    wrong: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    yield page
    assert wrong == []


def card(page: Page, venue: str) -> Locator:
    return page.get_by_role("article", name=f"{venue} desk-a", exact=True)


def live(page: Page, scene: Scene, caller: str = "killer") -> Page:
    page.goto(scene.link(caller))
    expect(page.locator("#link-text")).to_have_text("live")
    expect(card(page, "etna")).to_be_visible()
    return page


# -- signing in ------------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_and_a_wrong_one_is_told(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.gateway.admin_url}/console")
    page.get_by_label("Caller token").fill("wrong")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_have_text("a valid bearer token is needed")

    page.get_by_label("Caller token").fill(token_of("reader"))
    page.keyboard.press("Enter")

    expect(page.locator("#who")).to_have_text("reader")
    expect(page.locator("#strip")).to_contain_text("All well")


def test_a_token_in_the_fragment_leaves_the_address_and_stays_in_the_tab(page: Page, scene: Scene) -> None:
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    live(page, scene)

    assert page.url == f"{scene.gateway.admin_url}/console"
    assert not any("token" in url for url in seen)
    assert {url.split("/")[2] for url in seen} == {scene.gateway.admin_url.split("/")[2]}
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    expect(page.locator("#link-text")).to_have_text("live")
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_label("Caller token")).to_be_visible()


def test_who_may_not_kill_finds_no_kill_switch(page: Page, scene: Scene) -> None:
    live(page, scene, "reader")

    expect(page.get_by_role("button", name="Kill switch of etna desk-a")).to_be_hidden()


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_a_cancel_shows_up_and_keys_lead_to_its_record_and_back(page: Page, scene: Scene) -> None:
    live(page, scene)
    ref = scene.order("hashkey")
    scene.cancel("hashkey", ref)
    expect(page.locator("#recent tr", has_text=ref)).to_contain_text("cancelled")

    page.keyboard.press("/")
    page.keyboard.type(ref)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")

    steps = page.locator("#record .steps li")
    expect(steps).to_have_count(3)
    assert [text.split()[-1] for text in steps.all_inner_texts()] == ["received", "sent", "cancelled"]
    page.keyboard.press("Escape")
    expect(page.locator("#record")).to_be_hidden()


def test_a_filter_leaves_what_it_names(page: Page, scene: Scene) -> None:
    live(page, scene)
    hashkey, etna = scene.order("hashkey"), scene.order("etna")
    scene.cancel("hashkey", hashkey)
    scene.cancel("etna", etna)
    expect(page.locator("#recent tr", has_text=etna)).to_be_visible()

    page.get_by_placeholder("Filter").fill("etna accepted")

    expect(page.locator("#recent tr", has_text=etna)).to_be_visible()
    expect(page.locator("#recent tr", has_text=hashkey)).to_be_hidden()


def test_what_a_venue_or_caller_says_is_text_and_nothing_else(page: Page, scene: Scene) -> None:
    live(page, scene)
    headers = {"Authorization": f"Bearer {token_of('killer')}", "X-Request-Timeout-Ms": "1000"}
    hostile = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    with pytest.raises(OSError, match="400"):
        _call("DELETE", f"{scene.gateway.url}/orders/etna/{hostile}?by=order_id", headers, None)

    expect(page.locator("#recent tr").first).to_contain_text("invalid_request")
    assert page.locator("#recent img").count() == 0


def test_a_closed_gate_counts_down_and_is_told_first(page: Page, scene: Scene) -> None:
    live(page, scene)
    scene.control("loopring", "faults", {"faults": [{"kind": "banned", "times": 1, "account": "desk-a"}]})
    ref = scene.order("loopring")
    with pytest.raises(OSError, match="503"):
        scene.cancel("loopring", ref)

    gate = card(page, "loopring").locator(".facts dd").first
    expect(gate).to_contain_text(re.compile(r"(banned|shut) \d"))
    expect(page.locator("#strip")).to_contain_text("loopring")
    first = gate.inner_text()
    expect(gate).not_to_have_text(first)


def test_the_kill_switch_shows_its_plan_wants_the_name_and_proves_the_end(page: Page, scene: Scene) -> None:
    scene.control("etna", "reset", {})
    scene.orders("etna", 12)
    live(page, scene)

    page.get_by_role("button", name="Kill switch of etna desk-a").click()
    go = page.get_by_role("button", name="Cancel everything")
    expect(page.locator("#kill-said")).to_contain_text("12")
    expect(go).to_be_disabled()
    page.get_by_label("Type etna:desk-a to go on").fill("etna:desk-b")
    expect(go).to_be_disabled()
    page.get_by_label("Type etna:desk-a to go on").fill("etna:desk-a")
    page.keyboard.press("Enter")

    expect(page.locator("#kill-said")).to_contain_text("Proven: nothing is open any more.", timeout=GONE_MS)
    expect(page.locator("#kill-said")).to_contain_text("12 accepted")
    expect(go).to_be_disabled()


# -- when things go wrong --------------------------------------------------------------------------------------------


def test_a_gateway_that_is_gone_is_told_and_found_again(page: Page, scene: Scene) -> None:
    live(page, scene)
    scene.gateway.process.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#strip")).to_contain_text("The gateway is gone", timeout=GONE_MS)
        expect(page.locator("#link-text")).to_contain_text("reconnecting")
    finally:
        scene.gateway.process.send_signal(signal.SIGCONT)

    expect(page.locator("#link-text")).to_have_text("live", timeout=2 * GONE_MS)
    expect(page.locator("#strip")).not_to_contain_text("gone", timeout=GONE_MS)


def test_a_lost_store_is_told_and_the_rest_goes_on(page: Page, scene: Scene, tmp_path: Path) -> None:
    socket = tmp_path / "valkey.sock"
    with own_valkey(socket) as valkey:
        tree = tree_of(scene.sandbox, f"unix://{socket}", put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS))
        with serving(tree, tmp_path) as gateway:
            live(page, Scene(gateway, scene.sandbox))
            valkey.kill()
            valkey.wait(5)

            expect(page.locator("#strip")).to_contain_text("Degraded", timeout=GONE_MS)
            expect(page.locator("#link-text")).to_have_text("live")
            expect(page.locator("#no-unknown")).to_have_text("The shared store cannot be asked.", timeout=GONE_MS)


# -- how it looks ----------------------------------------------------------------------------------------------------


def test_a_narrow_screen_shows_it_all_without_scrolling_sideways(page: Page, scene: Scene) -> None:
    page.set_viewport_size(PHONE)
    live(page, scene)
    scene.cancel("b2trader", scene.order("b2trader"))
    expect(page.locator("#recent tr").first).to_be_visible()

    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="Kill switch of etna desk-a").click()
    box = page.locator("#kill").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_news_move_nothing_that_is_there(page: Page, scene: Scene) -> None:
    live(page, scene)
    page.evaluate(
        "window.shifted = []; new PerformanceObserver((list) => list.getEntries().forEach((each) =>"
        " each.sources.forEach(({ node }) => { const place = node?.closest?.('#recent') ? null : node;"
        " if (place) window.shifted.push(place.outerHTML ?? place.textContent) })))"
        ".observe({ type: 'layout-shift' })"
    )
    before = card(page, "b2trader").bounding_box()
    for ref in scene.orders("hashkey", 8):
        scene.cancel("hashkey", ref)
    expect(page.locator("#recent tr", has_text=ref)).to_be_visible()
    page.wait_for_timeout(1500)  # a look or two later

    assert card(page, "b2trader").bounding_box() == before
    assert page.evaluate("window.shifted") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_by_day_and_by_night(page: Page, scene: Scene, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    live(page, scene)

    pairs = page.evaluate(
        """() => ["h1", ".card h3", ".account", ".facts dd", ".lanes dt", ".limits span", "#strip span", "#link-text"]
        .flatMap((where) => [...document.querySelectorAll(where)].slice(0, 2)).map((element) => {
          let ground = element;
          const clear = (each) => /, 0\\)$|transparent/.test(getComputedStyle(each).backgroundColor);
          while (ground && clear(ground)) ground = ground.parentElement;
          return [getComputedStyle(element).color, getComputedStyle(ground ?? document.body).backgroundColor];
        })"""
    )

    assert min(contrast(ink, ground) for ink, ground in pairs) >= 4.5
    assert (luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.5) is (scheme == "light")


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(…)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """How far apart two colours are, from 1 to 21; text wants 4.5."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
