"""`/console` on the admin listener: a page that holds nothing, and news for those who may have them."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256

import aiohttp
import orjson
import pytest
from front_rig import VITALS, Everywhere, Lines, front_of, listening

from gateway.core.access import Caller, Permission
from gateway.core.idempotency import RecordId
from gateway.core.model import Account, VenueId
from gateway.lookout import Lookout
from gateway.ports import OpenEnds, Unavailable
from gateway.web.app import admin_app
from gateway.web.console import VIEWERS_MOST, Console
from gateway.web.console_page import TYPES
from gateway.web.door import Door
from gateway.web.front import Front

READ, ADMIN, KILL = Permission.READ, Permission.ADMIN, Permission.KILL
MADE_MS = 1_795_000_000_123
SOON_S = 5.0


def caller(name: str, *allow: str, may: frozenset[Permission]) -> Caller:
    return Caller(name, allow, may, token_sha256=(sha256(name.encode()).hexdigest(),))


READER = caller("reader", "*:*", may=frozenset({READ}))
PEEK = caller("peek", "hashkey:desk-a", may=frozenset({READ}))
CHIEF = caller("chief", may=frozenset({ADMIN}))
KILLER = caller("killer", "etna:*", may=frozenset({READ, KILL}))
TRADER = caller("trader", "*:*", may=frozenset({Permission.CANCEL}))
CALLERS = (READER, PEEK, CHIEF, KILLER, TRADER)


class Ends:
    """One unknown end at HashKey's first desk."""

    async def oldest(self, account: Account, most: int) -> OpenEnds:
        assert most > 0
        if account.venue == "etna":
            raise Unavailable("redis", "gone")
        if account == Account(VenueId("hashkey"), "desk-a"):
            return OpenEnds(1, ((RecordId("01M7P5D8DV0000000000000000", account), "77"),))
        return OpenEnds(0)


@dataclass
class Desk:
    """The admin listener, and what stands behind it."""

    url: str
    front: Front
    door: Door
    console: Console
    http: aiohttp.ClientSession

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator["News"]:
        headers = {"Authorization": f"Bearer {name}"}
        async with self.http.get(f"{self.url}/console/events", headers=headers) as reply:
            yield News(reply)

    def note(self, **line: object) -> None:
        self.console.recent.note("cancel.done", {"outcome": "cancelled", **line})


@dataclass
class News:
    """What a viewer hears."""

    reply: aiohttp.ClientResponse

    async def next(self, name: str) -> dict[str, object]:
        """The next event of this name."""
        async with asyncio.timeout(SOON_S):
            while True:
                block = (await self.reply.content.readuntil(b"\n\n")).decode()
                if block.startswith(f"event: {name}\n"):
                    said = orjson.loads(block.partition("\ndata: ")[2])
                    assert isinstance(said, dict)
                    return said


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as made:
        yield made


@asynccontextmanager
async def opened(**patience: float) -> AsyncIterator[Desk]:
    world, log = Everywhere(), Lines()
    door = Door(CALLERS, world.clock)
    front = front_of(world, log, door)
    lookout = Lookout(front.survey, Ends(), world.clock, log)
    console = Console(lookout, front.journal.recent, front.killer.under_way, "1.2.3", **patience)
    async with listening(admin_app(front, VITALS, console)) as port, aiohttp.ClientSession() as http:
        yield Desk(f"http://127.0.0.1:{port}", front, door, console, http)
    assert log.bugs == []


def accounts_in(state: Mapping[str, object]) -> set[str]:
    venues = state["venues"]
    assert isinstance(venues, list)
    return {f"{each['venue']}:{each['account']}" for each in venues}


# -- the page --------------------------------------------------------------------------------------------------------


async def test_the_page_and_its_parts_need_no_token_and_come_from_here_alone(desk: Desk) -> None:
    async with desk.http.get(f"{desk.url}/console") as reply:
        page = await reply.text()

    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"console/console.js", "console/console.css", "console/icon.svg"} <= set(parts)
    for part in {f"console/{name}" for name in TYPES if name != "index.html"} | set(parts):
        async with desk.http.get(f"{desk.url}/{part}") as reply:
            text = await reply.text()
            assert (reply.status, reply.headers["X-Content-Type-Options"]) == (200, "nosniff")
            assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}
            assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(TYPES)


