"""The command line: which command runs what. Each imports what it needs only when it runs."""

import argparse
import sys

from gateway import __version__
from gateway.cli import audit, check_config, demo, healthcheck, kill, oncall, secrets, serve, token


def main() -> None:
    """Run one command; its exit code is ours."""
    parser = argparse.ArgumentParser(prog="cancel-gateway", description="Gets an order cancelled, safely.")
    parser.add_argument("--version", action="version", version=f"cancel-gateway {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (serve, audit, check_config, demo, oncall, kill, secrets, token, healthcheck):
        module.add(commands)
    options = parser.parse_args()
    sys.exit(options.run(options))


if __name__ == "__main__":
    main()
