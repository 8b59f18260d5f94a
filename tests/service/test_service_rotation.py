"""Keys that are rotated and revoked under load, and a store that goes away, for each provider.

HashKey's sandbox has two keys of one account and can take one back; nothing tells the gateway but its refusals.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from real_bao import Bao
from real_moto import Moto
from real_valkey import Server
from sandbox_client import lenient
from service_process import Gateway, rested, sandbox_beside, serving, tree_of
from service_rig import Rig, Said, caller_session
from store_rigs import PROVIDERS, StoreRig, rig_of, secrets_of

from gateway.core.model import Account, VenueId
from gateway.sandbox.config import DEFAULT_CREDENTIALS
from gateway.sandbox.server import Sandbox

PER_S = 200
LONG_RUN = os.environ.get("CANCEL_GATEWAY_ROTATION_S")  # `make rotation`
LOAD_S = float(LONG_RUN or "1")
OUTAGE_S = float(os.environ.get("CANCEL_GATEWAY_OUTAGE_S", "2"))  # `make outage`
OUTAGE_PER_S, TAIL_S = 40, 3.0
STALE_S = 3600
REFRESH_S, SLACK_S = (60, 10.0) if OUTAGE_S > 60 else (1, 2.0)
DESK = Account(VenueId("hashkey"), "desk-a")
OLD = DEFAULT_CREDENTIALS["hashkey"]["desk-a"]
NEW = {"api_key": "rotated-key-of-desk-a", "secret": "rotated-secret-of-desk-a"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    keys = DEFAULT_CREDENTIALS["hashkey"] | {"desk-a-next": NEW | {"of": "desk-a"}}
    with sandbox_beside(lenient(credentials=DEFAULT_CREDENTIALS | {"hashkey": keys})) as started:
        yield started


@dataclass
class Scene:
    """A gateway on a store of some provider."""

    store: StoreRig
    rig: Rig
    gateway: Gateway
    said: list[Said] = field(default_factory=list)

    async def load(self, seconds: float, per_s: float = PER_S) -> None:
        """So many cancels a second, each for an order of its own, whatever becomes of the others."""
        count = round(per_s * seconds)
        orders = await self.rig.orders("hashkey", count, account="desk-a")
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, order in enumerate(orders):
                await asyncio.sleep(began + number / per_s - time.monotonic())
                tasks.create_task(self._cancel(order["order_id"]))

    async def _cancel(self, order_id: str) -> None:
        self.said.append(await self.rig.desk().cancel("hashkey", order_id, {"X-Request-Timeout-Ms": "10000"}))

    async def revoke(self, *credentials: str) -> None:
        await self.rig.venue("hashkey").control("POST", "revoked", {"revoked": list(credentials)})

    async def refused(self) -> int:
        """How often the venue was shown a key that it had revoked."""
        return int((await self.rig.venue("hashkey").stats())["rejected_reasons"].get("revoked_key", 0))

    async def credential(self) -> dict[str, Any]:
        """The account as `GET /venues` shows it."""
        states = (await self.rig.desk().call("GET", "/venues")).json["venues"]
        return next(each for each in states if (each["venue"], each["account"]) == DESK_SHOWN)

    async def until(self, within_s: float = 15, **wanted: object) -> float:
        """Wait until the account stands so; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while not wanted.items() <= (await self.credential()).items():  # noqa: ASYNC110  another process
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def until_newer(self, version: str, within_s: float) -> float:
        """Wait until another version of the credential is at work; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while (await self.credential())["credential_version"] == version:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    def outcomes(self) -> Counter[str]:
        return Counter(each.outcome for each in self.said)


DESK_SHOWN = (DESK.venue, DESK.name)


@asynccontextmanager
async def scene_of(
    provider: str, sandbox: Sandbox, valkey: Server, folder: Path, bao: Bao, moto: Moto, refresh_s: int = 1
) -> AsyncIterator[Scene]:
    with rig_of(provider, folder, bao, moto) as store:
        store.put(DESK, OLD)
        secrets, environment = secrets_of(store)
        tree = tree_of(sandbox, rested(valkey), folder, batching=False) | {
            "secrets": secrets | {"refresh_seconds": refresh_s, "stale_seconds": STALE_S}
        }
        tree["venues"] = {"hashkey": tree["venues"]["hashkey"]}
        with serving(tree, folder / "service", warm=False, **environment) as gateway:  # type: ignore[arg-type]  # none is called warm
            async with caller_session() as http:
                scene = Scene(store, Rig(gateway, sandbox, http), gateway)
                await scene.until(credential="ok")
                yield scene
                await scene.rig.venue("hashkey").control("POST", "reset")


@pytest.fixture
async def scene(
    provider: str,
    sandbox: Sandbox,
    valkey_session: Server,
    tmp_path: Path,
    bao_session: Bao,
    moto_session: Moto,
) -> AsyncIterator[Scene]:
    async with scene_of(provider, sandbox, valkey_session, tmp_path, bao_session, moto_session) as made:
        yield made


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_rotation_under_load_fails_no_cancel(scene: Scene) -> None:
    """The old key is revoked before anybody can have read the new one: refusals alone must bring it."""
    load = asyncio.create_task(scene.load(LOAD_S))
    await asyncio.sleep(LOAD_S / 3)
    await asyncio.to_thread(scene.store.put, DESK, NEW)
    await scene.revoke("desk-a")
    await load
    refused = await scene.refused()
    await scene.load(0.2)

    assert scene.outcomes() == {"cancelled": len(scene.said)}
    assert len(scene.said) == round(PER_S * LOAD_S) + round(PER_S * 0.2)
    assert max(each.json["attempts"] for each in scene.said) <= 2
    assert refused == sum(each.json["attempts"] - 1 for each in scene.said)  # each at most once
    assert await scene.refused() == refused  # and none after that
    assert scene.gateway.heard("credential.proven", account="desk-a")


@pytest.mark.parametrize("provider", PROVIDERS if LONG_RUN else PROVIDERS[:1])
async def test_key_that_the_venue_does_not_know_yet_leaves_the_old_one_at_work(scene: Scene) -> None:
    await scene.revoke("desk-a-next")
    load = asyncio.create_task(scene.load(LOAD_S))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(scene.store.put, DESK, NEW)
    await scene.until(credential="fallback")
    await load
    fallback = await scene.rig.count('credential_fallback{venue="hashkey"}')
    during = scene.outcomes()
    await scene.revoke("desk-a")  # now the venue knows the new one, and takes the old one back
    await scene.load(0.2)

    assert during == {"cancelled": round(PER_S * LOAD_S)}
    assert fallback == 1
    assert scene.outcomes() == {"cancelled": len(scene.said)}
    assert (await scene.credential())["credential"] == "ok"
    assert len(scene.gateway.lines("credential.fell_back")) == 1


@pytest.mark.parametrize("provider", PROVIDERS if LONG_RUN else ("vault",))
async def test_outage_of_the_store_under_load_fails_no_cancel(scene: Scene) -> None:
    """Ten minutes of outage in short: it is read again every second, so that two seconds are two intervals."""
    scene.store.lose()
    load = asyncio.create_task(scene.load(LOAD_S))
    await scene.until(credential="stale")
    ready = await scene.rig.admin.call("GET", "/readyz")
    await load
    scene.store.find()
    await asyncio.to_thread(scene.store.put, DESK, NEW)
    version = (await scene.credential())["credential_version"]
    back_s = await scene.until(credential="ok")

    assert scene.outcomes() == {"cancelled": len(scene.said)}
    assert (ready.status, ready.json["components"]["secrets"]["ok"]) == (200, False)
    assert "hashkey:desk-a stale" in ready.json["components"]["secrets"]["detail"]
    assert (await scene.credential())["credential_version"] != version
    assert back_s < 3
    assert len(scene.gateway.lines("credential.store_down")) == 1


async def test_load_goes_on_while_vault_is_away_for_long_and_a_new_key_is_read_in_time(
    sandbox: Sandbox, valkey_session: Server, tmp_path: Path, bao_session: Bao, moto_session: Moto
) -> None:
    """With the intervals of a real deployment where the outage is long: `make outage` is away for ten minutes."""
    away = scene_of("vault", sandbox, valkey_session, tmp_path, bao_session, moto_session, REFRESH_S)
    async with away as scene:
        scene.store.lose()
        await scene.load(OUTAGE_S, OUTAGE_PER_S)
        await scene.until(credential="stale")
        stale = await scene.credential()
        scene.store.find()
        await asyncio.to_thread(scene.store.put, DESK, NEW)
        load = asyncio.create_task(scene.load(REFRESH_S + TAIL_S, OUTAGE_PER_S))
        back_s = await scene.until_newer(stale["credential_version"], REFRESH_S + SLACK_S + 15)
        await load

        print(f"{OUTAGE_S:g} s away, refresh {REFRESH_S} s: {dict(scene.outcomes())}, fresh after {back_s:.2f} s")  # noqa: T201  the figures of `make outage`
        assert scene.outcomes() == {"cancelled": len(scene.said)}
        assert (await scene.credential())["credential"] == "ok"
        assert back_s < REFRESH_S + SLACK_S
        assert len(scene.gateway.lines("credential.store_down")) == 1
