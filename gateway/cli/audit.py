"""`cancel-gateway audit`: is the trail whole, take it out, and does it lead to what was told."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from gateway.cli.audit_source import Source

EXIT_OK, EXIT_FAULT, EXIT_USAGE = 0, 1, 2


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the commands."""
    audit = commands.add_parser("audit", help="check, export and replay the audit trail")
    steps = audit.add_subparsers(metavar="STEP", required=True)
    verify = steps.add_parser("verify", help="find a removed, changed or reordered entry; exit code 1")
    verify.add_argument("--anchors", type=Path, metavar="LOG", help="the gateways' log: the heads in it must be there")
    verify.add_argument("--strict", action="store_true", help="an announced gap is a fault as well")
    verify.set_defaults(run=_runs(_verify))
    export = steps.add_parser("export", help="every entry as a line of JSON, on standard output")
    export.set_defaults(run=_runs(_export))
    replay = steps.add_parser("replay", help="read the stored replies again, and compare the outcomes")
    replay.set_defaults(run=_runs(_replay))
    for step in (verify, export, replay):
        step.add_argument("--stream", help="only this trail; default: all")
        where = step.add_mutually_exclusive_group(required=True)
        where.add_argument("--config", type=Path, metavar="FILE", help="the gateway's settings: its [redis] is read")
        where.add_argument(
            "--redis", metavar="URL", help="redis:// rediss:// unix:// redis+sentinel:// redis+cluster://"
        )
        if step is not export:
            where.add_argument("--from", dest="file", type=Path, metavar="FILE", help="what `audit export` wrote")


def _runs(step: "Callable[[Namespace, Source], Coroutine[None, None, int]]") -> Callable[[Namespace], int]:
    def run(options: Namespace) -> int:
        return asyncio.run(_with_source(options, step))

    return run


async def _with_source(options: Namespace, step: "Callable[[Namespace, Source], Coroutine[None, None, int]]") -> int:
    from gateway.cli.audit_source import BadExport
    from gateway.ports import Unavailable

    try:
        async with _source(options) as source:
            return EXIT_USAGE if source is None else await step(options, source)
    except (Unavailable, BadExport, OSError, ValueError) as error:
        print(f"cancel-gateway: cannot read the trail: {error}", file=sys.stderr)
        return EXIT_USAGE


@asynccontextmanager
async def _source(options: Namespace) -> "AsyncIterator[Source | None]":
    from gateway.backends.redis.link import Link
    from gateway.cli.audit_source import READ_TIMEOUT_MS, Exported, Stored

    if getattr(options, "file", None) is not None:
        yield Exported(options.file)
        return
    url = options.redis or _url_in(options.config)
    if url is None:
        yield None
        return
    link = Link(url, READ_TIMEOUT_MS)
    try:
        yield Stored(link)
    finally:
        await link.aclose()


def _url_in(config: Path) -> str | None:
    """The address in the settings; of an embedded server, the socket of the one that runs now."""
    from gateway.backends.redis.link import EMBEDDED
    from gateway.backends.redis.socket_path import socket_at
    from gateway.cli.check_config import load_or_tell
    from gateway.venues import ALL

    settings = load_or_tell(config, os.environ, ALL)
    if settings is None:
        return None
    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    return f"unix://{quote(str(socket_at(settings.redis.data_dir.absolute())))}"


async def _verify(options: Namespace, source: "Source") -> int:
    from gateway.cli.audit_source import anchors_in, chosen
    from gateway.core.trail_check import Check

    anchors = {} if options.anchors is None else anchors_in(options.anchors)
    found = EXIT_OK
    trails = chosen(await source.trails(anchors), options.stream)
    for trail in trails:
        check = Check(anchors.get(trail.stream, ()))
        head = await source.head(trail.stream)
        async for kept in source.entries(trail.stream):
            check.take(kept)
        report = check.end(head)
        if not report.entries and trail.over:
            continue
        if report.fault is not None:
            print(f"{trail.stream}: {report.fault.kind} at {report.fault.at}: {report.fault.detail}")
            found = EXIT_FAULT
            continue
        lost = f", {report.lost} decisions lost by an announced gap" if report.lost else ""
        state = "ended" if report.ended else "open"
        print(f"{trail.stream}: ok, {report.entries} entries, {report.first} to {report.last}, {state}{lost}")
        found = EXIT_FAULT if report.lost and options.strict else found
    return found if trails else _nothing()


async def _export(options: Namespace, source: "Source") -> int:
    from gateway.cli.audit_source import as_line, chosen, head_line

    trails = chosen(await source.trails({}), options.stream)
    for trail in trails:
        sys.stdout.buffer.write(head_line(trail, await source.head(trail.stream)))
        async for kept in source.entries(trail.stream):
            sys.stdout.buffer.write(as_line(trail.stream, kept))
    sys.stdout.buffer.flush()
    return EXIT_OK if trails else _nothing()


async def _replay(options: Namespace, source: "Source") -> int:
    from gateway.cli.audit_source import chosen
    from gateway.core.trail import read
    from gateway.replay import Replay
    from gateway.venues import ALL

    found = EXIT_OK
    trails = chosen(await source.trails({}), options.stream)
    for trail in trails:
        replay = Replay(ALL)
        async for kept in source.entries(trail.stream):
            if (tree := read(kept.data)) is not None:
                replay.take(tree)
        tally = replay.end()
        for differs in tally.differs:
            print(f"{trail.stream}: number {differs.number} says {differs.said}; what follows is {differs.follows}")
        print(
            f"{trail.stream}: {tally.replies} replies read again, {tally.outcomes} outcomes follow from them, "
            f"{len(tally.differs)} differ; {tally.withheld} replies were not kept, {tally.unproven} outcomes unproven"
        )
        found = EXIT_FAULT if tally.differs else found
    return found if trails else _nothing()


def _nothing() -> int:
    print("cancel-gateway: there is no such trail", file=sys.stderr)
    return EXIT_USAGE
