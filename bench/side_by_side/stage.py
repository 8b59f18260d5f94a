"""The processes of a run: started, pinned to a core, watched through /proc, and ended by pid. Linux only."""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.admission.setting import toml
from bench.shapes import ACCOUNT, SHAPES, TOKEN
from gateway.backends.redis.embedded import find_server

ROOT = Path(__file__).parents[2]
SERVED, OTHERS = 0, 1
READY_S = 60.0
PORTS = (10_500, 32_000)
TOKENS, PER_MS = 100_000, 1000
Tree = dict[str, object]


@dataclass(slots=True)
class Stage:
    """Where a run takes place. Whoever serves is on one core; venue, Redis and driver share the other."""

    folder: Path
    ends: ExitStack
    upstream: int = 0
    redis_pid: int = 0

    @property
    def redis_socket(self) -> Path:
        return self.folder / "redis"

    def start(self, *command: str, core: int = SERVED) -> "subprocess.Popen[str]":
        """A process of this run; its standard input and output are pipes."""
        process = subprocess.Popen(  # noqa: S603  our own commands
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
        )
        self.ends.callback(ended, process)
        pin(process.pid, core)
        return process

    def start_role(self, module: str, *words: str, core: int = SERVED) -> tuple[int, int]:
        """A module of ours that prints its port: that, and its process."""
        process = self.start(sys.executable, "-m", module, *words, core=core)
        assert process.stdout
        told = process.stdout.readline()
        assert told, f"{module} {' '.join(words)} has not started"
        pin(process.pid, core)
        return int(told), process.pid

    def serve(self, tree: Tree, name: str = "gateway") -> "Gateway":
        """`cancel-gateway serve` with these settings, not ready yet."""
        config = self.folder / f"{name}.toml"
        config.write_text(toml(tree))
        log = self.ends.enter_context((self.folder / f"{name}.log").open("w"))
        process = subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment(),
        )
        self.ends.callback(ended, process)
        pin(process.pid, SERVED)
        server = tree["server"]
        assert isinstance(server, dict)
        return Gateway(process, port_of(server["listen"]), port_of(server["admin_listen"]))


@dataclass(slots=True)
class Gateway:
    """One `cancel-gateway serve`."""

    process: "subprocess.Popen[bytes]"
    port: int
    admin: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, pause_s: float = 0.02) -> None:
        """Until /readyz says so."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            assert self.process.poll() is None, "the gateway has ended"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        pin(self.pid, SERVED)
                        return
            except OSError:
                pass
            time.sleep(pause_s)
        raise SystemExit("the gateway did not become ready")


def open_stage(ends: ExitStack, folder: Path, *, pinned: bool = True) -> Stage:
    """The venues and a Redis, up; this process goes beside them where it only drives."""
    stage = Stage(folder, ends)
    if pinned:
        pin(os.getpid(), OTHERS)
    stage.upstream, _ = stage.start_role("bench.roles", "upstream", core=OTHERS)
    words = ("--port", "0", "--unixsocket", str(stage.redis_socket), "--save", "", "--appendonly", "no")
    stage.redis_pid = stage.start(str(find_server()), *words, "--logfile", str(folder / "redis.log"), core=OTHERS).pid
    until = time.monotonic() + READY_S
    while not stage.redis_socket.exists():
        assert time.monotonic() < until, "Redis does not listen"
        time.sleep(0.01)
    put_secrets(folder / "secrets", [ACCOUNT])
    return stage


def settings(stage: Stage, venues: Iterable[str] = SHAPES, guard_ms: int = 20) -> Tree:
    """Everything on, and limits that no load here meets."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    limit = {"tokens": TOKENS, "per_ms": PER_MS, "guard_ms": guard_ms}
    return {
        "server": {"listen": f"127.0.0.1:{free_port()}", "admin_listen": f"127.0.0.1:{free_port()}"},
        "redis": {"url": f"unix://{stage.redis_socket}", "timeout_ms": 5000},
        "secrets": {"provider": "files", "directory": str(stage.folder / "secrets")},
        "callers": {"bench": {"token_sha256": digest, "allow": ["*:*"], "permissions": ["cancel", "read"]}},
        "venues": {
            venue: {
                "base_url": f"http://127.0.0.1:{stage.upstream}",
                "default_account": ACCOUNT,
                "batching": False,
                "limits": {"cancel": limit},
            }
            for venue in venues
        },
    }


def put_secrets(folder: Path, accounts: Iterable[str], venues: Iterable[str] = SHAPES) -> None:
    """The same credential for each of the accounts, as the provider `files` reads it."""
    for account in accounts:
        for venue in venues:
            target = folder / venue / f"{account}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(dict(SHAPES[venue].credential)))
            target.chmod(0o600)


def environment() -> dict[str, str]:
    """Ours, without what would change the settings; byte code is kept, as it is in the image."""
    others = ("CANCEL_GATEWAY", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"PYTHONPATH": str(ROOT)}


def ended(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """End a process of ours, whatever it takes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait(10)


def port_of(listen: object) -> int:
    return int(str(listen).rpartition(":")[2])


def free_port() -> int:
    """One that nobody has, below those that outgoing connections take: it stays free until it is listened on."""
    while True:
        port = random.randrange(*PORTS)  # noqa: S311  no secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_listening(port: int) -> None:
    """Until somebody takes connections there."""
    until = time.monotonic() + READY_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, f"nobody listens on {port}"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """All that descend from a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return found + [deeper for child in found for deeper in children(child)]


def cpu_us(pids: Iterable[int]) -> float:
    """CPU used so far by all threads of these processes, in microseconds."""
    tasks = (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def rss_mb(pid: int) -> float:
    """The memory that it holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def pin(pid: int, core: int) -> None:
    """All threads that a process has now; those that it makes later go where their maker is."""
    if core < (os.cpu_count() or 1):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
