"""Our own reading of HTTP/1.1: whatever a venue's socket gives, in whatever pieces, it is a reply or it is none."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.http1.reply import Read, ReplyReader
from gateway.core.wire import Unconfirmed

LINES = st.sampled_from([
    "HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.0 200 OK", "HTTP/1.1 100 Continue", "HTTP/1.1 101 Switching",
    "HTTP/1.1 99999 X", "HTTP/2 200", "HTTP/1.1 -1 X", "SSH-2.0-OpenSSH", "HTTP/1.1 200",
])  # fmt: skip
HEADERS = st.sampled_from([
    "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 5, 5",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: x", "Connection: close",
    "Content-Encoding: gzip", "Content-Encoding: deflate", "Content-Encoding: br", "Content-Encoding: gzip, gzip",
    "Upgrade: websocket", "Connection: upgrade", "Retry-After: \xff", ": x", "no colon", " folded",
])  # fmt: skip
CHUNKS = st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"0\r\n\r\n", b"hello", b"{}", b""])


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Something like a reply: a head of good and bad lines, and a body of either kind or none."""
    head = [draw(LINES), *draw(st.lists(HEADERS, max_size=4))]
    end = draw(st.sampled_from(["\r\n", "\n", "\r"]))
    body = draw(CHUNKS) + draw(st.binary(max_size=20))
    return (end.join(head) + end + end).encode("latin-1") + body


def read(whole: bytes, cuts: list[int]) -> list[Read | Unconfirmed]:
    """All that is read from the pieces, and from the end of the connection."""
    reader, places = ReplyReader(), [0, *sorted(cuts), len(whole)]
    found: list[Read | Unconfirmed] = []
    for begin, end in pairwise(places):
        said = reader.feed(whole[begin:end])
        if said is not None:
            found.append(said)
        if isinstance(said, Unconfirmed):
            return found  # the connection ends with it
    last = reader.end()
    return found if last is None else [*found, last]


@given(whole=replies() | st.binary(max_size=200) | st.lists(replies(), max_size=3).map(b"".join), data=st.data())
def test_any_bytes_in_any_pieces_are_replies_or_none(whole: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))

    for each in read(whole, cuts):
        assert isinstance(each, Read | Unconfirmed)
        if isinstance(each, Read):
            assert 200 <= each.status <= 999
            assert all(name == name.lower() for name in each.headers)


@given(body=st.binary(max_size=60), data=st.data())
def test_a_good_reply_is_the_same_in_any_pieces(body: bytes, data: st.DataObject) -> None:
    head = f"HTTP/1.1 200 OK\r\nX-One: a\r\nX-One: b\r\nContent-Length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))

    headers = {"x-one": "a, b", "content-length": str(len(body))}
    assert read(whole, cuts) == [Read(200, headers, body, reusable=True)]
