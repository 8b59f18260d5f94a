"""Requests that nobody would send, in great number: no bug shows, no series is added, no log line is broken.

`make fuzz` sends a hundred thousand; FUZZ_REQUESTS says how many.
"""

import asyncio
import hashlib
import os
import random
import re
import string
from urllib.parse import quote

import orjson
import pytest
from front_rig import Counter, counting

from gateway.backends.auditor import Auditor
from gateway.backends.logs import line
from gateway.backends.metrics import Metrics
from gateway.core.access import Caller, Permission
from gateway.venues import ALL

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "5000"))
AT_ONCE = 20
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
LETTERS = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%?#[]{}|\\^`<>\""
HEADERS = (
    "Authorization", "X-Request-ID", "Idempotency-Key", "X-Request-Timeout-Ms", "Priority", "traceparent", "Host",
    "Content-Type", "Accept", "Cookie", "X-Forwarded-For", "Connection",
)  # fmt: skip
WORDS = (
    *(venue.id for venue in ALL), "orders", "cancels", "venues", "openapi.json", "docs", "healthz", "readyz", "metrics",
    "by=order_id", "by=client_id", "account=desk-a", "symbol=PERP_ETH_USDC", "plan=true", "wait=terminal", "1",
    "0" * 26, "..", "%2e%2e", "%00", "%0d%0a", "%ff", "a" * 600,
)  # fmt: skip
LAST = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHIEF = Caller("chief", ("*:*",), frozenset(Permission), 1, (hashlib.sha256(b"chief").hexdigest(),))


class Junk:
    """Repeatable nonsense."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  a test that can be repeated

    def text(self, most: int) -> str:
        return "".join(self.chance.choices(LETTERS, k=self.chance.randint(0, most)))

    def word(self) -> str:
        return self.chance.choice(
            (self.chance.choice(WORDS), self.text(20), quote(self.text(9) + "\u20ac\x00", safe=""))
        )

    def request(self) -> bytes:
        method = self.chance.choice(("DELETE",) * 5 + ("GET", "GET", "POST", "PUT", "OPTIONS", self.text(5) or "X"))
        path = "/" + "/".join(self.word() for _ in range(self.chance.randint(0, 4)))
        if self.chance.random() < 0.5:
            path = f"/orders/{self.word()}/{self.word()}"
        query = "&".join(self.word() for _ in range(self.chance.randint(0, 3)))
        lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1", "Host: a"]
        lines += ["Authorization: Bearer chief"] if self.chance.random() < 0.7 else []
        for _ in range(self.chance.randint(0, 3)):
            name = self.chance.choice((self.chance.choice(HEADERS), self.text(10)))
            lines.append(
                f"{name}: {self.chance.choice((self.word(), self.text(200), str(self.chance.randint(-5, 10**9))))}"
            )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def answers(counter: Counter, request: bytes) -> list[int]:
    """The statuses until the connection is closed, which a request that can't be read brings about."""
    reader, writer = await asyncio.open_connection("127.0.0.1", counter.port)
    writer.write(request + LAST)
    said = b""
    try:
        async with asyncio.timeout(5):
            while piece := await reader.read(65536):
                said += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return [int(status) for status in STATUS.findall(said)]


def series(metrics: Metrics) -> set[bytes]:
    return {line.rpartition(b" ")[0] for line in metrics.render().splitlines()}


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
async def test_random_requests_bring_no_bug_no_series_and_no_broken_line() -> None:
    junk, statuses, asked = Junk(7), set[int](), 0
    metrics = Metrics([venue.id for venue in ALL], "0", Auditor({venue.id: venue.quotas for venue in ALL}), lambda: 0.0)
    before = series(metrics)
    async with counting([CHIEF], metrics) as counter:
        while asked < REQUESTS:
            heard = await asyncio.gather(*(answers(counter, junk.request()) for _ in range(AT_ONCE)))
            assert all(heard)
            asked += AT_ONCE
            statuses.update(*heard)
            counter.world.clock.pass_s(1.0)
            counter.world.story.clear()
            for fields in counter.log.kept:
                written = line("cancel.done", "info", fields)
                assert written.count(b"\n") == 1
                orjson.loads(written)
            counter.log.kept.clear()

        assert counter.log.bugs == []
    assert series(metrics) == before
    assert {400, 401, 404, 405} <= statuses <= {200, 400, 401, 404, 405, 413, 417, 426, 431, 503}
