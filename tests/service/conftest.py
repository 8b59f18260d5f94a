"""One sandbox for the folder, one gateway for each file, and a caller for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from real_valkey import Server
from sandbox_client import lenient
from service_process import Gateway, open_gates, put_secrets, rested, sandbox_beside, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_beside(lenient()) as started:
        yield started


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def redis_url(valkey_session: Server) -> str:
    return rested(valkey_session)


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Gateway]:
    secrets = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    with serving(tree_of(sandbox, redis_url, secrets), module_folder) as started:
        yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox, redis_url: str) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        yield rig
        await rig.calm()
        open_gates(redis_url)
