"""What the service is told: one TOML file and the environment become one frozen Settings, or all faults at once.

The values stand here, and what each key may be in the general sections. `venues.py` reads venues and callers,
`secrets.py` where credentials lie; `schema.py` collects the faults, `syntax.py` knows addresses, `paths.py` looks at
files. Nothing here opens a socket.
"""

import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.access import Caller
from gateway.core.model import VenueId
from gateway.core.redis_address import TlsFiles
from gateway.settings.audit import Audit, read_audit
from gateway.settings.auth import Jwt, read_auth
from gateway.settings.callers import Ways, read_callers
from gateway.settings.paths import optional, readable
from gateway.settings.schema import Fault, Faults, Section, overrides
from gateway.settings.secrets import Secrets, read_secrets
from gateway.settings.syntax import Listen, listen, redis_files, redis_url
from gateway.settings.tracing import Tracing, read_tracing
from gateway.settings.venues import VenueSettings, read_venues
from gateway.venues.base import Venue

FILE_MOST_BYTES = 1_000_000
HOUR_SECONDS = 3600
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of the callers' listener; with `client_ca`, callers must show a certificate."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Where the service listens, and how much may wait in it."""

    listen: Listen
    admin_listen: Listen
    drain_seconds: int
    drain_lag_ms: int
    max_waiting: int
    max_waiting_per_caller: int
    reuse_port: bool = False
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Redis:
    """Where the shared state is; `url` is `embedded` or an address, which may hold a password."""

    url: str = field(repr=False)
    timeout_ms: int
    replicas_max: int
    data_dir: Path


@dataclass(frozen=True, slots=True)
class RecordsSettings:
    """How long a record is kept, and how long its end is looked for."""

    ttl_seconds: int
    give_up_seconds: int


@dataclass(frozen=True, slots=True)
class Log:
    """How much is told."""

    level: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the service is told."""

    server: Server
    redis: Redis
    records: RecordsSettings
    secrets: Secrets
    jwt: Jwt | None
    log: Log
    audit: Audit
    tracing: Tracing | None
    callers: tuple[Caller, ...]
    venues: Mapping[VenueId, VenueSettings]


def load(path: Path, environment: Mapping[str, str], venues: tuple[Venue, ...]) -> Settings | Faults:
    """Read the file and the environment; relative paths in it start at the file's own folder."""
    tree = _parse(path)
    if isinstance(tree, Fault):
        return Faults((tree,))
    faults: list[Fault] = []
    folder = path.absolute().parent
    with Section("", tree, overrides(environment), faults) as root:
        settings = _settings(root, folder, venues)
    return Faults(tuple(faults)) if faults else settings


def _parse(path: Path) -> dict[str, object] | Fault:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no such path"
        return Fault(str(path), f"cannot be read: {reason}", "give the path of a TOML file that this user may read")
    if len(content) > FILE_MOST_BYTES:
        return Fault(str(path), "is too large for a settings file", f"keep it under {FILE_MOST_BYTES} bytes")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Fault(str(path), f"is not UTF-8 at byte {error.start}", "save it as UTF-8")
    except RecursionError:
        return Fault(str(path), "is nested too deep", "write it as in docs/configuration.md")
    except ValueError as error:
        return Fault(str(path), f"is not valid TOML: {error}", "correct that place")


def _settings(root: Section, folder: Path, venues: tuple[Venue, ...]) -> Settings:
    server = _server(root, folder)
    jwt = read_auth(root, folder)
    ways = Ways(certificates=bool(server.tls and server.tls.client_ca), issuer=jwt is not None)
    return Settings(
        server=server,
        redis=_redis(root, folder),
        records=_records(root),
        secrets=read_secrets(root, folder),
        jwt=jwt,
        log=_log(root),
        callers=read_callers(root, venues, ways),
        audit=read_audit(root),
        tracing=read_tracing(root),
        venues=read_venues(root, venues),
    )


