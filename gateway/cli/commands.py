"""Which module holds which command, and the parser over all of them."""

import argparse
from importlib import import_module

from gateway import __version__

# Only the module of the command that is asked for is loaded: somebody on call does not wait for the rest.
MODULES = {
    "serve": ("serve", "sandbox"),
    "audit": ("audit",),
    "check_config": ("check-config",),
    "demo": ("demo",),
    "oncall": ("cancel", "records"),
    "status": ("status",),
    "tail": ("tail",),
    "kill": ("kill",),
    "secrets": ("secrets",),
    "token": ("token",),
    "healthcheck": ("healthcheck",),
    "completion": ("completion",),
}


def command_line(word: str = "") -> argparse.ArgumentParser:
    """The parser for one command; for all of them where the word is none."""
    parser = argparse.ArgumentParser(prog="cancel-gateway", description="Gets an order cancelled, safely.")
    parser.add_argument("--version", action="version", version=f"cancel-gateway {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in [name for name, words in MODULES.items() if word in words] or MODULES:
        import_module(f"gateway.cli.{module}").add(commands)
    return parser
