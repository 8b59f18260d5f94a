"""A store, a sender and a clock by hand, for the tests of the keeper."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.backends.credentials.store import Material, Missing, Stored
from gateway.core.model import Account, VenueId
from gateway.core.wire import NotSent, Reply, SendResult, WireRequest
from gateway.ports import Unavailable, always


class HandClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return 1_700_000_000_000 + round(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds


class HandStore:
    """What each account holds; `gate` closed means that a read hangs until it opens."""

    def __init__(self) -> None:
        self.kept: dict[Account, Stored] = {}
        self.reads: list[Account] = []
        self.down = False
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.lists = 0
        self.list_gate = asyncio.Event()
        self.list_gate.set()

    def put(self, account: Account, version: str, **fields: str) -> None:
        self.kept[account] = Material(fields, version)

    async def read(self, account: Account) -> Stored:
        self.reads.append(account)
        await self.gate.wait()
        if self.down:
            raise Unavailable("hand store", "down")
        return self.kept.get(account, Missing())

    async def names(self, venue: VenueId) -> Sequence[str]:
        self.lists += 1
        await self.list_gate.wait()
        if self.down:
            raise Unavailable("hand store", "down")
        return sorted(account.name for account in self.kept if account.venue == venue)

    async def aclose(self) -> None:
        self.closed = True


class HandSender:
    """Answers what it is given, in turn; the last answer stays."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.answers: list[tuple[int, str] | SendResult] = [NotSent("no answer was given")]
        self.sent: list[WireRequest] = []

    async def send(
        self,
        venue: VenueId,
        request: WireRequest,
        timeout_ms: int,
        may_leave: Callable[[], bool] = always,
        *,
        urgent: bool = False,
    ) -> SendResult:
        assert not urgent
        assert may_leave()
        assert venue
        assert timeout_ms > 0
        self.sent.append(request)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, tuple):
            status, body = answer
            return Reply(status, {}, body.encode(), self.clock.now_ms())
        return answer


async def let_run() -> None:
    """Give what is in the air the time to land."""
    for _ in range(20):
        await asyncio.sleep(0)
