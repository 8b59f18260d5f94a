"""A canary in every secret that is no venue's: the store's own, Redis', the listener's key, the callers' tokens.

Each store has a gateway behind TLS, on a Redis with a password, with traces, at debug level; then whatever it depends
on goes wrong, and all that it and the command line said and kept is searched.
"""

import asyncio
import hashlib
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from canaries import CANARY, Search, all_of_redis, lines_of_key, planted
from certificate_rig import Authority, replace_whole
from issuer_rig import claims_of, key, key_set, publishing
from otlp_receiver import Receiver, receiving
from real_bao import Bao
from real_moto import Moto
from redis import Redis
from sandbox_client import lenient
from service_process import Gateway, Tree, command, environment, own_valkey, sandbox_beside, serving, tree_of, until
from service_rig import SYMBOL, Desk
from store_rigs import AwsRig, SealedRig, StoreRig, VaultRig, rig_of, secrets_of

from gateway.backends.clock import SystemClock
from gateway.core.model import Account, VenueId
from gateway.sandbox.config import VENUE_IDS
from gateway.sandbox.server import Sandbox
from gateway.settings import Settings, load
from gateway.venues import ALL
from gateway.wiring.stores import store_of

REDIS_PASSWORD, OTHER_PASSWORD = f"{CANARY}-of-redis", f"{CANARY}-of-redis-after"
TOKEN = f"{CANARY}-token-of-the-desk"
SIGNER = key("EdDSA", "k1")
OWN: dict[type[StoreRig], dict[str, str]] = {
    SealedRig: {"CANCEL_GATEWAY_PASSPHRASE": f"{CANARY}-passphrase"},
    AwsRig: {
        "AWS_ACCESS_KEY_ID": f"{CANARY}AKID",
        "AWS_SECRET_ACCESS_KEY": f"{CANARY}-secret-key",
        "AWS_SESSION_TOKEN": f"{CANARY}-session",
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_beside(lenient(credentials=planted())) as started:
        yield started


@pytest.fixture(params=["sealed", "vault", "aws"])
def store(request: pytest.FixtureRequest, tmp_path: Path, bao_session: Bao, moto_session: Moto) -> Iterator[StoreRig]:
    with rig_of(request.param, tmp_path, bao_session, moto_session) as rig:
        if isinstance(rig, SealedRig):
            rig.passphrase = f"{CANARY}-passphrase"
        for venue, accounts in planted().items():
            for account, fields in accounts.items():
                rig.put(Account(VenueId(venue), account), fields)
        yield rig
        rig.find()


def secrets_with_canaries(store: StoreRig) -> tuple[Tree, dict[str, str]]:
    """The section of the settings, and what opens the store."""
    section, words = secrets_of(store)
    if isinstance(store, VaultRig):
        token = f"{CANARY}-vault-{os.urandom(4).hex()}"
        store.bao.call("POST", "auth/token/create", {"id": token, "policies": ["gateway"], "ttl": "1h"})
        return section, words | {"VAULT_TOKEN": token}
    return section, words | OWN[type(store)]


@dataclass(frozen=True)
class Tls:
    """Whom a caller of the gateway trusts."""

    context: ssl.SSLContext
    ca: Path


@dataclass
class Scene:
    """A gateway whose every secret is a canary."""

    gateway: Gateway
    store: StoreRig
    folder: Path
    redis_url: str
    tls: Tls
    receiver: Receiver
    environment: Mapping[str, str] = field(repr=False)
    search: Search = field(repr=False)

    def spoken(self, *words: str) -> None:
        """What a command says, as somebody on call runs it."""
        own = {"CANCEL_GATEWAY_URL": self.gateway.url, "CANCEL_GATEWAY_TOKEN": TOKEN, **self.environment}
        own |= {"SSL_CERT_FILE": str(self.tls.ca)}
        ended = subprocess.run(  # noqa: S603  our own
            command(*words), capture_output=True, timeout=30, check=False, env=environment(**own)
        )
        self.search.keep(words[0], ended.stdout + ended.stderr)

    def is_refused(self, event: str, before: int) -> bool:
        return len(self.gateway.lines(event)) > before


@pytest.fixture
async def scene(sandbox: Sandbox, store: StoreRig, tmp_path: Path) -> AsyncIterator[Scene]:
    authority, socket = Authority(tmp_path), tmp_path / "v.sock"
    cert, private = authority.server()
    redis_url = f"unix://{socket}?password={REDIS_PASSWORD}"
    section, words = secrets_with_canaries(store)
    async with receiving() as receiver:
        with own_valkey(socket, REDIS_PASSWORD), publishing(key_set(SIGNER)) as publisher:
            tree = tree_of(sandbox, redis_url, tmp_path) | {"secrets": section | {"refresh_seconds": 1}}
            tree["server"] |= {"tls_cert": str(cert), "tls_key": str(private)}
            tree["log"] = {"level": "debug"}
            tree["tracing"] = {"enabled": True, "endpoint": receiver.url, "sample_ratio": 1.0}
            tree["auth"] = {"jwt": {"issuer": "https://issuer.example", "jwks_url": publisher.url}}
            tree["callers"]["killer"]["token_sha256"] = hashlib.sha256(TOKEN.encode()).hexdigest()
            marks = [CANARY, *lines_of_key(private)]
            with serving(tree, tmp_path / "gateway", warm=False, ends_well=False, **words) as gateway:
                tls = Tls(authority.trusting(), authority.pem)
                yield Scene(gateway, store, tmp_path, redis_url, tls, receiver, words, Search(marks))


async def ask_everything(scene: Scene, when: str) -> None:
    """Every call, on both listeners."""
    search, admin = scene.search, scene.gateway.admin_url
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=scene.tls.context)) as http:
        desk = Desk(http, scene.gateway.url, TOKEN)
        for venue in VENUE_IDS:
            ref = "1" if venue != "b2trader" else "0" * 26
            search.keep(when, await desk.cancel(venue, ref, plan="true"))
            search.keep(when, await desk.cancel(venue, ref, wait="terminal"))
        search.keep("kill", await desk.call("DELETE", f"/orders/orderly?plan=true&symbol={SYMBOL}"))
        for target in ("/venues", "/openapi.json", "/docs", "/nothing", "/readyz"):
            search.keep(target, await desk.call("GET", target))
        bearer = {"Authorization": f"Bearer {SIGNER.token(claims_of('nobody', 0))}"}
        search.keep("token", await Desk(http, scene.gateway.url).call("GET", "/venues", bearer))
        for target in ("/metrics", "/healthz", "/readyz", "/console", "/console/console.js"):
            search.keep(target, await Desk(http, admin, TOKEN).call("GET", target))
        search.keep("/console/events", await _looked(http, f"{admin}/console/events"))