@pytest.mark.parametrize(("path", "kind"), [("/docs", "text/html"), ("/openapi.json", "application/json")])
async def test_the_description_of_the_calls_can_be_read_with_a_browser(desk: Desk, path: str, kind: str) -> None:
    async with desk.http.get(desk.url + path) as reply:
        assert (reply.status, reply.content_type) == (200, kind)
        assert "/orders/{venue}/{ref}" in await reply.text()


async def test_nothing_but_our_own_files_can_run_in_the_page(desk: Desk) -> None:
    async with desk.http.get(f"{desk.url}/console") as reply:
        page, headers = await reply.text(), reply.headers

    policy = {words[0]: words[1:] for words in (part.split() for part in headers["Content-Security-Policy"].split(";"))}
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == (["'none'"], ["'self'"], ["'self'"])
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["X-Frame-Options"]) == ("no-referrer", "DENY")
    assert re.findall(r"<script(?![^>]*\bsrc=)|\bon\w+=\"|\bstyle=", page) == []


@pytest.mark.parametrize("path", ["/console/index.html", "/console/../console.py", "/console/nothing", "/console/"])
async def test_no_other_file_is_served(desk: Desk, path: str) -> None:
    async with desk.http.get(desk.url + path) as reply:
        assert reply.status == 404


# -- who may look ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/console/events", "/console/api/cancels/x"])
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer no"}, 401), ({"Authorization": "Bearer trader"}, 403)]
)
async def test_data_wants_a_token_that_may_read(desk: Desk, path: str, headers: dict[str, str], status: int) -> None:
    async with desk.http.get(desk.url + path, headers=headers) as reply:
        assert (reply.status, reply.content_type) == (status, "application/problem+json")
        assert reply.headers["X-Request-ID"]


async def test_a_token_in_the_address_counts_for_nothing(desk: Desk) -> None:
    async with desk.http.get(f"{desk.url}/console/events?token=chief&access_token=chief") as reply:
        assert reply.status == 401


async def test_who_looks_is_told_its_name_and_rights(desk: Desk) -> None:
    async with desk.watching("killer") as news:
        hello = await news.next("hello")

    assert (hello["caller"], hello["permissions"], hello["version"]) == ("killer", ["kill", "read"], "1.2.3")
    assert news.reply.headers["Cache-Control"] == "no-store"
    assert news.reply.content_type == "text/event-stream"


async def test_each_sees_the_accounts_that_it_reaches_and_an_admin_all(desk: Desk) -> None:
    async with desk.watching("peek") as peek, desk.watching("chief") as chief, desk.watching("killer") as killer:
        narrow, whole, etna = await peek.next("state"), await chief.next("state"), await killer.next("state")

    assert accounts_in(narrow) == {"hashkey:desk-a"}
    assert accounts_in(whole) == {f"{venue}:{name}" for venue in desk.front.desks for name in ("desk-a", "desk-b")}
    assert accounts_in(etna) == {"etna:desk-a", "etna:desk-b"}
    assert {each["may_kill"] for each in etna["venues"]} == {True}  # type: ignore[attr-defined]  # JSON
    assert {each["may_kill"] for each in whole["venues"]} == {False}  # type: ignore[attr-defined]  # JSON


async def test_unknown_ends_come_with_their_age_and_without_the_store_nobody_guesses(desk: Desk) -> None:
    async with desk.watching("reader") as news:
        state = await news.next("state")

    unknown = {f"{each['venue']}:{each['account']}": each["unknown"] for each in state["venues"]}  # type: ignore[attr-defined]  # JSON
    assert unknown["hashkey:desk-a"]["count"] == 1
    assert unknown["hashkey:desk-a"]["oldest"][0]["ref"] == "77"
    assert unknown["hashkey:desk-b"] == {"count": 0, "oldest": []}
    assert unknown["etna:desk-a"] is None


# -- recent cancels --------------------------------------------------------------------------------------------------


