"""Bytes to one reply after another, under caps. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.backends.body import BODY_MOST, TOO_LARGE, decoded
from gateway.core.value import quick
from gateway.core.wire import Unconfirmed

HEAD_MOST = 64 * 1024
FIRST_FINAL_STATUS, SWITCHING = 200, 101
NO_HTTP = Unconfirmed("the reply is not HTTP")
SWITCHES = Unconfirmed("the venue wants to switch protocols")


@quick
@dataclass(frozen=True, slots=True)
class Read:
    """A whole reply, decoded; `reusable` where the connection may carry another request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reusable: bool


class ReplyReader:
    """Reads what comes in on one connection. What comes after a whole reply spoils the connection, not the reply."""

    __slots__ = ("_body", "_headers", "_over", "_parser", "_size", "_until_end", "_whole")

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._until_end = False
        self._over: Unconfirmed | None = None
        self._whole: Read | Unconfirmed | None = None

    def feed(self, data: bytes) -> Read | Unconfirmed | None:
        """Take what came; the reply once it is whole, None while more must come."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            return SWITCHES
        except HttpParserError:
            if not isinstance(self._whole, Read):
                return NO_HTTP
            self._spoil()
        if self._over is not None:
            return self._over
        if self._whole is None:
            return None
        whole = self._whole
        self._begin()
        return whole

    def end(self) -> Read | None:
        """The other side has closed: the reply, where that is how it says that it is whole."""
        if not self._until_end or self._over is not None:
            return None
        self.on_message_complete()
        return self._whole if isinstance(self._whole, Read) else None

    def _spoil(self) -> None:
        whole = self._whole
        if isinstance(whole, Read):
            self._whole = Read(whole.status, whole.headers, whole.body, reusable=False)

    # -- what the parser tells -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A reply begins: the one that is awaited, or one more than that."""
        self._spoil()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; names in lower case, repeated ones joined as RFC 9110, 5.3 says."""
        if self._whole is not None:
            return
        self._size += len(name) + len(value)
        if self._size > HEAD_MOST:
            self._over = NO_HTTP
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The head is whole; a length that is too large need not be waited for."""
        if self._whole is not None:
            return
        self._size = 0
        length = self._headers.get("content-length")
        if length is not None and int(length) > BODY_MOST:
            self._over = TOO_LARGE
        self._until_end = length is None and not self._headers.get("transfer-encoding", "").lower().endswith("chunked")

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._whole is not None:
            return
        self._size += len(data)
        if self._size > BODY_MOST:
            self._over = TOO_LARGE
        else:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """The reply is whole; one of the 1xx kind only says that there is more to come."""
        if self._whole is not None or self._over is not None:
            return
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS:
            if status == SWITCHING:
                self._over = SWITCHES
            self._headers.clear()
            return
        body = decoded(b"".join(self._body), self._headers.get("content-encoding", ""))
        if isinstance(body, Unconfirmed):
            self._whole = body
        else:
            self._whole = Read(status, self._headers, body, self._parser.should_keep_alive())