def _server(root: Section, folder: Path) -> Server:
    with root.section("server") as server:
        callers = server.parsed("listen", listen, "0.0.0.0:8080", Listen("", 0))
        admin = server.parsed("admin_listen", listen, "127.0.0.1:9090", Listen("", 0))
        if callers == admin and callers.port:
            server.fault("admin_listen", "is the address of the callers as well", "give it a port of its own")
        return Server(
            listen=callers,
            admin_listen=admin,
            drain_seconds=server.whole("drain_seconds", 20, 0, 600),
            drain_lag_ms=server.whole("drain_lag_ms", 1000, 0, 60_000),
            max_waiting=server.whole("max_waiting", 10_000, 1, 1_000_000),
            max_waiting_per_caller=server.whole("max_waiting_per_caller", 2_000, 1, 1_000_000),
            reuse_port=server.flag("reuse_port", default=False),
            tls=_tls(server, folder),
        )


def _tls(server: Section, folder: Path) -> Tls | None:
    cert, key, ca = (optional(server, name, folder) for name in ("tls_cert", "tls_key", "tls_client_ca"))
    if cert is None and key is None and ca is None:
        return None
    if cert is None:
        server.fault("tls_cert", "is missing beside the other TLS files", "give the PEM file of the certificate")
        return None
    if key is None:
        server.fault("tls_key", "is missing beside tls_cert", "give the PEM file of its private key")
        return None
    present = [readable(server, "tls_cert", cert), readable(server, "tls_key", key)]
    if ca is not None:
        present.append(readable(server, "tls_client_ca", ca))
    if all(present):
        _check_pem(server, cert, key, ca)
    return Tls(cert, key, ca)


def _check_pem(server: Section, cert: Path, key: Path, ca: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty passphrase makes an encrypted key fail here, where OpenSSL would otherwise ask the terminal.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError, OSError):
        server.fault(
            "tls_cert", "and tls_key are no certificate and its key", "give two PEM files that belong together"
        )
    if ca is None:
        return
    try:
        context.load_verify_locations(ca)
    except (ssl.SSLError, OSError):
        server.fault("tls_client_ca", "holds no certificate", "give a PEM file")


def _redis(root: Section, folder: Path) -> Redis:
    with root.section("redis") as redis:
        url = redis.parsed("url", redis_url, "embedded", "")
        _check_redis_tls(redis, redis_files(url))
        return Redis(
            url=url,
            timeout_ms=redis.whole("timeout_ms", 100, 1, 60_000),
            replicas_max=redis.whole("replicas_max", 1, 1, 10_000),
            data_dir=folder / redis.text("data_dir", "var/redis"),
        )


def _check_redis_tls(redis: Section, files: TlsFiles | None) -> None:
    if files is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if files.ca:
            context.load_verify_locations(files.ca)
    except (ssl.SSLError, OSError):
        redis.fault("url", "names an ssl_ca_certs that holds no certificate", "give a PEM file that this user may read")
    try:
        if files.cert:
            context.load_cert_chain(files.cert, files.key or None, password="")
    except (ssl.SSLError, ValueError, OSError):
        redis.fault(
            "url",
            "names an ssl_certfile and ssl_keyfile that are no certificate and its key",
            "give two PEM files that belong together and that this user may read",
        )


def _records(root: Section) -> RecordsSettings:
    with root.section("records") as records:
        ttl_seconds = records.whole("ttl_seconds", DAY_SECONDS, 60, 30 * DAY_SECONDS)
        give_up_seconds = records.whole("give_up_seconds", min(ttl_seconds, HOUR_SECONDS), 1, 30 * DAY_SECONDS)
        if give_up_seconds > ttl_seconds:
            records.fault("give_up_seconds", "is longer than ttl_seconds", "give at most as long as a record is kept")
        return RecordsSettings(ttl_seconds, give_up_seconds)


def _log(root: Section) -> Log:
    with root.section("log") as log:
        return Log(level=log.choice("level", "info", ("debug", "info", "warning", "error")))
