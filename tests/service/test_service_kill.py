"""`DELETE /orders/{venue}` by real processes: everything open goes first, and only an empty list is called clear."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from real_valkey import Server
from service_process import LIMITS, Gateway, Tree, open_gates, own_valkey, put_secrets, rested, serving, tree_of
from service_rig import Rig, Said, caller_session

from gateway.core.model import VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

LISTING = ("orderly", "hashkey", "loopring", "etna")
OTHER_SYMBOL = {"orderly": "PERP_BTC_USDC", "hashkey": "BTCUSD", "loopring": "USDC-ETH", "etna": "MSFT"}
MANY = 500


async def kill(rig: Rig, venue: str, headers: dict[str, str] | None = None, **query: str) -> Said:
    asked = f"?{urlencode(query)}" if query else ""
    return await rig.desk("killer").call("DELETE", f"/orders/{venue}{asked}", headers)


async def cleared(rig: Rig, venue: str) -> None:
    """An empty book, and no figures."""
    await rig.venue(venue).control("POST", "reset", {})


async def still_open(rig: Rig, venue: str, account: str = "desk-a") -> int:
    listed = await rig.venue(venue).control("GET", f"orders?status=open&account={account}")
    return len(listed["orders"])


async def requests(rig: Rig, venue: str) -> dict[str, int]:
    figures: dict[str, int] = (await rig.venue(venue).stats())["requests"]
    return figures


def settings_of(sandbox: Sandbox, redis_url: str, folder: Path) -> Tree:
    """Settings as the other tests have them."""
    return tree_of(sandbox, redis_url, put_secrets(folder / "secrets", DEFAULT_CREDENTIALS))


# -- each venue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", LISTING)
async def test_everything_open_goes_and_the_list_proves_it(rig: Rig, venue: str) -> None:
    await cleared(rig, venue)
    await rig.orders(venue, 12)
    await rig.orders(venue, 3, account="desk-b")

    said = await kill(rig, venue)

    assert (said.status, said.outcome, said.json["final"]) == (200, "cancelled", True)
    assert (said.json["proven"], said.json["open_after"], said.json["left"]) == (True, 0, [])
    assert said.json["requests"] == sum((await requests(rig, venue)).values()) - (await requests(rig, venue)).get(
        "token", 0
    )
    assert (await still_open(rig, venue), await still_open(rig, venue, "desk-b")) == (0, 3)
    assert (await rig.venue(venue).stats())["rejected_requests"] == 0


@pytest.mark.parametrize("venue", LISTING)
async def test_only_the_symbol_that_was_named_goes(rig: Rig, venue: str) -> None:
    await cleared(rig, venue)
    await rig.orders(venue, 4)
    await rig.orders(venue, 3, symbol=OTHER_SYMBOL[venue])

    said = await kill(rig, venue, symbol=OTHER_SYMBOL[venue])

    assert (said.status, said.json["proven"], said.json["symbol"]) == (200, True, OTHER_SYMBOL[venue])
    assert await still_open(rig, venue) == 4


async def test_where_a_venue_offers_nothing_that_is_said_and_nothing_is_sent(rig: Rig) -> None:
    order = await rig.order("b2trader")
    before = await rig.asked_all()

    said = await kill(rig, "b2trader")

    assert (said.status, said.outcome) == (501, "invalid_request")
    assert (said.json["proven"], said.json["open_before"], said.json["open_after"]) == (False, None, None)
    assert "can't be known" in said.json["note"]
    assert said.json["status"] == 501
    assert await rig.asked_all() == before
    assert await rig.venue("b2trader").status_of(order["order_id"]) == "open"


async def test_where_nothing_is_open_one_look_is_enough(rig: Rig) -> None:
    await cleared(rig, "etna")

    said = await kill(rig, "etna")

    assert (said.status, said.json["open_before"], said.json["requests"], said.json["rounds"]) == (200, 0, 1, 0)


# -- how few requests ------------------------------------------------------------------------------------------------


async def test_five_hundred_orders_are_gone_and_proven_gone_in_two_requests(rig: Rig) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", MANY)

    said = await kill(rig, "orderly")

    assert (said.status, said.json["requests"]) == (200, 2)
    assert await requests(rig, "orderly") == {"cancel_all": 1, "list": 1}
    assert await still_open(rig, "orderly") == 0


async def test_hashkey_is_cleared_symbol_by_symbol(rig: Rig) -> None:
    await cleared(rig, "hashkey")
    await rig.orders("hashkey", 30)
    await rig.orders("hashkey", 30, symbol="BTCUSD")

    said = await kill(rig, "hashkey")

    assert (said.status, said.json["open_before"]) == (200, 60)
    assert await requests(rig, "hashkey") == {"cancel_all": 2, "list": 2}


@pytest.fixture(scope="module")
def plain(sandbox: Sandbox, valkey_session: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that is not to use cancel-all."""
    folder = tmp_path_factory.mktemp("plain")
    tree = settings_of(sandbox, rested(valkey_session), folder)
    for own in tree["venues"].values():
        own["cancel_all"] = False
    with serving(tree, folder) as started:
        yield started


