"""The settings file is replaced while the service runs: taken as a whole, or not at all."""

import asyncio
import copy
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from certificate_rig import replace_whole
from issuer_rig import claims_of, key, key_set, publishing
from service_process import Gateway, Tree, put_secrets, serving, token_of, tree_of, until, written
from service_rig import Desk, Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox


@dataclass
class Running:
    """A gateway of this test's own, and the file that it was started with."""

    gateway: Gateway
    folder: Path
    tree: Tree

    def put(self, tree: Tree | str) -> None:
        """Replace the file."""
        text = tree if isinstance(tree, str) else written(tree)
        replace_whole(self.folder / "gateway.toml", text.encode())

    def changed(self) -> Tree:
        """A copy to change."""
        return copy.deepcopy(self.tree)

    def told(self, event: str, tree: Tree | str) -> dict[str, object]:
        """Replace the file, have it read at once, and wait for what is said of it."""
        before = len(self.gateway.lines(event))
        self.put(tree)
        self.gateway.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.gateway.lines(event)) > before, event)
        return self.gateway.lines(event)[-1]

    def taken(self, tree: Tree) -> dict[str, object]:
        """Settings that are taken."""
        return self.told("config.reloaded", tree)

    def refused(self, tree: Tree | str) -> dict[str, object]:
        """Settings that are refused."""
        return self.told("config.refused", tree)

    async def status(self, token: str) -> int:
        """What a caller with this token is told."""
        async with caller_session() as http:
            return (await Desk(http, self.gateway.url, token).call("GET", "/venues")).status

    async def figure(self, name: str) -> float:
        """One series."""
        async with caller_session() as http:
            text = (await Desk(http, self.gateway.admin_url).call("GET", "/metrics")).body.decode()
        return float(next(line for line in text.splitlines() if line.startswith(f"cancel_gateway_{name} ")).split()[-1])

    async def is_ready(self) -> bool:
        async with caller_session() as http:
            return (await Desk(http, self.gateway.admin_url).call("GET", "/readyz")).status == 200


@pytest.fixture(scope="module")
def started(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Running]:
    tree = tree_of(sandbox, redis_url, put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS))
    with serving(tree, module_folder) as gateway:
        yield Running(gateway, module_folder, tree)


@pytest.fixture
def running(started: Running) -> Iterator[Running]:
    yield started
    started.taken(started.tree)


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def test_callers_come_go_and_change_their_tokens_without_a_restart(running: Running) -> None:
    tree, before = running.changed(), await running.figure('config_reload_total{result="taken"}')
    old = tree["callers"]["desk"]["token_sha256"]
    tree["callers"]["new-desk"] = tree["callers"].pop("other") | {"token_sha256": hashed("a new one")}
    tree["callers"]["desk"]["token_sha256"] = [old, hashed("the next one")]
    tree["callers"]["reader"]["permissions"] = ["cancel"]

    told = running.taken(tree)

    assert (told["added"], told["removed"], told["changed"]) == (["new-desk"], ["other"], ["desk", "reader"])
    tokens = ("a new one", token_of("desk"), "the next one", token_of("other"), token_of("reader"))
    assert [await running.status(token) for token in tokens] == [200, 200, 200, 401, 403]
    tree["callers"]["desk"]["token_sha256"] = hashed("the next one")
    running.taken(tree)
    assert [await running.status(token) for token in (token_of("desk"), "the next one")] == [401, 200]
    assert await running.figure('config_reload_total{result="taken"}') == before + 2


async def test_a_bad_file_changes_nothing_and_shows(running: Running) -> None:
    before = await running.figure('config_reload_total{result="refused"}')
    for text in ("[callers", written(running.tree | {"callers": {}}), written(running.tree | {"nonsense": {"a": 1}})):
        assert "faults" in str(running.refused(text)["why"])
        assert await running.status(token_of("desk")) == 200
        assert await running.figure("config_last_reload_successful") == 0
        assert await running.is_ready()

    running.taken(running.tree)
    assert await running.figure("config_last_reload_successful") == 1
    assert await running.figure('config_reload_total{result="refused"}') == before + 3


async def test_a_key_that_is_read_at_the_start_only_refuses_the_whole_file(running: Running) -> None:
    tree = running.changed()
    tree["callers"]["new"] = tree["callers"]["desk"] | {"token_sha256": hashed("new")}
    tree["redis"]["timeout_ms"] = 77
    tree["venues"]["orderly"]["limits"]["cancel"]["tokens"] = 1999

    told = running.refused(tree)

    assert told["details"] == ["redis.timeout_ms", "venues.orderly.limits.cancel.tokens"]
    assert await running.status("new") == 401


async def test_a_file_that_changes_is_taken_without_a_signal(running: Running) -> None:
    before = len(running.gateway.lines("config.reloaded"))
    tree = running.changed()
    tree["callers"]["desk"]["token_sha256"] = hashed("by itself")

    running.put(tree)

    until(lambda: len(running.gateway.lines("config.reloaded")) > before, "the file is taken", 4.0)
    assert await running.status("by itself") == 200


async def test_an_issuer_comes_and_goes_without_a_restart(running: Running) -> None:
    signer = key("EdDSA", "k")
    with publishing(key_set(signer)) as publisher:
        tree = running.changed()
        tree["auth"] = {"jwt": {"issuer": "https://issuer.example", "jwks_url": publisher.url}}
        tree["callers"]["by-issuer"] = {"allow": ["*:*"], "permissions": ["read"]}
        assert running.taken(tree)["issuer_changed"] is True
        until(lambda: publisher.asked == 1, "the keys are fetched")
        token = signer.token(claims_of("by-issuer", time.time()))
        assert await running.status(token) == 200

    assert running.taken(running.tree)["removed"] == ["by-issuer"]
    assert await running.status(token) == 401


async def test_no_cancel_is_refused_while_settings_are_taken(running: Running, sandbox: Sandbox) -> None:
    async with caller_session() as http:
        rig = Rig(running.gateway, sandbox, http)

        async def work(desk: Desk) -> set[str]:
            orders = await rig.orders("b2trader", 60)
            return {(await desk.cancel("b2trader", order["order_id"])).outcome for order in orders}

        working = [asyncio.create_task(work(rig.desk())) for _ in range(4)]
        for weight in (2, 3, 4, 5):
            tree = running.changed()
            tree["callers"]["desk"]["weight"] = weight
            await asyncio.to_thread(running.taken, tree)
        outcomes = await asyncio.gather(*working)

    assert set.union(*outcomes) == {"cancelled"}


async def test_one_callers_flood_is_refused_before_anything_is_touched(running: Running, sandbox: Sandbox) -> None:
    tree = running.changed()
    tree["callers"]["desk"]["max_requests_per_second"] = 5
    running.taken(tree)
    async with caller_session() as http:
        rig = Rig(running.gateway, sandbox, http)
        flood, quiet = rig.desk("desk"), rig.desk("other")
        before = await rig.touched()
        said = [await flood.cancel("b2trader", "not-a-ref") for _ in range(30)]
        calm = [await quiet.cancel("b2trader", "not-a-ref") for _ in range(3)]

        refused = [each for each in said if each.status == 503]
        assert 20 <= len(refused) <= 25
        assert {each.outcome for each in refused} == {"overloaded"}
        assert {each.headers["Retry-After"] for each in refused} == {"1"}
        assert all(1 <= json.loads(each.body)["retry_after_ms"] <= 200 for each in refused)
        assert {each.status for each in calm} == {400}
        assert await rig.touched() == before
