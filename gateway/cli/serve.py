"""`serve` and `sandbox`: what runs until it is told to stop."""

import asyncio
import gc
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.workers import add_workers

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

    from gateway.backends.logs import Journal
    from gateway.reload import Reread
    from gateway.settings import Settings

EXIT_OK, EXIT_USAGE = 0, 2
YOUNG_MOST = 20_000


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the commands."""
    serve = commands.add_parser("serve", help="run the service until SIGTERM, then drain")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings, as TOML")
    add_workers(serve)
    serve.set_defaults(run=run_serve)
    sandbox = commands.add_parser("sandbox", help="the five venues as strict local simulators")
    sandbox.add_argument(
        "--config", type=Path, metavar="FILE", help="ports, keys and limits, as TOML; its own otherwise"
    )
    sandbox.set_defaults(run=run_sandbox)


def run_serve(options: Namespace) -> int:
    """Read the settings, serve, drain."""
    from gateway.backends.memory import seal_memory
    from gateway.cli.check_config import load_or_tell
    from gateway.reload import Reread
    from gateway.settings import load
    from gateway.venues import ALL

    seal_memory()
    settings = load_or_tell(options.config, os.environ, ALL, options.workers)
    if settings is None:
        return EXIT_USAGE
    if fault := sealed_fault(settings):
        print(f"cancel-gateway: cannot start: {fault}", file=sys.stderr)
        return EXIT_USAGE
    if options.workers > 1:
        return run_loop(_crew(options, settings))
    reread = Reread(options.config, lambda: load(options.config, os.environ, ALL))
    return run_loop(serve_until_signalled(settings, reread=reread))


async def _crew(options: Namespace, settings: "Settings") -> int:
    """Look after several of us."""
    from gateway.cli.workers import supervise

    log = open_log(settings.log.level, sys.stdout.fileno(), shared=True)
    return await supervise(options.config, settings, options.workers, log)


def sealed_fault(settings: "Settings") -> str | None:
    """Why the sealed file can never be opened by this process; one that is not there yet may still come."""
    from gateway.backends.credentials.sealed import SealedFile
    from gateway.backends.credentials.sealed_store import read_passphrase
    from gateway.ports import Unavailable
    from gateway.settings.secrets import Provider

    said = settings.secrets
    if said.provider is not Provider.SEALED:
        return None
    try:
        passphrase = read_passphrase(said.passphrase_file, os.environ)
        if said.sealed_file.exists():
            SealedFile(said.sealed_file, passphrase).open()
    except Unavailable as lost:
        return lost.reason
    return None


def run_sandbox(options: Namespace) -> int:
    """Serve the sandbox venues."""
    from gateway.sandbox.config_file import BadSandboxConfig
    from gateway.sandbox.server import serve

    async def until_signalled() -> int:
        serving = asyncio.ensure_future(serve(options.config, lambda line: print(line, flush=True)))
        stopping = asyncio.ensure_future(signalled())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, stopping):
            task.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await asyncio.gather(serving, return_exceptions=False) if serving.done() and not serving.cancelled() else None
        return EXIT_OK

    try:
        return run_loop(until_signalled())
    except BadSandboxConfig as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE


def run_loop(main: Coroutine[object, object, int]) -> int:
    """Run on the fastest loop there is; what stops the start is told in one line."""
    from gateway.backends.redis.startup import EmbeddedError

    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(main)
    except (OSError, EmbeddedError) as error:
        print(f"cancel-gateway: cannot start: {error}", file=sys.stderr)
        return EXIT_USAGE


async def serve_until_signalled(
    settings: "Settings",
    once_up: Callable[[str, str], Awaitable[None]] | None = None,
    log_to: int | None = None,
    reread: "Reread | None" = None,
) -> int:
    """The whole life of one process; `once_up` is called with both URLs when it listens."""
    from gateway.wiring.service import running

    descriptor = sys.stdout.fileno() if log_to is None else log_to
    log = open_log(settings.log.level, descriptor, shared=settings.server.reuse_port)
    stop = asyncio.ensure_future(signalled())
    async with running(settings, log, reread) as service:
        if once_up is not None:
            await once_up(service.url, service.admin_url)
        _spare_the_collector()
        log.event("gateway.stopping", signal=await stop, drain_seconds=service.times.whole_s)
        hasten = asyncio.Event()
        again = asyncio.ensure_future(signalled())
        again.add_done_callback(lambda _: hasten.set())
        whole = await service.drain(hasten)
        again.cancel()
        log.event("gateway.stopped", drained=whole, in_flight=service.front.in_flight)
    return EXIT_OK


def _spare_the_collector() -> None:
    """What is there at the start stays; and what a cancel leaves is freed by counts, so that looks for cycles can wait.

    Otherwise each of these looks goes over everything that waits in line, in the middle of somebody's cancel.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MOST, *gc.get_threshold()[1:])


def open_log(level: str, descriptor: int, *, shared: bool = False) -> "Journal":
    """The log, one JSON line each; `shared` where other processes write to the same place."""
    import logging

    from gateway.backends.logs import open_journal
    from gateway.backends.stdout import Drops, LineWriter

    drops = Drops()
    lines = LineWriter(descriptor, drops.count, shared=shared)
    return open_journal(lines, logging.getLevelNamesMapping()[level.upper()], drops.take)


async def signalled() -> str:
    """The name of the next SIGTERM or SIGINT."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    heard: list[str] = []

    def hear(name: str) -> None:
        heard.append(name)
        came.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, hear, each.name)
    await came.wait()
    return heard[0]
