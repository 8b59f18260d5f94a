"""What is compared. Each answers when it is returned; what this machine lacks is left out, with the reason."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from bench.shapes import SHAPES, asked
from bench.side_by_side.stage import SERVED, Stage, children, free_port, pin, settings, wait_listening

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 1000000000;
  upstream venue {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location ~ ^/orders/hashkey/(?<ref>[0-9]+)$ {{
      proxy_pass http://venue/api/v1/spot/order?orderId=$ref&timestamp=1&signature=0;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-HK-APIKEY k;
    }}
  }}
}}
"""
NGINX_PATHS = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
BASELINE = "passthrough"
GATEWAYS: Mapping[str, str] = {f"gateway-{venue}": venue for venue in SHAPES}
NAMES: Mapping[str, str] = {
    BASELINE: "bare aiohttp pass-through: takes the request, passes it on, gives back the answer",
    "least": "the same with one Redis round trip and one signature: no record, no metric, no log",
    **{name: f"**this gateway**, everything on, {venue}" for name, venue in GATEWAYS.items()},
    "fastapi": "FastAPI, httpx and redis-py, as a good team writes it in a week",
    "nginx": "nginx, proxying without any of the job",
    "ccxt-hashkey": "no gateway: `cancel_order` of ccxt (async) in the trading process, HashKey",
    "ccxt-woofipro": "no gateway: the same, Orderly (ccxt's `woofipro`)",
}


class Absent(Exception):  # noqa: N818  a reason to skip, not an error
    """What a target needs and this machine has not."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, whose CPU counts, and the n-th request."""

    name: str
    port: int
    pids: tuple[int, ...]
    cancel: Callable[[int], bytes]


def put_up(stage: Stage, names: list[str], tell: Callable[[str], None]) -> dict[str, Target]:
    """These targets, as far as they are HTTP servers."""
    found: dict[str, Target] = {}
    if served := {name: venue for name, venue in GATEWAYS.items() if name in names}:
        gateway = stage.serve(settings(stage))
        gateway.wait_ready()
        for name, venue in served.items():
            found[name] = Target(name, gateway.port, (gateway.pid,), SHAPES[venue].cancel)
    for name, start in RIVALS.items():
        if name in names:
            try:
                port, pids = start(stage)
            except Absent as reason:
                tell(f"{name}: left out, {reason}")
                continue
            found[name] = Target(name, port, pids, SHAPES["hashkey"].cancel)
    return {name: found[name] for name in NAMES if name in found}


def direct(stage: Stage) -> Target:
    """The venue itself, without anything between."""

    def cancel(number: int) -> bytes:
        return asked(f"/api/v1/spot/order?orderId={number}&timestamp=1&signature=0")

    return Target("direct", stage.upstream, (), cancel)


Start = Callable[[Stage], tuple[int, tuple[int, ...]]]


def _passthrough(stage: Stage) -> tuple[int, tuple[int, ...]]:
    port, pid = stage.start_role("bench.roles", "forward", str(stage.upstream))
    return port, (pid,)


def _least(stage: Stage) -> tuple[int, tuple[int, ...]]:
    port, pid = stage.start_role("bench.rivals", "least", str(stage.upstream), str(stage.redis_socket))
    return port, (pid,)


def _fastapi(stage: Stage) -> tuple[int, tuple[int, ...]]:
    wanted("fastapi", "httpx", "uvicorn")
    port, pid = stage.start_role("bench.rivals", "fastapi", str(stage.upstream), str(stage.redis_socket))
    return port, (pid,)


def _nginx(stage: Stage) -> tuple[int, tuple[int, ...]]:
    program = shutil.which("nginx") or shutil.which("nginx", path=NGINX_PATHS)
    if program is None:
        raise Absent("there is no nginx on this machine")
    port, config = free_port(), stage.folder / "nginx.conf"
    config.write_text(NGINX.format(folder=stage.folder, upstream=stage.upstream, port=port))
    master = stage.start(program, "-p", str(stage.folder), "-e", str(stage.folder / "nginx.err"), "-c", str(config))
    wait_listening(port)
    workers = children(master.pid)
    while not workers:  # the master listens before it has any
        time.sleep(0.02)
        workers = children(master.pid)
    for pid in workers:
        pin(pid, SERVED)
    return port, tuple(workers)


RIVALS: Mapping[str, Start] = {BASELINE: _passthrough, "least": _least, "fastapi": _fastapi, "nginx": _nginx}


def wanted(*packages: str) -> None:
    """Raise where a package is not installed."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise Absent(f"{', '.join(missing)} not installed (requirements/bench.txt)")
