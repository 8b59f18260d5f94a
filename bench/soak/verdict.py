"""What must hold after a soak, as promises with what was measured."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.admission.result import Result
from bench.soak.accounts import Excuses, Squared, Trail, Truth, squared
from bench.soak.deeds import Doer
from bench.soak.gauges import Gauges, growth, left_in
from bench.soak.load import PATIENCE_S, Load
from bench.soak.scene import ENTRIES_MOST, TTL_S, Scene
from bench.soak.trails import Trails, audit
from gateway.backends.claim_words import MEMORY_MS

STORIES_SHOWN = 5
LONG_ENOUGH_S = 300.0
"""A shorter run does not show what grows."""
MEMORY_PART, MEMORY_SLACK_MB = 0.08, 2.0
FDS_SLACK, TASKS_SLACK = 12, 12
TRAIL_SLACK = 1000
PEAK, FIXED_KEYS = 1.5, 200
"""After a fault there are more answers for a while; so many keys there may be for accounts and processes."""


@dataclass(slots=True)
class Run:
    """All that a soak has left."""

    scene: Scene
    load: Load
    doer: Doer
    gauges: Gauges
    trails: Trails
    load_s: float
    expired: bool


async def judged(run: Run) -> Result:
    """The whole verdict."""
    result = Result("soak")
    books = await _venues(run, result)
    excuses = Excuses(run.scene.store.losses, run.scene.store.troubles, run.doer.ends_ms)
    found = squared(run.load.wishes, books, Trail.of(run.trails.all()), excuses)
    _accounts(result, found, run)
    _audit(result, run)
    _processes(result, run)
    _grown(result, run)
    result.notes["faults"] = run.doer.counts
    result.notes["told"] = dict(run.load.outcomes)
    result.notes["counted apart"] = dict(found.apart)
    return result


async def _venues(run: Run, result: Result) -> dict[tuple[str, str], Truth]:
    """Each venue's books and what it has counted."""
    books: dict[tuple[str, str], Truth] = {}
    violations, over, hit = 0, [], Counter[str]()
    for venue in run.scene.venues.values():
        stats = await venue.judge.control("GET", "stats")
        asked: Any = stats["cancels_by_order"]
        listed: Any = (await venue.judge.control("GET", "orders"))["orders"]
        limits: Any = stats["limits"]
        faults: Any = stats["faults_hit"]
        for order in listed:
            books[venue.id, order["order_id"]] = Truth(
                order["status"], order["changed_ms"], order["pending"], asked.get(order["order_id"], 0)
            )
        violations += int(str(stats["violations"]))
        over += [
            f"{venue.id} {one['limit']}: {_moments(run, one['excesses'])}"
            for one in limits
            if one["most_in_any_window"] > one["tokens"]
        ]
        hit.update({f"{venue.id} {kind}": count for kind, count in faults.items()})
    result.violations = violations
    result.promise("violations of a venue's limits = 0", violations, kept=violations == 0)
    result.promise("no window of any limit ever held more than it may", over or "none", kept=not over)
    result.notes["requests that met a fault"] = hit.total()
    kinds: Counter[str] = Counter()
    for name, count in hit.items():
        kinds[name.partition(" ")[2]] += count
    result.notes["by kind"] = dict(sorted(kinds.items()))
    return books


def _moments(run: Run, excesses: list[tuple[float, list[float]]]) -> str:
    """At which second of the run each came, and how many ms after those that had filled its window."""
    began_ms = run.gauges.began * 1000
    return "; ".join(
        f"at {(at_ms - began_ms) / 1000:.3f} s, {', '.join(f'{at_ms - each:.1f}' for each in before)} ms after"
        for at_ms, before in excesses
    )


def _accounts(result: Result, found: Squared, run: Run) -> None:
    result.notes["wishes"] = len(run.load.wishes)
    for text, stories in (
        ("false `cancelled` or another false end = 0", found.false_ends),
        ("false failures = 0", found.false_failures),
        ("refusals of cancels that another replica then did = 0", found.overtaken),
        ("answers that only a bug gives = 0", found.bugs),
        (f"callers who asked for {PATIENCE_S:g} s and were told nothing definite = 0", found.unanswered),
        ("records that never came to an end = 0", found.unresolved),
        ("records that say what is not so = 0", found.false_records),
        ("records missing without a loss = 0", found.records_missing),
        ("orders asked for again blindly = 0", found.sent_blindly),
        ("outcomes that are in no trail = 0", found.outcomes_untold),
        ("sends that are in no trail = 0", found.sends_untold),
    ):
        _none_of(result, text, stories)


def _none_of(result: Result, text: str, stories: list[str]) -> None:
    result.promise(text, len(stories), kept=not stories)
    if stories:
        result.notes[text] = stories[:STORIES_SHOWN]


