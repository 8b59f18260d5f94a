"""The trail's way into a real server: in order and once, through outages, losses and floods."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from real_valkey import Server, server_on_socket

from gateway.backends.clock import SystemClock
from gateway.backends.redis.embedded import find_server
from gateway.backends.redis.link import Link
from gateway.backends.trail import NOTES_MOST, RedisTrail, Watch
from gateway.backends.trail_reader import entries, head_of, listed
from gateway.core import keys
from gateway.core.trail import Began, Gap, Tree, read
from gateway.core.trail_backlog import MARK_EVERY, Bounds
from gateway.core.trail_check import Check, Kind, Report

STREAM = "0f"
WITHIN_S = 5.0
DAY_MS = 86_400_000


@dataclass(slots=True)
class Witness:
    """Both who log and who count."""

    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)
    dropped: int = 0
    waiting: int = 0

    def done(self, fields: Mapping[str, object]) -> None:
        raise AssertionError(fields)

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def lines_lost(self) -> int:
        return 0

    def broke(self, request_id: str, error: BaseException) -> None:
        del request_id
        self.bugs.append(error)

    def trail_dropped(self, decisions: int) -> None:
        self.dropped += decisions

    def trail_waiting(self, entries: int) -> None:
        self.waiting = entries

    def named(self, name: str) -> list[Mapping[str, object]]:
        return [fields for event, fields in self.events if event == name]


@pytest.fixture
def witness() -> Witness:
    return Witness()


@asynccontextmanager
async def writing(url: str, witness: Witness, bounds: Bounds | None = None) -> AsyncIterator[RedisTrail]:
    """A trail while the block runs, and its end."""
    link = Link(url, timeout_ms=200)
    began = Began("1.0", {})
    trail = RedisTrail(link, SystemClock(), STREAM, bounds or Bounds(DAY_MS), began, Watch(witness, witness))
    try:
        yield trail
    finally:
        await trail.aclose()
        await link.aclose()
    assert witness.bugs == []


async def checked(url: str) -> Report:
    """What a check makes of what lies there now."""
    link, check = Link(url, timeout_ms=2000), Check()
    head = await head_of(link, STREAM)
    async for kept in entries(link, STREAM):
        check.take(kept)
    await link.aclose()
    return check.end(head)


async def trees(url: str) -> list[Tree]:
    link = Link(url, timeout_ms=2000)
    found = [read(kept.data) or {} async for kept in entries(link, STREAM)]
    await link.aclose()
    return found


async def stored(server: Server, at_least: int) -> None:
    """Wait until so many entries were appended."""
    await eventually(lambda: int(server.client.hget(keys.trail(STREAM)[1], "seq") or 0) >= at_least)


async def eventually(true: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():  # noqa: ASYNC110  others know nothing of events
            await asyncio.sleep(0.01)


async def test_everything_is_stored_in_order_with_few_commands(valkey: Server, witness: Witness) -> None:
    before = valkey.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    async with writing(valkey.url, witness) as trail:
        for number in range(1000):
            trail.note(Gap(number))
    after = valkey.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    report = await checked(valkey.url)

    assert (report.entries, report.ended, report.fault) == (1002, True, None)
    assert [tree["lost"] for tree in await trees(valkey.url) if tree["is"] == "gap"] == list(range(1000))
    assert after - before < 20
    assert witness.waiting == 0


async def test_head_is_told_outside_and_the_trail_is_listed(valkey: Server, witness: Witness) -> None:
    async with writing(valkey.url, witness) as trail:
        await stored(valkey, 1)
        trail.note(Gap(1))

    heads = witness.named("trail.head")
    report = await checked(valkey.url)
    assert (heads[-1]["seq"], heads[-1]["hash"]) == (report.last, report.hash.hex())
    link = Link(valkey.url, timeout_ms=2000)
    assert [each.stream for each in await listed(link)] == [STREAM]
    await link.aclose()
    for key in keys.trail(STREAM):
        assert DAY_MS < valkey.client.pttl(key) <= 2 * DAY_MS


async def test_what_was_decided_while_redis_was_away_is_stored_when_it_is_back(
    tmp_path: Path, witness: Witness
) -> None:
    """It comes back empty, too: what was stored before is stored again."""
    async with AsyncExitStack() as ends:
        with server_on_socket(find_server(), tmp_path) as server:
            trail = await ends.enter_async_context(writing(server.url, witness))
            for number in range(300):
                trail.note(Gap(number))
            await stored(server, 301)
        trail.note(Gap(0))
        await eventually(lambda: witness.named("trail.lost"))
        with server_on_socket(find_server(), tmp_path) as server:
            await stored(server, 302)
            await ends.aclose()

            report = await checked(server.url)

    assert (report.fault, report.first, report.ended) == (None, 1, True)
    told = [event for event, _ in witness.events if event != "trail.head"]
    assert told == ["trail.lost", "trail.behind", "trail.back"]
    assert witness.named("trail.behind")[0]["healed"]


async def test_entries_that_are_lost_for_good_are_found(tmp_path: Path, witness: Witness) -> None:
    with server_on_socket(find_server(), tmp_path) as server:
        async with writing(server.url, witness, Bounds(DAY_MS, stored_most=10)) as trail:
            for number in range(100):
                trail.note(Gap(number))
            await stored(server, 101)
            server.client.flushall()
            trail.note(Gap(1))

        report = await checked(server.url)

    assert report.fault is not None
    assert report.fault.kind is Kind.TRUNCATED
    assert not witness.named("trail.behind")[0]["healed"]


async def test_trail_whose_store_lost_everything_is_listed_again_with_its_next_entry(
    tmp_path: Path, witness: Witness
) -> None:
    """Otherwise nobody would find the trail of a process that is killed within the minute."""
    with server_on_socket(find_server(), tmp_path) as server:
        async with writing(server.url, witness) as trail:
            await stored(server, 1)
            await eventually(lambda: server.client.hexists(keys.trails(), STREAM))
            server.client.flushall()
            trail.note(Gap(1))

            await eventually(lambda: server.client.hexists(keys.trails(), STREAM))


async def test_call_whose_answer_was_lost_is_not_stored_twice(tmp_path: Path, witness: Witness) -> None:
    with server_on_socket(find_server(), tmp_path) as server:
        async with writing(server.url, witness) as trail:
            await stored(server, 1)
            os.kill(server.pid, signal.SIGSTOP)
            trail.note(Gap(1))
            await eventually(lambda: witness.named("trail.lost"))
            os.kill(server.pid, signal.SIGCONT)
            trail.note(Gap(2))

        report = await checked(server.url)

    assert (report.fault, report.entries) == (None, 4)


async def test_flood_without_redis_becomes_an_announced_gap(tmp_path: Path, witness: Witness) -> None:
    async with AsyncExitStack() as ends:
        url, bounds = f"unix://{tmp_path}/s", Bounds(DAY_MS, waiting_most=50)
        trail = await ends.enter_async_context(writing(url, witness, bounds))
        for number in range(200):
            trail.note(Gap(number))
        await eventually(lambda: witness.dropped)
        with server_on_socket(find_server(), tmp_path) as server:
            await stored(server, 50)
            await ends.aclose()

            report, before_the_end = await checked(server.url), (await trees(server.url))[-2]

    assert report.fault is None
    assert witness.dropped == 151
    assert (before_the_end["is"], before_the_end["lost"]) == ("gap", 151)


async def test_notes_are_bounded_before_anybody_has_looked_at_them(valkey: Server, witness: Witness) -> None:
    async with writing(valkey.url, witness, Bounds(DAY_MS, waiting_most=2 * NOTES_MOST)) as trail:
        for _ in range(NOTES_MOST + 7):
            trail.note(Gap(0))
        await stored(valkey, 100)
        assert witness.dropped == 7

    report = await checked(valkey.url)
    assert (report.fault, report.lost) == (None, 7)


async def test_old_entries_go_and_what_is_left_is_whole(valkey: Server, witness: Witness) -> None:
    most = 2 * MARK_EVERY
    async with writing(valkey.url, witness, Bounds(DAY_MS, entries_most=most)) as trail:
        for round_ in range(1, 6):
            for number in range(MARK_EVERY):
                trail.note(Gap(number))
            await stored(valkey, round_ * MARK_EVERY)

    report = await checked(valkey.url)

    assert report.fault is None
    assert most <= report.entries <= most + 2 * MARK_EVERY
    assert report.first > 1


async def test_redis_that_never_comes_delays_the_end_by_a_bounded_time(tmp_path: Path, witness: Witness) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with writing(f"unix://{tmp_path}/nobody", witness) as trail:
        trail.note(Gap(1))

    assert loop.time() - began < 4
    assert not witness.named("trail.head")
