"""Stores opened by a test are closed after it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from store_rigs import VAULT, OpenVault

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.vault import VaultStore
from gateway.wiring.stores import vault_store


@pytest.fixture
async def open_vault() -> AsyncIterator[OpenVault]:
    """A Vault store by its addresses, its environment and whatever else is said of it."""
    async with AsyncExitStack() as stack:

        def opened(*addresses: str, environment: Mapping[str, str] | None = None, **said: object) -> VaultStore:
            terms = {"path": "cancel-gateway/{venue}/{account}"} | said
            settings = replace(VAULT, addresses=addresses, **terms)  # type: ignore[arg-type]  # fields by name
            store = vault_store(settings, environment or {}, SystemClock())
            stack.push_async_callback(store.aclose)
            return store

        yield opened
