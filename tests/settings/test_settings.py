"""What a good file means, how the environment changes it, and that no file at all can crash the reading."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from plain_venue import ID, PLAIN

from gateway.core.access import Permission
from gateway.core.admission import Quota
from gateway.core.model import Scope
from gateway.settings import Settings, load
from gateway.settings.schema import Faults
from gateway.settings.syntax import Listen

HASH = "ab" * 32
LEAST = f"""
[callers.desk-a]
token_sha256 = "{HASH}"
allow = ["plain:*"]
[venues.plain]
base_url = "https://venue.example"
"""
EVERYTHING = f"""
[server]
listen = "127.0.0.1:8081"
admin_listen = "[::1]:9091"
drain_seconds = 5
tls_cert = ""
tls_key = ""
tls_client_ca = ""
max_waiting = 50
max_waiting_per_caller = 10
[redis]
url = "rediss://:hunter2@cache:6380/1"
timeout_ms = 50
replicas_max = 6
data_dir = "/data/redis"
[records]
ttl_seconds = 3600
[secrets]
provider = "sealed"
refresh_seconds = 30
stale_seconds = 0
directory = "venues"
sealed_file = "desk.sealed"
[secrets.vault]
address = "https://vault:8200"
mount = "secret"
path = "cancel-gateway/{{venue}}/{{account}}"
namespace = ""
auth = "kubernetes"
role = "cancel-gateway"
[log]
level = "debug"
[callers.desk-a]
token_sha256 = ["{"AB" * 32}", "{"cd" * 32}"]
allow = ["plain:*", "*:desk-a"]
permissions = ["cancel", "urgent", "read", "kill", "admin"]
weight = 7
[venues.plain]
base_url = "HTTPS://Venue.Example:8443/api/"
default_account = "desk-a"
timeout_ms = 1500
batching = false
reserve = 1
connections = 8
window_ms = 100
side = "right"
loud = true
[venues.plain.limits.cancel]
tokens = 5
per_ms = 500
guard_ms = 0
scope = "egress"
"""


def read(
    text: str | bytes, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Settings | Faults:
    with tempfile.TemporaryDirectory() as scratch:
        path = (folder or Path(scratch)) / "gateway.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path, environment or {}, (PLAIN,))


def good(text: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    settings = read(text, environment, folder)
    assert isinstance(settings, Settings), settings
    return settings


def told(text: str | bytes, environment: Mapping[str, str] | None = None) -> list[str]:
    faults = read(text, environment)
    assert isinstance(faults, Faults), faults
    return [str(fault) for fault in faults.faults]


def test_least_file_takes_the_documented_defaults(tmp_path: Path) -> None:
    settings = good(LEAST, folder=tmp_path)

    assert settings.server.listen == Listen("0.0.0.0", 8080)  # noqa: S104  the documented default
    assert settings.server.admin_listen == Listen("127.0.0.1", 9090)
    assert (settings.server.drain_seconds, settings.server.tls) == (20, None)
    assert (settings.server.max_waiting, settings.server.max_waiting_per_caller) == (10_000, 2_000)
    assert (settings.redis.url, settings.redis.timeout_ms, settings.redis.replicas_max) == ("embedded", 100, 1)
    assert settings.redis.data_dir == tmp_path / "var/redis"
    assert settings.records.ttl_seconds == 86_400
    secrets = settings.secrets
    assert (secrets.provider, secrets.refresh_seconds, secrets.stale_seconds) == ("sealed", 60, 3600)
    assert secrets.directory == Path("/var/run/secrets/venues")
    assert secrets.sealed_file == tmp_path / "var/secrets.sealed"
    assert (settings.jwt, settings.log.level) == (None, "info")


def test_least_caller_and_venue_take_the_shipped_defaults() -> None:
    settings = good(LEAST)

    (caller,) = settings.callers
    venue = settings.venues[ID]
    assert (caller.name, caller.weight, caller.token_sha256) == ("desk-a", 1, (HASH,))
    assert caller.permissions == {Permission.CANCEL, Permission.READ}
    assert (venue.site.base_url, venue.default_account, venue.timeout_ms) == ("https://venue.example", None, 2000)
    assert (venue.batching, venue.reserve, venue.connections) == (True, 2, 64)
    assert venue.limits == PLAIN.quotas
    assert venue.site.options == {"window_ms": 5000, "side": "left", "loud": False}


def test_every_key_is_taken(tmp_path: Path) -> None:
    settings = good(EVERYTHING, folder=tmp_path)

    assert settings.server.listen == Listen("127.0.0.1", 8081)
    assert settings.server.admin_listen == Listen("::1", 9091)
    assert (settings.redis.replicas_max, settings.redis.data_dir) == (6, Path("/data/redis"))
    assert settings.secrets.directory == tmp_path / "venues"
    assert settings.secrets.vault.path == "cancel-gateway/{venue}/{account}"
    (caller,) = settings.callers
    assert caller.token_sha256 == (HASH, "cd" * 32)
    assert (caller.permissions, caller.weight) == (frozenset(Permission), 7)
    venue = settings.venues[ID]
    assert venue.site.base_url == "https://venue.example:8443/api"
    assert venue.site.options == {"window_ms": 100, "side": "right", "loud": True}
    assert (venue.default_account, venue.batching, venue.reserve) == ("desk-a", False, 1)


def test_limit_that_is_set_holds_for_its_members() -> None:
    limits = good(EVERYTHING).venues[ID].limits

    assert limits["cancel"] == limits["cancel_client"] == Quota(5, 500, 0, Scope.EGRESS)
    assert limits["read"] == PLAIN.quotas["read"]


def test_member_that_is_set_keeps_its_own_value() -> None:
    text = EVERYTHING + "[venues.plain.limits.cancel_client]\ntokens = 4\n"

    limits = good(text).venues[ID].limits

    assert limits["cancel_client"] == Quota(4, 500, 0, Scope.EGRESS)
    assert limits["cancel"].tokens == 5


@pytest.mark.parametrize(("tokens", "reserve"), [(2, 0), (4, 0), (5, 1), (10, 2), (100, 2)])
def test_silent_reserve_leaves_most_to_normal_traffic(tokens: int, reserve: int) -> None:
    settings = good(LEAST + f"[venues.plain.limits.cancel]\ntokens = {tokens}\n")

    assert settings.venues[ID].reserve == reserve


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.9.9.9", "[::1]:80", "localhost:1"])
def test_plain_http_to_loopback_is_taken(host: str) -> None:
    settings = good(LEAST.replace("https://venue.example", f"http://{host}/"))

    assert settings.venues[ID].site.base_url == f"http://{host}"


@pytest.mark.parametrize(
    ("name", "value", "read_back"),
    [
        ("SERVER__DRAIN_SECONDS", "7", lambda all_: all_.server.drain_seconds == 7),
        ("server__listen", "127.0.0.1:1", lambda all_: all_.server.listen == Listen("127.0.0.1", 1)),
        (
            "SECRETS__VAULT__ADDRESS",
            "https://other:8200",
            lambda all_: all_.secrets.vault.addresses == ("https://other:8200",),
        ),
        ("VENUES__PLAIN__TIMEOUT_MS", "9", lambda all_: all_.venues[ID].timeout_ms == 9),
        ("VENUES__PLAIN__BATCHING", "False", lambda all_: all_.venues[ID].batching is False),
        ("VENUES__PLAIN__SIDE", "RIGHT", lambda all_: all_.venues[ID].site.options["side"] == "right"),
        (
            "VENUES__PLAIN__LIMITS__READ__SCOPE",
            "venue",
            lambda all_: all_.venues[ID].limits["read"].scope is Scope.VENUE,
        ),
        ("CALLERS__DESK_A__WEIGHT", "3", lambda all_: all_.callers[0].weight == 3),
        ("CALLERS__DESK-A__WEIGHT", "3", lambda all_: all_.callers[0].weight == 3),
        ("CALLERS__DESK_A__ALLOW", "plain:a, plain:b", lambda all_: all_.callers[0].allow == ("plain:a", "plain:b")),
    ],
)
def test_variable_overrides_a_key(name: str, value: str, read_back: object) -> None:
    assert callable(read_back)

    settings = good(LEAST, {f"CANCEL_GATEWAY__{name}": value, "CANCEL_GATEWAY_TOKEN": "for the client"})

    assert read_back(settings)


def test_variable_may_name_a_venue_that_the_file_does_not() -> None:
    text = LEAST.partition("[venues")[0]

    settings = good(text, {"CANCEL_GATEWAY__VENUES__PLAIN__BASE_URL": "https://venue.example"})

    assert settings.venues[ID].site.base_url == "https://venue.example"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SERVER__LISTN", "x", "CANCEL_GATEWAY__SERVER__LISTN: matches no setting; did you mean listen?"),
        ("SERVR__LISTEN", "x", "CANCEL_GATEWAY__SERVR__LISTEN: matches no setting; did you mean server?"),
        ("SERVER", "x", "CANCEL_GATEWAY__SERVER: matches no setting"),
        ("CALLERS__DESK_B__WEIGHT", "1", "CANCEL_GATEWAY__CALLERS__DESK_B__WEIGHT: matches no setting"),
        ("SERVER__DRAIN_SECONDS", "soon", "server.drain_seconds (from CANCEL_GATEWAY__SERVER__DRAIN_SECONDS): is text"),
        ("SERVER__DRAIN_SECONDS", "601", "is out of range; give a whole number from 0 to 600"),
        ("VENUES__PLAIN__BATCHING", "maybe", "give true or false"),
        ("SERVER__LISTEN", "8080", "server.listen (from CANCEL_GATEWAY__SERVER__LISTEN): is no address to listen on"),
        ("", "x", "CANCEL_GATEWAY__: matches no setting"),
    ],
)
def test_wrong_variable_is_a_fault(name: str, value: str, words: str) -> None:
    (fault,) = told(LEAST, {f"CANCEL_GATEWAY__{name}": value})

    assert words in fault


def test_variable_in_two_spellings_is_a_fault() -> None:
    twice = {"CANCEL_GATEWAY__LOG__LEVEL": "info", "cancel_gateway__log__level": "debug"}

    (fault,) = told(LEAST, twice)

    assert "log.level: is set by more than one variable" in fault


def test_variable_that_could_mean_two_callers_is_a_fault() -> None:
    text = LEAST + f'[callers.desk_a]\ntoken_sha256 = "{"ef" * 32}"\nallow = ["plain:*"]\n'

    (fault,) = told(text, {"CANCEL_GATEWAY__CALLERS__DESK_A__WEIGHT": "2"})

    assert "callers.desk-a: a variable means this or desk_a" in fault


def test_all_faults_are_told_at_once() -> None:
    text = LEAST + '[server]\nlisten = "x"\ndrain_seconds = -1\n[log]\nlevel = 3\n[extra]\n'

    faults = told(text)

    assert [fault.partition(":")[0] for fault in faults] == [
        "server.listen",
        "server.drain_seconds",
        "log.level",
        "extra",
    ]


def test_fault_never_shows_the_value() -> None:
    marker = "hunter2"
    text = LEAST + f'{marker} = "{marker}"\nside = "{marker}"\n[redis]\nurl = "rdis://:{marker}@cache"\n'
    text += f'[secrets]\nprovider = "{marker}"\n[server]\nlisten = "{marker}"\ndrain_seconds = "{marker}"\n'

    faults = told(text.replace(f"{marker} =", "password ="), {"CANCEL_GATEWAY__LOG__LEVEL": marker})

    assert len(faults) == 7
    assert marker not in "".join(faults)


def test_settings_do_not_show_the_redis_password() -> None:
    settings = good(EVERYTHING)

    assert "hunter2" in settings.redis.url
    assert "hunter2" not in repr(settings)


def test_hostile_key_stays_one_visible_line() -> None:
    (fault,) = told('"a\\n\\u001b[2Jb" = 1\n' + LEAST)

    assert fault.isprintable()


def test_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = load(tmp_path / "nowhere.toml", {}, (PLAIN,))

    assert isinstance(result, Faults)
    assert [fault.problem for fault in result.faults] == ["cannot be read: No such file or directory"]


def test_folder_instead_of_file_is_one_line(tmp_path: Path) -> None:
    result = load(tmp_path, {}, (PLAIN,))

    assert isinstance(result, Faults)
    assert [fault.problem for fault in result.faults] == ["cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[server\n", "(at line 1, column 8)"),
        (b'a = "\xff"', "is not UTF-8 at byte 5"),
        (b"a = " + b"[" * 5000, "is nested too deep"),
        (b"a = " + b"9" * 5000, "is not valid TOML"),
        (b"#" * 1_000_001, "is too large"),
    ],
)
def test_content_that_is_no_toml_is_one_line(content: bytes, words: str) -> None:
    (fault,) = told(content)

    assert words in fault


def test_byte_order_mark_and_windows_lines_are_taken() -> None:
    settings = read(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())

    assert isinstance(settings, Settings)


def test_certificate_and_key_that_belong_together_are_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("gateway.example")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\ntls_client_ca = "ca.pem"\n'

    settings = good(server + LEAST.replace(f'token_sha256 = "{HASH}"', ""), folder=tmp_path)

    assert settings.server.tls is not None
    assert settings.server.tls.client_ca == tmp_path / "ca.pem"
    assert (settings.callers[0].token_sha256, settings.callers[0].certificates) == ((), ("desk-a",))


def test_client_ca_without_certificate_in_it_is_a_fault(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("gateway.example")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\ntls_client_ca = "key.pem"\n'

    result = read(server + LEAST, folder=tmp_path)

    assert isinstance(result, Faults)
    assert [str(fault) for fault in result.faults] == ["server.tls_client_ca: holds no certificate; give a PEM file"]


def test_settings_of_a_venue_are_values() -> None:
    venue = good(LEAST).venues[ID]

    assert replace(venue, reserve=1) != venue


WORDS = ["server", "listen", "venues", "plain", "limits", "cancel", "tokens", "callers", "desk", "allow", "auth", "jwt"]
WORDS += [
    "secrets",
    "vault",
    "redis",
    "url",
    "base_url",
    "[",
    "]",
    "[[",
    "]]",
    "=",
    ".",
    '"',
    "\n",
    "1",
    "-1",
    "true",
    "{",
    "}",
]
WORDS += ["1979-05-27", "1.5", '"x"', '["plain:*"]', '"redis://"', '"https://["', '"\\u0000"', ",", "token_sha256"]


@given(
    st.one_of(
        st.binary(max_size=200), st.lists(st.sampled_from(WORDS), max_size=60).map(lambda it: "".join(it).encode())
    )
)
def test_no_file_can_crash_the_reading(content: bytes) -> None:
    assert isinstance(read(content), Faults)


KEYS = [line.partition(" = ")[0] for line in EVERYTHING.splitlines() if " = " in line]
ODD = ["-1", "0", "1.5", "true", "[]", "[[]]", "{}", '"\\u0000"', '"https://["', "1979-05-27", '["plain:*", 1]', '"x" ']


@given(st.sampled_from(KEYS), st.sampled_from(ODD))
def test_no_value_of_any_key_can_crash_the_reading(key: str, odd: str) -> None:
    lines = [f"{key} = {odd}" if line.startswith(f"{key} =") else line for line in EVERYTHING.splitlines()]

    assert isinstance(read("\n".join(lines)), Settings | Faults)


VARIABLES = [key.upper() for key in KEYS] + [
    "REDIS__URL",
    "SERVER",
    "VENUES__PLAIN__BASE_URL",
    "CALLERS__DESK-A__WEIGHT",
]
VARIABLES += ["REDIS__TIMEOUT_MS", "SERVER__LISTEN", "VENUES__PLAIN__LIMITS__CANCEL__TOKENS", "", "__", "A____B"]


@given(st.dictionaries(st.sampled_from(VARIABLES) | st.text(max_size=20), st.text(max_size=40), max_size=4))
def test_no_environment_can_crash_the_reading(said: dict[str, str]) -> None:
    environment = {f"CANCEL_GATEWAY__{name}": value for name, value in said.items()}

    assert isinstance(read(LEAST, environment), Settings | Faults)
