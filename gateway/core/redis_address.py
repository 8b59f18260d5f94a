"""Where the shared state is: a Redis URL as a value. Text in, value or Flaw out; no text of a URL is ever repeated.

    redis://user:password@host:6379/0            one server; rediss:// is the same over TLS
    unix:///path/to/socket?db=0
    redis+sentinel://host:26379,host:26379/NAME   the server that the sentinels call NAME; /NAME/0 or ?db=0
    redis+cluster://host:6379,host:6379           any nodes of a cluster

TLS: `rediss`, `rediss+sentinel`, `rediss+cluster`, or `?ssl=true`. The options have the names that redis-py gave them.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import parse_qsl, unquote, urlsplit

PORT_MOST, DATABASE_MOST = 65535, 99_999
REDIS_PORT, SENTINEL_PORT = 6379, 26379
EXAMPLES = (
    "embedded, redis://host:6379/0, rediss://…, unix:///path, redis+sentinel://host:26379,host:26379/NAME "
    "or redis+cluster://host:6379,host:6379"
)
OPTIONS = (
    *("db", "username", "password", "sentinel_username", "sentinel_password", "ssl", "ssl_ca_certs", "ssl_certfile"),
    *("ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
_SCHEME = re.compile(r"(redis|rediss|unix)(\+sentinel|\+cluster)?", re.IGNORECASE)
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CHECKS = {"required": True, "none": False}


@unique
class Kind(StrEnum):
    """How many servers there are, and who says which one counts."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Place:
    """A server's host and port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SocketFile:
    """A server's unix socket."""

    path: str


Spot = Place | SocketFile


@dataclass(frozen=True, slots=True)
class Login:
    """An ACL user; without a password nobody logs in."""

    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to trust, and what to show; the system's authorities where `ca` is empty."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """Everything that a Redis URL says."""

    kind: Kind
    spots: tuple[Spot, ...]
    master: str = ""
    database: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a URL, and what would be right."""

    problem: str
    remedy: str


class _Broken(Exception):  # noqa: N818  never leaves this file
    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.flaw = Flaw(problem, remedy)


def parse_redis_address(text: str) -> Address | Flaw:
    """Read a URL."""
    try:
        return _parse(text)
    except _Broken as broken:
        return broken.flaw


def _parse(text: str) -> Address:
    scheme, kind = _scheme(text)
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise _Broken("has a character that no URL may have", "write it as %xx")
    try:
        url = urlsplit(text)
    except ValueError:
        raise _Broken("is no Redis address", f"give {EXAMPLES}") from None
    userinfo, _, hosts = url.netloc.rpartition("@")
    spots = (_socket(url.path),) if scheme == "unix" else _places(hosts, kind)
    said = _options(url.query)
    path = "" if scheme == "unix" else url.path
    master, number = _name_and_number(path, kind) if kind is Kind.SENTINEL else ("", path.removeprefix("/"))
    user, _, password = userinfo.partition(":")
    return Address(
        kind=kind,
        spots=spots,
        master=master,
        database=_database(number, said.get("db", ""), kind),
        login=Login(unquote(user) or said.get("username", ""), unquote(password) or said.get("password", "")),
        sentinel_login=Login(said.get("sentinel_username", ""), said.get("sentinel_password", "")),
        tls=_tls(said, scheme),
    )


def _scheme(text: str) -> tuple[str, Kind]:
    before, mark, _ = text.partition("://")
    match = _SCHEME.fullmatch(before)
    if not mark or match is None or before.lower().startswith("unix+"):
        raise _Broken("is no Redis address", f"give {EXAMPLES}")
    return match[1].lower(), Kind((match[2] or "+single")[1:].lower())


def _socket(path: str) -> SocketFile:
    if len(path) < len("/s"):
        raise _Broken("has no path", "give unix:///path/to/socket")
    return SocketFile(unquote(path))


def _places(hosts: str, kind: Kind) -> tuple[Place, ...]:
    port = SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT
    places = tuple(_place(host, port) for host in hosts.split(","))
    if kind is Kind.SINGLE and len(places) > 1:
        raise _Broken("has more than one host", "say which kind: redis+sentinel://… or redis+cluster://…")
    if len(set(places)) < len(places):
        raise _Broken("names a host twice", "name each once")
    return places


def _place(text: str, default_port: int) -> Place:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(?::([0-9]{1,5}))?", text)
    if match is None:
        raise _Broken("has no port number after a host", "give host:port")
    host, port = match[1].strip("[]"), int(match[2] or default_port)
    if not host:
        raise _Broken("has no host", f"give {EXAMPLES}")
    if not 0 < port <= PORT_MOST:
        raise _Broken("has a port that is none", f"give 1 to {PORT_MOST}")
    return Place(host, port)


def _name_and_number(path: str, kind: Kind) -> tuple[str, str]:
    name, _, number = path.removeprefix("/").partition("/")
    if not name:
        raise _Broken(f"does not say which master the {kind}s watch", "end it with /NAME")
    return unquote(name), number


def _database(in_path: str, in_query: str, kind: Kind) -> int:
    if in_path and in_query:
        raise _Broken("says its database twice", "leave out ?db=")
    number = in_path or in_query or "0"
    if not re.fullmatch(r"[0-9]{1,5}", number) or int(number) > DATABASE_MOST:
        raise _Broken("has no number for the database", "end it with /0, or after the port")
    if kind is Kind.CLUSTER and int(number):
        raise _Broken("names a database, but a cluster has only 0", "leave it out")
    return int(number)


def _options(query: str) -> dict[str, str]:
    known = f"the options are {', '.join(OPTIONS)}"
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise _Broken("has an option without a value", known) from None
    said = dict(pairs)
    if not said.keys() <= set(OPTIONS):
        raise _Broken("has an option that is not known", known)
    if len(said) < len(pairs):
        raise _Broken("has an option twice", known)
    return said


def _tls(said: dict[str, str], scheme: str) -> TlsFiles | None:
    wanted = _choice(said, "ssl", _TRUTH, instead=scheme == "rediss")
    about = [name for name in said if name.startswith("ssl_")]
    if scheme == "unix" and (wanted or about):
        raise _Broken("asks for TLS on a unix socket", "leave it out")
    if not wanted:
        if about or scheme == "rediss":
            raise _Broken("has options for TLS, but does not use TLS", "start it with rediss, or add ssl=true")
        return None
    files = TlsFiles(
        ca=said.get("ssl_ca_certs", ""),
        cert=said.get("ssl_certfile", ""),
        key=said.get("ssl_keyfile", ""),
        verify=_choice(said, "ssl_cert_reqs", _CHECKS, instead=True),
        check_hostname=_choice(said, "ssl_check_hostname", _TRUTH, instead=True),
    )
    if any(path and not path.startswith("/") for path in (files.ca, files.cert, files.key)):
        raise _Broken("has a certificate file with a relative path", "give absolute paths")
    if files.key and not files.cert:
        raise _Broken("has ssl_keyfile without ssl_certfile", "give both")
    return files


def _choice(said: dict[str, str], name: str, words: dict[str, bool], *, instead: bool) -> bool:
    if name not in said:
        return instead
    if said[name].lower() not in words:
        raise _Broken(f"has a value for {name} that it can't have", f"give {' or '.join(words)}")
    return words[said[name].lower()]
