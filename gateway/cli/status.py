"""`status`: every venue and account as a table, once or again and again."""

import json
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.oncall import ANSWER_MARGIN_S, STATUS_BAD, exit_code, finish, refusal, tell
from gateway.cli.paint import DIM, GREEN, RED, YELLOW, is_painted, painted
from gateway.cli.speak import EXIT_OK, Heard, Unreachable, ask

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
EVERY_LEAST_S = 0.2
NEEDED = frozenset({"venue", "account", "limits", "queue", "credential", "degraded"})
OK_CREDENTIALS = frozenset({"ok", "unread"})


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the command."""
    status = commands.add_parser("status", help="show every venue and account that you may use")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    status.add_argument("--every", type=_pause_s, default=1.0, metavar="SECONDS", help="how often, with --watch")
    finish(status, run)


def _pause_s(text: str) -> float:
    seconds = float(text)
    if not seconds >= EVERY_LEAST_S:
        raise ArgumentTypeError(f"at least {EVERY_LEAST_S} s")
    return seconds


def run(options: Namespace) -> int:
    """Show the venues as a table."""
    if options.watch:
        return _watch(options)
    return tell(options, _asked(options), _lines)


def _asked(options: Namespace) -> Heard:
    heard = ask(options, "GET", "/venues", {}, ANSWER_MARGIN_S)
    if heard.status < STATUS_BAD and not _is_ours(heard.body.get("venues")):
        raise Unreachable(f"{options.url} does not speak like a cancel-gateway")
    return heard


def _is_ours(venues: object) -> bool:
    return isinstance(venues, list) and all(isinstance(each, dict) and each.keys() >= NEEDED for each in venues)


def _watch(options: Namespace) -> int:
    """A gateway that was there once may go and come again; one that refuses us will go on refusing."""
    heard: Heard | None = _asked(options)
    try:
        while True:
            if heard is not None and heard.status >= STATUS_BAD:
                print(refusal(heard), file=sys.stderr)
                return exit_code(heard)
            _show(options, heard)
            time.sleep(options.every)
            heard = _asked_again(options)
    except KeyboardInterrupt:
        return EXIT_OK


def _asked_again(options: Namespace) -> Heard | None:
    try:
        return _asked(options)
    except Unreachable:
        return None


def _show(options: Namespace, heard: Heard | None) -> None:
    """On a terminal in the same place, without a flicker; elsewhere one after the other."""
    if heard is None:
        print(painted(f"the gateway at {options.url} does not answer", RED, sys.stderr), file=sys.stderr)
    elif options.json:
        print(json.dumps(heard.body), flush=True)
    elif sys.stdout.isatty():
        lines = [time.strftime("%H:%M:%S"), *_lines(heard, brief=True)]
        print(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_REST, end="", flush=True)
    else:
        print("\n".join([time.strftime("%H:%M:%S"), *_lines(heard), ""]), flush=True)


def _lines(heard: Heard, *, brief: bool = False) -> Iterable[str]:
    """A row for each account; in brief the first limit, and those that are spent in part."""
    venues = heard.body.get("venues")
    heading = f"{'VENUE:ACCOUNT':<28} {'CREDENTIAL':<12} {'WAITING':>7}  LIMITS (free/tokens)"
    yield painted(heading, DIM, sys.stdout)
    for state in venues if isinstance(venues, list) else []:
        limits = " ".join(_limit(name, each) for name, each in _shown(state["limits"], brief=brief))
        flags = "".join(painted(f"  {word}", RED, sys.stdout) for word in _warnings(state))
        waiting = sum(state["queue"].values())
        credential = f"{state['credential']:<12}"
        if is_painted(sys.stdout):
            credential = painted(credential, GREEN if state["credential"] in OK_CREDENTIALS else RED, sys.stdout)
        yield f"{state['venue'] + ':' + state['account']:<28} {credential} {waiting:>7}  {limits}{flags}"


def _shown(limits: Mapping[str, Any], *, brief: bool) -> Iterable[tuple[str, Any]]:  # JSON
    for place, (name, each) in enumerate(limits.items()):
        if not brief or not place or each["free"] != each["tokens"]:
            yield name, each


def _limit(name: str, each: Mapping[str, Any]) -> str:  # JSON
    text = f"{name} {each['free']}/{each['tokens']}"
    return painted(text, YELLOW, sys.stdout) if each["free"] == 0 else text


def _warnings(state: Mapping[str, Any]) -> Iterable[str]:  # JSON
    """What of a row somebody on call should see first."""
    if state["degraded"]:
        yield "DEGRADED"
    for gate in state.get("gates", []):
        yield f"{'BANNED' if gate['banned'] else 'SHUT'}:{gate['scope']} {gate['retry_after_ms'] / 1000:.1f} s"
    yield from (f"BREAKER:{scope}" for scope in state.get("breaker", {}))
    if state.get("clock", {}).get("state") == "refused":
        yield "CLOCK"
