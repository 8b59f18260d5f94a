"""`cancel-gateway check-config FILE`: every fault of a settings file at once, before anything is started with it."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gateway.cli.workers import add_workers, faults_of
from gateway.settings import Settings, load
from gateway.settings.schema import Faults
from gateway.venues.base import Venue

OK, WRONG = 0, 2


Registry = Callable[[], tuple[Venue, ...]]


def registry() -> tuple[Venue, ...]:
    """All venues. Imported on use: their tables take a while, and `--help` needs none of them."""
    from gateway.venues import ALL

    return ALL


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", venues: Registry = registry) -> None:
    """Register the command."""
    command = subparsers.add_parser("check-config", help="check a settings file and the environment; tells every fault")
    command.add_argument("file", type=Path, metavar="FILE", help="the settings, as TOML")
    add_workers(command)
    command.set_defaults(run=partial(_run, venues=venues))


def _run(arguments: argparse.Namespace, venues: Registry) -> int:
    return check(arguments.file, venues, arguments.workers)


def check(path: Path, venues: Registry = registry, workers: int = 1) -> int:
    """Exit code 0 and `ok`, or 2 and one line per fault."""
    settings = load_or_tell(path, os.environ, venues(), workers)
    if settings is None:
        return WRONG
    print(f"{path}: ok, serves {', '.join(settings.venues)} to {len(settings.callers)} caller(s)")
    return OK


def load_or_tell(
    path: Path, environment: Mapping[str, str], venues: tuple[Venue, ...], workers: int = 1
) -> Settings | None:
    """The settings; or None, and every fault on stderr."""
    result = load(path, environment, venues)
    faults = result.faults if isinstance(result, Faults) else faults_of(result, workers)
    for fault in faults:
        print(fault, file=sys.stderr)
    return None if faults or isinstance(result, Faults) else result
