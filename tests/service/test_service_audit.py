"""The audit trail of a real process in a real Valkey: whole after work, and every tampering with it found."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import pytest
from real_valkey import Server
from redis import Redis
from service_process import (
    Gateway,
    command,
    environment,
    own_valkey,
    put_secrets,
    rested,
    serving,
    token_of,
    tree_of,
    until,
)
from service_rig import Rig, caller_session

from gateway.sandbox.config import DEFAULT_CREDENTIALS, VENUE_IDS
from gateway.sandbox.server import Sandbox

CANCELS = 200
WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def audit(*words: str) -> Said:
    ended = subprocess.run(  # noqa: S603  our own program
        command("audit", *words), capture_output=True, timeout=WITHIN_S, check=False, env=environment()
    )
    return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@dataclass(frozen=True, slots=True)
class Worked:
    """A gateway that has done its work and gone, and what it left behind."""

    gateway: Gateway
    url: str
    config: Path
    stream: str
    pristine: dict[bytes, bytes]

    @property
    def redis(self) -> Redis:
        where = urlsplit(self.url)
        return Redis(unix_socket_path=where.path, db=int(where.query.removeprefix("db=")))

    @property
    def log_key(self) -> str:
        return f"cg1:{{trail:{self.stream}}}:log"

    def entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        with self.redis as client:
            return cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(self.log_key))

    def rewrite(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Put other entries in the place of those that are there."""
        with self.redis as client:
            client.delete(self.log_key)
            for place, fields in entries:
                client.xadd(self.log_key, cast("Any", fields), id=place)

    def restore(self) -> None:
        with self.redis as client:
            client.flushdb()
            for key, value in self.pristine.items():
                client.restore(key, 0, value)


@pytest.fixture(scope="module")
def worked(valkey_session: Server, sandbox: Sandbox, module_folder: Path) -> Worked:
    """Two hundred cancels at all venues, and a drain."""
    url, folder = rested(valkey_session), module_folder / "audited"
    secrets = put_secrets(module_folder / "secrets", DEFAULT_CREDENTIALS)
    with serving(tree_of(sandbox, url, secrets), folder) as gateway:
        asyncio.run(_work(gateway, sandbox))
        gateway.stop()
    stream = str(gateway.lines("trail.head")[-1]["stream"])
    with Redis.from_url(f"unix://{urlsplit(url).path}?{urlsplit(url).query}") as client:
        pristine = {key: cast("bytes", client.dump(key)) for key in cast("list[bytes]", client.keys("*trail*"))}
    return Worked(gateway, url, folder / "gateway.toml", stream, pristine)


async def _work(gateway: Gateway, sandbox: Sandbox) -> None:
    async with caller_session() as http:
        rig = Rig(gateway, sandbox, http)
        for venue in VENUE_IDS:
            orders = await rig.orders(venue, CANCELS // len(VENUE_IDS))
            said = await asyncio.gather(
                *(
                    rig.desk().cancel(venue, order["order_id"], wait="ack" if place % 10 else "terminal")
                    for place, order in enumerate(orders)
                )
            )
            assert {one.outcome for one in said} <= {"cancelled", "accepted"}


@pytest.fixture
def left(worked: Worked) -> Iterator[Worked]:
    """What it left behind, for a test to spoil."""
    worked.restore()
    yield worked
    worked.restore()


def test_trail_of_two_hundred_cancels_is_whole(left: Worked) -> None:
    said = audit("verify", "--config", str(left.config), "--anchors", str(left.gateway.log), "--strict")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{left.stream}: ok, ")
    assert said.out.endswith(", ended\n")
    trees = [orjson.loads(fields[b"e"]) for _, fields in left.entries()]
    kinds = [tree["is"] for tree in trees]
    assert (kinds[0], kinds[-1]) == ("begin", "end")
    assert kinds.count("claim") == kinds.count("settle") == CANCELS
    assert sum(len(tree["orders"]) for tree in trees if tree.get("op") in {"cancel", "batch"}) == CANCELS


def test_removed_entry_is_found(left: Worked) -> None:
    place = left.entries()[100][0]
    with left.redis as client:
        client.xdel(left.log_key, place)

    said = audit("verify", "--redis", left.url)

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: removed at 101: ")


def test_rewritten_entry_is_found(left: Worked) -> None:
    entries = left.entries()
    place, fields = entries[100]
    tree = orjson.loads(fields[b"e"]) | {"record": "another"}
    entries[100] = (place, fields | {b"e": orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)})
    left.rewrite(entries)

    said = audit("verify", "--redis", left.url)

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: changed at {place.decode()}: ")


def test_swapped_entries_are_found(left: Worked) -> None:
    entries = left.entries()
    (one, first), (two, second) = entries[50], entries[51]
    entries[50], entries[51] = (one, second), (two, first)
    left.rewrite(entries)

    said = audit("verify", "--redis", left.url)

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: reordered at ")


def test_tail_that_was_cut_off_is_found(left: Worked) -> None:
    entries = left.entries()
    with left.redis as client:
        client.xdel(left.log_key, *[place for place, _ in entries[-3:]])

    said = audit("verify", "--redis", left.url)

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: removed at {len(entries) - 2}: ")


