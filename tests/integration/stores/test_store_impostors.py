"""What stands where Vault or AWS should be and is something else: HTML, a redirect, a flood, silence, a liar."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from raw_store import raw_store, said
from real_moto import KEYS
from store_rigs import AWS, VAULT

from gateway.backends.clock import SystemClock
from gateway.backends.credentials.store import Store, Unusable
from gateway.core.model import Account, VenueId
from gateway.ports import Unavailable
from gateway.wiring.stores import aws_store, vault_store

DESK = Account(VenueId("plain"), "desk-a")
TEMPLATE = "cancel-gateway/{venue}/{account}"
Opened: TypeAlias = Callable[[str, Path | None], Store]
FLOOD = said("200 OK", b'{"SecretString": "' + b"x" * 10_000_000 + b'"}')
FAULTS = {
    "html": (said("200 OK", b"<html>maintenance</html>", kind="text/html"), ""),
    "html as an error": (said("404 Not Found", b"<html>nginx</html>", kind="text/html"), ""),
    "list": (said("200 OK", b"[]"), ""),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "broke"),
    "half an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "in time"),
    "silence": (b"", "in time"),
    "moved": (said("301 Moved", b"", "Location: http://127.0.0.1:1/stolen"), "301"),
    "moved for now": (said("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/stolen"), "307"),
    "server error": (said("500 Internal Server Error", b"{}"), "500"),
    "bad gateway": (said("502 Bad Gateway", b"<html>"), "502"),
}


@pytest.fixture(params=["vault", "aws"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        def made(url: str, ca_file: Path | None) -> Store:
            store: Store
            if request.param == "vault":
                terms = replace(VAULT, addresses=(url,), path=TEMPLATE, ca_file=ca_file, timeout_ms=300)
                store = vault_store(terms, {"VAULT_TOKEN": "t"}, SystemClock())
            else:
                store = aws_store(
                    replace(AWS, name=TEMPLATE, endpoint_url=url, ca_file=ca_file, timeout_ms=300), KEYS, SystemClock()
                )
            stack.push_async_callback(store.aclose)
            return store

        yield made


@pytest.mark.parametrize("fault", FAULTS)
async def test_answer_of_something_else_is_a_store_that_is_down(opened: Opened, fault: str) -> None:
    says, reason = FAULTS[fault]
    async with raw_store(says) as impostor:
        store, began = opened(impostor.url, None), time.monotonic()

        with pytest.raises(Unavailable) as lost:
            await store.read(DESK)
        with pytest.raises(Unavailable):
            await store.names(DESK.venue)

    assert reason in lost.value.reason
    assert time.monotonic() - began < 2
    assert not [head for head in impostor.heads if "stolen" in head]


async def test_flood_is_cut_and_concerns_this_credential_only(opened: Opened) -> None:
    async with raw_store(FLOOD) as impostor:
        found = await opened(impostor.url, None).read(DESK)

    assert found == Unusable("", "is larger than 65536 bytes")


async def test_nobody_there_is_a_store_that_is_down(opened: Opened) -> None:
    with pytest.raises(Unavailable, match="could not be connected"):
        await opened("http://127.0.0.1:1", None).read(DESK)


async def test_name_that_nobody_knows_is_a_store_that_is_down(opened: Opened) -> None:
    with pytest.raises(Unavailable, match="could not be resolved"):
        await opened("https://nobody.invalid", None).read(DESK)


async def test_certificate_is_held_against_the_given_authority(opened: Opened, tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    good, bad = _server_tls(ours), _server_tls(theirs)
    async with raw_store(said("500 Internal Server Error", b"{}"), good) as honest, raw_store(b"", bad) as impostor:
        with pytest.raises(Unavailable, match="500"):
            await opened(honest.url, tmp_path / "ca.pem").read(DESK)
        with pytest.raises(Unavailable, match="certificate is not valid"):
            await opened(impostor.url, tmp_path / "ca.pem").read(DESK)
        with pytest.raises(Unavailable, match="certificate is not valid"):
            await opened(honest.url, None).read(DESK)

    assert impostor.heads == []


async def test_proxy_of_the_environment_sees_nothing(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_store(said("500 Internal Server Error")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)

        with pytest.raises(Unavailable):
            await opened("http://127.0.0.1:1", None).read(DESK)

    assert proxy.heads == []


def _server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_clock_that_is_wrong_is_named(opened: Opened) -> None:
    refusal = b'{"__type": "com.amazon#InvalidSignatureException", "message": "Signature expired"}'
    says = said("400 Bad Request", refusal, "Date: Mon, 01 Jan 2024 00:00:00 GMT")
    async with raw_store(says) as late:
        store = opened(late.url, None)
        if "Vault" in type(store).__name__:
            pytest.skip("a Vault's tokens do not hang on our clock")

        with pytest.raises(Unavailable, match=r"this machine's clock is [0-9]+ s ahead"):
            await store.read(DESK)


async def test_many_readers_of_a_silent_store_end_together(opened: Opened) -> None:
    async with raw_store(b"") as silent:
        store, began = opened(silent.url, None), time.monotonic()

        found = await asyncio.gather(*(store.read(DESK) for _ in range(16)), return_exceptions=True)

    assert {type(each) for each in found} == {Unavailable}
    assert time.monotonic() - began < 2