@pytest.fixture
async def by_ids(plain: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(plain, sandbox, http)
        yield rig
        await rig.calm()


@pytest.mark.parametrize(
    ("venue", "batch", "count"), [("orderly", 10, MANY), ("hashkey", 100, MANY), ("loopring", 10, 100)]
)
async def test_without_cancel_all_batches_are_full(by_ids: Rig, venue: str, batch: int, count: int) -> None:
    await cleared(by_ids, venue)
    await by_ids.orders(venue, count)

    said = await kill(by_ids, venue)

    asked = await requests(by_ids, venue)
    lists = asked.pop("list")
    assert (said.status, said.json["open_before"], said.json["open_after"]) == (200, count, 0)
    assert sum(said.json["outcomes"].values()) == count
    assert sum(asked.values()) <= 1.2 * count / batch
    assert said.json["requests"] == sum(asked.values()) + lists
    assert (await by_ids.venue(venue).stats())["violations"] == 0


# -- what stands in the way ------------------------------------------------------------------------------------------


async def test_cancels_that_take_their_time_are_waited_for_and_not_repeated(rig: Rig) -> None:
    await cleared(rig, "etna")
    await rig.orders("etna", 5)
    await rig.venue("etna").fault("delayed_state", ms=600)

    said = await kill(rig, "etna")

    assert (said.status, said.json["proven"], said.json["outcomes"]) == (200, True, {"accepted": 5})
    assert (await requests(rig, "etna"))["cancel_one"] == 5


async def test_what_is_still_there_at_the_deadline_is_told(rig: Rig) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", 30)
    await rig.venue("orderly").fault("delayed_state", ms=5000)

    said = await kill(rig, "orderly", {"X-Request-Timeout-Ms": "700"})

    assert (said.status, said.outcome, said.json["final"]) == (202, "accepted", False)
    assert (said.json["proven"], said.json["open_after"], len(said.json["left"])) == (False, 30, 20)
    assert said.headers["Location"] == said.json["record"]


@pytest.mark.parametrize("kind", ["malformed", "html", "server_error"])
async def test_a_list_that_cannot_be_trusted_proves_nothing(rig: Rig, kind: str) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", 3)
    await rig.venue("orderly").fault(kind, endpoint="list")

    said = await kill(rig, "orderly", {"X-Request-Timeout-Ms": "500"})

    assert (said.status, said.outcome, said.json["proven"], said.json["open_after"]) == (202, "accepted", False, None)
    assert await still_open(rig, "orderly") == 0


async def test_a_cancel_all_that_is_refused_gives_way_to_ids(rig: Rig) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", 20)
    await rig.venue("orderly").fault("error_code", endpoint="cancel_all")

    said = await kill(rig, "orderly")

    assert (said.status, said.json["open_before"]) == (200, None)
    assert sum(said.json["outcomes"].values()) == 20


async def test_a_venue_that_cannot_be_reached_is_no_success(rig: Rig) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", 2)
    await rig.venue("orderly").fault("auth_failure")

    said = await kill(rig, "orderly", {"X-Request-Timeout-Ms": "500"})

    assert (said.status, said.outcome, said.json["proven"]) == (502, "venue_auth", False)


async def test_a_gate_is_waited_for(rig: Rig, redis_url: str) -> None:
    await cleared(rig, "etna")
    await rig.orders("etna", 2)
    await rig.venue("etna").fault("rate_limited", endpoint="list", times=1, retry_after="1")

    said = await kill(rig, "etna")

    assert (said.status, said.json["proven"]) == (200, True)
    open_gates(redis_url)


# -- who may, and what else the call has -----------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["desk", "other", "reader", "chief"])
async def test_without_the_permission_nothing_is_touched(rig: Rig, caller: str) -> None:
    before = await rig.asked_all()

    said = await rig.desk(caller).call("DELETE", "/orders/orderly")

    assert (said.status, said.outcome) == (403, "forbidden")
    assert await rig.asked_all() == before


@pytest.mark.parametrize(
    ("target", "status", "outcome"),
    [
        ("/orders/nasdaq", 404, "unknown_venue"),
        ("/orders/orderly?symbol=a%20b", 400, "invalid_request"),
        ("/orders/b2trader?symbol=x", 400, "invalid_request"),
        ("/orders/orderly?by=order_id", 400, "invalid_request"),
        ("/orders/orderly?account=..", 400, "invalid_request"),
        ("/orders/orderly?account=nobody", 404, "unknown_account"),
    ],
)
async def test_what_cannot_be_is_refused(rig: Rig, target: str, status: int, outcome: str) -> None:
    said = await rig.desk("killer").call("DELETE", target)

    assert (said.status, said.outcome) == (status, outcome)


async def test_a_plan_lists_and_sends_no_cancel(rig: Rig) -> None:
    await cleared(rig, "orderly")
    await rig.orders("orderly", 25)

    plan = (await kill(rig, "orderly", plan="true")).json

    assert (plan["plan"], plan["would"], plan["strategy"], plan["open"], plan["requests"]) == (
        True, "send", "cancel_all", 25, 1,
    )  # fmt: skip
    assert plan["calls"][0]["method"] == "DELETE"
    assert plan["calls"][0]["headers"]["orderly-signature"] == "[redacted]"
    assert await requests(rig, "orderly") == {"list": 1}
    assert await still_open(rig, "orderly") == 25


async def test_a_plan_by_ids_tells_how_many_requests_and_how_long(by_ids: Rig) -> None:
    await cleared(by_ids, "orderly")
    await by_ids.orders("orderly", 205)

    plan = (await kill(by_ids, "orderly", plan="true")).json

    assert (plan["strategy"], plan["open"], plan["requests"], len(plan["calls"])) == ("batches", 205, 21, 10)
    assert plan["slot"]["takes_ms"] >= plan["slot"]["wait_ms"]


async def test_the_same_key_is_the_same_kill(rig: Rig) -> None:
    await cleared(rig, "hashkey")
    await rig.orders("hashkey", 3)
    key = {"Idempotency-Key": f"kill-{time.monotonic_ns()}"}

    first = await kill(rig, "hashkey", key)
    await rig.orders("hashkey", 2)
    again, other = await kill(rig, "hashkey", key), await kill(rig, "orderly", key)

    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await still_open(rig, "hashkey") == 2
    assert (other.status, other.outcome) == (422, "key_reused")


async def test_the_same_key_at_once_is_one_kill(rig: Rig) -> None:
    await cleared(rig, "etna")
    await rig.orders("etna", 3)
    await rig.venue("etna").fault("latency", ms=100)
    key = {"Idempotency-Key": f"kill-{time.monotonic_ns()}"}

    first, second = await asyncio.gather(kill(rig, "etna", key), kill(rig, "etna", key))

    assert first.body == second.body
    assert (await requests(rig, "etna"))["cancel_one"] == 3


async def test_a_kill_has_a_record_one_log_line_and_its_own_lane(rig: Rig) -> None:
    await cleared(rig, "hashkey")
    await rig.orders("hashkey", 3)
    series = 'requests_total{lane="kill",outcome="cancelled",venue="hashkey"}'
    before = await rig.count(series)

    said = await kill(rig, "hashkey", {"X-Request-ID": f"kill-{time.monotonic_ns()}"})

    line = rig.gateway.heard("kill.done", request_id=said.json["request_id"])
    assert (line["outcome"], line["lane"], line["open_before"], line["proven"]) == ("cancelled", "kill", 3, True)
    assert rig.gateway.lines("cancel.done", request_id=said.json["request_id"]) == []
    assert await rig.count(series) == before + 1
    record = (await rig.desk("killer").call("GET", said.json["record"])).json
    assert (record["state"], record["outcome"], record["answer"]) == ("terminal", "cancelled", said.json)


async def test_a_caller_who_leaves_does_not_stop_it(rig: Rig) -> None:
    await cleared(rig, "etna")
    await rig.orders("etna", 4)
    await rig.venue("etna").fault("latency", ms=300)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kill(rig, "etna", {"X-Request-ID": "kill-left"}), 0.15)
    line = await asyncio.to_thread(rig.gateway.heard, "kill.done", request_id="kill-left")

    assert (line["proven"], line["detail"], line["status"]) == (True, "the caller left", 200)
    assert await still_open(rig, "etna") == 0


