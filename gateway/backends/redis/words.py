"""Commands as the server reads them: so many words, each with its length before it. No I/O.

What is the same in each command of a kind can be written down once, and joined with what is not.
"""

from functools import lru_cache
from typing import NamedTuple, TypeAlias, cast

from hiredis import pack_command

Argument: TypeAlias = str | bytes | int


class Words(NamedTuple):
    """Some words of a command, written down."""

    number: int
    data: bytes


def pack(*command: Argument) -> bytes:
    """A whole command."""
    # hiredis' stub asks for a tuple of exactly one.
    return cast("bytes", pack_command(cast("tuple[str]", command)))


def words(*said: Argument) -> Words:
    """Any words."""
    whole = pack(*said)
    return Words(len(said), whole[whole.index(b"\n") + 1 :])


def text(*said: Argument) -> str:
    """Words of plain ASCII, as a part of more of them."""
    return words(*said).data.decode("ascii")


def plain(number: int, said: str) -> Words:
    """What was written as text, where each length counted characters: in plain ASCII they are bytes."""
    return Words(number, said.encode("ascii"))


def call(verb: str, script: str, rest: Words) -> bytes:
    """The command that runs a script, by its digest or its text."""
    return b"*%d\r\n%b%b" % (rest.number + 2, _called(verb, script), rest.data)


@lru_cache(maxsize=256)
def _called(verb: str, script: str) -> bytes:
    return words(verb, script).data
