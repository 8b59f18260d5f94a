"""A reply's body under a cap that counts decoded bytes. A body that breaks it is dropped unread."""

import zlib
from collections.abc import Mapping

from aiohttp import ClientResponse

from gateway.core.wire import Unconfirmed

BODY_MOST = 256 * 1024
PLAIN = frozenset({"", "identity"})
WBITS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
TOO_LARGE = Unconfirmed("the reply's body is too large")


async def read_body(response: ClientResponse, encoding: str) -> bytes | Unconfirmed:
    """The whole body, decoded; or why it can't be had."""
    raw = await _read_raw(response)
    return raw if isinstance(raw, Unconfirmed) else decoded(raw, encoding)


async def _read_raw(response: ClientResponse) -> bytes | Unconfirmed:
    content = response.content
    body = b""
    while not content.at_eof():
        body += await content.readany()
        if len(body) > BODY_MOST:
            return TOO_LARGE
    return body


def decoded(raw: bytes, encoding: str) -> bytes | Unconfirmed:
    """Undo one encoding, though none was asked for; stop where the cap is reached."""
    if encoding in PLAIN:
        return raw
    if (wbits := WBITS.get(encoding.lower())) is None:
        return Unconfirmed("the reply has an unknown content encoding")
    inflater = zlib.decompressobj(wbits)
    try:
        body = inflater.decompress(raw, BODY_MOST + 1)
    except zlib.error:
        return Unconfirmed("the reply's body cannot be decoded")
    if len(body) > BODY_MOST:
        return TOO_LARGE
    if not inflater.eof or inflater.unused_data:
        return Unconfirmed("the reply's body is not whole")
    return body