# -- with others about -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "by", "tokens", "count", "under_way"),
    [("etna", "order_id", 20, 40, 20), ("loopring", "client_id", 4, 160, 40), ("hashkey", "client_id", 20, 40, 20)],
    ids=["one line", "another line of the same limits", "cancel-all under the same limit"],
)
async def test_a_kill_passes_a_thousand_that_wait(
    sandbox: Sandbox,
    valkey_session: Server,
    tmp_path: Path,
    venue: str,
    by: str,
    tokens: int,
    count: int,
    under_way: int,
) -> None:
    """Whatever was under way when it came may still arrive, and no more than that."""
    tree = settings_of(sandbox, rested(valkey_session), tmp_path)
    tree["venues"][venue]["limits"] = {name: {"tokens": tokens} for name in LIMITS[VenueId(venue)]}
    with serving(tree, tmp_path, ends_well=False) as started:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            rig = Rig(started, sandbox, http)
            await cleared(rig, venue)
            killed = await rig.orders(venue, count, symbol=OTHER_SYMBOL[venue])
            waiting = [
                order["order_id" if by == "order_id" else "client_id"] for order in await rig.orders(venue, 1000)
            ]
            crowd = await crowded(rig, venue, by, waiting)
            before = (await rig.venue(venue).stats())["cancels"]
            said = await kill(rig, venue, symbol=OTHER_SYMBOL[venue])
            others = (await rig.venue(venue).stats())["cancels"] - before - len(killed)
            left_waiting = await rig.count(f'queue_depth{{lane="normal",venue="{venue}"}}')
            for task in crowd:
                task.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)

    assert (said.status, said.json["proven"], said.json["open_after"]) == (200, True, 0)
    assert left_waiting >= 800
    assert others <= under_way


