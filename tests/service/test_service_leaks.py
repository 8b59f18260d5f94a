"""A canary in every secret, token and key; then everything that the service says or keeps is searched for it."""

import hashlib
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from canaries import CANARY, Search, all_of_redis, planted, private_keys
from certificate_rig import replace_whole
from issuer_rig import claims_of, key, key_set, publishing
from sandbox_client import lenient
from service_process import Gateway, put_secrets, sandbox_beside, serving, tree_of, until
from service_rig import Desk, Rig, caller_session, raw_cancel, spoken_raw

from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.server import Sandbox

TOKEN = f"{CANARY}-token-of-the-desk"
SIGNER, STRANGER = key("EdDSA", "k1"), key("EdDSA", "k2")
FAULTS = ("auth_failure", "server_error", "html")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_beside(lenient(credentials=planted())) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, redis_url: str, module_folder: Path) -> Iterator[Gateway]:
    wrong = {"broken": {"api_key": f"{CANARY}a", "secret": f"{CANARY}\r\nX: 1"}, "refused": {"api_key": f"{CANARY}b"}}
    wrong["refused"]["secret"] = f"{CANARY}c"
    secrets = put_secrets(module_folder / "secrets", planted() | {"hashkey": planted()["hashkey"] | wrong})
    with publishing(key_set(SIGNER)) as publisher:
        tree = tree_of(sandbox, redis_url, secrets)
        tree["log"] = {"level": "debug"}
        tree["auth"] = {"jwt": {"issuer": "https://issuer.example", "jwks_url": publisher.url}}
        tree["callers"]["other"]["token_sha256"] = hashlib.sha256(TOKEN.encode()).hexdigest()
        with serving(tree, module_folder, CANCEL_GATEWAY_PASSPHRASE=f"{CANARY}-passphrase") as started:
            yield started


@pytest.fixture
async def rig(gateway: Gateway, sandbox: Sandbox) -> AsyncIterator[Rig]:
    async with caller_session() as http:
        yield Rig(gateway, sandbox, http)


async def ask_for_everything(rig: Rig, search: Search, tokens: Sequence[str]) -> None:
    """Every call, well and badly, with tokens that are known and that are not."""
    desk = Desk(rig.http, rig.gateway.url, TOKEN)
    for venue in VENUE_IDS:
        order = (await rig.order(venue))["order_id"]
        search.keep("plan", await desk.cancel(venue, order, plan="true"))
        said = await desk.cancel(venue, order, {"Idempotency-Key": f"key-{venue}"})
        search.keep("cancel", said)
        search.keep("record", await desk.call("GET", said.json["record"]))
        for fault in FAULTS:
            await rig.venue(venue).fault(fault, endpoint="cancel", times=2)
            search.keep(fault, await desk.cancel(venue, (await rig.order(venue))["order_id"]))
            await rig.calm()
    for account in ("broken", "refused"):
        search.keep(account, await desk.cancel("hashkey", "1", account=account))
    for target in ("/venues", "/openapi.json", "/docs", "/nothing"):
        search.keep(target, await desk.call("GET", target))
    for token in tokens:
        search.keep("token", await Desk(rig.http, rig.gateway.url, token).call("GET", "/venues"))
        raw = raw_cancel(b"/orders/orderly/1", f"Authorization: Bearer {token}\x00".encode())
        search.keep("raw", await spoken_raw(rig.gateway.url, raw, within_s=0.3))


def put_into_the_wrong_line(gateway: Gateway, folder: Path) -> None:
    """A secret that was pasted into the settings file; the file is refused and then put right."""
    good = (folder / "gateway.toml").read_bytes()
    for line in (f'token = "{CANARY}-1"', f'[redis]\nurl = "redis://:{CANARY}-2@"', f'[server]\nlisten = "{CANARY}-3"'):
        refused = len(gateway.lines("config.refused"))
        replace_whole(folder / "gateway.toml", line.encode())
        gateway.process.send_signal(signal.SIGHUP)
        until(partial(_is_refused, gateway, refused), "it is refused")
    replace_whole(folder / "gateway.toml", good)
    gateway.process.send_signal(signal.SIGHUP)


def _is_refused(gateway: Gateway, before: int) -> bool:
    return len(gateway.lines("config.refused")) > before


async def test_no_output_ever_holds_a_secret(rig: Rig, gateway: Gateway, redis_url: str, module_folder: Path) -> None:
    claims = claims_of("other", time.time())
    tokens = [SIGNER.token(claims), STRANGER.token(claims), f"{CANARY}-no-token", f"{CANARY}.{CANARY}.{CANARY}"]
    search = Search([CANARY, *private_keys(), *(token.rpartition(".")[2] for token in tokens[:2])])

    await ask_for_everything(rig, search, tokens)
    put_into_the_wrong_line(gateway, module_folder)
    for target in ("/metrics", "/healthz", "/readyz"):
        search.keep(target, await rig.admin.call("GET", target))
    openly = {"Accept": "application/openmetrics-text"}
    search.keep("/metrics with request ids", await rig.admin.call("GET", "/metrics", openly))
    search.keep("redis", all_of_redis(redis_url))
    search.keep("log", gateway.raw_log)
    search.keep("errors", (module_folder / "gateway.err").read_bytes())

    assert search.found == []
    told = {where for where, _ in Search(["desk-a", "gateway"], search.seen).found}
    assert {"plan", "cancel", "record", "auth_failure", "/venues", "/metrics", "redis", "log"} <= told
    assert len(gateway.lines("cancel.done")) >= len(VENUE_IDS) * len(FAULTS)
