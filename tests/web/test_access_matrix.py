"""Who may do what, in full: caller x venue x account x permission x route, each asked for at a real socket.

The table below says in other words than the code what must be let through. What is not must be refused with nothing
touched: no record read, no credential asked for, nothing sent.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product

import aiohttp
import orjson
import pytest
from front_rig import Counter, counting, counting_console

from gateway.core.access import Caller, Permission

VENUES = {"orderly": "1", "hashkey": "1", "loopring": "1", "etna": "1", "b2trader": "0" * 26}
ACCOUNTS = (None, "desk-a", "desk-b", "nobody")
REACHES: dict[tuple[str, ...], set[tuple[str, str]]] = {
    (): set(),
    ("orderly:desk-a",): {("orderly", "desk-a")},
    ("hashkey:*",): {("hashkey", "desk-a"), ("hashkey", "desk-b"), ("hashkey", "nobody")},
    ("*:desk-b",): {(venue, "desk-b") for venue in VENUES},
    ("*:*",): {(venue, name) for venue in VENUES for name in ("desk-a", "desk-b", "nobody")},
    ("loopring:desk-a", "etna:desk-b"): {("loopring", "desk-a"), ("etna", "desk-b")},
}
SUBSETS = [frozenset(subset) for subset in chain.from_iterable(combinations(Permission, size) for size in range(6))]
CALLERS = {
    f"c{number}": (allow, permissions)
    for number, (allow, permissions) in enumerate((allow, subset) for allow in REACHES for subset in SUBSETS)
}
HELPLESS = "b2trader"  # it has neither a list nor a cancel-all, so a kill touches nothing there
ROUTES = ("cancel", "urgent", "plan", "urgent plan")


@dataclass(frozen=True)
class Row:
    """One request, and what must come of it: a status, and the touches behind it."""

    request: bytes
    status: int
    touched: tuple[str, ...] = ()
    what: str = ""


def written(method: str, target: str, token: str | None, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *headers]
    lines += [] if token is None else [f"Authorization: Bearer {token}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def cancel_rows(name: str) -> Iterator[Row]:
    """One order: each venue, account and way to ask."""
    allow, permissions = CALLERS[name]
    for venue, account, route in product(VENUES, ACCOUNTS, ROUTES):
        needed = {Permission.CANCEL} | ({Permission.URGENT} if "urgent" in route else set())
        named = (venue, account or "desk-a")
        good = needed <= permissions and named in REACHES[allow]
        query = f"?by=order_id&symbol=PERP_ETH_USDC&plan={str('plan' in route).lower()}"
        query += f"&account={account}" if account else ""
        headers = ("Priority: u=0",) if "urgent" in route else ()
        request = written("DELETE", f"/orders/{venue}/{VENUES[venue]}{query}", name, *headers)
        touched = (f"unlock {named[0]}:{named[1]}",) if good else ()
        yield Row(request, 503 if good else 403, touched, f"{name} {route} {named}")


def kill_rows(name: str, before: str = "") -> Iterator[Row]:
    """The kill switch; `before` its path on the admin listener."""
    allow, permissions = CALLERS[name]
    for venue, account in product(VENUES, ACCOUNTS):
        named = (venue, account or "desk-a")
        good = Permission.KILL in permissions and named in REACHES[allow]
        request = written("DELETE", f"{before}/orders/{venue}" + (f"?account={account}" if account else ""), name)
        if good and venue == HELPLESS:
            yield Row(request, 501, what=f"{name} kill {named}")
        else:
            touched = (f"unlock {named[0]}:{named[1]}",) if good else ()
            yield Row(request, 503 if good else 403, touched, f"{name} kill {named}")


def record_rows(name: str, before: str = "") -> Iterator[Row]:
    """One record; likewise."""
    allow, permissions = CALLERS[name]
    may = bool({Permission.READ, Permission.ADMIN} & permissions)
    for venue, account in product(VENUES, ACCOUNTS[1:]):
        looks = may and (Permission.ADMIN in permissions or (venue, account) in REACHES[allow])
        target = f"{before}/cancels/{'0' * 26}.{venue}.{account}"
        yield Row(
            written("GET", target, name), 404 if may else 403, ("get", "take") if looks else (), f"{name} {target}"
        )


def rows(name: str) -> list[Row]:
    """Every row of one caller on the callers' listener."""
    return [*cancel_rows(name), *kill_rows(name), *record_rows(name)]


@pytest.fixture(scope="module")
def callers() -> list[Caller]:
    return [
        Caller(name, allow, permissions, token_sha256=(hashlib.sha256(name.encode()).hexdigest(),))
        for name, (allow, permissions) in CALLERS.items()
    ]


async def asked(counter: Counter, table: list[Row]) -> int:
    """Ask for every row, and hold it against what is said and touched; how many there were."""
    counter.world.story.clear()

    heard = await counter.said([row.request for row in table])

    pairs = zip(table, heard, strict=True)
    assert [(row.what, said.status) for row, said in pairs if said.status != row.status] == []
    assert counter.world.story == [touch for row in table for touch in row.touched]
    return len(table)


