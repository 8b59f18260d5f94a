"""The command line."""

import sys

from gateway.cli.commands import command_line


def main() -> None:
    """Run one command; its exit code is ours."""
    options = command_line("".join(sys.argv[1:2])).parse_args()
    sys.exit(options.run(options))


if __name__ == "__main__":
    main()
