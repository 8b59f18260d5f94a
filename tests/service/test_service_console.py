"""The console of a real process: what it shows while cancels, kills and unknown ends come and go."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from service_process import token_of
from service_rig import Desk, Rig

SOON_S = 10.0


def console_of(rig: Rig, caller: str) -> Desk:
    """The admin listener, with a token."""
    return Desk(rig.http, f"{rig.gateway.admin_url}/console", token_of(caller))


@asynccontextmanager
async def watching(rig: Rig, caller: str = "chief") -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer {token_of(caller)}"}
    patient = aiohttp.ClientTimeout(total=None)
    async with rig.http.get(f"{rig.gateway.admin_url}/console/events", headers=headers, timeout=patient) as reply:
        yield reply


async def told(reply: aiohttp.ClientResponse, name: str) -> Any:
    """The next event of this name."""
    async with asyncio.timeout(SOON_S):
        while True:
            block = (await reply.content.readuntil(b"\n\n")).decode()
            if block.startswith(f"event: {name}\n"):
                return orjson.loads(block.partition("\ndata: ")[2])


async def shown(reply: aiohttp.ClientResponse, ref: str) -> Any:
    """The line of this order's cancel, as soon as it is told."""
    while True:
        for each in (await told(reply, "recent"))["cancels"]:
            if each.get("ref") == ref:
                return each


async def test_a_cancel_is_shown_with_its_outcome_and_leads_to_its_record_and_steps(rig: Rig) -> None:
    order = await rig.order("hashkey")

    async with watching(rig) as news:
        await rig.desk().cancel("hashkey", order["order_id"])
        line = await shown(news, order["order_id"])

    assert (line["outcome"], line["venue"], line["account"], line["caller"]) == (
        "cancelled",
        "hashkey",
        "desk-a",
        "desk",
    )
    record = await console_of(rig, "chief").call("GET", f"/api/cancels/{line['record']}")
    assert (record.status, record.json["state"], record.json["outcome"]) == (200, "terminal", "cancelled")
    assert record.json["steps"] is not None
    other = await console_of(rig, "reader").call("GET", f"/api/cancels/{line['record']}")
    assert (other.status, other.outcome) == (404, "not_found")


async def test_a_caller_sees_its_own_accounts_and_no_others(rig: Rig) -> None:
    mine, other = await rig.order("hashkey"), await rig.order("etna")
    await rig.desk().cancel("etna", other["order_id"])
    await rig.desk().cancel("hashkey", mine["order_id"])

    async with watching(rig, "peek") as news:
        recent, state = await told(news, "recent"), await told(news, "state")

    assert {f"{each['venue']}:{each['account']}" for each in state["venues"]} == {"hashkey:desk-a"}
    assert {f"{each['venue']}:{each['account']}" for each in recent["cancels"]} == {"hashkey:desk-a"}
    assert mine["order_id"] in {each["ref"] for each in recent["cancels"]}


async def test_a_plan_is_no_cancel_and_is_not_shown(rig: Rig) -> None:
    planned, order = await rig.order("hashkey"), await rig.order("hashkey")

    async with watching(rig) as news:
        await told(news, "recent")
        await rig.desk().cancel("hashkey", planned["order_id"], plan="true")
        await console_of(rig, "killer").call("DELETE", "/api/orders/hashkey?plan=true")
        await rig.desk().cancel("hashkey", order["order_id"])
        first = (await told(news, "recent"))["cancels"][0]

    assert first["ref"] == order["order_id"]
    assert rig.gateway.heard("cancel.done", ref=planned["order_id"])["plan"] is True


async def ends_of(news: aiohttp.ClientResponse, venue: str) -> Any:
    """The unknown ends of a venue's first account, at the next look."""
    state = await told(news, "state")
    (found,) = [each for each in state["venues"] if (each["venue"], each["account"]) == (venue, "desk-a")]
    return found["unknown"]


async def test_an_unknown_end_is_shown_with_its_age_until_it_is_known(rig: Rig) -> None:
    order, before_ms = await rig.order("hashkey"), time.time() * 1000
    await rig.venue("hashkey").fault("reset_after_read", times=1000)

    async with watching(rig) as news, asyncio.timeout(3 * SOON_S):
        said = await rig.desk().cancel("hashkey", order["order_id"])
        while not (ends := await ends_of(news, "hashkey"))["count"]:
            pass
        await rig.calm()
        while (await ends_of(news, "hashkey"))["count"]:
            pass

    (shown_end,) = ends["oldest"]
    assert said.outcome == "unknown"
    assert (shown_end["ref"], shown_end["record"]) == (order["order_id"], said.json["record"].rpartition("/")[2])
    assert before_ms - 1000 < shown_end["since_ms"] < time.time() * 1000 + 1


async def test_the_kill_switch_plans_tells_how_far_it_came_and_proves_its_end(rig: Rig) -> None:
    await rig.venue("etna").control("POST", "reset", {})
    await rig.orders("etna", 30)
    await rig.venue("etna").fault("latency", ms=300, times=40)
    desk = console_of(rig, "killer")

    async with watching(rig) as news:
        plan = await desk.call("DELETE", "/api/orders/etna?plan=true")
        killing = asyncio.ensure_future(desk.call("DELETE", "/api/orders/etna", {"X-Request-ID": "console-kill"}))
        at_work: list[Any] = []
        while not at_work:
            at_work = (await told(news, "kills"))["kills"]
        said = await killing
        while (await told(news, "kills"))["kills"]:
            pass

    assert (plan.json["open"], plan.json["strategy"]) == (30, "singles")
    assert (at_work[0]["request_id"], at_work[0]["venue"], at_work[0]["caller"]) == ("console-kill", "etna", "killer")
    assert (said.status, said.json["proven"], said.json["open_after"]) == (200, True, 0)


async def test_consoles_that_do_not_read_hold_no_cancel_up(rig: Rig) -> None:
    orders = await rig.orders("hashkey", 200)

    async with watching(rig), watching(rig), watching(rig):
        said = [await rig.desk().cancel("hashkey", order["order_id"]) for order in orders]

    assert {each.outcome for each in said} == {"cancelled"}
    assert sorted(each.took_s for each in said)[len(said) // 2] < 0.2
