"""`cancel` and `records`: what somebody on call does by hand."""

import json
import os
import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from gateway.cli.paint import outcome_painted
from gateway.cli.speak import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNKNOWN,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    TOKEN_VARIABLE,
    Heard,
    Unreachable,
    ask,
    ask_lines,
    connect_arguments,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

VENUE_HELP = "orderly, hashkey, loopring, etna or b2trader"
ACCOUNT_HELP = "whose credential; the venue's default_account otherwise"
TIMEOUT_HELP = "how long the answer is of use; default: %(default)s"
EXIT_CODES = (
    "exit codes: 0 done; 1 refused, or not done; 2 the call is not right (words, token, permission); 3 not known yet; "
    "4 no answer from the gateway"
)
STATUS_BAD, STATUS_NO_TOKEN, STATUS_FORBIDDEN, STATUS_UNKNOWN = 400, 401, 403, 504
ANSWER_MARGIN_S = 5.0


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the commands."""
    cancel = commands.add_parser("cancel", help="get one order cancelled")
    cancel.add_argument("venue", help=VENUE_HELP)
    cancel.add_argument("ref", nargs="+", help="an order, by the venue's name for it or the caller's")
    cancel.add_argument(
        "--by", choices=("order_id", "client_id"), help="whose name it is, where its shape leaves that open"
    )
    cancel.add_argument("--account", help=ACCOUNT_HELP)
    cancel.add_argument("--symbol", help="the order's symbol; Orderly wants it")
    cancel.add_argument("--wait", choices=("ack", "terminal"), help="terminal: until the order is provably gone")
    cancel.add_argument("--plan", action="store_true", help="only say what would be sent, and when")
    cancel.add_argument("--urgent", action="store_true", help="use the urgent lane")
    cancel.add_argument("--key", help="Idempotency-Key; made up where it is not given")
    cancel.add_argument("--timeout-ms", type=int, default=5000, help=TIMEOUT_HELP)
    finish(cancel, run_cancel)
    records = commands.add_parser("records", help="show one cancel's record")
    records.add_argument("id", help="what follows /cancels/ in an answer's `record`")
    finish(records, run_records)


def finish(parser: "ArgumentParser", run: Callable[[Namespace], int], *, speaks_to_callers: bool = True) -> None:
    """Give a command its connection and its way to fail."""
    connect_arguments(parser, speaks_to_callers=speaks_to_callers)
    parser.epilog = EXIT_CODES
    parser.set_defaults(run=_guarded(run))


def _guarded(run: Callable[[Namespace], int]) -> Callable[[Namespace], int]:
    def guarded(options: Namespace) -> int:
        try:
            return run(options)
        except Unreachable as error:
            print(f"cancel-gateway: {error}", file=sys.stderr)
            return EXIT_UNREACHABLE
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            # Whoever read us has seen enough; what is left in the buffer has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_BROKEN_PIPE

    return guarded


def run_cancel(options: Namespace) -> int:
    """Cancel, and say in one line what became of it; of several each as it finishes."""
    if len(options.ref) > 1:
        return _run_many(options)
    (ref,) = options.ref
    query = {name: getattr(options, name) for name in ("by", "account", "symbol", "wait")}
    query["plan"] = "true" if options.plan else None
    asked = urlencode({name: value for name, value in query.items() if value})
    path = f"/orders/{quote(options.venue, safe='')}/{quote(ref, safe='')}" + (f"?{asked}" if asked else "")
    headers = {"X-Request-Timeout-Ms": str(options.timeout_ms)}
    if not options.plan:
        headers["Idempotency-Key"] = options.key or uuid.uuid4().hex
    if options.urgent:
        headers["Priority"] = "u=1"
    heard = ask(options, "DELETE", path, headers, options.timeout_ms / 1000 + ANSWER_MARGIN_S)
    return tell(options, heard, _plan_lines if options.plan else _answer_lines)


def _run_many(options: Namespace) -> int:
    if options.plan or options.key:
        print("cancel-gateway: --plan and --key are for one order", file=sys.stderr)
        return EXIT_USAGE
    same = {name: getattr(options, name) for name in ("venue", "by", "account", "symbol", "wait")}
    items = [{"ref": ref, "idempotency_key": uuid.uuid4().hex} | same for ref in options.ref]
    headers = {"X-Request-Timeout-Ms": str(options.timeout_ms), "Content-Type": "application/json"}
    if options.urgent:
        headers["Priority"] = "u=1"
    body = json.dumps({"cancels": items}).encode()
    codes = {
        tell(options, heard, _answer_lines)
        for heard in ask_lines(options, "/cancels", headers, body, options.timeout_ms / 1000 + ANSWER_MARGIN_S)
    }
    return max(codes, default=EXIT_OK)


def run_records(options: Namespace) -> int:
    """Show a record."""
    heard = ask(options, "GET", f"/cancels/{quote(options.id, safe='')}", {}, ANSWER_MARGIN_S)
    return tell(options, heard, _record_lines)


def tell(options: Namespace, heard: Heard, lines: Callable[[Heard], Iterable[str]]) -> int:
    """Print an answer, and say how it ends."""
    if options.json:
        print(json.dumps(heard.body, indent=2))
    elif heard.status < STATUS_BAD:
        print("\n".join(lines(heard)))
    else:
        _tell_refusal(heard)
    return exit_code(heard)


def _tell_refusal(heard: Heard) -> None:
    print(refusal(heard), file=sys.stderr)
    if heard.body.get("record"):
        print(f"record: {heard.text('record').rpartition('/')[2]}", file=sys.stderr)
    if heard.body.get("venue_message"):
        print(f"the venue said: {heard.text('venue_code')} {heard.text('venue_message')}", file=sys.stderr)


def refusal(heard: Heard) -> str:
    """A refusal in one line, with the way out where we know one."""
    outcome = heard.text("outcome") or str(heard.status)
    way_out = f"; put your caller token into ${TOKEN_VARIABLE}" if heard.status == STATUS_NO_TOKEN else ""
    return f"{outcome_painted(outcome, sys.stderr)}: {heard.text('detail')}{way_out}"


def exit_code(heard: Heard) -> int:
    """How the command ends."""
    if heard.status < STATUS_BAD:
        return EXIT_OK
    if heard.status == STATUS_UNKNOWN:
        return EXIT_UNKNOWN
    return EXIT_USAGE if heard.status in {STATUS_BAD, STATUS_NO_TOKEN, STATUS_FORBIDDEN} else EXIT_REFUSED


def _answer_lines(heard: Heard) -> Iterable[str]:
    outcome, where = (
        outcome_painted(heard.text("outcome"), sys.stdout),
        f"{heard.text('venue')}:{heard.text('account')}",
    )
    yield f"{outcome}  {where}  {heard.text('ref')}  ({heard.text('venue_ms') or '-'} ms)"
    if heard.body.get("record"):
        yield f"record: {heard.text('record').rpartition('/')[2]}"


def _plan_lines(heard: Heard) -> Iterable[str]:
    request, slot = heard.body.get("request"), heard.body.get("slot")
    if isinstance(request, dict) and isinstance(slot, dict):
        yield f"would: {heard.text('would')}, in {slot.get('wait_ms')} ms"
        yield f"{request.get('method')} {request.get('url')}"
        yield from (f"  {name}: {value}" for name, value in request.get("headers", {}).items())


def _record_lines(heard: Heard) -> Iterable[str]:
    shown = (
        "id",
        "state",
        "outcome",
        "venue",
        "account",
        "ref",
        "by",
        "attempts",
        "created_at",
        "sent_at",
        "settled_at",
    )
    return (f"{name:<11} {heard.text(name)}" for name in shown if heard.text(name))
