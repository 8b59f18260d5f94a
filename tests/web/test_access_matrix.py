"""Who may do what, in full: caller x venue x account x permission x route, each asked for at a real socket.

The table below says in other words than the code what must be let through. What is not must be refused with nothing
touched: no record read, no credential asked for, nothing sent.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import orjson
import pytest
from front_rig import counting

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


def rows(name: str) -> Iterator[Row]:
    """Every row of one caller."""
    allow, permissions = CALLERS[name]
    for venue, ref in VENUES.items():
        for account in ACCOUNTS:
            for route in ROUTES:
                needed = {Permission.CANCEL} | ({Permission.URGENT} if "urgent" in route else set())
                named = (venue, account or "desk-a")
                good = needed <= permissions and named in REACHES[allow]
                query = f"?by=order_id&symbol=PERP_ETH_USDC&plan={str('plan' in route).lower()}"
                query += f"&account={account}" if account else ""
                headers = ("Priority: u=0",) if "urgent" in route else ()
                request = written("DELETE", f"/orders/{venue}/{ref}{query}", name, *headers)
                touched = (f"unlock {named[0]}:{named[1]}",) if good else ()
                yield Row(request, 503 if good else 403, touched, f"{name} {route} {named}")
        for account in ACCOUNTS:
            named = (venue, account or "desk-a")
            good = Permission.KILL in permissions and named in REACHES[allow]
            request = written("DELETE", f"/orders/{venue}" + (f"?account={account}" if account else ""), name)
            if good and venue == HELPLESS:
                yield Row(request, 501, what=f"{name} kill {named}")
            else:
                touched = (f"unlock {named[0]}:{named[1]}",) if good else ()
                yield Row(request, 503 if good else 403, touched, f"{name} kill {named}")
        for account in ACCOUNTS[1:]:
            may = bool({Permission.READ, Permission.ADMIN} & permissions)
            looks = may and (Permission.ADMIN in permissions or (venue, account) in REACHES[allow])
            target = f"/cancels/{'0' * 26}.{venue}.{account}"
            yield Row(
                written("GET", target, name), 404 if may else 403, ("get", "take") if looks else (), f"{name} {target}"
            )


@pytest.fixture(scope="module")
def callers() -> list[Caller]:
    return [
        Caller(name, allow, permissions, token_sha256=(hashlib.sha256(name.encode()).hexdigest(),))
        for name, (allow, permissions) in CALLERS.items()
    ]


async def test_the_whole_matrix(callers: list[Caller]) -> None:
    asked_for = 0
    async with counting(callers) as counter:
        for name in CALLERS:
            table = list(rows(name))
            counter.world.story.clear()

            heard = await counter.said([row.request for row in table])

            pairs = zip(table, heard, strict=True)
            assert [(row.what, said.status) for row, said in pairs if said.status != row.status] == []
            assert counter.world.story == [touch for row in table for touch in row.touched]
            asked_for += len(table)
        assert counter.log.bugs == []

    assert asked_for == len(REACHES) * 32 * len(VENUES) * (len(ACCOUNTS) * (len(ROUTES) + 1) + 3) == 22_080


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
