"""AWS Secrets Manager and STS as moto plays them: a real HTTP server, a process of its own. Fixture: `moto_session`."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import orjson
import pytest
from real_bao import free_port

from gateway.backends.credentials.sigv4 import Identity, Target, signed_headers

READY_S = 20.0
REGION = "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@dataclass(eq=False)
class Moto:
    """The running server, and an operator's hand on it."""

    url: str
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def call(self, action: str, **sent: object) -> dict[str, object]:
        """One call of Secrets Manager."""
        body = orjson.dumps(sent)
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"secretsmanager.{action}"}
        target = Target(self.url.removeprefix("http://"), REGION, "secretsmanager")
        signed = signed_headers(
            Identity(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]), target, headers, body, datetime.now(UTC)
        )
        with urlopen(Request(self.url, body, signed), timeout=10) as said:  # noqa: S310  our own
            found: dict[str, object] = orjson.loads(said.read())
        return found

    def put(self, name: str, content: str) -> None:
        """A secret, or a new version of it."""
        try:
            self.call("PutSecretValue", SecretId=name, SecretString=content)
        except HTTPError:
            self.call("CreateSecret", Name=name, SecretString=content)


@contextmanager
def moto_server(folder: Path, port: int | None = None) -> Iterator[Moto]:
    """A server that holds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    words = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port or free_port()))
    with (
        (folder / "moto.log").open("wb") as log,
        subprocess.Popen(words, stdout=log, stderr=log) as process,  # noqa: S603  our own
    ):
        try:
            moto = Moto(f"http://127.0.0.1:{words[-1]}", process)
            _wait(moto)
            yield moto
        finally:
            process.kill()


def _wait(moto: Moto) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            moto.call("ListSecrets", MaxResults=1)
        except (URLError, OSError):
            assert time.monotonic() < deadline, "moto does not come up"
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def moto_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server