async def test_the_whole_matrix(callers: list[Caller]) -> None:
    async with counting(callers) as counter:
        asked_for = sum([await asked(counter, rows(name)) for name in CALLERS])
        assert counter.log.bugs == []

    assert asked_for == len(REACHES) * 32 * len(VENUES) * (len(ACCOUNTS) * (len(ROUTES) + 1) + 3) == 22_080


@pytest.mark.parametrize("urgent", [False, True])
async def test_what_comes_in_one_body_is_held_against_the_same_table(callers: list[Caller], urgent: bool) -> None:  # noqa: FBT001  a case
    places = list(product(VENUES, ACCOUNTS))
    items = [
        {"venue": venue, "ref": VENUES[venue], "by": "order_id", "account": account, "symbol": "PERP_ETH_USDC"}
        for venue, account in places
    ]
    needed = {Permission.CANCEL} | ({Permission.URGENT} if urgent else set())
    async with counting(callers) as counter, aiohttp.ClientSession(f"http://127.0.0.1:{counter.port}") as http:
        for name, (allow, permissions) in CALLERS.items():
            counter.world.story.clear()
            headers = {"Authorization": f"Bearer {name}"} | ({"Priority": "u=0"} if urgent else {})

            async with http.post("/cancels", json={"cancels": items}, headers=headers) as reply:
                lines = [orjson.loads(line) for line in (await reply.read()).splitlines()]

            good = [needed <= permissions and (venue, name or "desk-a") in REACHES[allow] for venue, name in places]
            assert {each["index"]: each["status"] for each in lines} == {
                index: 503 if allowed else 403 for index, allowed in enumerate(good)
            }
            allowed_places = {f"unlock {v}:{a or 'desk-a'}" for (v, a), ok in zip(places, good, strict=True) if ok}
            assert set(counter.world.story) == allowed_places
        assert counter.log.bugs == []


async def test_the_console_holds_to_the_same_table(callers: list[Caller]) -> None:
    async with counting_console(callers) as counter, aiohttp.ClientSession(f"http://127.0.0.1:{counter.port}") as http:
        api = "/console/api"
        table = {name: [*kill_rows(name, api), *record_rows(name, api)] for name in CALLERS}
        asked_for = sum([await asked(counter, each) for each in table.values()])
        for name, (_, permissions) in CALLERS.items():
            async with http.get("/console/events", headers={"Authorization": f"Bearer {name}"}) as reply:
                assert reply.status == (200 if {Permission.READ, Permission.ADMIN} & permissions else 403)
        assert counter.log.bugs == []

    assert asked_for == len(CALLERS) * len(VENUES) * (len(ACCOUNTS) + 3) == 6_720


async def test_every_route_that_wants_a_token_is_in_the_table(callers: list[Caller]) -> None:
    """Whoever adds a route has to say here who may take it."""
    in_the_table = {"/orders/{venue}/{ref}", "/orders/{venue}", "/cancels", "/cancels/{id}", "/venues"}
    in_the_table |= {"/console/events", "/console/api/cancels/{id}", "/console/api/orders/{venue}"}
    open_to_all = {"/openapi.json", "/docs", "/healthz", "/readyz", "/metrics", "/console", "/console/{file}"}
    async with counting(callers) as one, counting_console(callers) as other:
        routes = {resource.canonical for counter in (one, other) for resource in counter.app.router.resources()}

    assert routes == in_the_table | open_to_all


async def test_a_stranger_gets_nowhere_on_any_route(callers: list[Caller]) -> None:
    async with counting(callers) as counter:
        for token in ("wrong", "C0", "c0c", "", "c0 c1"):
            table = [row.request.replace(b"Bearer c0", b"Bearer " + token.encode()) for row in rows("c0")]
            assert {said.status for said in await counter.said(table)} == {401}
        assert counter.world.story == []


async def test_what_one_may_see_of_the_venues_is_what_one_reaches(callers: list[Caller]) -> None:
    async with counting(callers) as counter:
        for name, (allow, permissions) in CALLERS.items():
            (said,) = await counter.said([written("GET", "/venues", name)])
            if not {Permission.READ, Permission.ADMIN} & permissions:
                assert said.status == 403
                continue
            assert said.status == 200
            seen = {(row["venue"], row["account"]) for row in orjson.loads(said.body)["venues"]}
            assert seen == {(venue, account) for venue, account in REACHES[allow] if account != "nobody"}


async def test_an_account_that_is_not_there_looks_like_one_that_is_forbidden(callers: list[Caller]) -> None:
    narrow = next(
        name for name, said in CALLERS.items() if said == (("orderly:desk-a",), frozenset({Permission.CANCEL}))
    )
    target = "/orders/orderly/1?by=order_id&symbol=X&account="
    async with counting(callers) as counter:
        there, not_there = await counter.said(
            [written("DELETE", target + name, narrow) for name in ("desk-b", "nobody")]
        )

    assert there.status == not_there.status == 403
    assert there.body.replace(b"desk-b", b"nobody").replace(b"request-1", b"request-2") == not_there.body


async def test_a_default_account_out_of_reach_is_not_named(callers: list[Caller]) -> None:
    async with counting(callers) as counter:
        (said,) = await counter.said([written("DELETE", "/orders/orderly/1?by=order_id&symbol=X", "c0")])

    assert said.status == 403
    assert b"desk-a" not in said.head + said.body
