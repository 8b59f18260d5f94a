"""Keys over HTTP, from a server that does what an issuer might, or a stranger in its place."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from issuer_rig import key, key_set

from gateway.backends.issuer.jwks import FETCH_S, HttpKeys, Source
from gateway.backends.issuer.keys import KeySet

GOOD = key_set(key("ES256", "k"))
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def issuer(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/jwks.json", answer)
    server = TestServer(app)
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/jwks.json"))
    finally:
        await server.close()


async def fetched(url: str, ca: Path | None = None, token_file: Path | None = None) -> KeySet | str:
    keys = HttpKeys(Source(url, "cancel-gateway/test", ca, token_file))
    try:
        return await keys.fetch()
    finally:
        await keys.aclose()


async def good(_: web.Request) -> web.StreamResponse:
    return web.Response(body=GOOD)


async def test_keys_are_fetched_from_the_one_address() -> None:
    async with issuer(good) as url:
        assert isinstance(await fetched(url), KeySet)


async def test_redirects_and_other_statuses_are_no_keys(unused_tcp_port: int) -> None:
    asked: list[str] = []

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        asked.append("elsewhere")
        return web.Response(body=GOOD)

    async with issuer(elsewhere) as other:
        for status in (301, 302, 307, 308):

            async def away(_: web.Request, status: int = status) -> web.StreamResponse:
                return web.Response(status=status, headers={"Location": other}, body=GOOD)

            async with issuer(away) as url:
                assert await fetched(url) == f"the issuer answered {status}"

    assert asked == []
    assert "could not be reached" in str(await fetched(f"http://127.0.0.1:{unused_tcp_port}/jwks.json"))


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with issuer(good) as url:
        assert isinstance(await fetched(url), KeySet)


async def test_a_body_without_end_or_a_bomb_is_dropped() -> None:
    async def huge(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * 300_000 + GOOD)

    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"})

    for answer in (huge, bomb):
        async with issuer(answer) as url:
            assert await fetched(url) == "the reply's body is too large"


async def test_an_issuer_that_says_nothing_is_not_waited_for() -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response(body=GOOD)

    async with issuer(silent) as url, asyncio.timeout(FETCH_S + 1):
        assert await fetched(url) == "the issuer did not answer in time"


async def test_a_token_is_read_anew_each_time_and_never_told(tmp_path: Path) -> None:
    """As Kubernetes wants it: its keys are for service accounts only."""
    token_file, seen = tmp_path / "token", list[str | None]()

    async def closed(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=GOOD)

    async with issuer(closed) as url:
        for token in ("first", "second\n"):
            token_file.write_text(token)
            assert isinstance(await fetched(url, token_file=token_file), KeySet)
        token_file.write_text("bad\r\nX-Evil: 1")
        said = await fetched(url, token_file=token_file)
        token_file.unlink()
        assert "could not be reached" in str(await fetched(url, token_file=token_file))

    assert seen[:2] == ["Bearer first", "Bearer second"]
    assert "Evil" not in str(said)


async def test_only_the_given_authority_vouches_for_the_issuer(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for name, each in (("ca", authority), ("stranger", stranger)):
        each.cert_pem.write_to_path(tmp_path / name)

    async with issuer(good, context) as url:
        assert isinstance(await fetched(url, ca=tmp_path / "ca"), KeySet)
        assert "could not be reached" in str(await fetched(url, ca=tmp_path / "stranger"))
        assert "could not be reached" in str(await fetched(url))
