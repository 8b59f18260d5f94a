"""Many cancels in one body, each answered as it finishes; what was not sent or not answered goes again."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import aiohttp

from gateway.client.call import Order, pause_ms, told_ms
from gateway.client.doubt import OVER, UNHEARD, certain
from gateway.client.exchange import Exchange, Unreachable, lines
from gateway.client.heard import Answer, answer_of, members, whole
from gateway.client.times import Times
from gateway.core.outcome import Outcome

ITEMS_MOST = 1000
OK = 200


@dataclass(slots=True)
class Open:
    """One that has no final answer yet."""

    index: int
    order: Order
    key: str
    not_before: float = 0.0
    tries: int = 0
    in_doubt: bool = False
    last: Answer | None = None

    def told(self) -> Answer | None:
        """What is certain of it; None where provably nothing was sent."""
        blank = Answer(Outcome.UNKNOWN, 0, self.key, self.index, self.tries, UNHEARD)
        return certain(self.last, blank, in_doubt=self.in_doubt)

    def never_sent(self) -> Answer:
        """The time was too short for it."""
        return Answer(Outcome.OVER_DEADLINE, 0, self.key, self.index, self.tries, OVER)


@dataclass(slots=True)
class Many:
    """The cancels of one call on their way."""

    exchange: Exchange
    times: Times
    headers: Mapping[str, str]
    deadline: float
    waiting: dict[int, Open]
    connected: bool = False
    reason: str = ""
    _unheard: dict[int, Open] = field(default_factory=dict)

    async def answers(self) -> AsyncIterator[Answer]:
        """Every one of them exactly once, in whatever order they end."""
        while self.waiting and self.times.now() < self.deadline:
            now = self.times.now()
            part = [one for one in self.waiting.values() if one.not_before <= now][:ITEMS_MOST]
            if not part:
                await self.times.rest(min(one.not_before for one in self.waiting.values()) - now)
                continue
            async for answer in self._round(part):
                yield answer
            for answer in self._after(part):
                yield answer
        if self.waiting and not self.connected:
            raise Unreachable(self.reason)
        for one in self.waiting.values():
            yield one.told() or one.never_sent()

    async def _round(self, part: Sequence[Open]) -> AsyncIterator[Answer]:
        left_s = self.deadline - self.times.now()
        body = json.dumps({"cancels": [one.order.item(one.key) for one in part]}).encode()
        said = {**self.headers, "X-Request-Timeout-Ms": str(told_ms(left_s)), "Content-Type": "application/json"}
        self._unheard = {one.index: one for one in part}
        for one in part:
            one.tries, one.last = one.tries + 1, None
        try:
            async with self.exchange.opened("POST", "/cancels", said, left_s, body) as reply:
                self.connected = True
                if reply.status != OK:
                    self._refused(answer_of(reply.status, members(await reply.read()), None, "", 1))
                    return
                async for line in lines(reply):
                    if (answer := self._answered(part, line)) is not None:
                        yield answer
                if self._unheard:
                    self.exchange.go_on()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as lost:
            silent = self.exchange.silent(lost)
            self.connected, self.reason = self.connected or silent.sent, silent.reason
            if not silent.sent:
                return
        for one in self._unheard.values():
            one.in_doubt = True

    def _refused(self, answer: Answer | None) -> None:
        """The body as a whole was refused, or a proxy answered: then any of them may have been sent."""
        for one in self._unheard.values():
            one.in_doubt = one.in_doubt or answer is None
            one.last = None if answer is None else replace(answer, index=one.index, key=one.key, tries=one.tries)
        self._unheard = {}

    def _answered(self, part: Sequence[Open], line: bytes) -> Answer | None:
        """A line; what may be tried again stays for the next round."""
        said = members(line)
        at = None if said is None else whole(said, "index")
        if said is None or at is None or not 0 <= at < len(part):
            return None
        one = part[at]
        answer = answer_of(whole(said, "status") or OK, said, None, one.key, one.tries)
        if answer is None or self._unheard.pop(one.index, None) is None:
            return None
        one.last = replace(answer, index=one.index)
        if pause_ms(answer, 1, 1.0) is not None:
            return None
        del self.waiting[one.index]
        return one.told()

    def _after(self, part: Sequence[Open]) -> Iterator[Answer]:
        """When each may be tried again; whoever can't be in time is answered now."""
        for one in part:
            if one.index not in self.waiting:
                continue
            if one.last is not None and one.last.outcome is Outcome.DRAINING:
                self.exchange.go_on()
            pause = pause_ms(one.last, one.tries, self.times.chance())
            if pause is not None and self.times.now() + pause / 1000 < self.deadline:
                one.not_before = self.times.now() + pause / 1000
                continue
            if (answer := one.told()) is None:
                one.not_before = self.deadline
                continue
            del self.waiting[one.index]
            yield answer
