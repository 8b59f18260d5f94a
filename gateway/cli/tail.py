"""`tail`: the last cancels of one process, and those that come, from its console on the admin listener."""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.oncall import exit_code, finish, refusal
from gateway.cli.paint import DIM, RED, outcome_painted, painted
from gateway.cli.speak import EXIT_OK, Heard, Unreachable, listen

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

ADMIN_VARIABLE, ADMIN_DEFAULT = "CANCEL_GATEWAY_ADMIN_URL", "http://127.0.0.1:9090"
EVENTS = "/console/events"
# The console gives a sign of life every two seconds.
SILENCE_S = 10.0
AGAIN_S = 1.0


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the command."""
    tail = commands.add_parser("tail", help="show cancels as they are answered, until Ctrl-C")
    tail.add_argument(
        "--admin-url", default=os.environ.get(ADMIN_VARIABLE, ADMIN_DEFAULT), help=f"default: ${ADMIN_VARIABLE}"
    )
    tail.add_argument("-n", "--lines", type=int, default=10, help="so many of those that were answered already")
    tail.add_argument("--venue", help="only this venue's")
    tail.add_argument("--outcome", help="only these")
    tail.add_argument("--no-follow", action="store_true", help="end with those that were answered already")
    finish(tail, run, speaks_to_callers=False)


def run(options: Namespace) -> int:
    """Follow; a process that was there once may go and come again."""
    seen, first = (0, 0), True
    try:
        while True:
            try:
                for news in _news(options):
                    if isinstance(news, Heard):
                        print(refusal(news), file=sys.stderr)
                        return exit_code(news)
                    fresh = [each for each in news if (each["at_ms"], each["number"]) > seen]
                    seen = max([seen, *((each["at_ms"], each["number"]) for each in fresh)])
                    _show(options, fresh, first=first)
                    first = False
                    if options.no_follow:
                        return EXIT_OK
            except Unreachable as gone:
                if first:
                    raise
                print(painted(f"{gone}; trying again", RED, sys.stderr), file=sys.stderr)
            time.sleep(AGAIN_S)
    except KeyboardInterrupt:
        return EXIT_OK


def _news(options: Namespace) -> Iterator[list[dict[str, Any]] | Heard]:  # JSON
    """Cancels as they are told; the first are those that were answered already, if any."""
    told = False
    for said in listen(options.admin_url, EVENTS, SILENCE_S):
        if isinstance(said, Heard):
            yield said
            return
        name, data = said
        if name == "recent" and isinstance(cancels := data["cancels"], list):
            told = True
            yield cancels
        elif name == "state" and not told:
            told = True
            yield []


def _show(options: Namespace, cancels: list[dict[str, Any]], *, first: bool) -> None:
    wanted = [
        each
        for each in cancels
        if options.venue in {None, each.get("venue")} and options.outcome in {None, each.get("outcome")}
    ]
    if first:
        wanted = wanted[max(0, len(wanted) - options.lines) :]
    for each in wanted:
        print(json.dumps(each) if options.json else _line(each), flush=True)


def _line(each: Mapping[str, Any]) -> str:  # JSON
    at = time.strftime("%H:%M:%S", time.localtime(each["at_ms"] / 1000)) + f".{each['at_ms'] % 1000:03}"
    where = f"{each.get('venue') or '-'}:{each.get('account') or '-'}"
    ref = each.get("ref") or "everything"
    took = f"{each['ms']:.1f} ms"
    waited = f", waited {each['waited_ms']:.0f} ms" if each.get("waited_ms", 0) >= 1 else ""
    about = painted(f"({took}{waited}, {each.get('lane') or '-'}, {each.get('caller') or '-'})", DIM, sys.stdout)
    detail = f"  {each['detail']}" if each.get("detail") else ""
    return f"{at}  {outcome_painted(each['outcome'], sys.stdout, 18)}  {where:<20}  {ref}  {about}{detail}"
