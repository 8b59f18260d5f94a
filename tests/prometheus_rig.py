"""A real Prometheus and a real Alertmanager beside a gateway, and who gets their messages."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml
from service_process import until

OPS = Path(__file__).parents[1] / "ops"
SCRAPE_S = 1
NEEDED = ("prometheus", "prometheus-alertmanager")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
needs_prometheus = pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)} not installed (apt-get install {' '.join(NEEDED)})"
)


def free_port() -> int:
    """A port that nobody has now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asked(url: str, form: Mapping[str, str] | None = None) -> Any:
    """What a server of ours says in JSON."""
    body = None if form is None else urlencode(form).encode()
    with urlopen(Request(url, body), timeout=10) as reply:  # noqa: S310  our own
        return json.loads(reply.read())


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str

    def now(self, query: str) -> list[dict[str, Any]]:
        """An instant query."""
        found: list[dict[str, Any]] = asked(f"{self.url}/api/v1/query", {"query": query})["data"]["result"]
        return found

    def over(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """A query over time."""
        when = {"start": f"{start}", "end": f"{end}", "step": f"{step}"}
        found: list[dict[str, Any]] = asked(f"{self.url}/api/v1/query_range", {"query": query} | when)["data"]["result"]
        return found

    def exemplars(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of its series."""
        form = {"query": query, "start": f"{start}", "end": f"{end}"}
        found: list[dict[str, Any]] = asked(f"{self.url}/api/v1/query_exemplars", form)["data"]
        return found

    def firing(self) -> set[str]:
        """The alerts that fire."""
        alerts = asked(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


@contextmanager
def prometheus_running(
    folder: Path, targets: list[str], rules: list[Path], alertmanager: str | None = None
) -> Iterator[Prometheus]:
    """One that scrapes each second and keeps exemplars, as ops/compose.yaml has it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "cancel-gateway", "static_configs": [{"targets": targets}]}],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    )
    with _process("prometheus", options, folder, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


@contextmanager
def alertmanager_running(folder: Path, config: Mapping[str, object]) -> Iterator[str]:
    """The address of one with these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(dict(config)))
    address = f"127.0.0.1:{free_port()}"
    options = (
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    with _process("prometheus-alertmanager", options, folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def _process(name: str, options: tuple[str, ...], folder: Path, ready: str) -> Iterator[None]:
    program = shutil.which(name)
    assert program is not None
    with (folder / f"{name}.log").open("wb") as log, subprocess.Popen((program, *options), stderr=log) as process:  # noqa: S603
        try:
            until(lambda: _answers(ready), f"{name} is ready")
            yield
        finally:
            process.terminate()
            process.wait(10)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as reply:  # noqa: S310  our own
            return bool(reply.status == 200)
    except URLError:
        return False


# -- who is paged ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Pager:
    """Keeps every message, by its path."""

    url: str
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def firing(self, path: str) -> list[list[str]]:
        """The alerts of each message that says that something fires."""
        return [
            sorted({alert["labels"]["alertname"] for alert in message["alerts"] if alert["status"] == "firing"})
            for to, message in self.messages
            if to == path and message["status"] == "firing"
        ]


@contextmanager
def pager_running() -> Iterator[Pager]:
    """A webhook."""
    pager = Pager("")

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pager.messages.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        pager.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield pager
        finally:
            server.shutdown()
            thread.join(10)
