"""More accounts, processes, shards and waiting callers, as real processes here: is a cancel's cost still the same?

Every arrangement is up at once, and rounds are taken in turns; what counts is the ratio to the smallest of its kind
within a round. There are two cores: what is shown is what a cancel costs, not how fast many machines would be.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.admission.processes import Valkey
from bench.admission.topology import cluster
from bench.load import Round, drive
from bench.scale.parked import Parked, parking
from bench.shapes import SHAPES, patient
from bench.side_by_side.cost import Disturbed, Spread, check, spread
from bench.side_by_side.stage import OTHERS, Gateway, Stage, Tree, cpu_us, pin, put_secrets, rss_mb, settings

HASHKEY = "hashkey"
ACCOUNTS = (10, 100, 1000, 10_000)
PROCESSES = (1, 2, 4)
WAITING = 10_000
MIDDLE = 1000
HELD_S, TRIES = 1.2, 4
# The numbers below are spent on warming.
WARM = 1_000_000
# Those who are parked wait for less than a minute, and all rounds beside them must fit into that.
SOON, PATIENCE_MS = 500, 30_000
Request = Callable[[int], bytes]
Tell = Callable[[str], None]
Figures = dict[str, dict[str, dict[str, Spread]]]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """One of those that are compared; `kind` groups them, the first of a kind is its measure."""

    kind: str
    name: str
    gateways: tuple[Gateway, ...]
    redis_pids: tuple[int, ...]
    request: Request
    accounts: int = 0


@dataclass(frozen=True, slots=True)
class Real:
    """What was found: per kind and arrangement the figures, and what an account and a waiting caller take."""

    figures: Figures
    memory: Mapping[str, float]


async def measured(stage: Stage, rounds: int, count: int, lanes: int, tell: Tell) -> Real:
    """Everything up, then rounds."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    waiting = await parking(stage, WAITING)
    tell(f"{waiting.callers:,} callers wait, for {waiting.core:.3f} of a core")
    figures = await _waiting(stage, waiting, rounds, min(count, SOON), lanes, tell)
    async with _sharded(stage) as shards:
        there = [*_accounts(stage), *_processes(stage), *shards]
        await asyncio.sleep(HELD_S)
        tell(f"{len(there)} arrangements are up")
        for each in there:
            await _warmed(each, lanes)
        found = await _rounds(there, rounds, count, lanes, tell)
        memory = _memory(there, waiting)
    return Real({**found, **figures}, memory)


async def _waiting(stage: Stage, waiting: Parked, rounds: int, count: int, lanes: int, tell: Tell) -> Figures:
    """Another venue's cancels through a gateway where nobody waits, and one where many do."""
    there = [
        Arrangement("waiting", name, (gateway,), (stage.redis_pid,), SHAPES[HASHKEY].cancel)
        for name, gateway in (("nobody waits", waiting.empty), (f"{WAITING:,} callers wait", waiting.full))
    ]
    found = await _rounds(there, rounds, count, lanes, tell)
    left = waiting.answered()
    for gateway in (waiting.full, waiting.empty):
        gateway.process.kill()
        gateway.process.wait()
    if left:
        tell(f"left out: {left} who waited were answered before the rounds were over; this machine is too busy now")
        return {}
    return found


def _accounts(stage: Stage) -> list[Arrangement]:
    found = []
    for count in ACCOUNTS:
        gateway = _gateway(stage, count, f"accounts-{count}")
        found.append(_spread("accounts", f"{count:,} accounts", (gateway,), (stage.redis_pid,), count))
    ring = _gateway(stage, MIDDLE, "accounts-ring", own_limits=True)
    return [*found, _spread("accounts", f"{MIDDLE:,}, at 10/s each", (ring,), (stage.redis_pid,))]


def _processes(stage: Stage) -> list[Arrangement]:
    most = max(PROCESSES)
    all_of_them = [_gateway(stage, MIDDLE, f"process-{number}", replicas=most) for number in range(most)]
    return [
        _spread("processes", f"{count} of them", tuple(all_of_them[:count]), (stage.redis_pid,)) for count in PROCESSES
    ]


@asynccontextmanager
async def _sharded(stage: Stage) -> AsyncIterator[list[Arrangement]]:
    """A single server and a cluster of three, both over TCP."""
    single = Valkey(stage.folder / "single")
    single.start()
    try:
        async with cluster(stage.folder / "cluster") as three:
            found = []
            for name, url, servers in (("one Redis", single.url, [single]), ("three shards", three.url, three.servers)):
                pids = tuple(server.process.pid for server in servers if server.process is not None)
                for pid in pids:
                    pin(pid, OTHERS)
                gateway = _gateway(stage, MIDDLE, name.replace(" ", "-"), redis_url=url)
                # Three of the six follow the others; what they do is not the cancel's doing.
                found.append(_spread("shards", name, (gateway,), pids[:3]))
            yield found
    finally:
        single.kill()