async def crowded(rig: Rig, venue: str, by: str, refs: list[str]) -> list[asyncio.Task[Said]]:
    """A thousand callers' cancels, all waiting."""
    desk, timeout = rig.desk(), {"X-Request-Timeout-Ms": "60000"}
    crowd = [asyncio.create_task(desk.cancel(venue, ref, timeout, by=by)) for ref in refs]
    while await rig.count(f'queue_depth{{lane="normal",venue="{venue}"}}') < len(refs) * 0.9:  # noqa: ASYNC110  elsewhere
        await asyncio.sleep(0.02)
    return crowd


async def test_without_redis_a_kill_goes_on_and_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    with own_valkey(tmp_path / "valkey.sock") as valkey:
        tree = settings_of(sandbox, f"unix://{tmp_path / 'valkey.sock'}", tmp_path)
        with serving(tree, tmp_path) as started:
            async with caller_session() as http:
                rig = Rig(started, sandbox, http)
                await cleared(rig, "orderly")
                await rig.orders("orderly", 30)
                valkey.kill()
                valkey.wait()

                said = await kill(rig, "orderly", {"Idempotency-Key": "no-redis"})

                assert (said.status, said.json["proven"], said.json["degraded"]) == (200, True, True)
                assert await still_open(rig, "orderly") == 0


async def test_a_draining_process_finishes_the_kill_it_began(
    sandbox: Sandbox, valkey_session: Server, tmp_path: Path
) -> None:
    with serving(settings_of(sandbox, rested(valkey_session), tmp_path), tmp_path) as started:
        async with caller_session() as http:
            rig = Rig(started, sandbox, http)
            await cleared(rig, "etna")
            await rig.orders("etna", 4)
            await rig.venue("etna").fault("latency", ms=300)
            began = asyncio.create_task(kill(rig, "etna"))
            while not await rig.asked("etna"):  # noqa: ASYNC110  it happens in another process
                await asyncio.sleep(0.01)

            code = await asyncio.to_thread(started.stop)

            assert (code, (await began).json["proven"]) == (0, True)
            await rig.calm()


async def test_a_body_is_no_part_of_it(rig: Rig) -> None:
    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {rig.desk('killer').token}"}
        async with http.delete(f"{rig.gateway.url}/orders/etna", data=b"{}", headers=headers) as said:
            assert said.status == 400
