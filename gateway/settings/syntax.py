"""The few settings that have a syntax of their own: addresses, URLs, hashes. Text in, value or Wrong out."""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.core.redis_address import Address, Flaw, Place, TlsFiles, parse_redis_address
from gateway.settings.schema import Wrong

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOTHING = hashlib.sha256(b"").hexdigest()
_PORT_MOST = 65535
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[!-~]{1,500}")
NAMES_REMEDY = 'give names such as "desk-a.internal" or URIs such as "spiffe://mesh/desk-a", each whole'


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; port 0 takes any free one."""

    host: str
    port: int


def listen(text: str) -> Listen | Wrong:
    """`host:port`, with brackets around an IPv6 address."""
    wrong = Wrong(
        "is no address to listen on", 'give "host:port" such as "0.0.0.0:8080" or "[::1]:8080", port 0 to 65535'
    )
    host, colon, port = text.strip().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _PORT_MOST:
        return wrong
    if host.startswith("[") and host.endswith("]"):
        return Listen(host[1:-1], int(port)) if _is_ip(host[1:-1], 6) else wrong
    return Listen(host, int(port)) if _is_host(host) else wrong


def base_url(text: str) -> str | Wrong:
    """What stands before a venue's own path, without a slash at its end; plain http for loopback only."""
    remedy = 'give an address such as "https://api.example.com"'
    url = _split(text.strip())
    if url is None or url.scheme not in {"http", "https"} or not url.hostname or not _is_host(url.hostname):
        return Wrong("is no web address", remedy)
    if "@" in url.netloc:
        return Wrong("has credentials in it", "put them into the secret store, not into an address")
    if "?" in text or "#" in text:
        return Wrong("has a query or fragment", "end it after the path")
    path = url.path.rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        return Wrong("has a path with other than letters, digits and . _ ~ -", remedy)
    if url.scheme == "http" and not is_loopback(url.hostname):
        return Wrong("is plain http to another machine", "give an https address; http is for loopback only")
    return f"{url.scheme}://{url.netloc.lower()}{path}"


def collector_url(text: str) -> str | Wrong:
    """Where spans go: a web address, which may be plain http, since they hold no secret."""
    url = _split(text.strip())
    if url is None or url.scheme not in {"http", "https"} or not url.hostname or not _is_host(url.hostname):
        return Wrong("is no web address", 'give an address such as "http://collector:4318"')
    if "@" in url.netloc or "?" in text or "#" in text:
        return Wrong("has more than host, port and path", "put headers into $OTEL_EXPORTER_OTLP_HEADERS")
    if url.path.rstrip("/").endswith("/v1/traces"):
        return Wrong("ends in /v1/traces, which is added to it", "leave that out")
    return f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}"


def redis_url(text: str) -> str | Wrong:
    """`embedded`, or where a Redis is; what it may hold of a password is never repeated."""
    text = text.strip()
    if text == "embedded":
        return text
    address = parse_redis_address(text)
    if isinstance(address, Flaw):
        return Wrong(address.problem, address.remedy)
    if any(isinstance(spot, Place) and not _is_host(spot.host) for spot in address.spots):
        return Wrong("has a host that is none", "give a name, an IPv4 address or an [IPv6 address]")
    return text


def redis_files(url: str) -> TlsFiles | None:
    """The certificate files that a taken URL names."""
    address = parse_redis_address(url)
    return address.tls if isinstance(address, Address) else None


def token_sha256(text: str) -> str | Wrong:
    """The SHA-256 of a caller's token, as 64 hex digits."""
    digest = text.strip().lower()
    if not _DIGEST.fullmatch(digest):
        return Wrong("is no SHA-256 in hex", "give 64 hex digits; `cancel-gateway token new CALLER` prints them")
    if digest == _NOTHING:
        return Wrong("is the SHA-256 of an empty token", "make a token with `cancel-gateway token new CALLER`")
    return digest


def certificate_name(text: str) -> str | Wrong:
    """A DNS name or a URI, as it stands in a certificate; names are the same in either case."""
    name = text.strip()
    if ":" not in name:
        return name.lower() if _HOST.fullmatch(name) else Wrong("holds something else than a name or URI", NAMES_REMEDY)
    if _URI.fullmatch(name):
        return name
    return Wrong("holds something else than a name or URI", NAMES_REMEDY)


def is_loopback(host: str) -> bool:
    """Whether a host can only be this machine: 127.0.0.0/8, ::1, localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(text: str) -> SplitResult | None:
    """The parts of a URL; None where it has none, a port that is no port, or anything invisible in it."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    return None if port == 0 or url.netloc.endswith(":") else url


def _is_host(host: str) -> bool:
    """A name or an address. Digits and dots alone are an address, or nothing: resolvers disagree about 127.1."""
    if ":" in host:
        return _is_ip(host, 6)
    if re.fullmatch(r"[0-9.]+", host):
        return _is_ip(host, 4)
    return _HOST.fullmatch(host) is not None


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
