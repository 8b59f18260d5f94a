"""What may happen to the Redis that is meant to survive: sentinels and a cluster, under three saturated replicas."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from bench.admission import processes, topology
from bench.admission.processes import Valkey
from bench.admission.result import Result
from bench.admission.saturation import Seen, judged, saturated
from bench.admission.setting import Setting
from bench.admission.topology import Cluster, Sentinels, eventually, newest_grant
from bench.admission.world import World, scene

BEFORE_S, SENT_S = 0.2, 0.15
STOPPED_S = 5.0
KEYS_AT_ONCE = 10
MIGRATE_PAUSE_S = 0.05

ORDERLY = Setting()

Findings = dict[str, tuple[object, bool]]
"""What shows that the fault was the one that it is meant to be: measured, and whether it was."""

Fault = Callable[[World, Findings], Coroutine[object, object, None]]


@asynccontextmanager
async def _folder(name: str) -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"admission-{name}-"))
    try:
        yield folder
    finally:
        processes.remove(folder)


async def _played(
    name: str, title: str, seconds: float, place: Sentinels | Cluster, event: Fault, setting: Setting = ORDERLY
) -> Result:
    findings: Findings = {}
    async with scene(setting, valkey=place.servers[0], redis_urls=[place.url] * setting.replicas) as world:
        seen = await saturated(world, seconds, lambda world: event(world, findings))
        result = judged(name, world, seen, title=title)
        for text, (measured, kept) in findings.items():
            result.promise(text, measured, kept=kept)
        share = _share_at_the_end(world, seen, seconds)
        result.promise("and it recovers: >= 60 % of the limit in the last quarter", f"{share:.0%}", kept=share >= 0.6)
        return result


def _share_at_the_end(world: World, seen: Seen, seconds: float) -> float:
    """How much of the limit was used in the last quarter."""
    times = seen.verdict.times()
    end = min(times, default=0.0) + seconds
    used = sum(end - seconds / 4 < at <= end for at in times)
    return used / (world.setting.tokens * seconds / 4 * 1000 / world.setting.per_ms)


# -- sentinels -------------------------------------------------------------------------------------------------------


async def sentinel_stale(seconds: float) -> Result:
    """Sentinel: the master gets SIGKILL after its replicas were cut off, so the promoted one lacks the last writes."""
    return await _stale("sentinel-stale", "Sentinel promotes a replica that lacks the last writes", seconds)


async def sentinel_hasty(seconds: float) -> Result:
    """Sentinel: likewise with SENTINEL FAILOVER at once and a window of two seconds, which outlasts the failover."""
    title = "a replica that lacks the last writes serves within the window that it lacks"
    return await _stale("sentinel-hasty", title, seconds, at_once=True, per_ms=2000)


async def _stale(name: str, title: str, seconds: float, *, at_once: bool = False, per_ms: int = 1000) -> Result:
    async with _folder("sentinel") as folder, topology.sentinels(folder) as watched:

        async def event(world: World, findings: Findings) -> None:
            master = watched.named()
            # Nobody listens there; the sentinels would put it right after two seconds.
            nowhere = str(processes.free_port())
            before = newest_grant(master)
            await eventually(lambda: newest_grant(master) > before + per_ms * 500, "slots are given")
            await asyncio.sleep(per_ms / 1000 - BEFORE_S)
            for replica in (one for one in watched.servers if one is not master):
                replica.do("REPLICAOF", "127.0.0.1", nowhere)
            world.mark("replicas cut off")
            before = newest_grant(master)
            await eventually(lambda: newest_grant(master) > before + per_ms * 500, "slots that only the master knows")
            await asyncio.sleep(SENT_S)
            given = newest_grant(master)
            world.mark("SIGKILL")
            master.kill()
            if at_once:
                watched.watchers[0].do("SENTINEL", "FAILOVER", topology.MASTER)
            await _promoted(world, watched, master, findings)
            _note_lost(findings, given, newest_grant(watched.named()))

        return await _played(name, title, seconds, watched, event, Setting(per_ms=per_ms))


async def sentinel_zombie(seconds: float) -> Result:
    """Sentinel: the master gets SIGSTOP, another is promoted, and the old one comes back believing in itself."""
    async with _folder("sentinel") as folder, topology.sentinels(folder) as watched:

        async def event(world: World, findings: Findings) -> None:
            master = watched.named()
            world.mark("SIGSTOP")
            master.signal(signal.SIGSTOP)
            async with asyncio.TaskGroup() as group:
                group.create_task(_promoted(world, watched, master, findings))
                group.create_task(asyncio.sleep(STOPPED_S))
            master.signal(signal.SIGCONT)
            world.mark("SIGCONT")
            back_as = topology.role(master)
            findings["the old master comes back as a master"] = (back_as, back_as == "master")
            await eventually(lambda: topology.role(master) == "linked", "the old master follows the new one")
            world.mark("demoted")

        return await _played(
            "sentinel-zombie", "the old master comes back after another was promoted", seconds, watched, event
        )


async def _promoted(world: World, watched: Sentinels, before: Valkey, findings: Findings) -> None:
    await eventually(lambda: watched.named() is not before and topology.role(watched.named()) == "master", "promotion")
    world.mark("promoted")
    findings["another server is the master"] = (True, True)


def _note_lost(findings: Findings, given: int, known: int) -> None:
    lost_ms = (given - known) / 1000
    findings["the promoted one does not know the last grants"] = (f"{lost_ms:.0f} ms of them", given > known)


# -- a cluster -------------------------------------------------------------------------------------------------------


async def cluster_kill(seconds: float) -> Result:
    """Cluster: the master of the hot slot gets SIGKILL, and its replica takes over by itself."""
    async with _folder("cluster") as folder, topology.cluster(folder) as put_up:

        async def event(world: World, findings: Findings) -> None:
            owner = put_up.owner()
            witness = next(node for node in put_up.servers if node is not owner)
            world.mark("SIGKILL")
            owner.kill()
            await _moved(world, put_up, owner, witness, findings)

        title = "a replica takes over the hot slot"
        return await _played("cluster-kill", title, seconds, put_up, event)


async def cluster_failover(seconds: float) -> Result:
    """Cluster: CLUSTER FAILOVER, with which master and replica change places and nothing is lost."""
    async with _folder("cluster") as folder, topology.cluster(folder) as put_up:

        async def event(world: World, findings: Findings) -> None:
            owner = put_up.owner()
            replica = put_up.replica_of(owner)
            world.mark("CLUSTER FAILOVER")
            replica.do("CLUSTER", "FAILOVER")
            await _moved(world, put_up, owner, replica, findings)

        return await _played(
            "cluster-failover", "master and replica of the hot slot change places", seconds, put_up, event
        )


async def cluster_migration(seconds: float) -> Result:
    """Cluster: the hot slot moves to another master, key by key, while it is in use."""
    async with _folder("cluster") as folder, topology.cluster(folder) as put_up:

        async def event(world: World, findings: Findings) -> None:
            source, slot = put_up.owner(), str(topology.HOT_SLOT)
            masters = [node for node in put_up.servers if topology.role(node) == "master"]
            target = next(node for node in masters if node is not source)
            world.mark("migration")
            target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", put_up.id_of(source))
            source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", put_up.id_of(target))
            moved = await _moved_keys(source, target, slot)
            # The target first: who asks the source until then is sent on to it.
            for node in (target, source, *masters):
                node.do("CLUSTER", "SETSLOT", slot, "NODE", put_up.id_of(target))
            findings["keys that moved > 0"] = (moved, moved > 0)
            await _moved(world, put_up, source, target, findings)

        return await _played(
            "cluster-migration", "the hot slot moves to another master while in use", seconds, put_up, event
        )


async def _moved_keys(source: Valkey, target: Valkey, slot: str) -> int:
    """Move every key of the slot, a few at a time; how many there were."""
    moved = 0
    while isinstance(found := source.do("CLUSTER", "GETKEYSINSLOT", slot, str(KEYS_AT_ONCE)), list) and found:
        names = [name.decode() for name in found]
        source.do("MIGRATE", "127.0.0.1", str(target.port), "", "0", "2000", "KEYS", *names)
        moved += len(names)
        await asyncio.sleep(MIGRATE_PAUSE_S)
    return moved


async def _moved(world: World, put_up: Cluster, before: Valkey, witness: Valkey, findings: Findings) -> None:
    await eventually(lambda: put_up.owner(witness) is not before, "another node serves the hot slot")
    world.mark("served by another")
    findings["another node serves the hot slot"] = (True, True)
