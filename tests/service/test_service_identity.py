"""Callers that are known by an issuer's token or by their certificate, at a real TLS listener."""

import asyncio
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from certificate_rig import Authority, replace_whole
from issuer_rig import Publisher, claims_of, key, key_set, publishing
from service_process import Gateway, put_secrets, serving, token_of, tree_of, until
from service_rig import Desk

from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

SIGNER = key("ES256", "k1")
READ = {"allow": ["*:*"], "permissions": ["read"]}
CALLERS = {
    "mesh": READ | {"certificates": ["spiffe://mesh/desk", "desk.internal"]},
    "both": READ | {"certificates": ["both.internal"]},
    "by-name": READ,
    "pod": READ | {"subjects": ["system:serviceaccount:trading:desk-a"]},
}


@dataclass
class Entry:
    """A gateway behind TLS that asks for certificates and takes an issuer's tokens."""

    gateway: Gateway
    authority: Authority
    publisher: Publisher
    config: Path

    async def told(self, tls: ssl.SSLContext, authorization: str | None = None) -> tuple[int, str]:
        """Status and detail of a call that reads."""
        headers = {} if authorization is None else {"Authorization": authorization}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:
            said = await Desk(http, self.gateway.url).call("GET", "/venues", headers)
        return said.status, str(said.json.get("detail", ""))

    def token(self, subject: str, **claims: object) -> str:
        return f"Bearer {SIGNER.token(claims_of(subject, time.time()) | claims)}"


@pytest.fixture(scope="module")
def entry(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Entry]:
    authority = Authority(module_folder)
    cert, private = authority.server()
    secrets = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    with publishing(key_set(SIGNER)) as publisher:
        tree = tree_of(sandbox, redis_url, secrets)
        tree["server"] |= {"tls_cert": str(cert), "tls_key": str(private), "tls_client_ca": str(authority.pem)}
        tree["auth"] = {"jwt": {"issuer": "https://issuer.example", "jwks_url": publisher.url}}
        tree["callers"] |= CALLERS
        tree["callers"]["both"] |= {"token_sha256": tree["callers"].pop("other")["token_sha256"]}
        with serving(tree, module_folder, warm=False) as gateway:
            yield Entry(gateway, authority, publisher, module_folder / "gateway.toml")


@pytest.fixture
def plain(entry: Entry) -> ssl.SSLContext:
    """A certificate that the authority vouches for, and that is no caller's."""
    return entry.authority.client(dns=("somebody.internal",))


async def test_without_a_certificate_there_is_no_connection(entry: Entry) -> None:
    stranger = Authority(entry.authority.folder / "..").client(dns=("desk.internal",))
    for tls in (entry.authority.trusting(), stranger):
        with pytest.raises(aiohttp.ClientError):
            await entry.told(tls, f"Bearer {token_of('desk')}")


async def test_a_name_in_the_certificate_is_a_caller(entry: Entry) -> None:
    told = [
        await entry.told(entry.authority.client("spiffe://mesh/desk")),
        await entry.told(entry.authority.client(dns=("DESK.internal", "another.internal"))),
        await entry.told(entry.authority.client(common_name="desk.internal")),
    ]

    assert [status for status, _ in told] == [200, 200, 200]


async def test_any_other_certificate_is_nobodys(entry: Entry, plain: ssl.SSLContext) -> None:
    issue = entry.authority.client
    for tls in (plain, issue("spiffe://mesh/desk/x"), issue("spiffe://mesh"), issue(common_name="spiffe://mesh/desk")):
        assert (await entry.told(tls))[0] == 401
    shadowed = issue(dns=("somebody.internal",), common_name="desk.internal")
    assert (await entry.told(shadowed))[0] == 401


async def test_a_certificate_of_two_callers_is_nobodys(entry: Entry) -> None:
    status, detail = await entry.told(entry.authority.client(dns=("desk.internal", "both.internal")))

    assert (status, "more than one caller" in detail) == (401, True)


async def test_static_tokens_work_behind_any_certificate_that_is_no_callers(
    entry: Entry, plain: ssl.SSLContext
) -> None:
    assert (await entry.told(plain, f"Bearer {token_of('desk')}"))[0] == 200