def test_beginning_that_was_cut_off_is_found(left: Worked) -> None:
    with left.redis as client:
        client.xtrim(left.log_key, maxlen=20)

    said = audit("verify", "--redis", left.url)

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: truncated at ")


def test_tail_cut_off_with_its_head_is_found_by_the_log(left: Worked) -> None:
    *before, _ = left.entries()
    last = before[-1][1]
    left.rewrite(before)
    with left.redis as client:
        seq = orjson.loads(last[b"e"])["n"]
        client.hset(f"cg1:{{trail:{left.stream}}}:head", mapping={"seq": seq, "hash": last[b"h"]})

    assert audit("verify", "--redis", left.url).code == 0
    said = audit("verify", "--redis", left.url, "--anchors", str(left.gateway.log))
    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: removed at ")


@pytest.mark.parametrize("everything", [False, True], ids=["the-stream", "the-registry-too"])
def test_trail_that_is_gone_is_found(left: Worked, *, everything: bool) -> None:
    with left.redis as client:
        client.delete(left.log_key, f"cg1:{{trail:{left.stream}}}:head", *(["cg1:{trails}"] if everything else []))

    said = audit("verify", "--redis", left.url, *(["--anchors", str(left.gateway.log)] if everything else []))

    assert said.code == 1
    assert said.out.startswith(f"{left.stream}: removed at ")


def test_export_is_whole_and_its_replay_says_the_same(left: Worked, tmp_path: Path) -> None:
    export = tmp_path / "trail.jsonl"
    export.write_text(audit("export", "--redis", left.url).out)

    verified = audit("verify", "--from", str(export), "--anchors", str(left.gateway.log))
    replayed = audit("replay", "--from", str(export))

    assert verified.code == 0, verified.out
    assert replayed.code == 0, replayed.out
    assert f" {CANCELS} outcomes follow from them, 0 differ" in replayed.out
    assert "; 0 replies were not kept, 0 outcomes unproven" in replayed.out


def test_replay_finds_an_outcome_that_no_reply_supports(left: Worked, tmp_path: Path) -> None:
    export = tmp_path / "trail.jsonl"
    lines = audit("export", "--redis", left.url).out.splitlines()
    place = next(place for place, line in enumerate(lines) if '"outcome":"cancelled"' in line)
    lines[place] = lines[place].replace('"outcome":"cancelled"', '"outcome":"too_late_filled"')
    export.write_text("\n".join(lines))

    said = audit("replay", "--from", str(export))

    assert said.code == 1
    assert " says too_late_filled; what follows is " in said.out


def test_nothing_secret_stands_in_the_trail(left: Worked) -> None:
    told = b"".join(fields[b"e"] for _, fields in left.entries()).decode()
    names = {"account_id", "username"}

    for accounts in DEFAULT_CREDENTIALS.values():
        for fields in accounts.values():
            for name, value in fields.items():
                assert name in names or value not in told
    assert token_of("desk") not in told


def test_wrong_use_is_told(tmp_path: Path) -> None:
    nobody = audit("verify", "--redis", f"unix://{tmp_path}/nobody")
    strange = tmp_path / "strange"
    strange.write_text("[1]\n")

    assert nobody.code == 2
    assert nobody.err.startswith("cancel-gateway: cannot read the trail: ")
    assert audit("verify", "--from", str(strange)).code == 2


def test_nobody_waits(left: Worked) -> None:
    """The trail is written while the gateway runs, not only when it ends."""
    heads = left.gateway.lines("trail.head")

    until(lambda: heads, "a head was told")
    assert heads[0]["seq"] < heads[-1]["seq"]


async def test_trail_outlasts_a_redis_that_dies_and_comes_back_empty(sandbox: Sandbox, tmp_path: Path) -> None:
    """What was decided before and meanwhile is in it, and none of it waited for Redis."""
    url, secrets = f"unix://{tmp_path}/s", put_secrets(tmp_path / "secrets", DEFAULT_CREDENTIALS)
    with own_valkey(tmp_path / "s") as server, serving(tree_of(sandbox, url, secrets), tmp_path) as gateway:
        async with caller_session() as http:
            rig = Rig(gateway, sandbox, http)
            before, meanwhile, after = await rig.orders("hashkey", 3)
            assert (await rig.desk().cancel("hashkey", before["order_id"])).outcome == "cancelled"
            await asyncio.to_thread(gateway.heard, "trail.head")
            server.kill()
            server.wait()
            assert (await rig.desk().cancel("hashkey", meanwhile["order_id"])).outcome == "cancelled"
            await asyncio.to_thread(gateway.heard, "trail.lost")
            with own_valkey(tmp_path / "s"):
                await asyncio.to_thread(gateway.heard, "trail.back")
                assert (await rig.desk().cancel("hashkey", after["order_id"])).outcome == "cancelled"
                await asyncio.to_thread(gateway.stop)

                verified = await asyncio.to_thread(audit, "verify", "--redis", url, "--anchors", str(gateway.log))
                exported = await asyncio.to_thread(audit, "export", "--redis", url)
                replayed = await asyncio.to_thread(audit, "replay", "--redis", url)

    assert (verified.code, verified.err) == (0, "")
    assert replayed.code == 0, replayed.out
    settled = [line for line in exported.out.splitlines() if '"is":"settle"' in line]
    assert [any(order["order_id"] in line for line in settled) for order in (before, meanwhile, after)] == [True] * 3
