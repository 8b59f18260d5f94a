"""One sandbox for the folder, and a gateway with little patience for each file that asks for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from real_valkey import Server
from sandbox_client import lenient
from service_process import Gateway, open_gates, put_secrets, rested, sandbox_beside, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

TIMEOUT_MS = 300


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_beside(lenient()) as started:
        yield started


@pytest.fixture(scope="package")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_secrets(tmp_path_factory.mktemp("secrets"), DEFAULT_CREDENTIALS)


@pytest.fixture(scope="module")
def redis_url(valkey_session: Server) -> str:
    return rested(valkey_session)


@pytest.fixture(scope="module")
def gateway(
    sandbox: Sandbox, redis_url: str, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    tree = tree_of(sandbox, redis_url, secrets, timeout_ms=TIMEOUT_MS)
    with serving(tree, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox, redis_url: str) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()
        open_gates(redis_url)
