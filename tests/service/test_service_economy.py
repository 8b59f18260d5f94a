"""What a cancel costs, that limits hold over all processes, and that the log has its one line. Real processes."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from real_valkey import Server
from redis import Redis
from service_process import Gateway, put_secrets, rested, sandbox_process, serving, token_of, tree_of
from service_rig import SYMBOL, Desk, Rig, caller_session

from gateway.backends.redis.scripts import AWAITED, TAKE
from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS
from gateway.sandbox.server import Sandbox

SATURATED_S = 3.0
TOKENS, GUARD_MS = 10, 100
LINE = {
    "timestamp", "level", "event", "caller", "venue", "status", "account", "ref", "by", "lane", "record", "attempts",
    "batch", "waited_ms", "venue_ms", "request_id", "outcome", "ms",
}  # fmt: skip
MAYBE = {"symbol", "venue_status", "venue_code", "degraded", "replayed", "detail"}


class Listener:
    """Everything that one Redis database is asked from outside, scripts' own calls apart.

    Also apart is the walk round the records that were left open, which goes by the clock.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._path, self._number = where.path, where.query.removeprefix("db=")
        self.heard: list[str] = []

    async def during(self, work: Any) -> None:
        """Do the work, and hear what it asks for."""
        with Redis(unix_socket_path=self._path) as client, client.monitor() as monitor:
            await work
            with Redis(unix_socket_path=self._path) as other:
                other.echo("the end")
            for said in monitor.listen():
                if said["command"] == "ECHO the end":
                    return
                if said["client_type"] != "lua" and said["db"] == int(self._number):
                    self.heard.append(_named(said["command"]))

    def counted(self) -> tuple[Counter[str], int]:
        """What stands on the path of a cancel; and how many commands the audit trail wrote behind it."""
        commands = Counter(self.heard)
        commands.pop("EVALSHA walk", 0)
        return commands, commands.pop("EVALSHA trail", 0)


def _named(command: str) -> str:
    """A command by its name, with what it is for where that is no cancel."""
    name = command.partition(" ")[0].upper()
    if ":{trail" in command:
        return f"{name} trail"
    return f"{name} walk" if TAKE.sha1 in command or AWAITED.sha1 in command else name


@pytest.fixture(scope="module")
def redis_url(valkey_session: Server) -> str:
    return rested(valkey_session)


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Gateway]:
    secrets = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    with serving(tree_of(sandbox, redis_url, secrets), module_folder) as started:
        yield started


@pytest.mark.parametrize("venue", VENUE_IDS)
@pytest.mark.parametrize("key", [False, True], ids=["plain", "with-key"])
async def test_cancel_that_nobody_contends_costs_two_redis_commands(
    rig: Rig, redis_url: str, venue: str, *, key: bool
) -> None:
    orders = await rig.orders(venue, 6)
    await rig.desk().cancel(venue, orders[5]["order_id"])  # the first one may have to bring the scripts
    listener = Listener(redis_url)

    async def five() -> None:
        for order in orders[:5]:
            headers = {"Idempotency-Key": order["order_id"]} if key else {}
            said = await rig.desk().cancel(venue, order["order_id"], headers)
            assert said.outcome in {"cancelled", "accepted"}

    began = time.monotonic()
    await listener.during(five())

    commands, behind = listener.counted()
    assert commands == {"EVALSHA": 10}
    # Many entries share a command: one in each tenth of a second, and one more where the hash is told.
    assert behind <= 10 * (time.monotonic() - began) + 3


async def test_replay_and_refusals_cost_at_most_one_redis_command(rig: Rig, redis_url: str) -> None:
    order = await rig.order("hashkey")
    key = {"Idempotency-Key": f"cheap-{order['order_id']}"}
    await rig.desk().cancel("hashkey", order["order_id"], key)
    listener = Listener(redis_url)

    async def three() -> None:
        await rig.desk().cancel("hashkey", order["order_id"], key)
        await rig.desk().cancel("hashkey", "..", key)
        await rig.stranger().cancel("hashkey", order["order_id"], key)

    await listener.during(three())

    assert listener.counted()[0] == {"EVALSHA": 1}


