"""`kill`: everything open has to go. The plan is shown first, and a person types the venue's name to go on."""

import sys
import uuid
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from gateway.cli.oncall import ACCOUNT_HELP, ANSWER_MARGIN_S, STATUS_BAD, TIMEOUT_HELP, VENUE_HELP, finish, tell
from gateway.cli.paint import elapsed, outcome_painted
from gateway.cli.speak import EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE, Heard, ask

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the command."""
    kill = commands.add_parser("kill", help="get everything cancelled that is open on an account")
    kill.add_argument("venue", help=VENUE_HELP)
    kill.add_argument("--account", help=ACCOUNT_HELP)
    kill.add_argument("--symbol", help="only this symbol's orders")
    kill.add_argument("--plan", action="store_true", help="only say what would be sent")
    kill.add_argument("--yes", action="store_true", help="do not ask; needed where nobody sits at a terminal")
    kill.add_argument("--key", help="Idempotency-Key; made up where it is not given")
    kill.add_argument("--timeout-ms", type=int, default=30_000, help=TIMEOUT_HELP)
    finish(kill, run)


def run(options: Namespace) -> int:
    """Show the plan, ask, kill, and say what is left."""
    if options.plan or not options.yes:
        planned = _call(options, {"plan": "true"}, {})
        if options.plan or planned.status >= STATUS_BAD:
            return tell(options, planned, _plan_lines)
        if not _confirmed(options, planned):
            return EXIT_USAGE
    headers = {"Idempotency-Key": options.key or uuid.uuid4().hex}
    with elapsed("cancelling"):
        heard = _call(options, {}, headers)
    code = tell(options, heard, _lines)
    if code != EXIT_OK:
        return code
    return EXIT_OK if heard.body.get("proven") is True else EXIT_UNKNOWN


def _call(options: Namespace, more: dict[str, str], headers: dict[str, str]) -> Heard:
    query = {"account": options.account, "symbol": options.symbol} | more
    asked = urlencode({name: value for name, value in query.items() if value})
    path = f"/orders/{quote(options.venue, safe='')}" + (f"?{asked}" if asked else "")
    headers = {"X-Request-Timeout-Ms": str(options.timeout_ms)} | headers
    return ask(options, "DELETE", path, headers, options.timeout_ms / 1000 + ANSWER_MARGIN_S)


def _confirmed(options: Namespace, planned: Heard) -> bool:
    print("\n".join(_plan_lines(planned)), file=sys.stderr)
    if not sys.stdin.isatty():
        print("nothing was sent: nobody is here to confirm; say --yes", file=sys.stderr)
        return False
    print(f"type {options.venue} to cancel all of it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() == options.venue:
        return True
    print("nothing was sent", file=sys.stderr)
    return False


def _plan_lines(heard: Heard) -> Iterable[str]:
    slot = heard.body.get("slot")
    takes = slot.get("takes_ms") if isinstance(slot, dict) else "?"
    count = heard.body.get("open")
    yield f"{_where(heard)}: {'an unknown number of' if count is None else count} open orders"
    yield f"would: {heard.text('would')}, by {heard.text('strategy')}, {heard.text('requests')} requests in {takes} ms"
    if heard.body.get("note"):
        yield f"note: {heard.text('note')}"


def _lines(heard: Heard) -> Iterable[str]:
    proven = heard.body.get("proven") is True
    after = heard.body.get("open_after")
    outcome = outcome_painted(heard.text("outcome"), sys.stdout)
    yield f"{outcome}  {_where(heard)}  {'nothing is open any more' if proven else 'NOT PROVEN empty'}"
    yield f"still open: {'unknown' if after is None else after}; {heard.text('requests')} requests"
    outcomes = heard.body.get("outcomes")
    if isinstance(outcomes, dict) and outcomes:
        yield ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    if heard.body.get("record"):
        yield f"record: {heard.text('record').rpartition('/')[2]}"
    if heard.body.get("note"):
        yield f"note: {heard.text('note')}"


def _where(heard: Heard) -> str:
    symbol = heard.text("symbol")
    return f"{heard.text('venue')}:{heard.text('account')}" + (f" {symbol}" if symbol else "")
