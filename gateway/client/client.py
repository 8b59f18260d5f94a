"""`CancelClient`: the gateway's calls, each with a key, a deadline and only such retries as are safe."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Self

import aiohttp

from gateway.client.call import Order, escaped, with_query
from gateway.client.doubt import UNHEARD
from gateway.client.exchange import Exchange, Heard, Unreachable
from gateway.client.heard import (
    Answer,
    Killed,
    Members,
    Record,
    VenueState,
    answer_of,
    killed_of,
    members,
    outcome_of,
    record_of,
    text,
    venues_of,
)
from gateway.client.many import Many, Open
from gateway.client.times import Times
from gateway.client.trying import Call, until_told
from gateway.core.model import Wait
from gateway.core.outcome import Outcome

URGENT = "u=1"
READ_S, LOOK_S, OK, NOT_FOUND = 5.0, 0.25, 200, 404


class ReadRefused(Exception):  # noqa: N818  the gateway's word, not a bug
    """A record or the venues may not, or cannot, be read now."""

    def __init__(self, status: int, outcome: Outcome | None, detail: str) -> None:
        super().__init__(f"{outcome or status}: {detail}")
        self.status = status
        self.outcome = outcome


class CancelClient:
    """Talks to one gateway, or to the first of several that answers. Use it with `async with`, and share it.

    `token` may be a function, for tokens that are renewed. `tls` is a context with the authority, or a certificate.
    What the caller can bring about is a value (`Answer.outcome`); Unreachable says that provably nothing was sent.
    """

    def __init__(
        self, urls: str | Sequence[str], token: str | Callable[[], str], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._urls = (urls,) if isinstance(urls, str) else tuple(urls)
        self._token = token
        self._tls = tls
        self._times = Times()
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls or True)
        self._exchange = Exchange(aiohttp.ClientSession(connector=connector), self._urls, self._token)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._exchange is not None:
            await self._exchange.http.close()
            self._exchange = None

    async def cancel(
        self, order: Order, *, timeout_s: float = 5.0, urgent: bool = False, traceparent: str | None = None
    ) -> Answer:
        """Get one order cancelled. `unknown` means that nobody can say yet: ask again with `until_final`."""
        key = order.key or self._times.key()
        call = Call("DELETE", order.target, _headers(key, traceparent, urgent=urgent), timeout_s)

        def read(heard: Heard, tries: int) -> Answer | None:
            return answer_of(heard.status, members(heard.body), heard.retry_after, key, tries)

        def blank(tries: int) -> Answer:
            return Answer(Outcome.UNKNOWN, 0, key, tries=tries, detail=UNHEARD)

        return await until_told(self._open, self._times, call, read, blank)

    async def cancel_many(
        self,
        orders: Iterable[Order],
        *,
        timeout_s: float = 30.0,
        urgent: bool = False,
        traceparent: str | None = None,
    ) -> AsyncIterator[Answer]:
        """Get many cancelled; each answer as it comes, with its `index`. Whoever stops reading stops the rest."""
        each = {n: Open(n, order, order.key or self._times.key()) for n, order in enumerate(orders)}
        headers = _headers(None, traceparent, urgent=urgent)
        async for answer in Many(self._open, self._times, headers, self._times.now() + timeout_s, each).answers():
            yield answer

    async def kill(
        self,
        venue: str,
        *,
        account: str | None = None,
        symbol: str | None = None,
        wait: Wait | None = None,
        key: str | None = None,
        timeout_s: float = 30.0,
        traceparent: str | None = None,
    ) -> Killed:
        """Get everything of an account cancelled; `proven` says whether an empty list was seen afterwards."""
        key = key or self._times.key()
        target = with_query(f"/orders/{escaped(venue)}", {"account": account, "symbol": symbol, "wait": wait})
        call = Call("DELETE", target, _headers(key, traceparent, urgent=False), timeout_s)

        def read(heard: Heard, tries: int) -> Killed | None:
            return killed_of(heard.status, members(heard.body), heard.retry_after, key, tries)

        def blank(tries: int) -> Killed:
            return Killed(Outcome.UNKNOWN, 0, key, tries=tries, detail=UNHEARD)

        return await until_told(self._open, self._times, call, read, blank)

    async def record(self, record: str, *, timeout_s: float = READ_S) -> Record | None:
        """One cancel's record; None where there is none, or it is somebody else's."""
        heard = await self._read(f"/cancels/{escaped(record)}", timeout_s)
        said = members(heard.body)
        if heard.status == NOT_FOUND and said is not None and outcome_of(said) is Outcome.NOT_FOUND:
            return None
        return record_of(_found(heard, said))

    async def until_final(self, record: str, *, timeout_s: float) -> Record | None:
        """The record as soon as its outcome is a fact, or as it stands when the time is over."""
        deadline = self._times.now() + timeout_s
        while True:
            seen = await self.record(record, timeout_s=max(LOOK_S, deadline - self._times.now()))
            if seen is None or seen.final or self._times.now() + LOOK_S >= deadline:
                return seen
            await self._times.rest(LOOK_S)

    async def venues(self, *, timeout_s: float = READ_S) -> tuple[VenueState, ...]:
        """Every venue and account that this token may use, as it stands."""
        heard = await self._read("/venues", timeout_s)
        return venues_of(_found(heard, members(heard.body)))

    @property
    def _open(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("use it with `async with`")
        return self._exchange

    async def _read(self, target: str, timeout_s: float) -> Heard:
        """A read, at each address once at most."""
        deadline, ask = self._times.now() + timeout_s, partial(self._open.ask, "GET", target, {})
        reasons: list[str] = []
        for _ in self._urls:
            heard = await ask(max(0.001, deadline - self._times.now()))
            if isinstance(heard, Heard):
                return heard
            reasons.append(heard.reason)
        raise Unreachable("; ".join(reasons))


def _headers(key: str | None, traceparent: str | None, *, urgent: bool) -> dict[str, str]:
    said = {"Idempotency-Key": key, "traceparent": traceparent, "Priority": URGENT if urgent else None}
    return {name: value for name, value in said.items() if value is not None}


def _found(heard: Heard, said: Members | None) -> Members:
    if heard.status == OK and said is not None:
        return said
    known = said or {}
    raise ReadRefused(heard.status, outcome_of(known), text(known, "detail") or "no answer of the gateway")