async def test_each_cancel_leaves_one_line_with_the_documented_fields(rig: Rig) -> None:
    order = await rig.order("orderly")
    desk, target = rig.desk(), f"/orders/orderly/{order['order_id']}?by=order_id&symbol={SYMBOL}"
    calls = [
        ("done", desk.call("DELETE", target, {"X-Request-ID": "line-done"})),
        ("refused", desk.call("DELETE", "/orders/orderly/%2e%2e", {"X-Request-ID": "line-refused"})),
        ("stranger", rig.stranger().call("DELETE", target, {"X-Request-ID": "line-stranger"})),
        ("forbidden", rig.desk("reader").call("DELETE", target, {"X-Request-ID": "line-forbidden"})),
        ("nowhere", desk.call("DELETE", "/orders/nowhere/1", {"X-Request-ID": "line-nowhere"})),
        ("missing", desk.call("DELETE", "/orders/etna/1", {"X-Request-ID": "line-missing"})),
    ]
    said = {name: await call for name, call in calls}
    await desk.call("GET", "/venues", {"X-Request-ID": "line-venues"})
    await desk.cancel("etna", "1", {"X-Request-ID": "line-plan"}, plan="true")

    await asyncio.to_thread(rig.gateway.heard, "cancel.done", request_id="line-plan")
    for name, answer in said.items():
        (line,) = rig.gateway.lines(None, request_id=f"line-{name}")
        assert (line["event"], line["outcome"], line["status"]) == ("cancel.done", answer.outcome, answer.status)
        assert set(line) <= LINE | MAYBE
        assert line["ms"] > 0
    (done,) = rig.gateway.lines("cancel.done", request_id="line-done")
    assert set(done) - MAYBE == LINE
    assert (done["caller"], done["venue"], done["account"], done["ref"]) == (
        "desk",
        "orderly",
        "desk-a",
        order["order_id"],
    )
    assert (done["by"], done["lane"], done["record"]) == ("order_id", "normal", said["done"].json["record"][9:])
    assert not rig.gateway.lines(None, request_id="line-venues")
    assert token_of("desk") not in rig.gateway.raw_log.decode()


async def test_counts_agree_with_what_was_asked(rig: Rig) -> None:
    orders = await rig.orders("b2trader", 7)
    series = 'requests_total{lane="normal",outcome="cancelled",venue="b2trader"}'
    before = await rig.count(series), await rig.count('slots_total{result="used",venue="b2trader"}')

    for order in orders:
        await rig.desk().cancel("b2trader", order["order_id"])

    after = await rig.count(series), await rig.count('slots_total{result="used",venue="b2trader"}')
    assert (after[0] - before[0], after[1] - before[1]) == (7, 7)


async def test_limits_hold_in_every_window_over_two_gateways_that_are_saturated(
    valkey_session: Server, tmp_path: Path
) -> None:
    """The sandbox counts every sliding window with the venue's own limits and without any guard."""
    with ExitStack() as ends:
        sandbox = ends.enter_context(sandbox_process(tmp_path))
        tree = tree_of(sandbox, rested(valkey_session), put_secrets(tmp_path / "s", DEFAULT_CREDENTIALS))
        tree["redis"]["replicas_max"] = 2
        for venue in tree["venues"].values():
            # The venues' own limits. On a small machine the first burst, with every connection still to be made, comes
            # later after its grant than the next one does, by more than the shipped guard.
            venue["limits"] = {"cancel": {"guard_ms": GUARD_MS}}
        gateways = [ends.enter_context(serving(tree, tmp_path / name)) for name in ("one", "two")]
        async with caller_session() as http:
            rigs = [Rig(gateway, sandbox, http) for gateway in gateways]
            # B2TRADER, since its cancels are final with the first answer; Orderly, since two limits are linked there.
            said = await asyncio.gather(*(_saturate(rigs, venue) for venue in ("orderly", "b2trader")))
            figures = {venue: await rigs[0].venue(venue).stats() for venue in ("orderly", "b2trader")}

    for venue, tokens, outcomes in (("orderly", TOKENS, said[0]), ("b2trader", 5, said[1])):
        assert figures[venue]["violations"] == 0
        assert figures[venue]["most_in_any_window"] <= tokens, venue
        sent = outcomes["accepted"] + outcomes["cancelled"]
        assert set(outcomes) <= {"accepted", "cancelled", "over_deadline"}, outcomes
        assert sent >= 0.8 * tokens * SATURATED_S, (venue, outcomes)
        assert max(figures[venue]["cancels_by_order"].values()) == 1
    assert sum(len(gateway.lines("cancel.done")) for gateway in gateways) == sum(map(sum, (c.values() for c in said)))


async def _saturate(rigs: list[Rig], venue: str) -> Counter[str]:
    """Far more cancels than there are slots, a third of them urgent, through both gateways; what came of them."""
    orders = await rigs[0].orders(venue, 200)
    until = time.monotonic() + SATURATED_S
    outcomes: Counter[str] = Counter()

    async def keep_on(desk: Desk, number: int) -> None:
        headers = {"Priority": "u=1"} if number % 3 == 0 else {}
        while (left_s := until - time.monotonic()) > 0.05 and orders:
            deadline = {"X-Request-Timeout-Ms": str(int(left_s * 1000))}
            said = await desk.cancel(venue, orders.pop()["order_id"], headers | deadline)
            outcomes[said.outcome] += 1

    await asyncio.gather(*(keep_on(rigs[number % 2].desk(), number) for number in range(16)))
    return outcomes
