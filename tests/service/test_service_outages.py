"""Redis going and coming, starts that cannot be, and stops that must not lose a cancel. The service is a process."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from real_valkey import Server
from service_process import Gateway, command, environment, own_valkey, put_secrets, rested, serving, tree_of, written
from service_rig import Rig, caller_session

from gateway.backends.credentials.sealed import SealedFile
from gateway.core.model import Account, VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

PASSPHRASE = "correct horse"
WINDOW_MS = 250  # short, because whoever loses Redis is held for one
DEGRADED_S = 0.7


@asynccontextmanager
async def _rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()


def _tree(sandbox: Sandbox, redis_url: str, folder: Path) -> dict[str, Any]:
    tree = tree_of(sandbox, redis_url, put_secrets(folder / "secrets", DEFAULT_CREDENTIALS))
    for venue in tree["venues"].values():
        for limit in venue["limits"].values():
            limit["per_ms"] = WINDOW_MS
    return tree


async def _state(rig: Rig) -> tuple[int, bool, bool]:
    """Of /readyz: its status, whether it says ready, whether it says that Redis is well."""
    said = await rig.admin.call("GET", "/readyz")
    return said.status, said.json["ready"], said.json["components"]["redis"]["ok"]


async def test_redis_that_dies_degrades_the_service_and_its_return_ends_that(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = _tree(sandbox, f"unix://{tmp_path}/s", tmp_path)
    with own_valkey(tmp_path / "s") as server, serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            orders = await rig.orders("hashkey", 4)
            before = await rig.desk().cancel("hashkey", orders[0]["order_id"])
            server.kill()
            server.wait()

            lost = await asyncio.gather(
                rig.desk().cancel("hashkey", orders[1]["order_id"]),
                rig.desk().cancel("hashkey", orders[2]["order_id"], {"Idempotency-Key": "while-down"}),
            )
            record = await rig.desk().call("GET", before.json["record"])
            state, level = await _state(rig), await rig.count('degraded{component="redis"}')
            venues = await rig.desk().call("GET", "/venues")
            here = [await rig.desk().call("GET", each.json["record"]) for each in lost]
            with own_valkey(tmp_path / "s"):
                back = await asyncio.to_thread(gateway.heard, "redis.back")
                await asyncio.to_thread(gateway.heard, "records.restored", written=2, dropped=0)
                there = [await rig.desk().call("GET", each.json["record"]) for each in lost]
                replayed = await rig.desk().cancel("hashkey", orders[2]["order_id"], {"Idempotency-Key": "while-down"})
                after = await rig.desk().cancel("hashkey", orders[3]["order_id"])
                state_after = await _state(rig)

    assert (before.outcome, before.json["degraded"]) == ("cancelled", False)
    assert [(each.outcome, each.json["degraded"]) for each in lost] == [("cancelled", True)] * 2
    assert [(each.status, each.json["state"], each.json["outcome"]) for each in (*here, *there)] == [
        (200, "terminal", "cancelled")
    ] * 4
    assert (replayed.body, replayed.headers.get("Idempotency-Replayed")) == (lost[1].body, "true")
    assert max(each.took_s for each in lost) < DEGRADED_S
    assert (state, level) == ((200, True, False), 1)
    assert venues.status == 200
    assert {each["degraded"] for each in venues.json["venues"]} == {True}
    assert len(gateway.lines("redis.lost")) == 1
    assert back["event"] == "redis.back"
    assert (after.outcome, after.json["degraded"], state_after) == ("cancelled", False, (200, True, True))
    assert (record.status, record.headers["Content-Type"]) == (503, "application/problem+json")
    assert not gateway.lines("request.broke")


async def test_redis_that_is_missing_at_the_start_is_told_and_waited_for(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = _tree(sandbox, f"unix://{tmp_path}/s", tmp_path)
    with serving(tree, tmp_path, warm=False) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order, other = await rig.orders("hashkey", 2)

            said = await rig.desk().cancel("hashkey", order["order_id"])
            state = await _state(rig)
            with own_valkey(tmp_path / "s"):
                await asyncio.to_thread(gateway.heard, "redis.back")
                after = await rig.desk().cancel("hashkey", other["order_id"])
            alive = gateway.process.poll() is None

    assert (said.outcome, said.json["degraded"]) == ("cancelled", True)
    assert (state, alive) == ((200, True, False), True)
    assert "redis" in gateway.lines("redis.lost")[0]["event"]
    assert gateway.lines("redis.lost")[0]["reason"]
    assert (after.outcome, after.json["degraded"]) == ("cancelled", False)


async def test_embedded_redis_that_is_killed_is_started_again(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = _tree(sandbox, "embedded", tmp_path)
    tree["redis"]["data_dir"] = str(tmp_path / "redis")
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order, other = await rig.orders("hashkey", 2)
            key = {"Idempotency-Key": "survives"}
            first = await rig.desk().cancel("hashkey", order["order_id"], key)
            await asyncio.sleep(1.1)  # the append-only file is written each second
            os.kill(_child(gateway), signal.SIGKILL)
            await asyncio.to_thread(gateway.heard, "redis.restarted")

            said = await rig.desk().cancel("hashkey", other["order_id"])
            if gateway.lines("redis.lost"):
                await asyncio.to_thread(gateway.heard, "redis.back")
            again = await rig.desk().cancel("hashkey", order["order_id"], key)

    assert said.outcome == "cancelled"
    assert (again.body, again.headers.get("Idempotency-Replayed")) == (first.body, "true")


def _child(gateway: Gateway) -> int:
    """The embedded server of a gateway."""
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


# -- starts that cannot be -------------------------------------------------------------------------------------------


def _refused(config: Path, **env: str) -> str:
    """What is said on stderr by a start that fails; it is one line, and nothing else is said."""
    done = subprocess.run(  # noqa: S603  our own
        command("serve", "--config", str(config)), capture_output=True, env=environment(**env), timeout=10, check=False
    )
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), done
    assert not [word for word in ("Traceback", "Fault(", "Error(") if word in lines[0]]
    return lines[0]


@pytest.fixture
def tree(sandbox: Sandbox, valkey_session: Server, tmp_path: Path) -> dict[str, Any]:
    return _tree(sandbox, rested(valkey_session), tmp_path)


@pytest.mark.parametrize("which", ["listen", "admin_listen"])
def test_port_in_use_is_one_line_and_exit_2(tree: dict[str, Any], tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tree["server"][which] = f"127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "c.toml").write_text(written(tree))

        line = _refused(tmp_path / "c.toml")

    assert tree["server"][which].rpartition(":")[2] in line


def test_config_that_cannot_be_read_is_one_line_and_exit_2(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere.toml") in _refused(tmp_path / "nowhere.toml")
    assert str(tmp_path) in _refused(tmp_path)


def test_bad_toml_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"[server")

    assert str(tmp_path / "c.toml") in _refused(tmp_path / "c.toml")


def test_bad_setting_is_one_line_that_names_it_and_exit_2(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["server"]["drain_seconds"] = -1
    (tmp_path / "c.toml").write_text(written(tree))

    assert "server.drain_seconds" in _refused(tmp_path / "c.toml")


def test_bad_setting_in_the_environment_is_named_too(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(written(tree))

    line = _refused(tmp_path / "c.toml", CANCEL_GATEWAY__REDIS__TIMEOUT_MS="soon")

    assert "redis.timeout_ms" in line.lower().replace("__", ".")


def _sealed(tree: dict[str, Any], folder: Path) -> SealedFile:
    """A sealed file with one account, and the settings that lead to it."""
    sealed = SealedFile(folder / "secrets.sealed", PASSPHRASE)
    sealed.put(Account(VenueId("hashkey"), "desk-a"), DEFAULT_CREDENTIALS["hashkey"]["desk-a"])
    tree["secrets"] = {"provider": "sealed", "sealed_file": str(sealed.path), "refresh_seconds": 1}
    (folder / "c.toml").write_text(written(tree))
    return sealed


def test_sealed_file_that_others_may_read_is_one_line_and_exit_2(tree: dict[str, Any], tmp_path: Path) -> None:
    sealed = _sealed(tree, tmp_path)
    sealed.path.chmod(0o644)

    line = _refused(tmp_path / "c.toml", CANCEL_GATEWAY_PASSPHRASE=PASSPHRASE)

    assert str(sealed.path) in line
    assert "chmod 0600" in line


@pytest.mark.parametrize("env", [{"CANCEL_GATEWAY_PASSPHRASE": "wrong-hunter2"}, {}], ids=["wrong", "none"])
def test_sealed_file_that_does_not_open_is_one_line_and_exit_2(
    tree: dict[str, Any], tmp_path: Path, env: dict[str, str]
) -> None:
    _sealed(tree, tmp_path)

    line = _refused(tmp_path / "c.toml", **env)

    assert "passphrase" in line
    assert "hunter2" not in line


async def test_sealed_file_that_comes_later_is_used_without_a_restart(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["secrets"] = {"provider": "sealed", "sealed_file": str(tmp_path / "late.sealed"), "refresh_seconds": 1}
    with serving(tree, tmp_path, warm=False, CANCEL_GATEWAY_PASSPHRASE=PASSPHRASE) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            before = await rig.desk().cancel("hashkey", order["order_id"])
            ready = await rig.admin.call("GET", "/readyz")

            file = SealedFile(tmp_path / "late.sealed", PASSPHRASE)
            file.put(Account(VenueId("hashkey"), "desk-a"), DEFAULT_CREDENTIALS["hashkey"]["desk-a"])
            await asyncio.sleep(1.2)
            after = await rig.desk().cancel("hashkey", order["order_id"])

    assert (before.status, before.outcome) == (503, "secret_unavailable")
    assert (ready.json["ready"], ready.json["components"]["secrets"]["ok"]) == (True, False)
    assert after.outcome == "cancelled"


# -- stops -----------------------------------------------------------------------------------------------------------


async def test_sigterm_lets_a_running_cancel_be_answered_and_refuses_new_ones(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order, other = await rig.orders("hashkey", 2)
            await rig.venue("hashkey").fault("latency", ms=600, endpoint="cancel")
            running = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"]))
            await asyncio.sleep(0.2)

            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.heard, "gateway.stopping")
            refused = await rig.desk().cancel("hashkey", other["order_id"])
            ready, alive = [await rig.admin.call("GET", target) for target in ("/readyz", "/healthz")]
            answered = await running
            code = await asyncio.to_thread(gateway.process.wait, 5)
            asked = await rig.cancels_of("hashkey", other["order_id"])

    assert (answered.status, answered.outcome) == (200, "cancelled")
    assert (refused.status, refused.outcome, asked) == (503, "draining", 0)
    assert (ready.status, ready.json["ready"], ready.json["draining"], alive.status) == (503, False, True, 200)
    assert code == 0
    assert gateway.lines("gateway.stopped")[0]["drained"] is True


async def test_stop_lets_work_end_that_outlived_its_callers_deadline(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            await rig.venue("hashkey").fault("latency", ms=500, endpoint="cancel")

            said = await rig.desk().cancel("hashkey", order["order_id"], {"X-Request-Timeout-Ms": "100"})
            code = await asyncio.to_thread(gateway.stop)
    with serving(tree, tmp_path / "next") as gateway:
        async with _rig(gateway, sandbox) as rig:
            record = (await rig.desk().call("GET", said.json["record"])).json

    assert (said.outcome, code) == ("unknown", 0)
    assert (record["state"], record["outcome"]) == ("terminal", "cancelled")


async def test_second_signal_still_answers_everybody_within_the_drain(
    sandbox: Sandbox, tree: dict[str, Any], tmp_path: Path
) -> None:
    tree["venues"]["hashkey"]["timeout_ms"] = 20_000
    with serving(tree, tmp_path) as gateway:
        async with _rig(gateway, sandbox) as rig:
            await rig.venue("hashkey").fault("latency", ms=15_000, endpoint="cancel")
            order = await rig.order("hashkey")
            running = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"]))
            await asyncio.sleep(0.2)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.heard, "gateway.stopping")

            began = time.monotonic()
            gateway.process.send_signal(signal.SIGINT)
            said = await running
            code = await asyncio.to_thread(gateway.process.wait, 5)
            took_s = time.monotonic() - began

    assert (code, took_s < tree["server"]["drain_seconds"]) == (0, True)
    assert (said.status, said.outcome, said.headers["Connection"]) == (504, "unknown", "close")
    assert gateway.lines("gateway.stopped")[0]["drained"] is False


async def test_gateway_that_is_killed_leaves_a_record_that_the_next_one_resolves(
    sandbox: Sandbox, valkey_session: Server, tmp_path: Path
) -> None:
    tree = tree_of(sandbox, rested(valkey_session), put_secrets(tmp_path / "s", DEFAULT_CREDENTIALS), timeout_ms=300)
    key = {"Idempotency-Key": "killed", "X-Request-Timeout-Ms": "100"}
    with serving(tree, tmp_path / "one", ends_well=False) as gateway:
        async with _rig(gateway, sandbox) as rig:
            order = await rig.order("hashkey")
            await rig.venue("hashkey").fault("hang", applied=True, endpoint="cancel", times=1)
            running = asyncio.create_task(rig.desk().cancel("hashkey", order["order_id"], key))
            await asyncio.sleep(0.05)
            gateway.process.kill()
            gateway.process.wait()
            await asyncio.gather(running, return_exceptions=True)
    with serving(tree, tmp_path / "two") as gateway:
        async with _rig(gateway, sandbox) as rig:
            early = await rig.desk().cancel("hashkey", order["order_id"], key)
            late = await rig.desk().cancel("hashkey", order["order_id"], key | {"X-Request-Timeout-Ms": "5000"})
            asked = await rig.cancels_of("hashkey", order["order_id"])

    assert early.outcome in {"in_progress", "cancelled"}
    assert (late.status, late.outcome, asked) == (200, "cancelled", 1)
