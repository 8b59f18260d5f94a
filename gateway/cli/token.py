"""`cancel-gateway token new CALLER`: a token for a caller, shown once, and the line that lets it in."""

import argparse
import hashlib
import re
import secrets
import sys

from gateway.core.access import is_name

OK, WRONG = 0, 2
PREFIX = "cgw_"
RANDOM_BYTES = 32
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    commands = subparsers.add_parser("token", help="caller tokens").add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="make a token; it is printed once and stored nowhere")
    new.add_argument("caller", metavar="CALLER", help="the name in [callers.NAME]")
    new.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a new token and its settings."""
    caller: str = arguments.caller
    if not is_name(caller):
        print("CALLER: is no valid name; take 1 to 64 of A-Z a-z 0-9 . _ -", file=sys.stderr)
        return WRONG
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    print(f"token (give it to {caller}; it is not shown again):\n{token}\n")
    print("settings (the token can't be read back from them):")
    print(caller_lines(caller, token))
    return OK


def caller_lines(caller: str, token: str) -> str:
    """The lines of the settings file that let this token in."""
    key = caller if BARE_KEY.fullmatch(caller) else f'"{caller}"'
    return f'[callers.{key}]\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"'