async def test_token_and_certificate_must_be_of_one_caller(entry: Entry, plain: ssl.SSLContext) -> None:
    mesh, both = entry.authority.client("spiffe://mesh/desk"), entry.authority.client(dns=("both.internal",))
    own = f"Bearer {token_of('other')}"

    assert (await entry.told(both, own))[0] == 200
    assert await entry.told(mesh, own) == (401, "token and certificate are of two callers")
    assert await entry.told(plain, own) == (401, "this token counts only together with its caller's certificate")
    assert (await entry.told(both, "Bearer wrong"))[0] == 401
    assert (await entry.told(both, "Basic abc"))[0] == 401


async def test_a_token_of_the_issuer_is_its_subject(entry: Entry, plain: ssl.SSLContext) -> None:
    assert (await entry.told(plain, entry.token("by-name")))[0] == 200
    assert (await entry.told(plain, entry.token("system:serviceaccount:trading:desk-a")))[0] == 200
    assert (await entry.told(plain, entry.token("pod")))[0] == 403
    assert await entry.told(plain, entry.token("stranger")) == (
        403,
        "the token is valid, but no caller of this gateway",
    )
    assert (await entry.told(plain, entry.token("by-name", aud="other")))[0] == 401
    assert entry.publisher.asked == 1


async def test_a_certificate_that_ends_ends_the_connection_s_rights(entry: Entry) -> None:
    tls = entry.authority.client(dns=("desk.internal",), ends_in_s=2.0)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:
        desk = Desk(http, entry.gateway.url)
        ended = time.monotonic() + 5
        while (last := await desk.call("GET", "/venues")).status == 200 and time.monotonic() < ended:
            pass

    assert last.status == 401


async def test_old_protocols_and_plain_text_are_refused(entry: Entry, plain: ssl.SSLContext) -> None:
    plain.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await entry.told(plain, f"Bearer {token_of('desk')}"))[0] == 200
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        plain.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        plain.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(aiohttp.ClientError):
        await entry.told(plain, f"Bearer {token_of('desk')}")
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await Desk(http, entry.gateway.url.replace("https", "http")).call("GET", "/healthz")


async def test_certificates_are_replaced_while_it_runs_and_a_bad_pair_is_not_taken(entry: Entry) -> None:
    authority, gateway = entry.authority, entry.gateway
    tls = authority.client("spiffe://mesh/desk")
    before = await _served(gateway.url, tls)
    cert, private = (Path(authority.folder / name) for name in ("server.pem", "server.key"))
    good = private.read_bytes()

    replace_whole(private, b"-----BEGIN NONSENSE-----")
    gateway.process.send_signal(signal.SIGHUP)
    refused = gateway.heard("tls.refused")
    assert "no certificate with its key" in refused["reason"]
    assert await _served(gateway.url, tls) == before
    replace_whole(private, good)
    gateway.process.send_signal(signal.SIGHUP)
    gateway.heard("tls.reloaded")

    authority.server()
    until(lambda: len(gateway.lines("tls.reloaded")) == 2, "the new pair is taken")
    assert await _served(gateway.url, tls) != before
    assert (await entry.told(tls))[0] == 200
    assert cert.exists()


async def test_another_client_authority_counts_from_the_next_connection_on(entry: Entry) -> None:
    folder = entry.authority.folder
    (folder / "other").mkdir()
    other, told = Authority(folder / "other"), len(entry.gateway.lines("tls.reloaded"))
    old, new = (each.client("spiffe://mesh/desk") for each in (entry.authority, other))
    entry.authority.ca.configure_trust(new)

    replace_whole(folder / "ca.pem", other.ca.cert_pem.bytes())
    until(lambda: len(entry.gateway.lines("tls.reloaded")) > told, "the new authority is taken")

    assert (await entry.told(new))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await entry.told(old)


async def _served(url: str, tls: ssl.SSLContext) -> bytes | None:
    """The certificate that the listener shows; loopback addresses are dialled without a server name."""
    where = urlsplit(url)
    _, writer = await asyncio.open_connection(where.hostname, where.port, ssl=tls)
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return shown.getpeercert(binary_form=True)
