"""A real process under a real SIGKILL, at every point of a cancel that can be seen from outside.

Those are each command to the store, before it and after it, and each phase of the bytes to the venue and back. The
points of one conversation are gone through until it is over before its point. Another replica then answers under
the same key, and every record is held against the venue's book.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from deadly_proxy import Bytes, Command, DeadlyProxy
from real_valkey import Server
from service_process import rested, serving, tree_of
from service_rig import Rig, caller_session

from gateway.sandbox.server import Sandbox

FULL = os.environ.get("CANCEL_GATEWAY_TRUTH") == "full"
TIMEOUT_MS, WITHIN_MS = 500, 800
LEASE_S = (TIMEOUT_MS + WITHIN_MS) / 1000 + 1.0
LOOK_S = 1.2 + 0.5
VENUES = ("hashkey", "orderly", "loopring", "etna") if FULL else ("hashkey",)
THERE, BACK = ((0.0, 0.01, 0.5, 0.99, 1.0),) * 2 if FULL else ((1.0,), (0.5,))
COMMANDS_LEAST, COMMANDS_MOST, TRIES = 1, 40, 3
NOT_SENT = {"over_deadline", "venue_unavailable"}


@dataclass(frozen=True, slots=True)
class Left:
    """What a killed process left behind."""

    venue: str
    order_id: str
    point: str
    told: str | None


@dataclass(eq=False)
class Scene:
    """One store and one sandbox, and processes that die there."""

    sandbox: Sandbox
    folder: Path
    store: DeadlyProxy
    venues: dict[str, DeadlyProxy]
    tree: dict[str, Any]
    left: list[Left] = field(default_factory=list)

    async def killed_at(self, venue: str, proxy: DeadlyProxy, fuse: Command | Bytes) -> bool:
        """Whether a process with one cancel died at this point; it was over before, otherwise."""
        context = serving(self.tree, self.folder / f"dying-{len(self.left)}", ends_well=False)
        gateway = await asyncio.to_thread(context.__enter__)
        try:
            async with caller_session() as http:
                rig = Rig(gateway, self.sandbox, http)
                order = await rig.order(venue)
                proxy.arm(fuse, gateway.process.pid)
                told = await _told(rig, venue, order["order_id"])
                died = await proxy.struck()
        finally:
            gateway.process.kill()
            await asyncio.to_thread(context.__exit__, None, None, None)
        self.left.append(Left(venue, order["order_id"], str(fuse), told))
        return died


async def _told(rig: Rig, venue: str, order_id: str) -> str | None:
    """The answer, where one came."""
    headers = {"Idempotency-Key": f"{venue}-{order_id}", "X-Request-Timeout-Ms": str(WITHIN_MS)}
    try:
        return (await rig.desk().cancel(venue, order_id, headers)).outcome
    except (aiohttp.ClientError, ConnectionError):
        return None


@asynccontextmanager
async def _scene(sandbox: Sandbox, redis_url: str, secrets: Path, folder: Path) -> AsyncIterator[Scene]:
    """Everything that a dying process says goes through proxies."""
    where = urlsplit(redis_url)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(DeadlyProxy(lambda: asyncio.open_unix_connection(where.path)))
        url = f"redis://127.0.0.1:{store.port}/{where.query.removeprefix('db=')}"
        tree = tree_of(sandbox, url, secrets, timeout_ms=TIMEOUT_MS)
        tree["redis"]["timeout_ms"] = 300
        proxies: dict[str, DeadlyProxy] = {}
        for venue in VENUES:
            base = urlsplit(tree["venues"][venue]["base_url"])
            proxies[venue] = await stack.enter_async_context(
                DeadlyProxy(partial(asyncio.open_connection, base.hostname, base.port))
            )
            own = f"{base.hostname}:{proxies[venue].port}"
            tree["venues"][venue]["base_url"] = base._replace(netloc=own).geturl()
        yield Scene(sandbox, folder, store, proxies, tree)


async def _through_all_points(scene: Scene) -> None:
    for venue in VENUES:
        for answered in (False, True):
            number = 1
            while await scene.killed_at(venue, scene.store, Command(number, answered)):
                number += 1
                assert number < COMMANDS_MOST, "the conversation has no end"
            assert number > COMMANDS_LEAST
        for answered, parts in ((False, THERE), (True, BACK)):
            for part in parts:
                await _killed_surely(scene, venue, Bytes(part, answered))


async def _killed_surely(scene: Scene, venue: str, fuse: Bytes) -> None:
    """A machine that is busy may lose the store for a moment; what is not sent then gets to no point."""
    for _ in range(TRIES):
        if await scene.killed_at(venue, scene.venues[venue], fuse):
            return
        assert scene.left[-1].told in NOT_SENT, scene.left[-1]
    raise AssertionError(f"nothing was sent to {venue} in {TRIES} tries")


async def test_whatever_a_killed_process_left_another_one_ends_in_the_truth(
    sandbox: Sandbox, valkey_session: Server, secrets: Path, tmp_path: Path
) -> None:
    redis_url = rested(valkey_session)
    async with _scene(sandbox, redis_url, secrets, tmp_path) as scene:
        await _through_all_points(scene)
        other = tree_of(sandbox, redis_url, secrets, timeout_ms=TIMEOUT_MS)
        context = serving(other, tmp_path / "other")
        gateway = await asyncio.to_thread(context.__enter__)
        try:
            async with caller_session() as http:
                rig = Rig(gateway, sandbox, http)
                before = {each: await rig.cancels_of(each.venue, each.order_id) for each in scene.left}
                await asyncio.sleep(LEASE_S + LOOK_S)
                await asyncio.gather(*(_ends_in_the_truth(rig, left, before[left]) for left in scene.left))
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
    print(f"{len(scene.left)} points")  # noqa: T201  shown by -s, for whoever wants to know


async def _ends_in_the_truth(rig: Rig, left: Left, sent_before: int) -> None:
    headers = {"Idempotency-Key": f"{left.venue}-{left.order_id}"}
    said = await rig.desk().cancel(left.venue, left.order_id, headers)
    status = await rig.venue(left.venue).status_of(left.order_id)
    asked = await rig.cancels_of(left.venue, left.order_id)
    if left.told in NOT_SENT:
        # Its key was free, so this cancel was the first.
        assert said.status in {200, 202}, (left, said)
        return
    if sent_before:
        assert asked == sent_before == 1, (left, asked, said)
    if said.outcome in {"cancelled", "already_cancelled", "accepted"}:
        assert (status, asked) == ("cancelled", 1), (left, said)
    else:
        # Nobody will ever know of a cancel that left and never arrived; but that the order is open is true.
        assert (said.outcome, status, asked) == ("unknown", "open", 0), (left, said)
        anew = await rig.desk().cancel(left.venue, left.order_id)
        assert anew.status in {200, 202}, (left, anew)