def _audit(result: Result, run: Run) -> None:
    """The trails as they were collected, held against the heads that the logs tell; and what the store still has."""
    file, anchors = run.scene.folder / "trail.jsonl", run.scene.folder / "all.log"
    run.trails.write(file)
    anchors.write_bytes(b"".join(log.read_bytes() for log in run.scene.logs()))
    code, said = audit("verify", "--from", str(file))
    faults = [line for line in said.splitlines() if ": ok, " not in line]
    broken = [line for line in faults if not _lived_through_loss(line, run)]
    result.promise("`audit verify` finds no fault that no loss explains", broken or "none", kept=not broken)
    result.notes["audit verify"] = {"code": code, "whole": said.count(": ok, "), "with holes by a loss": len(faults)}
    code, said = audit("export", "--redis", run.scene.store.serving.url)
    differs = [line for line in said.splitlines() if line.startswith("{") and not _collected(line, run)]
    result.promise("`audit export` and what was collected agree", differs[:2] or "yes", kept=code == 0 and not differs)
    code, said = audit("replay", "--from", str(file))
    result.promise("`audit replay` comes to the same outcomes", _told(code, said), kept=code == 0)
    longest = run.trails.longest
    result.promise(
        f"a trail is at most {ENTRIES_MOST} entries, and a little", longest, kept=longest <= ENTRIES_MOST + TRAIL_SLACK
    )


def _told(code: int, said: str) -> str:
    return "yes" if code == 0 else "; ".join(line for line in said.splitlines() if "says" in line)[:600]


def _lived_through_loss(line: str, run: Run) -> bool:
    """Whether the process that wrote this trail lived when the store lost something, or was killed."""
    stream = run.trails.entries.get(line.partition(": ")[0])
    if not stream:
        return False
    times = [int(place.partition("-")[0]) for place in stream]
    return any(min(times) - 1000 <= loss.until_ms and loss.until_ms <= max(times) + 5000
               for loss in run.scene.store.losses)  # fmt: skip


def _collected(line: str, run: Run) -> bool:
    said = orjson.loads(line)
    if "head" in said:
        return True
    kept = run.trails.entries[said["stream"]].get(said["id"])
    return kept is not None and kept == (said["entry"], said["hash"])


def _processes(result: Result, run: Run) -> None:
    text = b"\n".join(log.read_bytes() for log in run.scene.logs()).decode("utf-8", "replace")
    odd = [line for line in text.splitlines() if line and not line.startswith("{")]
    odd += [line for line in text.splitlines() if '"internal"' in line or "Traceback" in line or ".broke" in line]
    result.promise("gateways print nothing but their log, and no bug", odd[:3] or "yes", kept=not odd)
    died = [number for number, each in enumerate(run.scene.gateways) if each.process.popen.poll() is not None]
    result.promise("no gateway ended by itself", died or "none", kept=not died)
    late = run.doer.late_to_end
    result.promise("SIGTERM ends a gateway in time", f"{late} late", kept=late == 0)


def _grown(result: Result, run: Run) -> None:
    elder = run.gauges.elder()
    memory = growth([(one.at_s, one.rss_mb) for one in elder], run.load_s)
    fds = growth([(one.at_s, one.fds) for one in elder], run.load_s)
    tasks = growth([(one.at_s, one.tasks) for one in elder if one.tasks is not None], run.load_s)
    keys = growth([(one.at_s, one.count) for one in run.gauges.keys], run.load_s)
    for name, grown in (("MB", memory), ("descriptors", fds), ("tasks", tasks), ("keys", keys)):
        result.notes[f"{name}: second quarter, last quarter, most"] = f"{grown.early:g}, {grown.late:g}, {grown.most:g}"
    if run.load_s >= LONG_ENOUGH_S:
        told = f"{memory.early:.1f} -> {memory.late:.1f} MB"
        result.promise("memory stays", told, kept=memory.within(MEMORY_PART, MEMORY_SLACK_MB))
        _at_rest(result, "descriptors", fds.early, [one.fds for one in elder], FDS_SLACK)
    most = _keys_most(run)
    result.promise(f"the store's keys are at most {most}", f"{keys.most:g}", kept=keys.most <= most)
    _at_rest(result, "tasks", tasks.early, [one.tasks for one in elder if one.tasks is not None], TASKS_SLACK)
    _left_over(result, run)


def _keys_most(run: Run) -> int:
    """Each answer leaves a record and a key for as long as records are kept, each order that is gone is remembered."""
    answers, wishes = run.load.outcomes.total(), len(run.load.wishes)
    kept_s, remembered_s = min(TTL_S, run.load_s), min(MEMORY_MS / 1000, run.load_s)
    return int((answers * kept_s * 2 + wishes * remembered_s) / run.load_s * PEAK) + FIXED_KEYS


def _at_rest(result: Result, name: str, early: float, values: list[float] | list[int], slack: float) -> None:
    """How many there are when the load is over, against what there were early under load."""
    late = min(values[-3:], default=0)
    result.promise(f"{name}, at rest again, no more than early under load", f"{early:g} -> {late:g}",
                   kept=late <= early + slack)  # fmt: skip


def _left_over(result: Result, run: Run) -> None:
    kinds, stuck = left_in(run.scene)
    result.promise("every key expires that is not one of a fixed set", stuck[:3] or "yes", kept=not stuck)
    if run.expired:
        rest = {kind: count for kind, count in kinds.items() if kind in {"rec", "idem"}}
        result.promise("a while after the load no record is left", rest or "none", kept=not rest)
    result.notes["keys in the end"] = kinds


def summary(result: Result, target: Path) -> str:
    """The last line for people."""
    word = "KEPT" if result.kept else f"BROKEN: {'; '.join(one.text for one in result.broken)}"
    return f"soak {word} ({len(result.promises)} promises; figures in {target})"