def _gateway(
    stage: Stage, accounts: int, name: str, *, own_limits: bool = False, replicas: int = 1, redis_url: str = ""
) -> Gateway:
    """One `serve` for HashKey alone, with so many accounts."""
    folder = stage.folder / f"secrets-{accounts}"
    if not folder.exists():
        put_secrets(folder, _names(accounts), (HASHKEY,))
    tree: Tree = settings(stage, (HASHKEY,))
    tree["secrets"] = {"provider": "files", "directory": str(folder)}
    tree["redis"] = {
        "url": redis_url or f"unix://{stage.redis_socket}",
        "timeout_ms": 5000,
        "replicas_max": replicas,
    }
    venues = tree["venues"]
    assert isinstance(venues, dict)
    venues[HASHKEY]["default_account"] = _names(accounts)[0]
    if own_limits:
        del venues[HASHKEY]["limits"]
    gateway = stage.serve(tree, name)
    gateway.wait_ready()
    return gateway


def _names(accounts: int) -> list[str]:
    return [f"of-{accounts}-{number}" for number in range(accounts)]


def _spread(
    kind: str, name: str, gateways: tuple[Gateway, ...], redis_pids: tuple[int, ...], accounts: int = MIDDLE
) -> Arrangement:
    """Each cancel for the next account."""
    names = _names(accounts)

    def request(number: int) -> bytes:
        return patient(SHAPES[HASHKEY].cancel(number, names[number % accounts]), PATIENCE_MS)

    return Arrangement(kind, name, gateways, redis_pids, request, accounts)


async def _warmed(each: Arrangement, lanes: int) -> None:
    """Every account has cancelled once: what it is first met with costs half as much again, once."""
    for gateway in each.gateways:
        await drive(gateway.port, each.accounts, lanes, each.request)


async def _rounds(there: Sequence[Arrangement], rounds: int, count: int, lanes: int, tell: Tell) -> Figures:
    found: list[dict[str, dict[str, float]]] = []
    first = WARM
    for turn in range(rounds + 1):
        one = {}
        for each in there if turn % 2 else reversed(there):
            one[f"{each.kind}/{each.name}"] = await _one(each, count, lanes, first, tell)
            first += count * TRIES
        if turn:
            found.append(one)
            tell(
                f"round {turn} of {rounds}: " + ", ".join(f"{name} {own['cpu_us']:.0f} µs" for name, own in one.items())
            )
    return _told(there, found)


async def _one(each: Arrangement, count: int, lanes: int, first: int, tell: Tell) -> dict[str, float]:
    for again in range(TRIES):
        try:
            return await _measure(each, count, lanes, first + again * count)
        except Disturbed as reason:
            tell(f"once more: {reason}")
            await asyncio.sleep(2.0)
    raise SystemExit(f"{each.name}: could not be measured; is the machine too busy?")


async def _measure(each: Arrangement, count: int, lanes: int, first: int) -> dict[str, float]:
    pids = [gateway.pid for gateway in each.gateways]
    before, redis_before = cpu_us(pids), cpu_us(each.redis_pids)
    part = count // len(pids)
    seen: Iterable[Round] = await asyncio.gather(
        *(
            drive(gateway.port, part, lanes, _from(each.request, first + place * part))
            for place, gateway in enumerate(each.gateways)
        )
    )
    for one in seen:
        check(each.name, one.statuses)
    done = part * len(pids)
    return {
        "cpu_us": (cpu_us(pids) - before) / done,
        "redis_cpu_us": (cpu_us(each.redis_pids) - redis_before) / done,
        "rss_mb": sum(map(rss_mb, pids)) / len(pids),
    }


def _from(request: Request, first: int) -> Request:
    return lambda number: request(first + number)


def _told(there: Sequence[Arrangement], found: Sequence[Mapping[str, Mapping[str, float]]]) -> Figures:
    """Medians with ranges, and the ratio to the first of the kind within each round."""
    result: Figures = {}
    for each in there:
        name = f"{each.kind}/{each.name}"
        measure = next(f"{one.kind}/{one.name}" for one in there if one.kind == each.kind)
        figures = {what: spread([one[name][what] for one in found]) for what in found[0][name]}
        figures["ratio"] = spread([one[name]["cpu_us"] / one[measure]["cpu_us"] for one in found])
        figures["redis_ratio"] = spread([one[name]["redis_cpu_us"] / one[measure]["redis_cpu_us"] for one in found])
        result.setdefault(each.kind, {})[each.name] = figures
    return result


def _memory(there: Sequence[Arrangement], waiting: Parked) -> dict[str, float]:
    """Bytes: of an account that was used, and of a caller who waits (of that, what the connection alone takes)."""
    few, many = (
        next(rss_mb(one.gateways[0].pid) for one in there if one.name == f"{count:,} accounts")
        for count in (ACCOUNTS[0], ACCOUNTS[-1])
    )
    return {
        "account": (many - few) * 1e6 / (ACCOUNTS[-1] - ACCOUNTS[0]),
        "waiting caller": waiting.bytes_each,
        "of that the connection": waiting.connection_bytes,
        "core while they wait": waiting.core,
    }
