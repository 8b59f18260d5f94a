"""From an address to whoever answers there: one server, the master that sentinels name, or the masters of a cluster."""

import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Protocol, assert_never

from hiredis import ReplyError

from gateway.backends.redis.cluster import Cluster
from gateway.backends.redis.node import CONNECT_LEAST_S, Found, Greeting, Node, staying
from gateway.backends.redis.sentinel import Sentinels
from gateway.backends.redis.wire import Answer, refused
from gateway.backends.redis.words import pack
from gateway.core.redis_address import Address, Kind, Spot, TlsFiles

PING = pack("PING")


class Servers(Protocol):
    """Whoever answers; every failure is Unavailable, every refusal an answer."""

    def ask(self, command: bytes, keys: Sequence[str], deadline: float) -> Awaitable[Answer]:
        """One command, to whom its first key belongs."""
        ...

    def doubt(self, refusal: ReplyError) -> None:
        """Hear what was refused, which may tell something of whoever refused it."""
        ...

    async def ping(self, deadline: float) -> None:
        """Raise Unavailable unless everyone who is needed answers."""
        ...

    async def anyone(self) -> Spot:
        """Where somebody is at whom everything that is published is heard; raises Unavailable."""
        ...

    async def aclose(self) -> None:
        """Drop all connections."""
        ...


class Single:
    """One server at a time, fixed or named by sentinels."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def ask(self, command: bytes, keys: Sequence[str], deadline: float) -> Awaitable[Answer]:  # noqa: ARG002  all here
        """One command."""
        return self._node.ask(command, deadline)

    def doubt(self, refusal: ReplyError) -> None:
        """A master that was demoted: whoever is it now may answer at the same address, or elsewhere."""
        if "READONLY" in str(refusal):
            self._node.doubt()

    async def ping(self, deadline: float) -> None:
        """Raise Unavailable unless it answers."""
        answer = await self.ask(PING, (), deadline)
        if isinstance(answer, ReplyError):
            self.doubt(answer)
            raise refused(answer)

    async def anyone(self) -> Spot:
        """Where the server is."""
        return await self._node.whereabouts()

    async def aclose(self) -> None:
        """Drop the connection."""
        await self._node.aclose()


def greeting_at(address: Address, timeout_s: float) -> Greeting:
    """What a connection to there begins with. Raises ValueError where the TLS files are no such."""
    tls = None if address.tls is None else tls_context(address.tls)
    return Greeting(address.login, address.database, tls, max(timeout_s, CONNECT_LEAST_S))


def servers_at(address: Address, greeting: Greeting, found: Found) -> Servers:
    """Who answers there; nothing is connected yet."""
    match address.kind:
        case Kind.SINGLE:
            return Single(Node(staying(address.spots[0]), greeting, found))
        case Kind.SENTINEL:
            asking = replace(greeting, login=address.sentinel_login, database=0)
            sentinels = Sentinels(address.spots, address.master, asking)
            return Single(Node(sentinels, replace(greeting, master_only=True), found))
        case Kind.CLUSTER:
            return Cluster(address.spots, greeting, found)
        case _:
            assert_never(address.kind)


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Whom a connection trusts and what it shows; raises ValueError."""
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
        if files.cert:
            # An empty passphrase makes an encrypted key fail here, where OpenSSL would otherwise ask the terminal.
            context.load_cert_chain(files.cert, files.key or None, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ValueError("the TLS files of redis.url can't be used") from error
    if not files.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif not files.check_hostname:
        context.check_hostname = False
    return context
