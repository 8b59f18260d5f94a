"""One sandbox per test, on free ports, and a client session that never sends twice."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from sandbox_client import Client, lenient

from gateway.sandbox.server import Sandbox, running


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(lenient()) as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=5)
    # No connection is kept: aiohttp repeats a DELETE by itself when a kept one turns out to be dead.
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        session._retry_connection = False
        yield session


@pytest.fixture
def client(sandbox: Sandbox, http: aiohttp.ClientSession) -> Callable[..., Client]:
    def of(venue: str, account: str = "desk-a") -> Client:
        return Client(sandbox.venues[venue], http, account)

    return of
