"""The link and servers that want certificates and names: Redis 7 with TLS, client certificates and ACL users."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from redis_processes import RedisProcess, Start, debian_server, eventually, free_port, redis_processes
from redis_traffic import COUNT, script

from gateway.backends.redis.link import Link
from gateway.ports import Unavailable

TIMEOUT_MS = 500
KEY = "cg1:{venue:desk}:epoch"


@dataclass(frozen=True)
class Guarded:
    """Where a server is behind TLS, how one asks for it, and the files that open it."""

    scheme: str
    port: int
    end: str
    folder: Path

    def url(self, who: str = "gateway:word@", host: str = "localhost", **said: str) -> str:
        files = {"ssl_ca_certs": f"{self.folder}/ca.pem", "ssl_certfile": f"{self.folder}/client.pem"}
        options = "&".join(f"{name}={value}" for name, value in (files | said).items() if value)
        return f"{self.scheme}://{who}{host}:{self.port}{self.end}{options}".rstrip("?&")


def write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("gateway.example")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")


def tls_options(folder: Path, port: int) -> tuple[str, ...]:
    return (
        *("--tls-port", str(port), "--tls-auth-clients", "yes", "--tls-replication", "yes"),
        *("--tls-ca-cert-file", f"{folder}/ca.pem", "--tls-cert-file", f"{folder}/server.pem"),
        *("--tls-key-file", f"{folder}/server.pem"),
    )


def start_single(start: Start, folder: Path) -> tuple[RedisProcess, Guarded]:
    port = free_port()
    server = start(*tls_options(folder, port), server=debian_server())
    return server, Guarded("rediss", port, "?", folder)


def start_cluster(start: Start, folder: Path) -> tuple[RedisProcess, Guarded]:
    port = free_port()
    server = start(
        *tls_options(folder, port), "--tls-cluster", "yes", "--cluster-enabled", "yes", server=debian_server()
    )
    server.command_reply("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    eventually(lambda: "cluster_state:ok" in str(server.command_reply("CLUSTER", "INFO")))
    return server, Guarded("rediss+cluster", port, "?", folder)


def start_sentinel(start: Start, folder: Path) -> tuple[RedisProcess, Guarded]:
    server, guarded = start_single(start, folder)
    port, tls_port = free_port(), free_port()
    words = (f"{name[2:]} {value}" for name, value in pairs(tls_options(folder, tls_port)))
    config = folder / "sentinel.conf"
    watch = ("sentinel resolve-hostnames yes", "sentinel announce-hostnames yes")
    monitor = f"sentinel monitor main localhost {guarded.port} 1"
    config.write_text("\n".join((f"port {port}", *words, *watch, monitor)) + "\n")
    sentinel = start(port=port, command=(str(debian_server()), str(config), "--sentinel"))
    sentinel.command_reply("ACL", "SETUSER", "watcher", "on", ">secret", "+@all")
    login = "sentinel_username=watcher&sentinel_password=secret"
    return server, Guarded("rediss+sentinel", tls_port, f"/main?{login}&", folder)


def pairs(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return zip(words[::2], words[1::2], strict=True)


STARTS: dict[str, Callable[[Start, Path], tuple[RedisProcess, Guarded]]] = {
    "single": start_single,
    "cluster": start_cluster,
    "sentinel": start_sentinel,
}


@pytest.fixture(scope="module", params=STARTS)
def server_and_guard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RedisProcess, Guarded]]:
    folder = tmp_path_factory.mktemp("guarded")
    write_certificates(folder)
    with redis_processes(folder) as start:
        server, guarded = STARTS[request.param](start, folder)
        server.command_reply("ACL", "SETUSER", "gateway", "on", ">word", "+@all", "-flushall", "~cg1:*", "&*")
        yield server, guarded


@pytest.fixture
def guarded(server_and_guard: tuple[RedisProcess, Guarded]) -> Guarded:
    return server_and_guard[1]


@contextmanager
def refused_with(words: str) -> Iterator[None]:
    with pytest.raises(Unavailable, match=f"^redis: (no sentinel knows the master: )?{words}") as raised:
        yield
    assert len(raised.value.reason) < 200


async def run(url: str, key: str = KEY, text: str = COUNT.text) -> object:
    link = Link(url, TIMEOUT_MS)
    try:
        return await link.run(script("any", text), (key,), ("x",))
    finally:
        await link.aclose()


async def test_right_certificate_and_name_are_let_in(guarded: Guarded) -> None:
    assert await run(guarded.url()) == [b"x", KEY.encode()]


async def test_certificate_of_a_stranger_is_not_trusted(guarded: Guarded) -> None:
    with refused_with(r"not connected \(TLS: CERTIFICATE_VERIFY_FAILED\)"):
        await run(guarded.url(ssl_ca_certs=f"{guarded.folder}/stranger.pem"))


async def test_certificate_is_for_a_host_unless_told_otherwise(guarded: Guarded) -> None:
    with refused_with(r"not connected \(TLS: CERTIFICATE_VERIFY_FAILED\)"):
        await run(guarded.url(host="127.0.0.1"))

    assert await run(guarded.url(host="127.0.0.1", ssl_check_hostname="false")) == [b"x", KEY.encode()]
    unchecked = guarded.url(host="127.0.0.1", ssl_ca_certs="", ssl_cert_reqs="none")
    assert await run(unchecked) == [b"x", KEY.encode()]


async def test_caller_without_a_certificate_is_not_let_in(guarded: Guarded) -> None:
    with refused_with("not connected"):
        await run(guarded.url(ssl_certfile=""))


async def test_plain_speech_to_a_tls_port_is_not_answered(guarded: Guarded) -> None:
    scheme = guarded.scheme.replace("rediss", "redis")
    url = Guarded(scheme, guarded.port, guarded.end, guarded.folder).url(ssl_ca_certs="", ssl_certfile="")

    with refused_with("not connected"):
        await run(url)


@pytest.mark.parametrize("who", ["gateway:wrong@", "nobody:word@"])
async def test_wrong_name_or_password_is_refused_without_showing_it(guarded: Guarded, who: str) -> None:
    with refused_with(r"refused \(WRONGPASS"):
        await run(guarded.url(who))


async def test_what_the_user_may_not_do_is_refused_as_such(guarded: Guarded) -> None:
    with refused_with(r"refused \(NOPERM"):
        await run(guarded.url(), key="other:{venue:desk}")
    with refused_with(r"refused \(NOPERM"):
        await run(guarded.url(), text="return redis.call('FLUSHALL')")


async def test_user_who_may_not_run_scripts_is_refused_as_such(
    server_and_guard: tuple[RedisProcess, Guarded],
) -> None:
    server, guarded = server_and_guard
    server.command_reply("ACL", "SETUSER", "reader", "on", ">word", "+@read", "+cluster", "~*", "&*")

    with refused_with(r"refused \(NOPERM"):
        await run(guarded.url("reader:word@"))


async def test_least_rights_that_the_readme_names_are_enough(
    server_and_guard: tuple[RedisProcess, Guarded],
) -> None:
    server, guarded = server_and_guard
    rights = ("+eval", "+evalsha", "+@read", "+@write", "-@dangerous", "+time", "+ping", "+info", "+cluster|slots")
    server.command_reply("ACL", "SETUSER", "least", "on", ">word", *rights, "~cg1:*")
    link = Link(guarded.url("least:word@"), TIMEOUT_MS)

    await link.ping()
    assert await link.run(COUNT, (KEY,), ("x",)) == [b"x", KEY.encode()]

    await link.aclose()


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_files_that_are_no_certificates_are_refused_at_once(
    guarded: Guarded, option: str, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").write_text("no certificate")

    with pytest.raises(ValueError, match="the TLS files"):
        Link(guarded.url(**{option: str(tmp_path / "none.pem")}), TIMEOUT_MS)