async def test_recent_cancels_are_shown_to_those_who_reach_their_account(desk: Desk) -> None:
    desk.note(venue="hashkey", account="desk-a", ref="1", caller="trader")
    desk.note(venue="hashkey", account="desk-b", ref="2", caller="trader")
    desk.note(venue="etna", account="desk-a", ref="3", caller="peek")
    desk.note(venue="etna", ref="4", caller=None)

    async with desk.watching("peek") as peek, desk.watching("chief") as chief:
        narrow, whole = await peek.next("recent"), await chief.next("recent")

    assert [(each["ref"], each["own"]) for each in narrow["cancels"]] == [("1", False), ("3", True)]  # type: ignore[attr-defined]  # JSON
    assert [each["ref"] for each in whole["cancels"]] == ["1", "2", "3", "4"]  # type: ignore[attr-defined]  # JSON


async def test_what_comes_later_comes_once(desk: Desk) -> None:
    desk.note(venue="etna", account="desk-a", ref="1")
    async with desk.watching("reader") as news:
        first = await news.next("recent")
        desk.note(venue="etna", account="desk-a", ref="2")
        second = await news.next("recent")

    assert [each["number"] for each in (*first["cancels"], *second["cancels"])] == [1, 2]  # type: ignore[misc]  # JSON


async def test_what_was_forgotten_before_it_was_read_is_counted(desk: Desk) -> None:
    desk.note(venue="etna", account="desk-a", ref="first")
    async with desk.watching("reader") as news:
        await news.next("recent")
        for number in range(700):
            desk.note(venue="etna", account="desk-a", ref=str(number))
        later = await news.next("recent")

    assert (later["missed"], len(later["cancels"])) == (200, 500)  # type: ignore[arg-type]  # JSON


# -- bad viewers -----------------------------------------------------------------------------------------------------


async def watched_by(desk: Desk, viewers: int) -> None:
    """Wait until so many watch."""
    async with asyncio.timeout(SOON_S):
        while desk.console.lookout.watchers != viewers:  # noqa: ASYNC110  nobody rings when a socket breaks
            await asyncio.sleep(0.01)


async def test_a_viewer_that_does_not_read_is_dropped() -> None:
    async with opened(stuck_s=0.2) as desk:
        for _ in range(500):
            desk.note(venue="etna", account="desk-a", ref="x" * 40_000)
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", int(desk.url.rpartition(":")[2])))
            stuck.sendall(b"GET /console/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer reader\r\n\r\n")
            await watched_by(desk, 1)

            await watched_by(desk, 0)


async def test_so_many_may_look_and_no_more(desk: Desk) -> None:
    replies = [
        await desk.http.get(f"{desk.url}/console/events", headers={"Authorization": "Bearer reader"})
        for _ in range(VIEWERS_MOST + 1)
    ]

    assert [reply.status for reply in replies] == [200] * VIEWERS_MOST + [503]
    assert replies[-1].headers["Retry-After"] == "5"
    for reply in replies:
        reply.close()
    await watched_by(desk, 0)
    assert desk.console.lookout.seen is None


async def test_a_caller_that_was_taken_away_sees_nothing_more() -> None:
    async with opened(ask_again_s=0.0) as desk, desk.watching("reader") as news:
        await news.next("state")
        desk.door.replace([PEEK], None)

        async with asyncio.timeout(SOON_S):
            await news.reply.content.read()


async def test_rights_that_were_narrowed_count_at_once() -> None:
    async with opened(ask_again_s=0.0) as desk, desk.watching("reader") as news:
        whole = await news.next("state")
        desk.door.replace([replace(READER, allow=("loopring:desk-b",))], None)
        narrow = await news.next("state")

    assert len(accounts_in(whole)) == 10
    assert accounts_in(narrow) == {"loopring:desk-b"}


async def test_the_kill_switch_wants_its_own_permission(desk: Desk) -> None:
    for name, venue, status in (("reader", "etna", 403), ("killer", "orderly", 403), ("killer", "nasdaq", 404)):
        headers = {"Authorization": f"Bearer {name}"}
        async with desk.http.delete(f"{desk.url}/console/api/orders/{venue}", headers=headers) as reply:
            assert reply.status == status
