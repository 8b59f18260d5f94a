"""The commands about settings and secrets as a program of their own, for the made-up venue."""

import argparse
import sys
from collections.abc import Sequence

from plain_venue import PLAIN

from gateway.cli import check_config, secrets, token


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("cancel-gateway")
    subparsers = parser.add_subparsers(required=True)
    check_config.add(subparsers, lambda: (PLAIN,))
    secrets.add(subparsers, lambda: (PLAIN,))
    token.add(subparsers)
    arguments = parser.parse_args(words)
    code = arguments.run(arguments)
    assert isinstance(code, int)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
