"""One request to a secret store over HTTP: bounded in time and size. No store's own habits.

A redirect is an answer like any other and never followed: whoever could send one would choose where our token goes.
Reasons are worded here and never taken from exceptions, whose texts hold addresses and what was sent.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.ports import Unavailable

ANSWER_MOST_BYTES = 256 * 1024
CONNECTIONS = 16
KEEP_ALIVE_S = 15
HEADERS = {"User-Agent": "cancel-gateway", "Accept-Encoding": "identity"}
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorDNSError, "its name could not be resolved"),
    (ClientConnectorCertificateError, "its certificate is not valid"),
    (ClientConnectorSSLError, "the TLS handshake failed"),
    (ClientConnectorError, "it could not be connected"),
    (TimeoutError, "no whole answer in time"),
    (HttpProcessingError, "the answer is not HTTP"),
    (Exception, "the connection broke before a whole answer came"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `body` is None where it was larger than it may be; whoever has read it wipes it."""

    status: int
    headers: Mapping[str, str]
    body: bytearray | None = field(repr=False)


class Remote:
    """Connections to one store, made when they are first needed."""

    def __init__(self, name: str, timeout_ms: int, tls: ssl.SSLContext | None = None) -> None:
        """`name` is what Unavailable says; `tls` None: the authorities that the machine trusts."""
        self._name = name
        self._timeout = ClientTimeout(total=timeout_ms / 1000)
        self._tls = tls

    @cached_property
    def _session(self) -> ClientSession:
        # Environment proxies are ignored: they would see every credential.
        return ClientSession(
            connector=TCPConnector(
                limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=True if self._tls is None else self._tls
            ),
            cookie_jar=DummyCookieJar(),
            headers=HEADERS,
            timeout=self._timeout,
            trust_env=False,
            auto_decompress=False,
        )

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        most_bytes: int = ANSWER_MOST_BYTES,
    ) -> Said:
        """The whole answer; raises Unavailable where none came."""
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method, target, headers=headers, data=body, allow_redirects=False
            ) as response:
                return Said(response.status, response.headers, await _body(response, most_bytes))
        except (ClientError, HttpProcessingError, OSError, ValueError) as failure:
            reason = next(words for kind, words in REASONS if isinstance(failure, kind))
        raise Unavailable(self._name, reason)

    async def aclose(self) -> None:
        """Close every connection."""
        if "_session" in self.__dict__:
            await self._session.close()


async def _body(response: ClientResponse, most_bytes: int) -> bytearray | None:
    body = bytearray()
    while not response.content.at_eof():
        body += await response.content.readany()
        if len(body) > most_bytes:
            response.close()
            return None
    return body


def trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    """Only the authorities of this file; None leaves it to the machine."""
    return None if ca_file is None else ssl.create_default_context(cafile=ca_file)