async def _looked(http: aiohttp.ClientSession, url: str) -> bytes:
    """What the console's stream tells in its first second."""
    seen = b""
    async with http.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as reply:
        try:
            async with asyncio.timeout(1):
                while chunk := await reply.content.readany():
                    seen += chunk
        except TimeoutError:
            pass
    return seen


def speak_every_command(scene: Scene) -> None:
    """The command line, with its settings good and bad."""
    config, bad = str(scene.folder / "gateway" / "gateway.toml"), scene.folder / "bad.toml"
    bad.write_text(f'[redis]\nurl = "redis://:{CANARY}@[x"\n[secrets.vault]\ntoken = "{CANARY}"\n')
    for words in (
        ("status",), ("status", "--json"), ("tail", "--no-follow", "--admin-url", scene.gateway.admin_url),
        ("cancel", "orderly", "1", "--by", "order_id", "--symbol", SYMBOL), ("kill", "hashkey", "--plan"),
        ("audit", "verify", "--config", config), ("audit", "export", "--config", config), ("check-config", config),
        ("check-config", str(bad)), ("serve", "--config", str(bad)),
    ):  # fmt: skip
        scene.spoken(*words)
    said = {where for where, _ in Search(["desk-a", "ok, serves"], scene.search.seen).found}
    assert {"status", "tail", "audit", "check-config"} <= said


def change_redis_password(scene: Scene) -> None:
    """The gateway's own password is refused from now on."""
    with Redis.from_url(scene.redis_url) as client:
        client.config_set("requirepass", OTHER_PASSWORD)
        client.client_kill_filter(_type="normal", skipme=True)


def break_the_files(scene: Scene) -> None:
    """A key that does not fit its certificate, and secrets pasted where they do not belong."""
    gateway, private = scene.gateway, scene.folder / "server.key"
    pem, good = private.read_bytes(), (scene.folder / "gateway" / "gateway.toml").read_bytes()
    refused = len(gateway.lines("tls.refused"))
    replace_whole(private, pem.replace(b"PRIVATE", b"PUBLIC"))
    gateway.process.send_signal(signal.SIGHUP)
    until(partial(scene.is_refused, "tls.refused", refused), "the key is refused")
    pasted = [f'[redis]\nurl = "redis://:{CANARY}@[x"'.encode(), b'[server]\ntls_key = """' + pem + b'"""', pem]
    for each in (*pasted, f'[secrets.vault]\ntoken = "{CANARY}"'.encode()):
        refused = len(gateway.lines("config.refused"))
        replace_whole(scene.folder / "gateway" / "gateway.toml", each)
        gateway.process.send_signal(signal.SIGHUP)
        until(partial(scene.is_refused, "config.refused", refused), "it is refused")
    replace_whole(scene.folder / "gateway" / "gateway.toml", good)
    replace_whole(private, pem)


def look_at_what_is_inside(scene: Scene) -> None:
    """Settings and store as a debugger or a traceback would show them."""
    settings = load(scene.folder / "gateway" / "gateway.toml", scene.environment, ALL)
    assert isinstance(settings, Settings)
    store = store_of(settings.secrets, scene.environment, SystemClock())
    shown = (repr(settings), str(settings.redis), repr(store))
    scene.search.keep("repr", "\n".join(shown).encode())


async def test_no_output_ever_holds_a_secret_of_ours(scene: Scene) -> None:
    await ask_everything(scene, "cancel")
    scene.search.keep("redis", all_of_redis(scene.redis_url))
    if isinstance(scene.store, VaultRig):  # the command line knows nothing of stores
        await asyncio.to_thread(speak_every_command, scene)
    look_at_what_is_inside(scene)
    await asyncio.to_thread(break_the_files, scene)
    scene.store.lose()
    await asyncio.to_thread(change_redis_password, scene)
    await ask_everything(scene, "cancel when all is lost")
    scene.gateway.heard("redis.lost")
    scene.gateway.heard("credential.store_down")
    scene.store.find()
    scene.search.keep("redis", all_of_redis(scene.redis_url.replace(REDIS_PASSWORD, OTHER_PASSWORD)))
    await asyncio.to_thread(scene.gateway.stop)
    scene.search.keep("traces", b"".join(scene.receiver.raw))
    scene.search.keep("log", scene.gateway.raw_log)
    scene.search.keep("errors", (scene.folder / "gateway" / "gateway.err").read_bytes())

    assert scene.search.found == []
    told = {where for where, _ in Search(["desk-a", "desk_a"], scene.search.seen).found}
    assert {"cancel", "redis", "log", "repr", "traces", "/console/events"} <= told
