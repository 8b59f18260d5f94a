"""Every command says what each of its words is for."""

import argparse
from collections.abc import Iterator

from gateway.cli.commands import command_line


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def test_every_word_of_every_command_is_explained() -> None:
    silent = [
        f"{parser.prog} {action.dest}"
        for parser in parsers(command_line())
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]

    assert silent == []


def test_every_help_can_be_shown() -> None:
    assert all("usage:" in parser.format_help() for parser in parsers(command_line()))
